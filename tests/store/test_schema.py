"""The rules that `store/schema.py` states, held against every table in it."""

import re
from collections.abc import Iterable
from typing import Any

import pytest
from sqlalchemy import Column, Integer, LargeBinary, String, Table, UniqueConstraint

from riverrun.store.schema import HOT, LOCAL, OWNED, SMALL, metadata

TABLES = list(metadata.tables.values())
OWNERS = {"run_id", "model_id"}
"""A row of a hot table belongs to a run or to a logged model."""
KEY_BYTES_MAX = 2704
"""PostgreSQL's; InnoDB allows 3072."""

tables = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
hot_tables = pytest.mark.parametrize(
    "table", [table for table in TABLES if table.info["kind"] == HOT], ids=lambda table: table.name
)


@tables
def test_every_table_says_what_it_is(table: Table):
    assert table.info["kind"] in {HOT, SMALL, OWNED, LOCAL}


@tables
def test_no_table_refers_to_another(table: Table):
    """A foreign key would tie the tables of one run to tables that live elsewhere."""
    assert not table.foreign_keys


@tables
def test_every_table_has_a_primary_key(table: Table):
    assert list(table.primary_key)


@tables
def test_the_database_fills_in_nothing(table: Table):
    """Times and ids come from us: the same on every database and in every retry."""
    for column in table.columns:
        assert column.server_default is None, column.name
        assert column.default is None, column.name
        assert column.onupdate is None, column.name


@tables
def test_only_small_tables_have_ids_of_the_database(table: Table):
    """Names, of which there are few, and what clients know by small integers (protocol)."""
    counted = table.autoincrement_column
    is_alone = len(table.primary_key) == 1 and isinstance(
        next(iter(table.primary_key)).type, Integer
    )
    if table.name in {"key_names", "users", "roles", "grants", "api_tokens"}:
        assert counted is not None
    elif is_alone:
        assert counted is None, f"{counted}: say autoincrement=False"


@hot_tables
def test_a_hot_table_has_its_owner_first_in_its_primary_key(table: Table):
    first = next(iter(table.primary_key))
    assert first.name in OWNERS
    assert isinstance(first.type, LargeBinary)
    assert first.type.length == 16
    assert first.primary_key


@hot_tables
def test_a_hot_table_is_unique_only_by_its_owner(table: Table):
    constraints = [each for each in table.constraints if isinstance(each, UniqueConstraint)]
    unique = [list(each.columns) for each in constraints]
    unique += [list(index.columns) for index in table.indexes if index.unique]
    assert [columns[0].name for columns in unique if columns[0].name not in OWNERS] == []


@hot_tables
def test_a_hot_table_is_stored_by_its_primary_key(table: Table):
    """On SQLite: the rows of one run lie together, and there is no second tree."""
    assert table.dialect_kwargs["sqlite_with_rowid"] is False


@tables
def test_a_run_is_known_by_sixteen_bytes(table: Table):
    if "run_id" in table.columns:
        kind = table.columns["run_id"].type
        assert isinstance(kind, LargeBinary)
        assert kind.length == 16


def size(column: Column[Any] | str) -> int:
    """Bytes at most: four for a character."""
    if isinstance(column, str):
        beginning = re.fullmatch(r"substr\(\w+, 1, (\d+)\)", column)
        assert beginning, column
        return int(beginning[1]) * 4
    match column.type:
        case String(length=int(length)):
            return length * 4
        case LargeBinary(length=int(length)):
            return length
        case Integer():
            return 8
        case kind:
            assert str(kind) == "DOUBLE", f"{column} has no end: index its beginning"
            return 8


def keys(table: Table) -> Iterable[tuple[str, list[Column[Any] | str]]]:
    yield "primary key", list(table.primary_key)
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield str(constraint.name), list(constraint.columns)
    by_name = {column.name: column for column in table.columns}
    for index in table.indexes:
        parts = [str(part).removesuffix(" DESC").rpartition(".")[2] for part in index.expressions]
        yield str(index.name), [by_name.get(part, part) for part in parts]


@tables
def test_every_key_fits_into_an_index(table: Table):
    for name, columns in keys(table):
        assert sum(map(size, columns)) <= KEY_BYTES_MAX, name
