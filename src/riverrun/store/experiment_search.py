"""One page of experiments: they are few, so they are sorted."""

from dataclasses import dataclass

from riverrun.search.fields import EXPERIMENT_ATTRIBUTES, Kind
from riverrun.search.nodes import Node, OrderBy
from riverrun.store.dialects import Sql
from riverrun.store.engine import Reader
from riverrun.store.filters import (
    TRUE,
    ExperimentFilters,
    View,
    all_of,
    experiment_column,
    in_view,
)
from riverrun.store.paging import (
    REAL,
    Cursor,
    Term,
    after,
    fingerprint,
    order_by,
    read_token,
    write_token,
)

_CREATION_TIME = EXPERIMENT_ATTRIBUTES["creation_time"]
_ID = EXPERIMENT_ATTRIBUTES["experiment_id"]


@dataclass(frozen=True, slots=True)
class ExperimentQuery:
    """`seen` is a condition of the caller's own on alias `e`: which experiments of the workspace
    may be seen, if not all. What may be seen can change between two pages.
    """

    workspace: str
    filter: Node | None
    order_by: tuple[OrderBy, ...]
    view: View
    max_results: int
    page_token: str = ""
    seen: Sql | None = None


@dataclass(frozen=True, slots=True)
class ExperimentPage:
    """`next_page_token` is None after the last experiment."""

    experiment_ids: tuple[int, ...]
    next_page_token: str | None


async def search(tx: Reader, query: ExperimentQuery) -> ExperimentPage:
    """Raises InvalidParameterValue for a page token that is broken or belongs to another query."""
    orders = _complete(query.order_by)
    terms = [Term(None, experiment_column(order.field), order.ascending) for order in orders]
    identity = fingerprint(query.workspace, query.filter, query.order_by, query.view)
    kinds = [Kind.INTEGER if order.field == _ID else order.field.kind for order in orders]
    cursor = read_token(query.page_token, identity, kinds)
    sql = _statement(query, terms, cursor, ExperimentFilters(tx.dialect))
    rows = await tx.fetch(sql.text, sql.binds)
    found = rows[: query.max_results]
    token = None
    if len(rows) > query.max_results:
        token = write_token(identity, [(REAL, value) for value in found[-1][1:]])
    return ExperimentPage(tuple(row[0] for row in found), token)


def _statement(
    query: ExperimentQuery, terms: list[Term], cursor: Cursor, filters: ExperimentFilters
) -> Sql:
    where = all_of(
        [
            Sql("e.workspace = ?", (query.workspace,)),
            query.seen or TRUE,
            in_view("e.lifecycle_stage", query.view),
            TRUE if query.filter is None else filters.condition(query.filter),
            TRUE if cursor.places is None else after(terms, cursor.places),
        ]
    )
    columns = ", ".join([term.value for term in terms])
    return Sql(
        f"SELECT e.experiment_id, {columns} FROM experiments AS e WHERE {where.text} "
        f"ORDER BY {order_by(terms)} LIMIT ? OFFSET ?",
        (*where.binds, query.max_results + 1, cursor.offset),
    )


def _complete(orders: tuple[OrderBy, ...]) -> tuple[OrderBy, ...]:
    """The order up to the id, which decides for good; after an order given, MLflow descends."""
    if not orders:
        return OrderBy(_CREATION_TIME, ascending=False), OrderBy(_ID, ascending=True)
    fields = [order.field for order in orders]
    if _ID in fields:
        return orders[: fields.index(_ID) + 1]
    return *orders, OrderBy(_ID, ascending=False)
