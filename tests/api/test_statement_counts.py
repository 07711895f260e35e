"""How many statements a request costs does not depend on how much it carries or finds."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from tests.api.protocol import START_MS, unique
from tests.fixtures.counting import CountingEngine
from tests.fixtures.databases import Databases
from tests.store.engines import opened

from riverrun.auth.viewer import Asking, Viewer, everybody
from riverrun.services.compaction import Compactor
from riverrun.services.experiments import ArtifactRules, ExperimentQuery, Experiments
from riverrun.services.key_names import KeyNames
from riverrun.services.lineage import Lineage
from riverrun.services.logged_models import LoggedModels, NewLoggedModel
from riverrun.services.metrics import HistoryRequest, IntervalRequest, MetricReader
from riverrun.services.model_sources import GivenSource, SourceRules
from riverrun.services.model_versions import ModelVersions, NewModelVersion
from riverrun.services.names import MODEL_VERSIONS_TAG, MONITORS_TAG
from riverrun.services.outbox import Outbox
from riverrun.services.registered_models import RegisteredModels, RegistrySearch
from riverrun.services.run_data import Batch, DatasetUse, RunWriter
from riverrun.services.runs import NewRun, RunChange, RunQuery, Runs
from riverrun.services.values import ValueRules
from riverrun.store.datasets import NewDataset
from riverrun.wire.messages.runs import MetricInput

MOST = 100


@dataclass(frozen=True)
class House:
    """The services of a server on an engine that counts."""

    engine: CountingEngine
    viewer: Viewer
    compactor: Compactor
    experiments: Experiments
    runs: Runs
    writer: RunWriter
    metrics: MetricReader
    logged_models: LoggedModels
    registered_models: RegisteredModels
    model_versions: ModelVersions
    lineage: Lineage

    async def experiment(self) -> str:
        return await self.experiments.create(
            unique("counted"), artifact_location="", tags=[], viewer=self.viewer
        )

    async def run(self, experiment: str, number: int = 0) -> str:
        new = NewRun(experiment, "", f"run {number}", START_MS + number, [])
        return (await self.runs.create(new, viewer=self.viewer)).info.run_id

    async def log(self, run: str, size: int) -> None:
        await self.writer.log_batch(run, batch(size), viewer=self.viewer)

    async def model(self, versions: int = 0, *, tags: int = 0) -> str:
        """A registered model with so many versions, all with so many tags."""
        name = unique("counted")
        await self.registered_models.create(
            name, description=None, tags=numbered(tags), viewer=self.viewer
        )
        for _ in range(versions):
            await self.version(name, tags=tags)
        return name

    async def version(self, name: str, source: str = "s3://bucket/x", *, tags: int = 0) -> str:
        given = GivenSource(source, None, None)
        new = NewModelVersion(name, given, "", "", numbered(tags))
        return (await self.model_versions.create(new, viewer=self.viewer)).version

    async def cost(self, call: Awaitable[object]) -> int:
        before = len(self.engine.asked)
        await call
        return len(self.engine.asked) - before


@asynccontextmanager
async def housed(database: str) -> AsyncGenerator[House]:
    async with opened(database) as real:
        engine = CountingEngine(real)
        compactor, key_names = Compactor(engine), KeyNames(engine)
        values = ValueRules(truncate=True)
        rules = ArtifactRules("mlflow-artifacts:", 2_048, ())
        outbox = Outbox()
        house = House(
            engine,
            await everybody(Asking({}, None)),
            compactor,
            Experiments(engine, rules),
            Runs(engine, outbox, key_names=key_names, compactor=compactor, values=values),
            RunWriter(engine, key_names=key_names, compactor=compactor, values=values),
            MetricReader(engine, key_names),
            LoggedModels(engine, key_names=key_names),
            RegisteredModels(engine, outbox),
            ModelVersions(engine, outbox, key_names=key_names, sources=SourceRules()),
            Lineage(engine, key_names),
        )
        run = await house.run(await house.experiment())
        await house.log(run, MOST)  # From here on the names of the keys are known.
        await key_names.create([MODEL_VERSIONS_TAG, MONITORS_TAG])
        yield house


def batch(size: int) -> Batch:
    return Batch(
        [MetricInput(f"m{number}", 1.0, START_MS, number) for number in range(size)],
        [(f"p{number}", "1") for number in range(size)],
        numbered(size),
    )


@pytest.fixture(scope="module")
def counted(databases: Databases) -> str:
    """The URL of a database for all of them."""
    return databases.new_database()


Measure = Callable[[House, int], Awaitable[int]]
"""The statements of one request that carries or finds so much."""


async def log_metric(house: House, size: int) -> int:
    run = await house.run(await house.experiment())
    await house.log(run, size)
    point = MetricInput("m0", 2.0, START_MS, size)
    return await house.cost(house.writer.log_metric(run, point, viewer=house.viewer))


async def log_batch(house: House, size: int) -> int:
    run = await house.run(await house.experiment())
    return await house.cost(house.log(run, size))


async def log_batch_again(house: House, size: int) -> int:
    run = await house.run(await house.experiment())
    await house.log(run, size)
    return await house.cost(house.log(run, size))


async def set_tag(house: House, size: int) -> int:
    run = await house.run(await house.experiment())
    await house.log(run, size)
    return await house.cost(house.writer.set_tag(run, "t0", "2", viewer=house.viewer))


async def create_run(house: House, size: int) -> int:
    experiment = await house.experiment()
    new = NewRun(experiment, "ada", "", START_MS, numbered(size))
    return await house.cost(house.runs.create(new, viewer=house.viewer))


async def update_run(house: House, size: int) -> int:
    run = await house.run(await house.experiment())
    await house.log(run, size)
    change = RunChange("FINISHED", START_MS, "renamed")
    return await house.cost(house.runs.update(run, change, viewer=house.viewer))


async def get_run(house: House, size: int) -> int:
    run = await house.run(await house.experiment())
    await house.log(run, size)
    return await house.cost(house.runs.get(run, viewer=house.viewer))


async def delete_run(house: House, size: int) -> int:
    run = await house.run(await house.experiment())
    await house.log(run, size)
    return await house.cost(house.runs.delete(run, viewer=house.viewer))


async def delete_experiment(house: House, size: int) -> int:
    experiment = await house.experiment()
    for number in range(size):
        await house.run(experiment, number)
    return await house.cost(house.experiments.delete(experiment, viewer=house.viewer))


def search_runs(filter_text: str, *order_by: str) -> Measure:
    async def measure(house: House, size: int) -> int:
        experiment = await house.experiment()
        for number in range(size):
            run = await house.run(experiment, number)
            await house.log(run, 2)
        query = RunQuery([experiment], filter_text, "ACTIVE_ONLY", MOST, order_by, None)
        return await house.cost(house.runs.search(query, viewer=house.viewer))

    return measure


async def search_experiments(house: House, size: int) -> int:
    for _ in range(size):
        await house.experiment()
    query = ExperimentQuery("name LIKE 'counted%'", [], "ALL", size, None)
    return await house.cost(house.experiments.search(query, viewer=house.viewer))


async def search_datasets(house: House, size: int) -> int:
    experiments = [await house.experiment() for _ in range(min(size, 20))]
    return await house.cost(house.experiments.search_datasets(experiments, viewer=house.viewer))


async def log_inputs(house: House, size: int) -> int:
    """Of datasets that are known: each new one is made in a transaction of its own."""
    experiment = await house.experiment()
    first, second = await house.run(experiment), await house.run(experiment)
    datasets = [NewDataset("n", str(number), "local", "{}", None, None) for number in range(size)]
    uses = [DatasetUse(dataset, []) for dataset in datasets]
    await house.writer.log_inputs(first, uses, [], viewer=house.viewer)
    cost = await house.cost(house.writer.log_inputs(second, uses, [], viewer=house.viewer))
    return cost - size  # One look-up for each dataset; clients send one or two.


async def history_page(house: House, size: int) -> int:
    run = await logged_points(house, size)

    async def read() -> None:
        request = HistoryRequest("m0", MOST, None)
        async for _ in await house.metrics.history(run, request, viewer=house.viewer):
            pass

    return await house.cost(read())


async def interval(house: House, size: int) -> int:
    run = await logged_points(house, size)
    request = IntervalRequest("m0", None, None, MOST)
    return await house.cost(house.metrics.interval([run], request, viewer=house.viewer))


async def logged_points(house: House, size: int) -> str:
    run = await house.run(await house.experiment())
    for number in range(size):
        point = MetricInput("m0", 1.0, START_MS, number)
        await house.writer.log_metric(run, point, viewer=house.viewer)
    return run


def numbered(size: int) -> list[tuple[str, str]]:
    return [(f"t{number}", "1") for number in range(size)]


async def create_registered_model(house: House, size: int) -> int:
    return await house.cost(house.model(tags=size))


async def get_registered_model(house: House, size: int) -> int:
    name = await house.model(size, tags=5)
    for number in range(size):
        await house.registered_models.set_alias(name, f"a{number}", "1", viewer=house.viewer)
    return await house.cost(house.registered_models.get(name, viewer=house.viewer))


async def update_registered_model(house: House, size: int) -> int:
    name = await house.model(size)
    update = house.registered_models.update(name, "changed", viewer=house.viewer)
    return await house.cost(update)


async def rename_registered_model(house: House, size: int) -> int:
    name = await house.model(size)
    rename = house.registered_models.rename(name, unique("renamed"), viewer=house.viewer)
    return await house.cost(rename)


async def delete_registered_model(house: House, size: int) -> int:
    name = await house.model(size, tags=5)
    return await house.cost(house.registered_models.delete(name, viewer=house.viewer))


async def get_latest_versions(house: House, size: int) -> int:
    name = await house.model(size, tags=1)
    latest = house.registered_models.latest_versions(name, (), viewer=house.viewer)
    return await house.cost(latest)


async def set_registered_model_tag(house: House, size: int) -> int:
    name = await house.model(tags=size)
    tag = house.registered_models.set_tag(name, "t0", "2", viewer=house.viewer)
    return await house.cost(tag)


async def set_alias(house: House, size: int) -> int:
    name = await house.model(size)
    alias = house.registered_models.set_alias(name, "best", str(size), viewer=house.viewer)
    return await house.cost(alias)


async def get_by_alias(house: House, size: int) -> int:
    name = await house.model(size)
    await house.registered_models.set_alias(name, "best", str(size), viewer=house.viewer)
    version = house.registered_models.version_by_alias(name, "best", viewer=house.viewer)
    return await house.cost(version)


async def search_registered_models(house: House, size: int) -> int:
    """Every test's models are on one page: at most a thousand are."""
    for _ in range(size):
        await house.model(1, tags=1)
    return await found_models(house, size)


