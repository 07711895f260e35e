"""Two servers on one database, which know nothing of each other, for the length of a test."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.store.engines import opened

from riverrun.auth.viewer import DEFAULT_WORKSPACE, Viewer
from riverrun.errors import TrackingError
from riverrun.services.compaction import Compactor
from riverrun.services.experiments import ArtifactRules, Experiments
from riverrun.services.key_names import KeyNames
from riverrun.services.logged_models import LoggedModels
from riverrun.services.model_sources import GivenSource, SourceRules
from riverrun.services.model_versions import ModelVersions, NewModelVersion
from riverrun.services.outbox import Outbox
from riverrun.services.registered_models import RegisteredModels
from riverrun.services.run_data import Batch, RunWriter
from riverrun.services.runs import NewRun, Runs
from riverrun.services.values import ValueRules
from riverrun.store.engine import Engine, Row
from riverrun.wire.messages.runs import MetricInput

T = TypeVar("T")

WRITERS = 12
"""Calls at once, half of them to either server."""


@dataclass(frozen=True)
class Replica:
    """A server's engine and services."""

    engine: Engine
    viewer: Viewer
    compactor: Compactor
    key_names: KeyNames
    experiments: Experiments
    runs: Runs
    writer: RunWriter
    logged_models: LoggedModels
    registered_models: RegisteredModels
    model_versions: ModelVersions

    async def experiment(self, name: str = "e") -> str:
        return await self.experiments.create(
            name, artifact_location="", tags=[], viewer=self.viewer
        )

    async def run(self, experiment: str) -> str:
        new = NewRun(experiment, "", "run", 1, [])
        return (await self.runs.create(new, viewer=self.viewer)).info.run_id

    async def log(self, run: str, *points: MetricInput) -> None:
        await self.writer.log_batch(run, Batch(points), viewer=self.viewer)

    async def set_tag(self, run: str, key: str, value: str) -> None:
        await self.writer.set_tag(run, key, value, viewer=self.viewer)

    async def model(self, name: str) -> None:
        await self.registered_models.create(name, description=None, tags=[], viewer=self.viewer)

    async def version(self, name: str) -> int:
        new = NewModelVersion(name, GivenSource("s3://bucket/x", None, None), "", "", [])
        return int((await self.model_versions.create(new, viewer=self.viewer)).version)


def replica(engine: Engine, name: str) -> Replica:
    key_names, compactor, outbox = KeyNames(engine), Compactor(engine), Outbox()
    values = ValueRules(truncate=True)
    return Replica(
        engine,
        Viewer(name, DEFAULT_WORKSPACE, all_powerful=True),
        compactor,
        key_names,
        Experiments(engine, ArtifactRules("mlflow-artifacts:", 2_048, ())),
        Runs(engine, outbox, key_names=key_names, compactor=compactor, values=values),
        RunWriter(engine, key_names=key_names, compactor=compactor, values=values),
        LoggedModels(engine, key_names=key_names),
        RegisteredModels(engine, outbox),
        ModelVersions(engine, outbox, key_names=key_names, sources=SourceRules()),
    )


Story = Callable[[Replica, Replica], Awaitable[None]]


def play(database: str, story: Story) -> None:
    """Tells the story with two servers on this database; SQLite has one, under two names."""

    async def telling() -> None:
        async with opened(database) as engine, another(database, engine) as other:
            first, second = replica(engine, "first"), replica(other, "second")
            await asyncio.gather(
                first.experiments.ensure_default(), second.experiments.ensure_default()
            )
            await story(first, second)

    asyncio.run(telling())


@asynccontextmanager
async def another(database: str, engine: Engine) -> AsyncGenerator[Engine]:
    if database.startswith("sqlite:"):
        yield engine
    else:
        async with opened(database) as other:
            yield other


async def at_once(calls: Sequence[Coroutine[Any, Any, T]]) -> tuple[list[T], Counter[str]]:
    """What those that succeeded returned, and how often the others were refused with which code."""
    returned: list[T] = []
    refused = Counter[str]()
    for ended in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(ended, TrackingError):
            refused[ended.code] += 1
        elif isinstance(ended, BaseException):
            raise ended
        else:
            returned.append(ended)
    return returned, refused


def point(key: str, value: float, step: int = 0) -> MetricInput:
    return MetricInput(key, value, 1_000 + step, step)


async def fetch(engine: Engine, sql: str, *binds: object) -> list[Row]:
    return await engine.read(lambda tx: tx.fetch(sql, binds))
