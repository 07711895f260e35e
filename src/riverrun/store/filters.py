"""Checked filter trees to SQL conditions: for runs (alias `r`) and for experiments (alias `e`).

No condition is ever NULL, so NOT is the logic of two values that the language promises.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import LiteralString

from riverrun.search.fields import Entity, Field, Kind
from riverrun.search.nodes import (
    And,
    Between,
    Compare,
    In,
    IsNaN,
    IsNull,
    Node,
    Not,
    Or,
    OrderBy,
    Test,
    Value,
)
from riverrun.store.dialects import Dialect, Sql

ROW_BY_ROW: LiteralString = "LIMIT 1 OFFSET 0"
"""Ends what EXISTS asks of each row that a walk comes to. Without it, planners would rather read a
whole table first, and most of that in vain.
"""
TRUE = Sql("1 = 1")
FALSE = Sql("1 = 0")

_INT64 = range(-(2**63), 2**63)
_OPERATORS: Mapping[str, LiteralString] = {
    "=": "=",
    "!=": "<>",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
}
_TABLES: Mapping[Entity, LiteralString] = {
    Entity.METRIC: "latest_metrics",
    Entity.PARAM: "params",
    Entity.TAG: "tags",
}
_METRIC_COLUMNS: Mapping[str, LiteralString] = {
    "": "value",
    "min": "min_value",
    "max": "max_value",
}
_RUN_COLUMNS: Mapping[str, LiteralString] = {
    "artifact_uri": "r.artifact_uri",
    "end_time": "r.end_time",
    "run_id": "r.run_id",
    "start_time": "r.start_time",
    "status": "r.status",
    "user_id": "r.user_id",
}
_EXPERIMENT_COLUMNS: Mapping[str, LiteralString] = {
    "creation_time": "e.creation_time",
    "experiment_id": "e.experiment_id",
    "last_update_time": "e.last_update_time",
    "name": "e.name",
}
_DATASET_COLUMNS: Mapping[str, LiteralString] = {
    "context": "i.context",
    "digest": "d.digest",
    "name": "d.name",
}


class View(StrEnum):
    """By stage of life; the names are the protocol's."""

    ACTIVE_ONLY = "ACTIVE_ONLY"
    DELETED_ONLY = "DELETED_ONLY"
    ALL = "ALL"


def in_view(column: LiteralString, view: View) -> Sql:
    match view:
        case View.ACTIVE_ONLY:
            return Sql(f"{column} = 'active'")
        case View.DELETED_ONLY:
            return Sql(f"{column} = 'deleted'")
        case View.ALL:
            return TRUE


def joined(parts: Iterable[Sql], separator: LiteralString) -> Sql:
    parts = tuple(parts)
    texts: list[LiteralString] = [part.text for part in parts]
    return Sql(separator.join(texts), tuple(bind for part in parts for bind in part.binds))


def all_of(parts: Iterable[Sql]) -> Sql:
    return joined([part for part in parts if part != TRUE] or [TRUE], " AND ")


def compile_tree(tree: Node, test: Callable[[Test], Sql]) -> Sql:
    match tree:
        case And(items):
            inside = joined([compile_tree(item, test) for item in items], " AND ")
            return Sql(f"({inside.text})", inside.binds)
        case Or(items):
            inside = joined([compile_tree(item, test) for item in items], " OR ")
            return Sql(f"({inside.text})", inside.binds)
        case Not(item):
            inside = compile_tree(item, test)
            return Sql(f"NOT {inside.text}", inside.binds)
        case _:
            inside = test(tree)
            return Sql(f"({inside.text})", inside.binds)


def key_names(tree: Node | None, order_by: Sequence[OrderBy]) -> set[str]:
    """Every name of a metric, param or tag whose id `RunFilters` will ask for."""
    fields = {term.field for term in order_by}
    if tree is not None:
        fields |= _fields(tree)
    return {field.key for field in fields if field.entity in _TABLES}


def _fields(tree: Node) -> set[Field]:
    match tree:
        case And(items) | Or(items):
            return {field for item in items for field in _fields(item)}
        case Not(item):
            return _fields(item)
        case _:
            return {tree.field}


def table_of(field: Field) -> LiteralString | None:
    """The table that holds one value of this field per run; None for a column of the run itself."""
    return _TABLES.get(field.entity)


def run_column(field: Field) -> LiteralString:
    """The column of an attribute."""
    return _RUN_COLUMNS[field.key]


def experiment_column(field: Field) -> LiteralString:
    """The column of an experiment's attribute."""
    return _EXPERIMENT_COLUMNS[field.key]


def value_column(field: Field) -> LiteralString:
    """The column of `table_of(field)`; for min and max it is NULL while every value was NaN."""
    return _METRIC_COLUMNS[field.function] if field.entity is Entity.METRIC else "value"


