"""Databases filled in advance with runs and models to search and long histories, once, in
.bench/seed.

Riverrun is filled through its API. The peers would need an hour for that, so their runs and points
are inserted into their SQLite files while they are stopped; experiments, and one run for each
history, come from their own API.
"""

import asyncio
import hashlib
import json
import os
import shutil
import sqlite3
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import servers
from loadgen import Client
from servers import ROOT, Kind, Server
from shapes import (
    BASE_MS,
    SHAPES_VERSION,
    WIDE,
    ModelShape,
    RunShape,
    Width,
    model_shape,
    point,
    run_shape,
)

SEEDS = ROOT / ".bench" / "seed"
SEARCHES = (10_000, 50_000)
HISTORIES = (100_000, 1_000_000)
MODELS = 10_000
KEY = "loss"
CLIENTS = 16
POINTS_A_CALL = 1000


@dataclass(slots=True)
class Seed:
    """Ids of experiments by their number of runs, and of runs by their number of points."""

    experiments: dict[str, str] = field(default_factory=dict[str, str])
    histories: dict[str, str] = field(default_factory=dict[str, str])


async def seeded(kind: Kind) -> tuple[Path, Seed]:
    """The folder with the kind's seeded data, to be copied before use, and what is in it."""
    folder = SEEDS / f"{kind.seed}-{fingerprint(kind)}"
    if not folder.exists():
        for outdated in SEEDS.glob(f"{kind.seed}-*"):
            shutil.rmtree(outdated)
        print(f"seeding {kind.seed} (once)", flush=True)
        await _make(kind, folder)
    return folder, Seed(**json.loads((folder / "seed.json").read_text()))


async def _make(kind: Kind, folder: Path) -> None:
    """A folder appears under its name when it is complete."""
    making = SEEDS / f"making-{os.getpid()}"
    fill = _through_api if kind.name == "riverrun" else _by_sql
    try:
        seed = await fill(kind, making)
        (making / "seed.json").write_text(json.dumps(asdict(seed)))
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


async def create_runs(
    client: Client, experiment: str, indices: Iterable[int], width: Width
) -> None:
    """Log runs number `indices` through the API."""

    async def create(own: Client, index: int) -> None:
        await _create_run(own, experiment, run_shape(index, width))

    await at_once(client, indices, create)


async def at_once(
    client: Client, indices: Iterable[int], work: Callable[[Client, int], Awaitable[None]]
) -> None:
    """Do the work for each index, from several clients at once."""
    waiting = iter(indices)

    async def one_client() -> None:
        own = Client(0, client.address)
        for index in waiting:
            await work(own, index)
        own.close()

    await asyncio.gather(*(one_client() for _ in range(CLIENTS)))


@asynccontextmanager
async def running(kind: Kind, folder: Path) -> AsyncGenerator[tuple[Server, Client]]:
    server = servers.start(kind, folder)
    client = Client(0, server.address)
    try:
        yield server, client
    finally:
        client.close()
        servers.stop(server)


async def _through_api(kind: Kind, folder: Path) -> Seed:
    seed = Seed()
    async with running(kind, folder) as (server, client):
        for size in SEARCHES:
            seed.experiments[str(size)] = await create_experiment(client, f"search-{size}")
            await create_runs(client, seed.experiments[str(size)], range(size), WIDE)
        for size in HISTORIES:
            seed.histories[str(size)] = await _history_run(client, size)
            await _log_history(client, seed.histories[str(size)], size)
        await at_once(client, range(MODELS), _create_model)
        servers.wait_until_quiet([server], timeout_s=60)
    return seed


async def _by_sql(kind: Kind, folder: Path) -> Seed:
    seed = Seed()
    async with running(kind, folder) as (_, client):
        for size in SEARCHES:
            seed.experiments[str(size)] = await create_experiment(client, f"search-{size}")
        for size in HISTORIES:
            seed.histories[str(size)] = await _history_run(client, size)
    with closing(sqlite3.connect(folder / kind.database)) as database, database:
        tables = FASTTRACKML if kind.seed == "fasttrackml" else MLFLOW
        for size, experiment in seed.experiments.items():
            tables.insert_runs(database, int(experiment), int(size))
        for size, run_id in seed.histories.items():
            tables.insert_history(database, run_id, int(size))
        tables.insert_models(database, MODELS)
    return seed


