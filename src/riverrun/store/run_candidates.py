"""Statements that list a filter's candidates from an index alone, to see if they are few."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from riverrun.search.fields import Entity, Field
from riverrun.search.nodes import And, Compare, In, IsNull, Node, Not, Or, Test
from riverrun.store.dialects import Sql
from riverrun.store.filters import TRUE, RunFilters, all_of, joined, table_of

MAX_PROBES = 4
"""Lists that one search tries."""

_POINT, _RANGE, _SCAN = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Candidates:
    """`lists` have ids of runs, some perhaps twice; `cost` ranks how much of an index they read."""

    cost: int
    lists: tuple[Sql, ...]

    def first(self, limit: int) -> Sql:
        """Each list has a limit of its own, since a database may make all of a union first."""
        parts = [Sql(f"{each.text} LIMIT ?", (*each.binds, limit)) for each in self.lists]
        if len(parts) == 1:
            return parts[0]
        selects = [Sql(f"SELECT run_id FROM ({part.text}) AS c", part.binds) for part in parts]
        whole = joined(selects, " UNION ALL ")
        return Sql(f"SELECT run_id FROM ({whole.text}) AS u LIMIT ?", (*whole.binds, limit))

    def count(self, limit: int) -> Sql:
        """How many there are, as far as `limit`: cheaper than to fetch what is then too many."""
        first = self.first(limit)
        return Sql(f"SELECT count(*) FROM ({first.text}) AS few", first.binds)


@dataclass(frozen=True, slots=True)
class CandidateLists:
    """What the indexes of these experiments can list."""

    experiments: tuple[int, ...]
    filters: RunFilters

    def best(self, conjuncts: Sequence[Node], *, scans: bool) -> list[Candidates]:
        """The cheapest lists, in order; with `scans` also those that read a whole key."""
        lists = [found for item in conjuncts if (found := self.of(item))]
        wanted = [found for found in lists if scans or found.cost < _SCAN]
        return sorted(wanted, key=lambda found: found.cost)[:MAX_PROBES]

    def of(self, tree: Node) -> Candidates | None:
        """A list that holds every match; None if no index has one that could be short."""
        match tree:
            case Or(items):
                return self._any(items)
            case And(items):
                lists = [found for item in items if (found := self.of(item))]
                return min(lists, key=lambda found: found.cost, default=None)
            case Not(IsNull(field)) if table_of(field):
                return self._keyed(field, TRUE, _RANGE)
            case Not() | IsNull() | Compare(_, "!=") | In(_, _, True):
                return None
            case _:
                return self._test(tree)

    def _any(self, items: Sequence[Node]) -> Candidates | None:
        found = [item for item in map(self.of, items) if item]
        if len(found) < len(items):
            return None
        lists = tuple(each for item in found for each in item.lists)
        return Candidates(max(item.cost for item in found), lists)

    def _test(self, test: Test) -> Candidates | None:
        field = test.field
        if table_of(field) and not field.function:
            return self._keyed(field, self.filters.on_index(test, "x"), _cost(test))
        if field.entity is Entity.DATASET:
            return self._dataset(test)
        if field.key in {"run_id", "start_time"}:
            condition = self.filters.test(test)
            return Candidates(_cost(test), (self._list("runs AS r", "r", condition),))
        return None

    def _keyed(self, field: Field, condition: Sql, cost: int) -> Candidates:
        table = table_of(field)
        key_id = self.filters.keys.get(field.key)
        if table is None or key_id is None:
            return Candidates(0, (Sql("SELECT run_id FROM runs WHERE 1 = 0"),))
        key = Sql("x.key_id = ?", (key_id,))
        return Candidates(cost, (self._list(f"{table} AS x", "x", all_of([key, condition])),))

    def _dataset(self, test: Test) -> Candidates:
        condition = self.filters.dataset_test(test)
        source: LiteralString = "datasets AS d CROSS JOIN run_inputs AS i"
        edges = Sql("i.experiment_id = d.experiment_id AND i.dataset_id = d.dataset_id")
        experiments = self.filters.dialect.among("d.experiment_id", self.experiments)
        where = all_of([experiments, edges, condition])
        listed = Sql(f"SELECT i.run_id FROM {source} WHERE {where.text}", where.binds)
        return Candidates(_RANGE, (listed,))

    def _list(self, source: LiteralString, alias: LiteralString, condition: Sql) -> Sql:
        experiments = self.filters.dialect.among(f"{alias}.experiment_id", self.experiments)
        where = all_of([experiments, condition])
        return Sql(f"SELECT {alias}.run_id FROM {source} WHERE {where.text}", where.binds)


def _cost(test: Test) -> int:
    match test:
        case Compare(_, "=", str()):
            return _POINT
        case In(_, values) if isinstance(values[0], str):
            return _POINT
        case Compare(_, "LIKE" | "ILIKE"):
            return _SCAN
        case _ if test.field.entity is Entity.PARAM:
            return _SCAN
        case _:
            return _RANGE