async def search_registered_models_again(house: House, size: int) -> int:
    await search_registered_models(house, size)
    return await found_models(house, size)


async def found_models(house: House, limit: int) -> int:
    search = RegistrySearch(
        "name LIKE 'counted%' AND tags.t0 = '1'", limit, ["timestamp DESC"], None
    )
    return await house.cost(house.registered_models.search(search, viewer=house.viewer))


async def create_model_version(house: House, size: int) -> int:
    name = await house.model(size)
    return await house.cost(house.version(name, tags=size))


async def copy_model_version(house: House, size: int) -> int:
    name = await house.model(size)
    return await house.cost(house.version(name, f"models:/{name}/latest"))


async def register_logged_model(house: House, size: int) -> int:
    name = await house.model(size)
    logged = NewLoggedModel(await house.experiment(), "m", "", "", [], [])
    model = await house.logged_models.create(logged, viewer=house.viewer)
    given = GivenSource(f"models:/{model.info.model_id}", None, model.info.model_id)
    version = NewModelVersion(name, given, "", "", [])
    return await house.cost(house.model_versions.create(version, viewer=house.viewer))


async def get_model_version(house: House, size: int) -> int:
    name = await house.model(1, tags=size)
    return await house.cost(house.model_versions.get(name, "1", viewer=house.viewer))


