"""How the database finds what the registry asks for: by an index, and no more of it than it shows,
so that a model with 100 000 versions costs what one with a hundred does.
"""

import asyncio
import re
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from riverrun.search import parse_filter, parse_order_by
from riverrun.search.fields import MODEL_VERSIONS, REGISTERED_MODELS, Resource
from riverrun.store import lineage, model_versions, registered_models, registry_history
from riverrun.store.dialects import SqliteDialect
from riverrun.store.migrate import VERSION_TABLE
from riverrun.store.paging import REAL, fingerprint, write_token
from riverrun.store.registry_search import MODELS, VERSIONS, RegistryKind, RegistryQuery, search
from riverrun.store.steps import statements

A, B = b"a" * 16, b"b" * 16


class Plans:
    """A transaction in an empty database that finds nothing, and remembers how it looked for it."""

    dialect = SqliteDialect()

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:")
        self.dialect.register(self._connection)
        for statement in statements("sqlite", since="", version_table=VERSION_TABLE):
            self._connection.execute(statement)
        self.lines: list[str] = []

    async def fetch(self, sql: str, binds: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        explained = self._connection.execute(f"EXPLAIN QUERY PLAN {sql}", binds)  # pyright: ignore[reportArgumentType]
        self.lines += [line for *_, line in explained]
        return []

    async def one(self, sql: str, binds: Sequence[object] = ()) -> None:
        await self.fetch(sql, binds)

    @property
    def tables(self) -> list[str]:
        """How each table is read, in the order of the joins."""
        return [line for line in self.lines if re.match(r"(SEARCH|SCAN) [a-z_]+ USING", line)]

    @property
    def whole_tables(self) -> list[str]:
        """Tables that are read from one end to the other, in no useful order. What stands in the
        statement itself, called `s` and `found`, is no table.
        """
        return [line for line in self.lines if re.fullmatch(r"SCAN (?!s$|found$)[a-z_]+", line)]

    @property
    def sorts(self) -> list[str]:
        """Sorts of all that was found; of rows that are alike so far is no matter."""
        return [line for line in self.lines if line == "USE TEMP B-TREE FOR ORDER BY"]


Ask = Callable[[Any], Awaitable[object]]


def planned(ask: Ask) -> Plans:
    plans = Plans()
    asyncio.run(told(ask, plans))
    return plans


async def told(ask: Ask, plans: Plans) -> None:
    await ask(plans)


def searched(kind: RegistryKind, text: str, order: Sequence[str] = (), *, token: str = "") -> Plans:
    return planned(asking(kind, text, order, token=token))


def asking(kind: RegistryKind, text: str, order: Sequence[str] = (), *, token: str = "") -> Ask:
    resource: Resource = MODEL_VERSIONS if kind is VERSIONS else REGISTERED_MODELS
    query = RegistryQuery(
        kind=kind,
        workspace="default",
        filter=parse_filter(text, resource),
        order_by=parse_order_by(order, resource),
        max_results=100,
        page_token=token,
    )
    return lambda tx: search(tx, query)


BOUNDED: list[tuple[RegistryKind, str, list[str]]] = [
    (VERSIONS, "", []),
    (VERSIONS, "", ["name"]),
    (VERSIONS, "", ["last_updated_timestamp DESC"]),
    (VERSIONS, "tags.t = '1'", []),
    (VERSIONS, "source_path LIKE 's3:%'", []),
    (VERSIONS, "name = 'a'", []),
    (VERSIONS, "name = 'a' AND tags.`mlflow.prompt.is_prompt` != 'true'", []),
    (VERSIONS, "name = 'a' AND tags.t = '1'", []),
    (VERSIONS, "name = 'a'", ["version_number"]),
    (VERSIONS, "name = 'a'", ["version_number DESC"]),
    (VERSIONS, "name = 'a'", ["last_updated_timestamp"]),
    (MODELS, "", []),
    (MODELS, "", ["name DESC"]),
    (MODELS, "", ["timestamp"]),
    (MODELS, "", ["timestamp DESC"]),
    (MODELS, "name = 'a'", []),
    (MODELS, "name LIKE 'a%'", []),
    (MODELS, "tags.t = '1'", []),
]
"""First pages that an index has in their order."""

SELECTIVE: list[tuple[RegistryKind, str, list[str]]] = [
    (VERSIONS, "run_id = 'r'", []),
    (VERSIONS, "model_id = 'm'", []),
    (VERSIONS, "name IN ('a', 'b')", []),
    (VERSIONS, "name LIKE 'a%'", []),
    (VERSIONS, "name = 'a' AND version_number = 3", []),
    (VERSIONS, "name = 'a' OR name = 'b'", []),
    (VERSIONS, "name = 'a'", ["creation_timestamp DESC"]),
]
"""Searches that sort what they find, but look for it in an index."""


@pytest.mark.parametrize(("kind", "text", "order"), BOUNDED)
def test_a_first_page_is_a_walk_along_an_index(kind: RegistryKind, text: str, order: list[str]):
    plans = searched(kind, text, order)
    assert plans.tables
    assert (plans.whole_tables, plans.sorts) == ([], [])


@pytest.mark.parametrize(("kind", "text", "order"), SELECTIVE)
def test_what_names_models_or_runs_reads_no_others(kind: RegistryKind, text: str, order: list[str]):
    plans = searched(kind, text, order)
    assert len(plans.tables) == 2
    assert all(re.match(r"SEARCH \w USING .*\(.*=\?|.*name>\?", line) for line in plans.tables)


def test_a_following_page_begins_in_the_middle_of_the_index():
    named = parse_filter("name = 'a'", MODEL_VERSIONS)
    identity = fingerprint("registered_model_id, version", "default", named, ())
    token = write_token(identity, [(REAL, 1_700_000_000_000), (REAL, "a"), (REAL, 7)])
    plans = searched(VERSIONS, "name = 'a'", token=token)
    assert plans.sorts == []
    assert plans.tables[-1] == (
        "SEARCH v USING INDEX model_versions_of_model_by_update "
        "(registered_model_id=? AND last_updated_timestamp<?)"
    )


@pytest.mark.parametrize("models", [1, 2])
def test_the_newest_of_each_stage_are_found_without_the_others(models: int):
    plans = planned(lambda tx: model_versions.latest(tx, [A, B][:models], aliases=True))
    assert plans.whole_tables == []
    of_versions = [line for line in plans.tables if line.startswith(("SEARCH v", "SEARCH x"))]
    assert all(
        "(registered_model_id=? AND version=?)" in line
        or "model_versions_by_stage (registered_model_id=? AND stage=?)" in line
        for line in of_versions
    )
    assert len(of_versions) == 2


AMONG = lineage.Range("default", None, 10)
READS: dict[str, Ask] = {
    "registered model": lambda tx: registered_models.find_all(tx, [A]),
    "page of models": lambda tx: registered_models.find_all(tx, [A, B]),
    "version": lambda tx: model_versions.find(tx, (A, 1)),
    "page of versions": lambda tx: model_versions.find_all(tx, [(A, 1), (B, 2)]),
    "others in a stage": lambda tx: model_versions.in_stage(tx, A, model_versions.Stage.PRODUCTION),
    "versions of a run": lambda tx: lineage.versions_of_run(tx, "r", AMONG),
    "monitoring runs": lambda tx: lineage.monitoring_runs(tx, 1, "models:/a/1", AMONG),
}


@pytest.mark.parametrize("what", READS)
def test_no_read_goes_through_a_whole_table(what: str):
    plans = planned(READS[what])
    assert plans.tables
    assert plans.whole_tables == []


def test_a_page_of_versions_is_found_by_their_keys():
    plans = planned(READS["page of versions"])
    by_key = "(registered_model_id=? AND version=?)"
    assert [by_key in line for line in plans.tables if " m " not in line] == [True, True]


def test_a_page_of_a_history_reads_that_page_of_each_model():
    def ask(tx: Any) -> Awaitable[object]:
        return registry_history.page(
            tx, registry_history.Asked("default", "a"), before_seq=None, limit=100
        )

    columns = [line.partition("(")[2] for line in planned(ask).tables]
    assert columns == [
        "workspace=? AND name=? AND change=?)",
        "registered_model_id=? AND seq>? AND seq<?)",
        "registered_model_id=? AND seq<?)",
    ]


class FewTagged(Plans):
    """Finds few rows with a tag whenever they are counted."""

    async def fetch(self, sql: str, binds: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        found = await super().fetch(sql, binds)
        return [(3,)] if sql.startswith("SELECT count(*)") else found


@pytest.mark.parametrize("kind", [MODELS, VERSIONS])
def test_a_rare_tag_is_where_a_search_begins(kind: RegistryKind):
    plans = FewTagged()
    asyncio.run(told(asking(kind, "tags.t = '1' AND tags.u LIKE 'x%'"), plans))
    assert "_tags_by_value" in plans.tables[0], "the count"
    assert "_tags_by_value" in plans.tables[1], "the search"
    assert plans.whole_tables == []
