"""One page of logged models: tests and orders on a model's values look them up model by model."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import LiteralString

from riverrun.search.fields import LOGGED_MODEL_ATTRIBUTES, Entity
from riverrun.search.nodes import And, Compare, In, IsNull, Node, Not, Or, OrderBy, Test, Value
from riverrun.store.dialects import Dialect, Sql
from riverrun.store.engine import Row, Tx
from riverrun.store.filters import (
    FALSE,
    TRUE,
    all_of,
    column_test,
    compile_tree,
    joined,
    metric_test,
    run_ids,
    text_test,
)
from riverrun.store.logged_models import STATUS_PREFIX
from riverrun.store.paging import (
    NOWHERE,
    REAL,
    Cursor,
    Place,
    Term,
    after,
    fingerprint,
    order_by,
    read_token,
    write_token,
)

_CREATION = OrderBy(LOGGED_MODEL_ATTRIBUTES["creation_timestamp"], ascending=False)
_ID = OrderBy(LOGGED_MODEL_ATTRIBUTES["model_id"], ascending=True)

_RANKS: Sequence[LiteralString] = "k0 k1 k2 k3 k4 k5 k6 k7 k8 k9 k10 k11".split()  # noqa: SIM905
_VALUES: Sequence[LiteralString] = "v0 v1 v2 v3 v4 v5 v6 v7 v8 v9 v10 v11".split()  # noqa: SIM905

_TABLES: Mapping[Entity, LiteralString] = {
    Entity.METRIC: "logged_model_metrics",
    Entity.PARAM: "logged_model_params",
    Entity.TAG: "logged_model_tags",
}
_COLUMNS: Mapping[str, LiteralString] = {
    "creation_timestamp": "l.creation_timestamp",
    "last_updated_timestamp": "l.last_updated_timestamp",
    "model_id": "l.model_id",
    "model_type": "l.model_type",
    "name": "l.name",
    "source_run_id": "l.source_run_id",
    "status": "l.status",
}


@dataclass(frozen=True, slots=True)
class DatasetChoice:
    """Metrics that were measured on a dataset; an empty name or digest stands for any."""

    name: str
    digest: str

    @property
    def condition(self) -> Sql:
        """On a row of metrics, alias `x`."""
        name = Sql("x.dataset_name = ?", (self.name,)) if self.name else TRUE
        digest = Sql("x.dataset_digest = ?", (self.digest,)) if self.digest else TRUE
        return all_of([name, digest])


ANY_DATASET = DatasetChoice("", "")


@dataclass(frozen=True, slots=True)
class ModelOrder:
    """A metric stands for its newest value, of those on the dataset."""

    order: OrderBy
    dataset: DatasetChoice = ANY_DATASET


@dataclass(frozen=True, slots=True)
class LoggedModelQuery:
    """`keys` holds the ids of all `filters.key_names` of the filter and order that exist.

    `datasets` limit which values the metrics in the filter have; without such metrics they ask for
    any value on one of them.
    """

    experiment_ids: Sequence[int]
    filter: Node | None
    datasets: tuple[DatasetChoice, ...]
    order_by: tuple[ModelOrder, ...]
    max_results: int
    keys: Mapping[str, int]
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class LoggedModelPage:
    """`next_page_token` is None after the last model."""

    model_ids: tuple[bytes, ...]
    next_page_token: str | None


async def search(tx: Tx, query: LoggedModelQuery) -> LoggedModelPage:
    """Raises InvalidParameterValue for a page token that is broken or belongs to another query."""
    experiments = sorted(set(query.experiment_ids))
    orders = _complete(query.order_by)
    identity = fingerprint(experiments, query.filter, query.datasets, query.order_by)
    fields = [each.order.field for each in orders]
    cursor = read_token(
        query.page_token, identity, [None if field == _ID.field else field.kind for field in fields]
    )
    if not experiments:
        return LoggedModelPage((), None)
    asked = replace(query, experiment_ids=experiments, order_by=orders)
    sql = _statement(asked, cursor, tx.dialect)
    rows = await tx.fetch(sql.text, sql.binds)
    found = rows[: query.max_results]
    token = write_token(identity, _places(found[-1])) if len(rows) > len(found) else None
    return LoggedModelPage(tuple(row[0] for row in found), token)


def _complete(orders: tuple[ModelOrder, ...]) -> tuple[ModelOrder, ...]:
    """The order with MLflow's own last terms, up to the model's id, which decides for good."""
    fields = [each.order.field for each in orders]
    if _ID.field in fields:
        return orders[: fields.index(_ID.field) + 1]
    if _CREATION.field in fields:
        return (*orders, ModelOrder(_ID))
    return (*orders, ModelOrder(_CREATION), ModelOrder(_ID))


def _places(row: Row) -> list[Place]:
    pairs = zip(row[1::2], row[2::2], strict=True)
    return [(rank, value if rank == REAL else None) for rank, value in pairs]


def _statement(query: LoggedModelQuery, cursor: Cursor, dialect: Dialect) -> Sql:
    """The places of each model are columns of an inner statement, so that no bind comes twice."""
    names = list(zip(_RANKS, _VALUES, strict=True))[: len(query.order_by)]
    columns = joined(
        [
            _columns(each, query.keys, rank, value)
            for each, (rank, value) in zip(query.order_by, names, strict=True)
        ],
        ", ",
    )
    terms = [
        _term(each, query.keys, f"p.{rank}", f"p.{value}")
        for each, (rank, value) in zip(query.order_by, names, strict=True)
    ]
    where = _where(query, dialect)
    follows = TRUE if cursor.places is None else after(terms, cursor.places)
    shown: list[LiteralString] = [f"p.{rank}, p.{value}" for rank, value in names]
    return Sql(
        f"SELECT p.model_id, {', '.join(shown)} FROM (SELECT l.model_id AS model_id, "
        f"{columns.text} FROM logged_models AS l WHERE {where.text}) AS p "
        f"WHERE {follows.text} ORDER BY {order_by(terms)} LIMIT ? OFFSET ?",
        (*columns.binds, *where.binds, *follows.binds, query.max_results + 1, cursor.offset),
    )


def _is_metric(order: ModelOrder) -> bool:
    return order.order.field.entity is Entity.METRIC


def _term(
    order: ModelOrder, keys: Mapping[str, int], rank: LiteralString, value: LiteralString
) -> Term:
    if not _is_metric(order):
        return Term(None, value, order.order.ascending)
    if order.order.field.key not in keys:
        return Term(rank, NOWHERE, order.order.ascending)
    return Term(rank, value, order.order.ascending)


def _columns(
    order: ModelOrder, keys: Mapping[str, int], rank: LiteralString, value: LiteralString
) -> Sql:
    field = order.order.field
    if not _is_metric(order):
        return Sql(f"0 AS {rank}, {_COLUMNS[field.key]} AS {value}")
    key_id = keys.get(field.key)
    if key_id is None:
        return Sql(f"2 AS {rank}, {NOWHERE} AS {value}")
    dataset = order.dataset.condition
    binds = (key_id, *dataset.binds)
    return Sql(
        f"COALESCE({_newest('is_nan', dataset)}, 2) AS {rank}, "
        f"{_newest('value', dataset)} AS {value}",
        (*binds, *binds),
    )


def _newest(column: LiteralString, dataset: Sql) -> LiteralString:
    return (
        f"(SELECT x.{column} FROM logged_model_metrics AS x WHERE x.model_id = l.model_id "
        f"AND x.key_id = ? AND {dataset.text} ORDER BY x.timestamp DESC, x.step DESC, x.run_id, "
        "x.dataset_name, x.dataset_digest LIMIT 1)"
    )


def _where(query: LoggedModelQuery, dialect: Dialect) -> Sql:
    filters = LoggedModelFilters(dialect, query.keys, _any_of(query.datasets))
    conditions = [
        dialect.among("l.experiment_id", query.experiment_ids),
        Sql("l.lifecycle_stage = 'active'"),
    ]
    if query.filter is not None:
        conditions.append(filters.condition(query.filter))
    if query.datasets and not _asks_metrics(query.filter):
        conditions.append(filters.measured())
    return all_of(conditions)


def _any_of(datasets: Iterable[DatasetChoice]) -> Sql:
    conditions = [dataset.condition for dataset in datasets]
    if not conditions:
        return TRUE
    inside = joined([Sql(f"({each.text})", each.binds) for each in conditions], " OR ")
    return Sql(f"({inside.text})", inside.binds)


def _asks_metrics(tree: Node | None) -> bool:
    match tree:
        case None:
            return False
        case And(items) | Or(items):
            return any(map(_asks_metrics, items))
        case Not(item):
            return _asks_metrics(item)
        case _:
            return tree.field.entity is Entity.METRIC


@dataclass(frozen=True, slots=True)
class LoggedModelFilters:
    """Conditions on logged models, alias `l`. `keys` are the ids of names; a name without one was
    never logged. `datasets` is the condition on a row of metrics (alias `x`) that counts.
    """

    dialect: Dialect
    keys: Mapping[str, int]
    datasets: Sql

    def condition(self, tree: Node) -> Sql:
        return compile_tree(tree, self.test)

    def test(self, test: Test) -> Sql:
        if test.field.entity is not Entity.ATTRIBUTE:
            return self._keyed(test)
        match test.field.key:
            case "model_id":
                return self._id(test)
            case "status":
                return column_test(_with_values(test, _stored_status), "l.status", self.dialect)
            case key:
                return column_test(test, _COLUMNS[key], self.dialect)

    def measured(self) -> Sql:
        """The model has a metric on one of the datasets."""
        return self._rows("logged_model_metrics", self.datasets)

    def _keyed(self, test: Test) -> Sql:
        key_id = self.keys.get(test.field.key)
        missing = isinstance(test, IsNull)
        if key_id is None:
            return TRUE if missing else FALSE
        conditions = [Sql("x.key_id = ?", (key_id,))]
        if test.field.entity is Entity.METRIC:
            conditions.append(self.datasets)
        if not missing:
            conditions.append(self._on_row(test))
        found = self._rows(_TABLES[test.field.entity], all_of(conditions))
        return Sql(f"NOT {found.text}", found.binds) if missing else found

    def _on_row(self, test: Test) -> Sql:
        if test.field.entity is Entity.METRIC:
            return metric_test(test, "x", self.dialect)
        return text_test(test, "x.value", self.dialect)

    def _rows(self, table: LiteralString, condition: Sql) -> Sql:
        return Sql(
            f"EXISTS (SELECT 1 FROM {table} AS x WHERE x.model_id = l.model_id "
            f"AND {condition.text})",
            condition.binds,
        )

    def _id(self, test: Test) -> Sql:
        match test:
            case Compare(_, "=" | "!=" as operator, value):
                return self._ids([value], negated=operator == "!=")
            case In(_, values, negated):
                return self._ids(values, negated=negated)
            case _:
                # The common tongue has no sign that joins texts in every database.
                public: LiteralString = f"replace('m-#', '#', {self.dialect.hex('l.model_id')})"
                return text_test(test, public, self.dialect)

    def _ids(self, values: Sequence[Value], *, negated: bool) -> Sql:
        texts = [str(value) for value in values]
        ids = run_ids(text.removeprefix("m-") for text in texts if text.startswith("m-"))
        return self.dialect.among("l.model_id", ids, negated=negated)


def _stored_status(value: Value) -> Value:
    """READY may be written LOGGED_MODEL_READY, too, as answers have it."""
    return str(value).removeprefix(STATUS_PREFIX)


def _with_values(test: Test, change: Callable[[Value], Value]) -> Test:
    match test:
        case Compare(_, _, value):
            return replace(test, value=change(value))
        case In(_, values):
            return replace(test, values=tuple(map(change, values)))
        case _:
            return test
