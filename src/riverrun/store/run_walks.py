"""The statements of a run search: tables walked in order, under conditions, till a page is full."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, LiteralString, TypeAlias

from riverrun.search.fields import Entity
from riverrun.search.nodes import OrderBy
from riverrun.store.dialects import Sql
from riverrun.store.engine import Reader
from riverrun.store.filters import (
    RunFilters,
    View,
    all_of,
    in_view,
    joined,
    run_column,
    table_of,
    value_column,
)
from riverrun.store.paging import NOWHERE, REAL, Place, Term, order_by

MAX_BINDS = 30_000
"""SQLite binds at most 32 766 values to a statement."""

MAX_TEXT = 500_000
"""SQLite reads statements of up to a million bytes."""

_ALIASES: Sequence[LiteralString] = "t0 t1 t2 t3 t4 t5 t6 t7 t8 t9 t10 t11".split()  # noqa: SIM905
_RANKS: Sequence[LiteralString] = "k0 k1 k2 k3 k4 k5 k6 k7 k8 k9 k10 k11".split()  # noqa: SIM905
_VALUES: Sequence[LiteralString] = "v0 v1 v2 v3 v4 v5 v6 v7 v8 v9 v10 v11".split()  # noqa: SIM905
_NEVER_LOGGED = Term("2", NOWHERE, ascending=True)


@dataclass(frozen=True, slots=True)
class Effort:
    """How far a search goes to find its way; the defaults are measured.

    few: so many candidates are looked at one by one, whatever the order.
    many: so many are better than walking all runs, but cost milliseconds to list.
    window: equal values beyond this many are searched by the rest of the order, not sorted.
    trial: runs walked by start time before it is worth a longer look for candidates.
    statements: after so many, a page is finished by sorting, with two or three more.
    branches: experiments that are each walked in order; the runs of more are sorted.
    skip: rows skipped at a time for a token that is an offset.
    """

    few: int = 1_000
    many: int = 10_000
    window: int = 2_000
    trial: int = 8_000
    statements: int = 16
    branches: int = 32
    skip: int = 10_000


@dataclass(frozen=True, slots=True)
class Scope:
    """The runs that are searched: experiments without repetition, and a stage of life."""

    experiments: tuple[int, ...]
    view: View


Row: TypeAlias = tuple[Any, ...]
"""A run's id, experiment and version; then its rank and value in each term of the order."""


def places(row: Row) -> tuple[Place, ...]:
    """Where a run stands in each term of the order."""
    pairs = zip(row[3::2], row[4::2], strict=True)
    return tuple((rank, value if rank == REAL else None) for rank, value in pairs)


def behind(place: Place, row: Row) -> Row:
    """The row of an order that has one more term in front."""
    return (*row[:3], *place, *row[3:])


@dataclass(frozen=True, slots=True)
class Walk:
    """One statement: tables in the order in which they are walked, with `r` for runs among them.

    `experiment` is the column that limits it to the experiments. With `split`, several experiments
    are walked one by one, each in its own order, and merged.
    """

    source: Sql
    experiment: LiteralString
    conditions: tuple[Sql, ...]
    terms: tuple[Term, ...]
    split: bool = True

    def under(self, *conditions: Sql) -> "Walk":
        return replace(self, conditions=(*self.conditions, *conditions))


