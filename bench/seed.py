"""Databases filled in advance with runs and models to search and long histories, once, in .bench.

Riverrun is filled through its API. The peers would need an hour for that, so their runs and points
are inserted into their tables while they are stopped; experiments, and one run for each history,
come from their own API.
"""

import asyncio
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count, islice
from pathlib import Path

import servers
from databases import Database, Insert, Row
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


Fill = Callable[[Kind, Path], Awaitable[Seed]]
"""Starts the kind in the folder and stores something."""


async def seeded(kind: Kind, database: Database) -> tuple[Path, Seed]:
    fill = _through_api if kind.name == "riverrun" else partial(_by_insertion, database)
    return await kept(kind.seed, kind, database, fill)


async def kept(name: str, kind: Kind, database: Database, fill: Fill) -> tuple[Path, Seed]:
    """The folder with what `fill` stores, once, and what is in it; to be copied before use.

    On a server the rows are in the database of that name and used in place: what is measured there
    only reads.
    """
    folder = database.seeds / f"{name}-{fingerprint(kind)}"
    if not folder.exists():
        for outdated in database.seeds.glob(f"{name}-*"):
            await database.drop(outdated.name)
            shutil.rmtree(outdated)
        print(f"storing {name} for {database.title} (once)", flush=True)
        await _make(folder, database.attach(kind, folder.name), database, fill)
    return folder, Seed(**json.loads((folder / "seed.json").read_text()))


async def _make(folder: Path, kind: Kind, database: Database, fill: Fill) -> None:
    """A folder appears under its name when all is complete."""
    making = folder.with_name(f"making-{os.getpid()}")
    await database.create(folder.name)
    try:
        seed = await fill(kind, making)
        await database.analyze(folder.name)
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


async def _by_insertion(database: Database, kind: Kind, folder: Path) -> Seed:
    seed = Seed()
    async with running(kind, folder) as (_, client):
        for size in SEARCHES:
            seed.experiments[str(size)] = await create_experiment(client, f"search-{size}")
        for size in HISTORIES:
            seed.histories[str(size)] = await _history_run(client, size)
    async with database.inserting(kind, folder) as insert:
        tables = FastTrackMLTables(insert) if kind.seed == "fasttrackml" else Tables(insert)
        for size, experiment in seed.experiments.items():
            await tables.insert_runs(int(experiment), int(size))
        for size, run_id in seed.histories.items():
            await tables.insert_history(run_id, int(size))
        await tables.insert_models(MODELS)
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


class Tables:
    """Inserts into a peer's schema what its API would have written. Here: MLflow's."""

    run = (
        *("run_uuid", "name", "source_type", "source_name", "entry_point_name", "user_id"),
        *("status", "start_time", "source_version", "lifecycle_stage", "artifact_uri"),
        "experiment_id",
    )
    param: tuple[str, ...] = ("run_uuid", "key", "value")
    tag = ("run_uuid", "key", "value")
    metric: tuple[str, ...] = ("run_uuid", "key", "value", "timestamp", "step", "is_nan")
    latest = metric

    model = ("name", "creation_time", "last_updated_time", "description")
    model_tag = ("name", "key", "value")
    version = (
        *("name", "version", "creation_time", "last_updated_time", "description"),
        *("current_stage", "source", "storage_location", "run_id", "run_link", "status"),
    )

    def __init__(self, insert: Insert) -> None:
        self._insert = insert

    async def insert_runs(self, experiment: int, size: int) -> None:
        for indices in _chunks(range(size), 1000):
            named = [(uuid.uuid4().hex, run_shape(index)) for index in indices]
            runs = [self.run_row(*each, experiment) for each in named]
            metrics = list(self.metric_rows(named))
            await self._insert("runs", self.run, runs)
            await self._insert("params", self.param, _rows(named, "params"))
            await self._insert("tags", self.tag, self.tag_rows(named))
            await self._insert("metrics", self.metric, metrics)
            await self._insert("latest_metrics", self.latest, metrics)

    async def insert_history(self, run_id: str, size: int) -> None:
        for indices in _chunks(range(size), POINTS_A_CALL):
            points = map(point, indices)
            rows = [
                self.metric_row(run_id, KEY, value, timestamp, step)
                for step, timestamp, value in points
            ]
            await self._insert("metrics", self.metric, rows)
            if indices[-1] == size - 1:
                await self._insert("latest_metrics", self.latest, rows[-1:])

    async def insert_models(self, models: int) -> None:
        shapes = [model_shape(index) for index in range(models)]
        tags = [(shape.name, *tag) for shape in shapes for tag in shape.tags]
        versions = [row for shape in shapes for row in _version_rows(shape)]
        await self._insert("registered_models", self.model, map(_model_row, shapes))
        await self._insert("registered_model_tags", self.model_tag, tags)
        await self._insert("model_versions", self.version, versions)

    def run_row(self, run_id: str, shape: RunShape, experiment: int) -> Row:
        uri = f"mlflow-artifacts:/{experiment}/{run_id}/artifacts"
        source = ("UNKNOWN", "", "", "")
        stage = ("RUNNING", shape.start_time, "", "active")
        return (run_id, shape.name, *source, *stage, uri, experiment)

    def tag_rows(self, named: list[tuple[str, RunShape]]) -> Iterator[Row]:
        yield from _rows(named, "tags")
        # MLflow keeps the run's name in a tag, too.
        yield from ((run_id, "mlflow.runName", shape.name) for run_id, shape in named)

    def metric_rows(self, named: list[tuple[str, RunShape]]) -> Iterator[Row]:
        for run_id, shape in named:
            for key, value in shape.metrics:
                yield self.metric_row(run_id, key, value, shape.start_time, 1)

    def metric_row(self, run_id: str, key: str, value: float, timestamp: int, step: int) -> Row:
        return run_id, key, value, timestamp, step, False


class FastTrackMLTables(Tables):
    """The same tables, with a number for each run and for each point of a series."""

    run = (*Tables.run, "row_num")
    param = ("run_uuid", "key", "value_str")
    metric = (*Tables.metric, "iter", "context_id")
    latest = (*Tables.latest, "last_iter", "context_id")

    def __init__(self, insert: Insert) -> None:
        super().__init__(insert)
        self._numbers = count(len(HISTORIES))  # Its API gave the first to the histories' runs.

    async def insert_models(self, models: int) -> None:
        """It has no registry."""

    def run_row(self, run_id: str, shape: RunShape, experiment: int) -> Row:
        return *super().run_row(run_id, shape, experiment), next(self._numbers)

    def tag_rows(self, named: list[tuple[str, RunShape]]) -> Iterator[Row]:
        return _rows(named, "tags")

    def metric_row(self, run_id: str, key: str, value: float, timestamp: int, step: int) -> Row:
        return *super().metric_row(run_id, key, value, timestamp, step), max(step, 1), 1


def _rows(named: list[tuple[str, RunShape]], part: str) -> Iterator[Row]:
    return ((run_id, *pair) for run_id, shape in named for pair in getattr(shape, part))


def _model_row(shape: ModelShape) -> Row:
    return shape.name, BASE_MS, BASE_MS, shape.description


def _version_rows(shape: ModelShape) -> Iterator[Row]:
    for version, stage in ((1, "None"), (2, "Production")):
        source = shape.source(version)
        times = (BASE_MS, BASE_MS)
        yield (shape.name, version, *times, "", stage, source, source, "", "", "READY")


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
