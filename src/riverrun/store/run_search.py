"""One page of runs: which statements to ask, and how to go on where the last page ended.

SQLite plans without statistics, so every statement names its own way: it walks an index in order
and looks at each run by primary key, until the page is full. Three ways are enough:

- few candidates: a filter that matches few runs lists them from its index, and those are sorted;
- by start time: walk the runs of the experiment;
- by a metric, param or tag: walk its values. Runs with an equal value, with NaN or without a value
  are a search of their own, with one more condition and one less term in the order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, LiteralString

import msgspec

from riverrun.search.fields import RUN_ATTRIBUTES, Entity, Field
from riverrun.search.nodes import And, Between, Compare, In, IsNaN, IsNull, Node, Not, OrderBy, Test
from riverrun.store.dialects import HEAD_LENGTH, Sql
from riverrun.store.engine import Reader
from riverrun.store.filters import TRUE, RunFilters, View, all_of, table_of
from riverrun.store.paging import (
    MISSING,
    NAN,
    REAL,
    Cursor,
    Place,
    Term,
    after,
    fingerprint,
    further_in,
    read_token,
    same,
    write_token,
)
from riverrun.store.run_candidates import CandidateLists
from riverrun.store.run_walks import Effort, Row, Scope, Walk, Walks, behind, places

WINDOW_GROWTH = 8

DEFAULT_EFFORT = Effort()
_START_TIME = OrderBy(RUN_ATTRIBUTES["start_time"], ascending=False)
_RUN_ID = OrderBy(RUN_ATTRIBUTES["run_id"], ascending=True)


@dataclass(frozen=True, slots=True)
class RunQuery:
    """`keys` holds the ids of all `filters.key_names(filter, order_by)` that exist."""

    experiment_ids: Sequence[int]
    filter: Node | None
    order_by: tuple[OrderBy, ...]
    view: View
    max_results: int
    keys: Mapping[str, int]
    page_token: str = ""


class FoundRun(msgspec.Struct, frozen=True, gc=False):
    run_id: bytes
    experiment_id: int
    version: int


@dataclass(frozen=True, slots=True)
class RunPage:
    """`next_page_token` is None after the last run."""

    runs: tuple[FoundRun, ...]
    next_page_token: str | None


@dataclass(frozen=True, slots=True)
class _Part:
    """What is still wanted: `limit` matches in the order of `terms`, after the row at `after`."""

    filter: tuple[Node, ...]
    terms: tuple[OrderBy, ...]
    after: tuple[Place, ...] | None
    limit: int

    def less(self, rows: Sequence[Row]) -> "_Part":
        return replace(self, limit=self.limit - len(rows))


async def search(tx: Reader, query: RunQuery, *, effort: Effort = DEFAULT_EFFORT) -> RunPage:
    """Raises InvalidParameterValue for a page token that is broken or belongs to another query."""
    experiments = tuple(sorted(set(query.experiment_ids)))
    terms = _complete(query.order_by)
    identity = fingerprint(experiments, query.filter, query.order_by, query.view)
    kinds = [None if term.field == _RUN_ID.field else term.field.kind for term in terms]
    cursor = read_token(query.page_token, identity, kinds)
    if not experiments:
        return RunPage((), None)
    scope = Scope(experiments, query.view)
    walks = Walks(tx, scope, RunFilters(tx.dialect, query.keys), effort)
    part = _Part(_conjuncts(query.filter), terms, cursor.places, query.max_results + 1)
    rows = await _skip_and_search(walks, part, cursor)
    runs = tuple(FoundRun(*row[:3]) for row in rows[: query.max_results])
    more = len(rows) > query.max_results
    token = write_token(identity, places(rows[query.max_results - 1])) if more else None
    return RunPage(runs, token)


async def _skip_and_search(walks: Walks, part: _Part, cursor: Cursor) -> list[Row]:
    left = cursor.offset
    while left:
        limit = min(left, walks.effort.skip)
        skipped = await _Search(walks, part.filter).page(replace(part, limit=limit))
        if len(skipped) < limit:
            return []
        left -= limit
        part = replace(part, after=places(skipped[-1]))
    return await _Search(walks, part.filter).page(part)


def _complete(terms: tuple[OrderBy, ...]) -> tuple[OrderBy, ...]:
    """The order with MLflow's own last terms, up to the run's id, which decides for good."""
    fields = [term.field for term in terms]
    if _RUN_ID.field in fields:
        return terms[: fields.index(_RUN_ID.field) + 1]
    if _START_TIME.field in fields:
        return (*terms, _RUN_ID)
    return (*terms, _START_TIME, _RUN_ID)


def _conjuncts(tree: Node | None) -> tuple[Node, ...]:
    match tree:
        case None:
            return ()
        case And(items):
            return tuple(leaf for item in items for leaf in _conjuncts(item))
        case _:
            return (tree,)


class _Search:
    """The search of one page: its ways, and what it learnt of the filter on the way."""

    def __init__(self, walks: Walks, conjuncts: tuple[Node, ...]) -> None:
        self.walks = walks
        self.filters = walks.filters
        self.lists = CandidateLists(walks.experiments, walks.filters)
        self.conjuncts = conjuncts
        self.listable: Sequence[Node] = conjuncts
        self.candidates: list[bytes] | None = None
        self.looked_longer = False
        self.effort = walks.effort
        self.statements_max = walks.statements + walks.effort.statements

    async def page(self, part: _Part) -> list[Row]:
        if self._walkable(part.terms[0].field):
            # What bounds the walk need not be listed: to walk all of it costs no more than that.
            self.listable = [item for item in self.conjuncts if item not in _own(part)]
        self.candidates = await self._few(self.listable, self.effort.few)
        return await self._ordered(part)

    async def _ordered(self, part: _Part) -> list[Row]:
        """Up to `part.limit` rows in order."""
        field = part.terms[0].field
        if self.candidates is not None:
            return await self._sorted(part, self.candidates)
        if field == _START_TIME.field:
            return await self._by_start_time(part)
        if self._walkable(field):
            return await self._by_value(part)
        return await self._sorted(part, None)

    def _walkable(self, field: Field) -> bool:
        few_experiments = len(self.walks.experiments) <= self.effort.branches
        in_index = table_of(field) is not None and not field.function
        return in_index and few_experiments and self._thrifty()

    def _thrifty(self) -> bool:
        return self.walks.statements < self.statements_max

    # Few candidates, and sorting -------------------------------------------------------------

    async def _few(self, conjuncts: Sequence[Node], limit: int) -> list[bytes] | None:
        """The runs among which all matches are, if an index lists at most `limit`."""
        # Several experiments are walked without a trial, so all lists are looked at right away.
        scans = limit > self.effort.few or len(self.walks.experiments) > 1
        for candidates in self.lists.best(conjuncts, scans=scans):
            if limit > self.effort.few:
                ((count,),) = await self.walks.fetch(candidates.count(limit + 1))
                if count > limit:
                    continue
                if count == 0:
                    return []
            rows = await self.walks.fetch(candidates.first(limit + 1))
            if len(rows) <= limit:
                return sorted({row[0] for row in rows})
        return None

    async def _look_longer(self) -> bool:
        """Whether a list turned out short enough after all; asked after a walk found too little."""
        if not self.looked_longer and self.candidates is None:
            self.looked_longer = True
            self.candidates = await self._few(self.listable, self.effort.many)
        return self.candidates is not None

    async def _sorted(self, part: _Part, candidates: list[bytes] | None) -> list[Row]:
        """All matches, or those among the candidates, sorted."""
        if candidates == []:
            return []
        terms, source = self.walks.terms(part.terms, "runs AS r")
        conditions = [self.walks.in_view, *map(self.filters.condition, part.filter)]
        # The plus keeps the planner from the experiment's index when it has the ids themselves.
        experiment: LiteralString = "r.experiment_id" if candidates is None else "+r.experiment_id"
        if candidates is not None:
            conditions.insert(0, self.filters.dialect.among("r.run_id", candidates))
        if part.after:
            conditions.append(after(terms, part.after))
        walk = Walk(source, experiment, tuple(conditions), terms, split=False)
        return await self.walks.rows(walk, part.limit)

    # By start time ---------------------------------------------------------------------------

    async def _by_start_time(self, part: _Part) -> list[Row]:
        """Runs that started together with the last one are a statement of their own."""
        terms, source = self.walks.terms(part.terms, "runs AS r")
        conditions = (self.walks.in_view, *map(self.filters.condition, part.filter))
        walk = Walk(source, "r.experiment_id", conditions, terms)
        rows: list[Row] = []
        start = TRUE
        if part.after:
            together = walk.under(same(terms[0], part.after[0]), after(terms[1:], part.after[1:]))
            rows = await self.walks.rows(together, part.limit)
            start = further_in(terms[0], part.after[0]) or TRUE
        if len(rows) == part.limit:
            return rows
        trial = await self._trial_end(part, start)
        if trial:
            column, ascending = terms[0].value, terms[0].ascending
            until = _before(column, trial[0], ascending=ascending)
            rows += await self.walks.rows(walk.under(start, until), part.limit - len(rows))
            if len(rows) == part.limit:
                return rows
            if await self._look_longer():
                return await self._ordered(part)
            start = _beyond(column, trial[0], ascending=ascending, included=True)
        return rows + await self.walks.rows(walk.under(start), part.limit - len(rows))

    async def _trial_end(self, part: _Part, start: Sql) -> list[int]:
        """The start time TRIAL runs further on, if it pays to stop there and think."""
        worth_it = self.conjuncts and not self.looked_longer and self._thrifty()
        if not worth_it or len(self.walks.experiments) > 1:
            return []
        own = [
            item
            for item in part.filter
            if isinstance(item, Test) and item.field == _START_TIME.field
        ]
        experiment = self.filters.dialect.among("r.experiment_id", self.walks.experiments)
        where = all_of([experiment, start, *map(self.filters.condition, own)])
        direction = "" if part.terms[0].ascending else " DESC"
        text: LiteralString = (
            f"SELECT r.start_time FROM runs AS r WHERE {where.text} "
            f"ORDER BY r.start_time{direction} LIMIT 1 OFFSET ?"
        )
        found = await self.walks.fetch(
            Sql(text, (*where.binds, max(self.effort.trial, 2 * part.limit)))
        )
        return [row[0] for row in found]

    # By the value of a metric, param or tag --------------------------------------------------

    async def _by_value(self, part: _Part) -> list[Row]:
        """The group in which the last page ended, then further values, then NaN, then missing."""
        field = part.terms[0].field
        ranks = _ranks(part.filter, field) if field.key in self.filters.keys else {MISSING}
        place = part.after[0] if part.after else None
        rows: list[Row] = []
        if place and part.after:
            rows += await self._group(part, place, part.after[1:])
        if REAL in ranks and (place is None or place[0] == REAL):
            rows += await self._values(part.less(rows), place)
            if len(rows) < part.limit and self.candidates is not None:
                return await self._sorted(part, self.candidates)  # They were found on the way.
        for rank in (NAN, MISSING):
            if rank in ranks and (place is None or place[0] < rank):
                rows += await self._group(part.less(rows), (rank, None), None)
        return rows

    async def _group(
        self, part: _Part, place: Place, rest_after: tuple[Place, ...] | None
    ) -> list[Row]:
        """Runs that stand at this place, by the rest of the order."""
        if part.limit <= 0:
            return []
        test = _at(part.terms[0].field, place)
        group = _Part((*part.filter, test), part.terms[1:], rest_after, part.limit)
        few = await self._few([test], self.effort.few) if self._thrifty() else None
        rows = await (self._ordered(group) if few is None else self._sorted(group, few))
        return [behind(place, row) for row in rows]

    async def _values(self, part: _Part, place: Place | None) -> list[Row]:
        """Runs with real values beyond the place.

        The walk sorts runs of equal value. So that this never means sorting half of a table, a look
        ahead finds large groups and searches them by the rest of the order.
        """
        rows: list[Row] = []
        field, ascending = part.terms[0].field, part.terms[0].ascending
        head = self._head(field)
        start = TRUE if place is None else self._start(field, place[1], ascending=ascending)
        window = max(self.effort.window, 2 * part.limit)
        while len(self.walks.experiments) == 1 and self._thrifty() and len(rows) < part.limit:
            ahead = await self._look_ahead(part, start, window)
            if len(ahead) < 2:
                break
            first, last = ahead
            if first != last:
                until = _before(head, last, ascending=ascending)
                rows += await self._range(part.less(rows), [start, until])
                start = _beyond(head, last, ascending=ascending, included=True)
            elif self._seen(field) == "o.value" or len(first) < HEAD_LENGTH:
                rows += await self._group(part.less(rows), (REAL, first), None)
                start = _beyond(head, first, ascending=ascending)
            else:
                break  # They are not known to their ends.
            if len(rows) < part.limit and await self._look_longer():
                return rows
            window *= WINDOW_GROWTH
        if len(rows) < part.limit:
            rows += await self._range(part.less(rows), [start])
        return rows

    async def _look_ahead(self, part: _Part, start: Sql, window: int) -> list[Any]:
        """The next value and the one so many rows further on, as far as these exist: long ones only
        where they begin.
        """
        term = part.terms[0]
        table, key = self._table(term.field)
        seen = self._seen(term.field)
        experiment = self.filters.dialect.among("o.experiment_id", self.walks.experiments)
        own = [self.filters.on_index(test, "o") for test in _own(part)]
        where = all_of([experiment, *key, start, *own])
        direction = "" if term.ascending else " DESC"
        select: LiteralString = (
            f"SELECT {seen} AS value FROM {table} AS o WHERE {where.text} "
            f"ORDER BY {seen}{direction}"
        )
        text: LiteralString = (
            f"SELECT value FROM ({select} LIMIT 1) AS a "
            f"UNION ALL SELECT value FROM ({select} LIMIT 1 OFFSET ?) AS b"
        )
        rows = await self.walks.fetch(Sql(text, (*where.binds, *where.binds, window)))
        return [row[0] for row in rows]

    async def _range(self, part: _Part, bounds: Sequence[Sql]) -> list[Row]:
        """Runs with values within the bounds, in order."""
        table, key = self._table(part.terms[0].field)
        terms, source = self.walks.terms(part.terms[1:], f"{table} AS o CROSS JOIN runs AS r")
        head = self._head(part.terms[0].field)
        first = Term(None, "o.value", part.terms[0].ascending, None if head == "o.value" else head)
        own = _own(part)
        others = [item for item in part.filter if item not in own]
        conditions = (
            *key,
            *bounds,
            *(self.filters.on_index(test, "o") for test in own if head != "o.value"),
            *(self.filters.on_row(test, "o") for test in own),
            *map(replace(self.filters, run_id="o.run_id").condition, others),
            Sql("r.run_id = o.run_id"),
            self.walks.in_view,
        )
        walk = Walk(source, "o.experiment_id", conditions, (first, *terms))
        return await self.walks.rows(walk, part.limit)

    def _head(self, field: Field) -> LiteralString:
        """The value as the index has it that is walked."""
        return "o.value" if field.entity is Entity.METRIC else self.filters.dialect.head("o.value")

    def _seen(self, field: Field) -> LiteralString:
        """The value as a look ahead sees it."""
        return "o.value" if field.entity is Entity.METRIC else self.filters.dialect.brief("o.value")

    def _start(self, field: Field, value: Any, *, ascending: bool) -> Sql:
        """Values beyond this one, in a form by which they are found in the index."""
        beyond = _beyond("o.value", value, ascending=ascending)
        if field.entity is Entity.METRIC:
            return beyond
        head, known = self._head(field), self.filters.dialect.head_of(value)
        return all_of([_beyond(head, known, ascending=ascending, included=True), beyond])

    def _table(self, field: Field) -> tuple[LiteralString, list[Sql]]:
        key = [Sql("o.key_id = ?", (self.filters.keys[field.key],))]
        if field.entity is Entity.METRIC:
            key.append(Sql("o.is_nan = 0"))
        return table_of(field) or "", key


def _own(part: _Part) -> list[Test]:
    """Conjuncts on the field that is walked: they bound the walk."""
    return [
        item
        for item in part.filter
        if isinstance(item, Compare | In | Between) and item.field == part.terms[0].field
    ]


def _ranks(conjuncts: Sequence[Node], field: Field) -> set[int]:
    """The ranks that the field can have in runs that match."""
    ranks = {REAL, NAN, MISSING} if field.entity is Entity.METRIC else {REAL, MISSING}
    for item in conjuncts:
        match item:
            case Not(IsNull(other)) if other == field:
                ranks -= {MISSING}
            case IsNull(other) if other == field:
                ranks &= {MISSING}
            case Compare(other, "!=") | In(other, _, True) if other == field:
                ranks -= {MISSING}
            case Compare(other) | In(other) | Between(other) if other == field:
                ranks &= {REAL}
            case _:
                pass
    return ranks


def _at(field: Field, place: Place) -> Test:
    match place:
        case (0, value):
            return Compare(field, "=", value)
        case (1, _):
            return IsNaN(field)
        case _:
            return IsNull(field)


def _beyond(column: LiteralString, value: Any, *, ascending: bool, included: bool = False) -> Sql:
    sign = ">" if ascending else "<"
    return Sql(f"{column} {sign}= ?" if included else f"{column} {sign} ?", (value,))


def _before(column: LiteralString, value: Any, *, ascending: bool) -> Sql:
    sign = "<" if ascending else ">"
    return Sql(f"{column} {sign} ?", (value,))
