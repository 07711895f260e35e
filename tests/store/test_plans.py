"""How servers find what the hot requests ask for: the rows that they read are counted, so that a
plan which goes through a table that grows fails here.
"""

import json
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
from tests.fixtures.databases import KINDS, Databases
from tests.store.tables import Tables, insert, tables_of

from riverrun.search import parse_filter, parse_order_by
from riverrun.search.fields import LOGGED_MODELS, MODEL_VERSIONS, REGISTERED_MODELS, RUNS
from riverrun.store import (
    datasets,
    documents,
    experiments,
    lineage,
    logged_model_search,
    logged_models,
    metrics,
    model_versions,
    registered_models,
    registry_history,
    run_data,
    runs,
    webhook_deliveries,
    webhooks,
)
from riverrun.store.engine import Row, Tx
from riverrun.store.filters import View
from riverrun.store.key_names import find
from riverrun.store.logged_model_search import LoggedModelQuery
from riverrun.store.points import encode_log
from riverrun.store.registry_search import MODELS, VERSIONS, RegistryKind, RegistryQuery
from riverrun.store.registry_search import search as search_registry
from riverrun.store.run_search import RunQuery
from riverrun.store.run_search import search as search_runs
from riverrun.store.run_walks import Effort
from riverrun.store.schema import metadata

RUN_COUNT = 4_000
MODEL_COUNT = 1_000
PAGE = 20
SPARING = Effort(few=40, many=200, window=100, trial=200)
"""For so few runs."""
READS_MAX = 1_200
"""Rows that one request reads; a page with its filter's trials is some hundreds."""
ANALYZE = {
    "postgresql": "ANALYZE",
    "mariadb": f"ANALYZE TABLE {', '.join(metadata.tables)}",
}
LONG = "x" * 500
"""Rows as wide as they are in life: servers would rather read all of a small table."""
KEYS = {"acc": 1, "loss": 2, "lr": 3, "seed": 4, "env": 5, "mlflow.runName": 6, "note": 7}
PARAMS: dict[str, Callable[[int], str]] = {
    "lr": lambda n: f"0.{n % 4}",
    "seed": str,
    "note": lambda n: f"{n} {LONG}",
}
TAGS: dict[str, Callable[[int], str]] = {
    "env": lambda n: "prod" if n % 100 else "dev",
    "mlflow.runName": lambda n: f"run-{n}",
    "note": lambda n: f"{n} {LONG}",
}

Ask = Callable[[Any], Awaitable[object]]

on_servers = pytest.mark.parametrize(
    "database_kind", [kind for kind in KINDS if kind != "sqlite"], indirect=True
)


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