async def transition_stage(house: House, size: int) -> int:
    """Of all versions that are in the stage, one is left there."""
    name = await house.model(size)
    change, viewer = house.model_versions.transition, house.viewer
    for number in range(1, size + 1):
        await change(name, str(number), "Staging", archive_others=False, viewer=viewer)
    promotion = change(name, "1", "Staging", archive_others=True, viewer=viewer)
    return await house.cost(promotion)


async def delete_model_version(house: House, size: int) -> int:
    name = await house.model(1)
    for number in range(size):
        await house.registered_models.set_alias(name, f"a{number}", "1", viewer=house.viewer)
    return await house.cost(house.model_versions.delete(name, "1", viewer=house.viewer))


async def get_download_uri(house: House, size: int) -> int:
    name = await house.model(size)
    return await house.cost(house.model_versions.location(name, "1", viewer=house.viewer))


async def search_model_versions(house: House, size: int) -> int:
    name = await house.model(size, tags=2)
    search = RegistrySearch(f"name = '{name}' AND tags.t0 = '1'", None, (), None)
    return await house.cost(house.model_versions.search(search, viewer=house.viewer))


async def registry_history(house: House, size: int) -> int:
    name = await house.model(size)
    page = house.registered_models.history(
        name, max_results=size, page_token="", viewer=house.viewer
    )
    return await house.cost(page)