@dataclass(frozen=True, slots=True)
class RunFilters:
    """Conditions on runs. `keys` are the ids of names; a name without one was never logged.

    `run_id` is the column by which subqueries find the run's rows.
    """

    dialect: Dialect
    keys: Mapping[str, int]
    run_id: LiteralString = "r.run_id"

    def condition(self, tree: Node) -> Sql:
        return compile_tree(tree, self.test)

    def test(self, test: Test) -> Sql:
        match test.field.entity:
            case Entity.ATTRIBUTE:
                return self._attribute(test)
            case Entity.DATASET:
                return self._dataset(test)
            case _:
                return self._keyed(test)

    def on_row(self, test: Test, row: LiteralString) -> Sql:
        """The test on the field's own row, which exists: `row` is the alias of its table."""
        if test.field.entity is Entity.METRIC:
            return metric_test(test, row, self.dialect)
        return text_test(test, f"{row}.value", self.dialect)

    def on_index(self, test: Test, row: LiteralString) -> Sql:
        """What passes the test on the field's own row, and perhaps more: as far as an index has the
        value.
        """
        if test.field.entity is Entity.METRIC:
            return metric_test(test, row, self.dialect)
        return head_test(test, f"{row}.value", self.dialect)

    def _keyed(self, test: Test) -> Sql:
        missing = isinstance(test, IsNull)
        key_id = self.keys.get(test.field.key)
        if key_id is None:
            return TRUE if missing else FALSE
        table = _TABLES[test.field.entity]
        found: LiteralString = (
            f"EXISTS (SELECT 1 FROM {table} AS x WHERE x.run_id = {self.run_id} AND x.key_id = ?"
        )
        if missing:
            return Sql(f"NOT {found} {ROW_BY_ROW})", (key_id,))
        on_row = self.on_row(test, "x")
        return Sql(f"{found} AND {on_row.text} {ROW_BY_ROW})", (key_id, *on_row.binds))

    def _attribute(self, test: Test) -> Sql:
        if test.field.key == "run_id":
            return self._id(test)
        inside = column_test(test, _RUN_COLUMNS[test.field.key], self.dialect)
        if test.field.key != "end_time":
            return inside
        if isinstance(test, IsNull):
            return Sql("r.end_time IS NULL")
        return Sql(f"r.end_time IS NOT NULL AND {inside.text}", inside.binds)

    def _id(self, test: Test) -> Sql:
        match test:
            case Compare(_, "=" | "!=" as operator, value):
                return self._ids([value], negated=operator == "!=")
            case In(_, values, negated):
                return self._ids(values, negated=negated)
            case _:
                return text_test(test, self.dialect.hex(self.run_id), self.dialect)

    def _ids(self, values: Sequence[Value], *, negated: bool) -> Sql:
        return self.dialect.among(self.run_id, run_ids(values), negated=negated)

    def dataset_test(self, test: Test) -> Sql:
        """The test on a dataset (alias `d`) or its use as an input (alias `i`)."""
        column = _DATASET_COLUMNS[test.field.key]
        if isinstance(test, IsNull):
            return Sql(f"{column} IS NOT NULL")
        inside = text_test(test, column, self.dialect)
        return Sql(f"{column} IS NOT NULL AND {inside.text}", inside.binds)

    def _dataset(self, test: Test) -> Sql:
        inputs: LiteralString = (
            f"EXISTS (SELECT 1 FROM run_inputs AS i CROSS JOIN datasets AS d "
            f"WHERE i.run_id = {self.run_id} AND d.dataset_id = i.dataset_id"
        )
        inside = self.dataset_test(test)
        negation = "NOT " if isinstance(test, IsNull) else ""
        return Sql(f"{negation}{inputs} AND {inside.text} {ROW_BY_ROW})", inside.binds)


@dataclass(frozen=True, slots=True)
class ExperimentFilters:
    """Conditions on experiments."""

    dialect: Dialect

    def condition(self, tree: Node) -> Sql:
        return compile_tree(tree, self.test)

    def test(self, test: Test) -> Sql:
        if test.field.entity is Entity.TAG:
            return self._tag(test)
        if test.field.key == "experiment_id":
            return self._id(test)
        return column_test(test, experiment_column(test.field), self.dialect)

    def _id(self, test: Test) -> Sql:
        match test:
            case Compare(_, "=" | "!=" as operator, value):
                return self._ids([value], negated=operator == "!=")
            case In(_, values, negated):
                return self._ids(values, negated=negated)
            case _:
                return text_test(test, self.dialect.digits("e.experiment_id"), self.dialect)

    def _ids(self, values: Sequence[Value], *, negated: bool) -> Sql:
        return self.dialect.among("e.experiment_id", _experiment_ids(values), negated=negated)

    def _tag(self, test: Test) -> Sql:
        found: LiteralString = (
            "EXISTS (SELECT 1 FROM experiment_tags AS x "
            "WHERE x.experiment_id = e.experiment_id AND x.tag_key = ?"
        )
        if isinstance(test, IsNull):
            return Sql(f"NOT {found})", (test.field.key,))
        inside = text_test(test, "x.value", self.dialect)
        return Sql(f"{found} AND {inside.text})", (test.field.key, *inside.binds))