async def fill(tx: Tx) -> None:
    """Most runs are in the first experiment; a name is unique, an environment is not."""
    chance = random.Random(3)
    numbers = range(1, RUN_COUNT + 1)
    experiment = {n: 1 if n % 10 else 2 + n % 40 for n in numbers}
    await insert(tx, "key_names", [(key_id, name) for name, key_id in KEYS.items()])
    await insert(
        tx,
        "experiments",
        [(n, "default", f"e{n}", "", "active", n, n, "", "") for n in range(1, 60)],
    )
    info = ("", "u", "FINISHED")
    await insert(
        tx,
        "runs",
        [
            (key(n), experiment[n], *info, n * 1000, n, "active", None, LONG, 1, 0, "", "")
            for n in numbers
        ],
    )
    for name in ("acc", "loss"):
        rows = [
            (key(n), KEYS[name], experiment[n], chance.random(), 0, 0, 0, 0.0, 1.0) for n in numbers
        ]
        await insert(tx, "latest_metrics", rows)
    for table, values, tail in (("params", PARAMS, ()), ("tags", TAGS, ("",))):
        for name, value in values.items():
            rows = [(key(n), KEYS[name], experiment[n], value(n), *tail) for n in numbers]
            await insert(tx, table, rows)
    payload = encode_log([1], [0], [0], [0.5])
    chunk = (10, 0, 0, 9, 9, 0, 9, 0, 0.0, 0, 0, 1.0, 1, 1, payload)
    await insert(tx, "metric_log", [(key(n), 1, payload) for n in numbers])
    await insert(tx, "metric_chunks", [(key(n), 1, 1, *chunk) for n in numbers])
    await insert(tx, "run_documents", [(key(n), 1, payload) for n in numbers])
    await insert(
        tx,
        "datasets",
        [(key(n), 1, f"data{n}", "d", "t", "s", LONG, None) for n in numbers],
    )
    await insert(
        tx,
        "run_inputs",
        [
            (key(n), key(n), 1, "train", json.dumps([("note", LONG)]))
            for n in numbers
            if experiment[n] == 1
        ],
    )
    await insert(
        tx,
        "logged_models",
        [
            (key(n), experiment[n], f"lm{n}", "READY", "", key(n).hex(), "", "active", n, n, "", "")
            for n in numbers
        ],
    )
    await insert(
        tx,
        "logged_model_metrics",
        [(key(n), 1, 0, 0, key(n), "", "", experiment[n], 0.5, 0) for n in numbers],
    )
    await _fill_registry(tx)
    hooks = [(key(n), "default", "", "", "", None, "ACTIVE", 0, 0, "", "") for n in range(20)]
    await insert(tx, "webhooks", hooks)
    await insert(tx, "webhook_events", [(key(n), "run", "created", 0) for n in range(20)])
    await insert(
        tx,
        "webhook_deliveries",
        [
            (key(n), key(n % 20), "run", "created", "", "DELIVERED", 1, 0, n, None, None, None)
            for n in numbers
        ],
    )


async def _fill_registry(tx: Tx) -> None:
    numbers = range(1, MODEL_COUNT + 1)
    times = ("", "")
    await insert(
        tx,
        "registered_models",
        [(key(n), "default", f"model{n}", LONG, 0, 3, 1, n, n, *times) for n in numbers],
    )
    for version in range(1, 4):
        await insert(
            tx,
            "model_versions",
            [
                (key(n), version, "None", LONG, "s3://b", "", f"r{n}", "", f"m{n}", 0, n, n, *times)
                for n in numbers
            ],
        )
        tags = [(key(n), version, "t", str(n % 200), "") for n in numbers]
        await insert(tx, "model_version_tags", tags)
    await insert(tx, "registered_model_tags", [(key(n), "t", str(n % 200), "") for n in numbers])
    await insert(tx, "registered_model_aliases", [(key(n), "champion", 3, "") for n in numbers])
    changes = [
        (key(n), seq, "default", f"model{n}", 0, "", "created", None, None, None, None)
        for n in numbers
        for seq in (n,)
    ]
    await insert(tx, "registry_history", changes)


class Counting:
    """A transaction that counts the rows that each statement reads."""

    def __init__(self, tx: Any, kind: str) -> None:
        self._tx = tx
        self._count = {"postgresql": self._explained, "mariadb": self._handled}[kind]
        self.dialect = tx.dialect
        self.reads: list[tuple[int, str]] = []

    async def fetch(self, sql: str, binds: Sequence[object] = ()) -> list[Row]:
        self.reads.append((await self._count(sql, binds), sql))
        return await self._tx.fetch(sql, binds)

    async def one(self, sql: str, binds: Sequence[object] = ()) -> Row | None:
        rows = await self.fetch(sql, binds)
        return rows[0] if rows else None

    async def _explained(self, sql: str, binds: Sequence[object]) -> int:
        ((plan,),) = await self._tx.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", binds)
        return rows_read(json.loads(plan))

    async def _handled(self, sql: str, binds: Sequence[object]) -> int:
        """The server counts; to ask it counts, too."""
        first = await self._handler_reads()
        second = await self._handler_reads()
        await self._tx.fetch(sql, binds)
        return await self._handler_reads() - second - (second - first)

    async def _handler_reads(self) -> int:
        ((reads,),) = await self._tx.fetch(
            "SELECT sum(variable_value) FROM information_schema.session_status "
            "WHERE variable_name LIKE 'Handler_read%'"
        )
        return int(reads)