async def create_experiment(client: Client, name: str) -> str:
    answer = await client.post("/experiments/create", {"name": name})
    return str(answer["experiment_id"])


async def create_run(client: Client, experiment: str, name: str, start_time: int = BASE_MS) -> str:
    body = {"experiment_id": experiment, "start_time": start_time, "run_name": name}
    info = (await client.post("/runs/create", body))["run"]["info"]
    return str(info["run_id"])


async def _create_run(client: Client, experiment: str, shape: RunShape) -> None:
    at = shape.start_time
    run_id = await create_run(client, experiment, shape.name, at)
    body = {
        "run_id": run_id,
        "params": [{"key": key, "value": value} for key, value in shape.params],
        "metrics": [
            {"key": key, "value": value, "timestamp": at, "step": 1} for key, value in shape.metrics
        ],
        "tags": [{"key": key, "value": value} for key, value in shape.tags],
    }
    await client.post("/runs/log-batch", body)


async def _create_model(client: Client, index: int) -> None:
    shape = model_shape(index)
    body = {
        "name": shape.name,
        "description": shape.description,
        "tags": [{"key": key, "value": value} for key, value in shape.tags],
    }
    await client.post("/registered-models/create", body)
    for version in (1, 2):
        await client.post(
            "/model-versions/create", {"name": shape.name, "source": shape.source(version)}
        )
    await client.post(
        "/model-versions/transition-stage",
        {"name": shape.name, "version": "2", "stage": "Production"},
    )


async def _history_run(client: Client, size: int) -> str:
    experiment = await create_experiment(client, f"history-{size}")
    return await create_run(client, experiment, f"history-{size}")


async def _log_history(client: Client, run_id: str, size: int) -> None:
    for start in range(0, size, POINTS_A_CALL):
        points = map(point, range(start, start + POINTS_A_CALL))
        metrics = [
            {"key": KEY, "value": value, "timestamp": timestamp, "step": step}
            for step, timestamp, value in points
        ]
        await client.post("/runs/log-batch", {"run_id": run_id, "metrics": metrics})


Row = tuple[Any, ...]


