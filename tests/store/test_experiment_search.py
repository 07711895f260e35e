"""Experiment search on a real database."""

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.store.tables import Tables, tables_of

from riverrun.errors import InvalidParameterValue
from riverrun.search import parse_filter, parse_order_by
from riverrun.search.fields import EXPERIMENTS
from riverrun.store.experiment_search import ExperimentPage, ExperimentQuery, search
from riverrun.store.filters import View


@pytest.fixture
def tables(database: str) -> Iterator[Tables]:
    """Experiments created at 10, 10, 20, 20, 30, 30; the fifth deleted, the sixth elsewhere."""
    names = ["alpha", "Beta", "béta", "x%y", "gone", "alpha"]
    rows: list[tuple[object, ...]] = []
    for n, name in enumerate(names, start=1):
        stage = "deleted" if n == 5 else "active"
        workspace = "other" if n == 6 else "default"
        rows.append((n, workspace, name, "", stage, (n + 1) // 2 * 10, n, "", ""))
    with tables_of(database) as tables:
        tables.insert("experiments", *rows)
        tables.insert("experiment_tags", (1, "a b", "yes", ""))
        yield tables


def query(text: str = "", order_by: Sequence[str] = (), **more: Any) -> ExperimentQuery:
    default = ExperimentQuery(
        workspace="default",
        filter=parse_filter(text, EXPERIMENTS),
        order_by=parse_order_by(order_by, EXPERIMENTS),
        view=View.ACTIVE_ONLY,
        max_results=100,
    )
    return replace(default, **more)


def ask(tables: Tables, query: ExperimentQuery) -> ExperimentPage:
    return tables.read(lambda tx: search(tx, query))


def found(tables: Tables, query: ExperimentQuery) -> list[int]:
    """All pages, one experiment at a time and then at once: they agree."""
    token: str | None = ""
    ids: list[int] = []
    while token is not None:
        page = ask(tables, replace(query, max_results=1, page_token=token))
        ids += page.experiment_ids
        token = page.next_page_token
    assert tuple(ids) == ask(tables, query).experiment_ids
    return ids


def test_the_newest_come_first_and_of_those_the_smallest_id(tables: Tables) -> None:
    assert found(tables, query()) == [3, 4, 1, 2]


def test_after_an_order_given_the_largest_id_comes_first(tables: Tables) -> None:
    assert found(tables, query("", ["creation_time"])) == [2, 1, 4, 3]
    assert found(tables, query("", ["name"])) == [2, 1, 3, 4]
    assert found(tables, query("", ["experiment_id", "name"])) == [1, 2, 3, 4]


def test_a_view_shows_a_stage_of_life(tables: Tables) -> None:
    assert found(tables, query(view=View.DELETED_ONLY)) == [5]
    assert found(tables, query(view=View.ALL)) == [5, 3, 4, 1, 2]


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
        ("creation_time > 10.5", [3, 4]),
        ("creation_time != 10.5 AND creation_time < 20.0", [1, 2]),
        ("creation_time = 10.5 OR creation_time IN (10.0, 20.5)", [1, 2]),
        ("creation_time >= 1e300", []),
        ("NOT creation_time < -1e300", [3, 4, 1, 2]),
        ("experiment_id LIKE '_' AND experiment_id LIKE '%3'", [3]),
        ("experiment_id = '3 '", []),
        ("experiment_id != '99999999999999999999'", [3, 4, 1, 2]),
        ("creation_time IN (20)", [3, 4]),
        ("tags.`a b` = 'yes'", [1]),
        ("tag.`a b` != 'yes'", []),
        ("tags.`a b` IS NULL", [3, 4, 2]),
        ("NOT (tags.`a b` IS NULL OR name = 'zeta')", [1]),
        ("name IS NULL", []),
    ],
)
def test_a_filter_finds(tables: Tables, text: str, ids: list[int]) -> None:
    assert found(tables, query(text)) == ids


def test_a_token_belongs_to_its_query(tables: Tables) -> None:
    token = ask(tables, query(max_results=1)).next_page_token or ""
    elsewhere = query(workspace="other", page_token=token)
    with pytest.raises(InvalidParameterValue, match="another filter"):
        ask(tables, elsewhere)


def test_a_token_of_mlflow_skips(tables: Tables) -> None:
    token = base64.b64encode(json.dumps({"offset": 3}).encode()).decode()
    assert ask(tables, query(page_token=token)).experiment_ids == (2,)