async def monitoring(house: House, size: int) -> int:
    name, experiment = await house.model(1), await house.experiment()
    for number in range(size):
        run = await house.run(experiment, number)
        await house.writer.set_tag(run, MONITORS_TAG, f"models:/{name}/1", viewer=house.viewer)
    return await house.cost(house.lineage.monitoring(name, "1", viewer=house.viewer))


async def versions_of_logged_model(house: House, size: int) -> int:
    name, experiment = await house.model(), await house.experiment()
    logged = NewLoggedModel(experiment, "m", "", "", [], [])
    model = await house.logged_models.create(logged, viewer=house.viewer)
    given = GivenSource(f"models:/{model.info.model_id}", None, model.info.model_id)
    for _ in range(size):
        version = NewModelVersion(name, given, "", "", [("t", "1")])
        await house.model_versions.create(version, viewer=house.viewer)
    of_model = house.lineage.versions_of_logged_model(model.info.model_id, viewer=house.viewer)
    return await house.cost(of_model)


COSTS: dict[str, tuple[Measure, int]] = {
    "log-metric": (log_metric, 4),
    "log-batch": (log_batch, 7),
    "log-batch again": (log_batch_again, 7),
    "set-tag": (set_tag, 3),
    "runs/create": (create_run, 3),
    "runs/update": (update_run, 8),
    "runs/get": (get_run, 7),
    "runs/delete": (delete_run, 4),
    "experiments/delete": (delete_experiment, 5),
    "runs/search": (search_runs(""), 8),
    "runs/search by param": (search_runs("params.p0 = '1'"), 12),
    "runs/search by tag": (search_runs("tags.t0 LIKE '%1%'", "run_name"), 12),
    "runs/search by metric": (search_runs("metrics.m0 > 0.5", "metrics.m1 DESC"), 12),
    "experiments/search": (search_experiments, 3),
    "search-datasets": (search_datasets, 1),
    "log-inputs": (log_inputs, 5),
    "get-history": (history_page, 3),
    "get-history-bulk-interval": (interval, 4),
    "registered-models/create": (create_registered_model, 12),
    "registered-models/get": (get_registered_model, 7),
    "registered-models/update": (update_registered_model, 9),
    "registered-models/rename": (rename_registered_model, 14),
    "registered-models/delete": (delete_registered_model, 11),
    "registered-models/search": (search_registered_models, 7),
    "registered-models/search, again": (search_registered_models_again, 2),
    "get-latest-versions": (get_latest_versions, 4),
    "registered-models/set-tag": (set_registered_model_tag, 5),
    "registered-models/alias": (set_alias, 7),
    "registered-models/alias, read": (get_by_alias, 5),
    "model-versions/create": (create_model_version, 11),
    "model-versions/create, a copy": (copy_model_version, 16),
    "model-versions/create of a logged model": (register_logged_model, 15),
    "model-versions/get": (get_model_version, 4),
    "model-versions/transition-stage": (transition_stage, 11),
    "model-versions/delete": (delete_model_version, 10),
    "get-download-uri": (get_download_uri, 2),
    "model-versions/search": (search_model_versions, 4),
    "registered-models/history": (registry_history, 2),
    "monitoring": (monitoring, 14),
    "versions of a logged model": (versions_of_logged_model, 4),
}
"""How to measure a request, and its most statements."""


@pytest.mark.parametrize("request_", COSTS)
def test_a_request_costs_the_same_for_much_as_for_little(counted: str, request_: str):
    measure, at_most = COSTS[request_]

    async def story() -> list[int]:
        async with housed(counted) as house:
            return [await measure(house, size) for size in (2, MOST)]

    little, much = asyncio.run(story())
    assert little == much <= at_most


def test_a_write_is_one_transaction(counted: str):
    async def story() -> int:
        async with housed(counted) as house:
            run = await house.run(await house.experiment())
            before = house.engine.transactions
            await house.log(run, MOST)
            return house.engine.transactions - before

    assert asyncio.run(story()) == 1