class Tables:
    """Inserts into a peer's schema what its API would have written. Here: MLflow's."""

    run = (
        "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id,"
        " status, start_time, source_version, lifecycle_stage, artifact_uri, experiment_id)"
        " VALUES (?, ?, 'UNKNOWN', '', '', '', 'RUNNING', ?, '', 'active', ?, ?)"
    )
    param = "INSERT INTO params (run_uuid, key, value) VALUES (?, ?, ?)"
    tag = "INSERT INTO tags (run_uuid, key, value) VALUES (?, ?, ?)"
    metric = (
        "INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan)"
        " VALUES (?, ?, ?, ?, ?, 0)"
    )
    latest = (
        "INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan)"
        " VALUES (?, ?, ?, ?, ?, 0)"
    )

    model = (
        "INSERT INTO registered_models (name, creation_time, last_updated_time, description)"
        " VALUES (?, ?, ?, ?)"
    )
    model_tag = "INSERT INTO registered_model_tags (name, key, value) VALUES (?, ?, ?)"
    version = (
        "INSERT INTO model_versions (name, version, creation_time, last_updated_time,"
        " description, current_stage, source, storage_location, run_id, run_link, status)"
        " VALUES (?1, ?2, ?3, ?3, '', ?4, ?5, ?5, '', '', 'READY')"
    )

    def insert_runs(self, database: sqlite3.Connection, experiment: int, size: int) -> None:
        for indices in _chunks(range(size), 1000):
            named = [(uuid.uuid4().hex, run_shape(index)) for index in indices]
            database.executemany(self.run, [self.run_row(*each, experiment) for each in named])
            database.executemany(self.param, _rows(named, "params"))
            database.executemany(self.tag, self.tag_rows(named))
            metrics = list(self.metric_rows(named))
            database.executemany(self.metric, metrics)
            database.executemany(self.latest, metrics)
        self.finish(database)

    def insert_history(self, database: sqlite3.Connection, run_id: str, size: int) -> None:
        for indices in _chunks(range(size), POINTS_A_CALL):
            points = map(point, indices)
            rows = [(run_id, KEY, value, timestamp, step) for step, timestamp, value in points]
            database.executemany(self.metric, rows)
            if indices[-1] == size - 1:
                database.execute(self.latest, rows[-1])
        self.finish(database)

    def insert_models(self, database: sqlite3.Connection, models: int) -> None:
        shapes = [model_shape(index) for index in range(models)]
        database.executemany(self.model, [_model_row(shape) for shape in shapes])
        tags = ((shape.name, *tag) for shape in shapes for tag in shape.tags)
        database.executemany(self.model_tag, tags)
        database.executemany(self.version, [row for each in shapes for row in _version_rows(each)])

    def run_row(self, run_id: str, shape: RunShape, experiment: int) -> Row:
        uri = f"mlflow-artifacts:/{experiment}/{run_id}/artifacts"
        return run_id, shape.name, shape.start_time, uri, experiment

    def tag_rows(self, named: list[tuple[str, RunShape]]) -> Iterator[Row]:
        yield from _rows(named, "tags")
        # MLflow keeps the run's name in a tag, too.
        yield from ((run_id, "mlflow.runName", shape.name) for run_id, shape in named)

    def metric_rows(self, named: list[tuple[str, RunShape]]) -> Iterator[Row]:
        for run_id, shape in named:
            yield from ((run_id, *metric, shape.start_time, 1) for metric in shape.metrics)

    def finish(self, database: sqlite3.Connection) -> None:
        """What the peer keeps beyond the rows themselves."""


class FastTrackMLTables(Tables):
    """The same tables, with a number for each run and for each point of a series."""

    param = "INSERT INTO params (run_uuid, key, value_str) VALUES (?, ?, ?)"
    metric = (
        "INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan, iter, context_id)"
        " VALUES (?1, ?2, ?3, ?4, ?5, 0, max(?5, 1), 1)"
    )
    latest = (
        "INSERT INTO latest_metrics"
        " (run_uuid, key, value, timestamp, step, is_nan, last_iter, context_id)"
        " VALUES (?1, ?2, ?3, ?4, ?5, 0, max(?5, 1), 1)"
    )

    def tag_rows(self, named: list[tuple[str, RunShape]]) -> Iterator[Row]:
        return _rows(named, "tags")

    def insert_models(self, database: sqlite3.Connection, models: int) -> None:
        """It has no registry."""

    def finish(self, database: sqlite3.Connection) -> None:
        database.execute("UPDATE runs SET row_num = rowid - 1")


MLFLOW = Tables()
FASTTRACKML = FastTrackMLTables()


def _rows(named: list[tuple[str, RunShape]], part: str) -> Iterator[Row]:
    return ((run_id, *pair) for run_id, shape in named for pair in getattr(shape, part))


def _model_row(shape: ModelShape) -> Row:
    return shape.name, BASE_MS, BASE_MS, shape.description


def _version_rows(shape: ModelShape) -> Iterator[Row]:
    for version, stage in ((1, "None"), (2, "Production")):
        yield shape.name, version, BASE_MS, stage, shape.source(version)


def _chunks(numbers: range, size: int) -> Iterator[list[int]]:
    rest = iter(numbers)
    while chunk := list(islice(rest, size)):
        yield chunk


def fingerprint(kind: Kind) -> str:
    """Changes with the server's schema and with what is stored."""
    if kind.name == "riverrun":
        files = sorted((ROOT / "src/riverrun/store/migrations/versions").glob("*.py"))
    else:
        files = [ROOT / "requirements" / f"bench-{kind.seed}.txt"]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files))
    return f"{SHAPES_VERSION}-{digest.hexdigest()[:12]}"
