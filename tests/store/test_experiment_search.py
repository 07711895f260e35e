"""Experiment search on a real database."""

import base64
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from riverrun.errors import InvalidParameterValue
from riverrun.search import parse_filter, parse_order_by
from riverrun.search.fields import EXPERIMENTS
from riverrun.store.dialects import Sql, SqliteDialect
from riverrun.store.experiment_search import ExperimentPage, ExperimentQuery, search
from riverrun.store.filters import View
from riverrun.store.schema import metadata


class Tx:
    dialect = SqliteDialect()

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    async def fetch(self, sql: str, binds: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, binds).fetchall()  # pyright: ignore[reportArgumentType]


@pytest.fixture
def tx() -> Iterator[Tx]:
    """Experiments created at 10, 10, 20, 20, 30, 30; the fifth deleted, the sixth elsewhere."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    Tx.dialect.register(connection)
    for name in ("experiments", "experiment_tags"):
        table = metadata.tables[name]
        connection.execute(str(CreateTable(table).compile(dialect=sqlite.dialect())))
    names = ["alpha", "Beta", "béta", "x%y", "gone", "alpha"]
    for n, name in enumerate(names, start=1):
        stage = "deleted" if n == 5 else "active"
        row = (n, "other" if n == 6 else "default", name, "", stage, (n + 1) // 2 * 10, n, "", "")
        connection.execute("INSERT INTO experiments VALUES (?,?,?,?,?,?,?,?,?)", row)
    connection.execute("INSERT INTO experiment_tags VALUES (1, 'a b', 'yes', '')")
    yield Tx(connection)
    connection.close()


def query(text: str = "", order_by: Sequence[str] = (), **more: Any) -> ExperimentQuery:
    default = ExperimentQuery(
        where=Sql("e.workspace = ?", ("default",)),
        filter=parse_filter(text, EXPERIMENTS),
        order_by=parse_order_by(order_by, EXPERIMENTS),
        view=View.ACTIVE_ONLY,
        max_results=100,
    )
    return replace(default, **more)


def ask(tx: Tx, query: ExperimentQuery) -> ExperimentPage:
    steps = search(tx, query)
    with pytest.raises(StopIteration) as end:
        steps.send(None)
    return end.value.value


def found(tx: Tx, query: ExperimentQuery) -> list[int]:
    """All pages, one experiment at a time and then at once: they agree."""
    token: str | None = ""
    ids: list[int] = []
    while token is not None:
        page = ask(tx, replace(query, max_results=1, page_token=token))
        ids += page.experiment_ids
        token = page.next_page_token
    assert tuple(ids) == ask(tx, query).experiment_ids
    return ids


def test_the_newest_come_first_and_of_those_the_smallest_id(tx: Tx) -> None:
    assert found(tx, query()) == [3, 4, 1, 2]


def test_after_an_order_given_the_largest_id_comes_first(tx: Tx) -> None:
    assert found(tx, query("", ["creation_time"])) == [2, 1, 4, 3]
    assert found(tx, query("", ["name"])) == [2, 1, 3, 4]
    assert found(tx, query("", ["experiment_id", "name"])) == [1, 2, 3, 4]


def test_a_view_shows_a_stage_of_life(tx: Tx) -> None:
    assert found(tx, query(view=View.DELETED_ONLY)) == [5]
    assert found(tx, query(view=View.ALL)) == [5, 3, 4, 1, 2]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("name = 'alpha'", [1]),
        ("name != 'alpha'", [3, 4, 2]),
        ("name LIKE 'b%'", [3]),
        ("name ILIKE 'b%'", [3, 2]),
        ("name ILIKE 'BÉ%'", [3]),
        ("name LIKE 'x%y'", [4]),
        ("name IN ('alpha', 'Beta')", [1, 2]),
        ("experiment_id = '3'", [3]),
        ("experiment_id = '03'", []),
        ("experiment_id = 'abc'", []),
        ("experiment_id NOT IN ('3', '4')", [1, 2]),
        ("creation_time > 10 AND last_update_time <= 3", [3]),
        ("creation_time BETWEEN 10 AND 10", [1, 2]),
        ("creation_time IN (20)", [3, 4]),
        ("tags.`a b` = 'yes'", [1]),
        ("tag.`a b` != 'yes'", []),
        ("tags.`a b` IS NULL", [3, 4, 2]),
        ("NOT (tags.`a b` IS NULL OR name = 'zeta')", [1]),
        ("name IS NULL", []),
    ],
)
def test_a_filter_finds(tx: Tx, text: str, ids: list[int]) -> None:
    assert found(tx, query(text)) == ids


def test_a_token_belongs_to_its_query(tx: Tx) -> None:
    token = ask(tx, query(max_results=1)).next_page_token or ""
    elsewhere = query(where=Sql("e.workspace = ?", ("other",)), page_token=token)
    with pytest.raises(InvalidParameterValue, match="another filter"):
        ask(tx, elsewhere)


def test_a_token_of_mlflow_skips(tx: Tx) -> None:
    token = base64.b64encode(json.dumps({"offset": 3}).encode()).decode()
    assert ask(tx, query(page_token=token)).experiment_ids == (2,)