def run_ids(values: Iterable[Value]) -> list[bytes]:
    """The bytes of those texts that are ids as we write them; no run has any other."""
    texts = [str(value) for value in values]
    digits = set("0123456789abcdef")
    return [bytes.fromhex(text) for text in texts if len(text) == 32 and digits.issuperset(text)]


def _experiment_ids(values: Iterable[Value]) -> list[int]:
    """The numbers of those texts that are ids as we write them; no experiment has any other."""
    texts = [str(value) for value in values]
    numbers = [int(text) for text in texts if re.fullmatch("0|[1-9][0-9]{0,18}", text)]
    return [number for number in numbers if number in _INT64]


def column_test(test: Test, column: LiteralString, dialect: Dialect) -> Sql:
    """The test on an attribute's column that is not NULL."""
    if test.field.kind is Kind.INTEGER:
        return value_test(_of_integers(test), column, dialect)
    return text_test(test, column, dialect)


def _of_integers(test: Test) -> Test:
    """What an integer of 64 bits passes if it passes the test, asked by such integers alone."""
    match test:
        case Compare(field, "=" | "!=" as operator, float() as value):
            return _of_integers(In(field, (value,), negated=operator == "!="))
        case In(field, values, negated):
            integers = [int(value) for value in values if float(value).is_integer()]
            return In(field, tuple(filter(_INT64.__contains__, integers)), negated)
        case Compare(field, operator, float() as value):
            low, high = _INT64.start, _INT64.stop - 1
            match operator:
                case "<":
                    high = math.ceil(value) - 1
                case "<=":
                    high = math.floor(value)
                case ">":
                    low = math.floor(value) + 1
                case _:
                    low = math.ceil(value)
            return _of_integers(Between(field, low, high))
        case Between(field, low, high):
            low, high = math.ceil(low), math.floor(high)
            if low >= _INT64.stop or high < _INT64.start:
                return In(field, (), negated=False)
            return Between(field, max(low, _INT64.start), min(high, _INT64.stop - 1))
        case _:
            return test


def value_test(test: Test, column: LiteralString, dialect: Dialect) -> Sql:
    """The test on a column that is not NULL, in the column's own type."""
    match test:
        case Compare(_, operator, value):
            return Sql(f"{column} {_OPERATORS[operator]} ?", (value,))
        case In(_, values, negated):
            return dialect.among(column, values, negated=negated)
        case Between(_, low, high):
            return Sql(f"{column} BETWEEN ? AND ?", (low, high))
        case IsNull() | IsNaN():
            return FALSE


def text_test(test: Test, column: LiteralString, dialect: Dialect) -> Sql:
    """The test on a column of text; a number compares with the number that the text says."""
    match test:
        case Compare(_, "LIKE", value):
            return dialect.like(column, str(value))
        case Compare(_, "ILIKE", value):
            return dialect.ilike(column, str(value))
        case Compare(_, operator, int() | float() as value):
            return dialect.number(column, _OPERATORS[operator], value)
        case In(_, values, negated) if not isinstance(values[0], str):
            numbers = [value for value in values if not isinstance(value, str)]
            return dialect.numbers(column, numbers, negated=negated)
        case Between(_, low, high):
            return all_of([dialect.number(column, ">=", low), dialect.number(column, "<=", high)])
        case _:
            return value_test(test, column, dialect)


def head_test(test: Test, column: LiteralString, dialect: Dialect) -> Sql:
    """What passes `text_test`, and perhaps more: the test as far as an index has the text."""
    head = dialect.head(column)
    match test:
        case Compare(_, "=", str() as value):
            return dialect.begins(column, value)
        case In(_, values, False) if isinstance(values[0], str):
            return dialect.among(head, [dialect.head_of(str(value)) for value in values])
        case _:
            inside = text_test(test, head, dialect)
            return Sql(f"({inside.text} OR {dialect.is_cut(column)})", inside.binds)


def metric_test(test: Test, row: LiteralString, dialect: Dialect) -> Sql:
    """The test on a metric's row, where NaN is 0 beside a flag, or a NULL minimum and maximum; only
    inequality matches it.
    """
    column: LiteralString = f"{row}.{value_column(test.field)}"
    is_nan: LiteralString = f"{column} IS NULL" if test.field.function else f"{row}.is_nan = 1"
    inside = value_test(test, column, dialect)
    match test:
        case IsNaN():
            return Sql(is_nan)
        case Compare(_, "!=") | In(_, _, True):
            return Sql(f"({is_nan} OR {inside.text})", inside.binds)
        case _ if test.field.function:
            return inside
        case _:
            return Sql(f"{row}.is_nan = 0 AND {inside.text}", inside.binds)
