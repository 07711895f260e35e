"""The services that make and remove things, on a database and an artifact store of the test's."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tests.fixtures.stores import walked
from tests.store.engines import play as play_on_engine

from riverrun.artifacts.contract import ArtifactStore
from riverrun.artifacts.memory import MemoryStore
from riverrun.artifacts.opened import Stores
from riverrun.auth.viewer import Asking, Viewer, everybody
from riverrun.services.compaction import Compactor
from riverrun.services.experiments import ArtifactRules, Experiments
from riverrun.services.garbage import Asked, Garbage, Outcome
from riverrun.services.key_names import KeyNames
from riverrun.services.logged_models import LoggedModels, NewLoggedModel
from riverrun.services.model_sources import GivenSource, SourceRules
from riverrun.services.model_versions import ModelVersions, NewModelVersion
from riverrun.services.outbox import Outbox
from riverrun.services.registered_models import RegisteredModels
from riverrun.services.run_data import Batch, RunWriter
from riverrun.services.runs import NewRun, Runs
from riverrun.services.values import ValueRules
from riverrun.store.engine import Engine
from riverrun.wire.messages.runs import MetricInput

T = TypeVar("T")

EVERYTHING = Asked()
"""Whatever is deleted, however short a time ago."""


@dataclass(frozen=True)
class House:
    engine: Engine
    store: ArtifactStore
    stores: Stores
    viewer: Viewer
    experiments: Experiments
    compactor: Compactor
    runs: Runs
    writer: RunWriter
    logged_models: LoggedModels
    registered_models: RegisteredModels
    model_versions: ModelVersions
    garbage: Garbage

    async def experiment(self, name: str = "experiment", *, location: str = "", **tags: str) -> str:
        """Tags are those of riverrun."""
        given = [(f"riverrun.{key}", value) for key, value in tags.items()]
        return await self.experiments.create(
            name, artifact_location=location, tags=given, viewer=self.viewer
        )

    async def run(self, experiment: str = "0", *files: str) -> str:
        """A run with something logged and these files of 10 bytes."""
        new = NewRun(experiment, "", "", 1, [("tag", "value")])
        run_id = (await self.runs.create(new, viewer=self.viewer)).info.run_id
        batch = Batch([MetricInput("loss", 1.0, 1, 0)], [("param", "value")], [])
        await self.writer.log_batch(run_id, batch, viewer=self.viewer)
        for file in files:
            await self.put(f"{experiment}/{run_id}/artifacts/{file}")
        return run_id

    async def model(self, experiment: str, *, source_run: str = "") -> str:
        """A logged model with a file."""
        new = NewLoggedModel(experiment, "model", "", source_run, [("param", "value")], [])
        model = await self.logged_models.create(new, viewer=self.viewer)
        await self.put(f"{experiment}/models/{model.info.model_id}/artifacts/MLmodel")
        return model.info.model_id

    async def register(
        self, name: str, source: str, *, run_id: str | None = None, model_id: str | None = None
    ) -> None:
        """A new model with one version of this source."""
        viewer = self.viewer
        await self.registered_models.create(name, description=None, tags=[], viewer=viewer)
        given = GivenSource(source, run_id, model_id)
        await self.model_versions.create(NewModelVersion(name, given, "", "", []), viewer=viewer)

    async def put(self, path: str) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"0123456789"

        await self.store.write(path, chunks())

    async def files(self, path: str = "") -> list[str]:
        return sorted([info.name for info in await walked(self.store, path)])

    async def delete_run(self, run_id: str) -> None:
        await self.runs.delete(run_id, viewer=self.viewer)

    async def delete_experiment(self, experiment: str) -> None:
        await self.experiments.delete(experiment, viewer=self.viewer)

    async def collect(self, asked: Asked = EVERYTHING, *, dry_run: bool = False) -> list[Outcome]:
        plan = await self.garbage.plan(asked)
        outcomes = [each async for each in self.garbage.carry_out(plan, dry_run=dry_run)]
        assert len(outcomes) == plan.count
        return outcomes


def play(database: str, story: Callable[[House], Awaitable[T]]) -> T:
    """The story's result, told in a new house on this database."""

    async def told(engine: Engine) -> T:
        return await story(await house_on(engine, MemoryStore()))

    return play_on_engine(database, told)


async def house_on(engine: Engine, store: ArtifactStore) -> House:
    compactor, key_names, outbox = Compactor(engine), KeyNames(engine), Outbox()
    values = ValueRules(truncate=True)
    stores = Stores("memory:", (), lambda _: store)
    experiments = Experiments(engine, ArtifactRules("mlflow-artifacts:", 2_048, ()))
    await experiments.ensure_default()
    return House(
        engine,
        store,
        stores,
        await everybody(Asking({}, None)),
        experiments,
        compactor,
        Runs(engine, outbox, key_names=key_names, compactor=compactor, values=values),
        RunWriter(engine, key_names=key_names, compactor=compactor, values=values),
        LoggedModels(engine, key_names=key_names),
        RegisteredModels(engine, outbox),
        ModelVersions(engine, outbox, key_names=key_names, sources=SourceRules()),
        Garbage(engine, stores),
    )


def reasons(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Why each thing stays; empty for what went."""
    return {each.name: each.kept for each in outcomes}


async def ids_of_runs(house: House) -> list[str]:
    rows = await house.engine.read(lambda tx: tx.fetch("SELECT run_id FROM runs"))
    return sorted(row[0].hex() for row in rows)


async def stages(house: House) -> dict[str, str]:
    sql = "SELECT run_id, lifecycle_stage FROM runs"
    return {key.hex(): stage for key, stage in await house.engine.read(lambda tx: tx.fetch(sql))}


async def experiment_names(house: House) -> list[str]:
    sql = "SELECT name FROM experiments ORDER BY experiment_id"
    return [name for (name,) in await house.engine.read(lambda tx: tx.fetch(sql))]