def rows_read(plan: Any) -> int:
    """By all scans of tables and indexes in a plan of PostgreSQL's."""
    match plan:
        case list():
            return sum(map(rows_read, plan))  # pyright: ignore[reportUnknownArgumentType]
        case {"Relation Name": str(), "Actual Rows": rows, "Actual Loops": loops}:
            removed = plan.get("Rows Removed by Filter", 0)
            return round((rows + removed) * loops) + rows_read(plan.get("Plans", []))
        case dict():
            return sum(map(rows_read, plan.values()))  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return 0


def of_runs(text: str = "", order: Sequence[str] = ()) -> Ask:
    query = RunQuery(
        experiment_ids=(1,),
        filter=parse_filter(text, RUNS),
        order_by=parse_order_by(order, RUNS),
        view=View.ACTIVE_ONLY,
        max_results=PAGE,
        keys=KEYS,
    )
    return lambda tx: search_runs(tx, query, effort=SPARING)


def of_registry(kind: RegistryKind, text: str = "", order: Sequence[str] = ()) -> Ask:
    resource = MODEL_VERSIONS if kind is VERSIONS else REGISTERED_MODELS
    query = RegistryQuery(
        kind=kind,
        workspace="default",
        filter=parse_filter(text, resource),
        order_by=parse_order_by(order, resource),
        max_results=PAGE,
    )
    return lambda tx: search_registry(tx, query)


def of_logged_models(text: str) -> Ask:
    query = LoggedModelQuery((1,), parse_filter(text, LOGGED_MODELS), (), (), PAGE, KEYS)
    return lambda tx: logged_model_search.search(tx, query)


A, B = key(7), key(8)
PAGE_OF_RUNS = [key(n) for n in range(100, 100 + PAGE)]
AMONG = lineage.Range("default", None, 10)