class Walks:
    """The statements of one search in one transaction; it counts them."""

    def __init__(self, tx: Reader, scope: Scope, filters: RunFilters, effort: Effort) -> None:
        self.tx = tx
        self.experiments = scope.experiments
        self.filters = filters
        self.effort = effort
        self.in_view = in_view("r.lifecycle_stage", scope.view)
        self.statements = 0

    async def fetch(self, sql: Sql) -> list[Row]:
        self.statements += 1
        return await self.tx.fetch(sql.text, sql.binds)

    def terms(
        self, orders: Sequence[OrderBy], source: LiteralString
    ) -> tuple[tuple[Term, ...], Sql]:
        """The order in SQL, and the source with a join for each key that the order needs."""
        joins = [Sql(source)]
        terms: list[Term] = []
        for order, alias in zip(orders, _ALIASES, strict=False):
            table = table_of(order.field)
            key_id = self.filters.keys.get(order.field.key)
            if table is None:
                terms.append(_attribute_term(order))
            elif key_id is None:
                terms.append(_NEVER_LOGGED)
            else:
                on: LiteralString = f"{alias}.run_id = r.run_id AND {alias}.key_id = ?"
                joins.append(Sql(f"LEFT JOIN {table} AS {alias} ON {on}", (key_id,)))
                terms.append(_keyed_term(order, alias))
        return tuple(terms), joined(joins, " ")

    async def rows(self, walk: Walk, limit: int) -> list[Row]:
        """The first `limit` runs; the wide rows are read for these only."""
        names = list(zip(_RANKS, _VALUES, strict=True))[: len(walk.terms)]
        branches = self._branches(walk, limit)
        columns = ", ".join(_prefixed([name for pair in names for name in pair]))
        shown = [
            Term(None if term.rank is None else f"p.{rank}", f"p.{value}", term.ascending)
            for term, (rank, value) in zip(walk.terms, names, strict=True)
        ]
        text: LiteralString = (
            f"SELECT w.run_id, w.experiment_id, w.version, {columns} FROM ({branches.text}) AS p "
            f"CROSS JOIN runs AS w WHERE w.run_id = p.run_id ORDER BY {order_by(shown)} LIMIT ?"
        )
        return await self.fetch(Sql(text, (*branches.binds, limit)))

    def _branches(self, walk: Walk, limit: int) -> Sql:
        count = len(self.experiments)
        whole = _branch(walk, self.filters.dialect.among(walk.experiment, self.experiments), limit)
        too_large = count * len(whole.binds) > MAX_BINDS or count * len(whole.text) > MAX_TEXT
        if not walk.split or not 1 < count <= self.effort.branches or too_large:
            return whole
        branches = [
            _branch(walk, Sql(f"{walk.experiment} = ?", (experiment,)), limit)
            for experiment in self.experiments
        ]
        selects = [Sql(f"SELECT * FROM ({branch.text}) AS b", branch.binds) for branch in branches]
        return joined(selects, " UNION ALL ")


def _branch(walk: Walk, experiments: Sql, limit: int) -> Sql:
    where = all_of([experiments, *walk.conditions])
    columns: list[LiteralString] = [
        f"{term.rank or '0'} AS {rank}, {term.value} AS {value}"
        for term, rank, value in zip(walk.terms, _RANKS, _VALUES, strict=False)
    ]
    text: LiteralString = (
        f"SELECT r.run_id AS run_id, {', '.join(columns)} FROM {walk.source.text} "
        f"WHERE {where.text} ORDER BY {order_by(walk.terms)} LIMIT ?"
    )
    return Sql(text, (*walk.source.binds, *where.binds, limit))


def _prefixed(names: Sequence[LiteralString]) -> list[LiteralString]:
    return [f"p.{name}" for name in names]


def _attribute_term(order: OrderBy) -> Term:
    column = run_column(order.field)
    if order.field.key != "end_time":
        return Term(None, column, order.ascending)
    return Term(f"CASE WHEN {column} IS NULL THEN 2 ELSE 0 END", column, order.ascending)


def _keyed_term(order: OrderBy, alias: LiteralString) -> Term:
    value: LiteralString = f"{alias}.{value_column(order.field)}"
    if order.field.entity is not Entity.METRIC:
        present: LiteralString = "0"
    elif order.field.function:
        present = f"CASE WHEN {value} IS NULL THEN 1 ELSE 0 END"
    else:
        present = f"{alias}.is_nan"
    rank: LiteralString = f"CASE WHEN {alias}.run_id IS NULL THEN 2 ELSE {present} END"
    return Term(rank, value, order.ascending)