HOT: dict[str, Ask] = {
    "get run": lambda tx: documents.stored(tx, A),
    "assemble a run": lambda tx: documents.assemble(tx, [A]),
    "assemble a page": lambda tx: documents.assemble(tx, PAGE_OF_RUNS),
    "documents of a page": lambda tx: documents.stored_many(tx, dict.fromkeys(PAGE_OF_RUNS, 1)),
    "state of a run": lambda tx: runs.state(tx, A),
    "versions of runs": lambda tx: runs.versions(tx, PAGE_OF_RUNS),
    "params of a run": lambda tx: run_data.params(tx, A, [3, 4]),
    "names": lambda tx: find(tx, ["acc", "lr"]),
    "experiment by name": lambda tx: experiments.find_by_name(tx, "e7", workspace="default"),
    "dataset": lambda tx: datasets.find(tx, 1, "data7", "d"),
    "chunks of a history": lambda tx: metrics.chunk_places(tx, A, 1),
    "page of a history": lambda tx: metrics.history_page(tx, B, 2, after=None, limit=10),
    "next page of a history": lambda tx: metrics.history_page(
        tx, B, 2, after=(1, 1, 1.0, False), limit=10
    ),
    "log to compact": lambda tx: metrics.log_slice(tx, A, bytes_max=1),
    "runs": of_runs(),
    "runs that started": of_runs("start_time > 3990000"),
    "runs by a metric": of_runs("", ["metrics.acc DESC"]),
    "runs by a param": of_runs("", ["params.lr"]),
    "runs by a unique tag": of_runs("", ["tags.`mlflow.runName` DESC"]),
    "runs with a metric": of_runs("metrics.acc > 0.9"),
    "runs with a rare metric": of_runs("metrics.acc > 0.999"),
    "runs with a metric and a param": of_runs(
        "metrics.acc > 0.9 AND params.lr = '0.1'", ["metrics.acc DESC"]
    ),
    "runs with a param": of_runs("params.lr = '0.2'"),
    "runs with a unique param": of_runs("params.seed = '77'"),
    "runs with a tag": of_runs("tags.env = 'prod'"),
    "runs with a rare tag": of_runs("tags.env = 'dev'"),
    "runs with a usual tag": of_runs("tags.env LIKE '%ro%'"),
    "runs with a dataset": of_runs("dataset.name = 'data7'"),
    "runs with either": of_runs("params.lr = '0.1' OR tags.env = 'dev'"),
    "registered model": lambda tx: registered_models.find(tx, "default", "model7"),
    "page of models": lambda tx: registered_models.find_all(tx, [A, B]),
    "version": lambda tx: model_versions.find(tx, (A, 1)),
    "page of versions": lambda tx: model_versions.find_all(tx, [(A, 1), (B, 2), (B, 1)]),
    "newest of each stage": lambda tx: model_versions.latest(tx, [A, B], aliases=True),
    "by alias": lambda tx: registered_models.aliased(tx, A, "champion"),
    "models": of_registry(MODELS),
    "models by name": of_registry(MODELS, "name LIKE 'model7%'"),
    "models with a tag": of_registry(MODELS, "tags.t = '7'"),
    "models by update": of_registry(MODELS, "", ["last_updated_timestamp DESC"]),
    "versions of a model": of_registry(VERSIONS, "name = 'model7'"),
    "versions of a run": of_registry(VERSIONS, "run_id = 'r7'"),
    "versions with a tag": of_registry(VERSIONS, "tags.t = '7'"),
    "versions by update": of_registry(VERSIONS),
    "lineage of a run": lambda tx: lineage.versions_of_run(tx, "r7", AMONG),
    "runs that watch": lambda tx: lineage.monitoring_runs(
        tx, KEYS["mlflow.runName"], "run-7", AMONG
    ),
    "history of a model": lambda tx: registry_history.page(
        tx, registry_history.Asked("default", "model7"), before_seq=None, limit=10
    ),
    "logged model": lambda tx: logged_models.find_all(tx, [A], points_per_metric=10),
    "logged models by name": of_logged_models("name = 'lm7'"),
    "logged models of a run": of_logged_models(f"source_run_id = '{A.hex()}'"),
    "listeners": lambda tx: webhooks.listeners(tx, "run", "created", workspace="default"),
    "what is due": lambda tx: webhook_deliveries.next_waiting(tx, besides=[A], limit=10),
    "deliveries": lambda tx: webhook_deliveries.history(tx, A, before=webhooks.AFTER_ALL, limit=10),
}


SORTED_BY_MYSQL = {"runs by a param", "runs by a unique tag", "versions by update"}
"""It sorts everything where an index has only a part of the order, or of the values."""


@pytest.fixture(scope="module")
def tables(databases: Databases, database_kind: str) -> Iterator[Tables]:
    """Filled once, and known to the planner."""
    url = databases.new_database()
    with tables_of(url) as tables:
        tables.write(fill)
        databases.execute(ANALYZE[database_kind], url)
        yield tables


@on_servers
@pytest.mark.parametrize("what", HOT)
def test_a_hot_request_reads_little_more_than_it_answers(
    tables: Tables, database_kind: str, what: str
) -> None:
    async def counted(tx: Any) -> list[tuple[int, str]]:
        counting = Counting(tx, database_kind)
        await HOT[what](counting)
        return counting.reads

    reads = tables.read(counted)
    listed = "\n".join(f"{count}: {sql}" for count, sql in reads)
    reads_all = database_kind == "mariadb" and what in SORTED_BY_MYSQL
    assert (sum(count for count, _ in reads) > READS_MAX) == reads_all, listed
