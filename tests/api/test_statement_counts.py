"""How many statements a request costs does not depend on how much it carries or finds."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.api.protocol import START_MS, unique
from tests.fixtures.counting import CountingEngine
from tests.store.engines import opened

from riverrun.auth.viewer import Viewer, everybody
from riverrun.services.compaction import Compactor
from riverrun.services.experiments import ArtifactRules, ExperimentQuery, Experiments
from riverrun.services.key_names import KeyNames
from riverrun.services.metrics import HistoryRequest, IntervalRequest, MetricReader
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

    async def experiment(self) -> str:
        return await self.experiments.create(
            unique("counted"), artifact_location="", tags=[], viewer=self.viewer
        )

    async def run(self, experiment: str, number: int = 0) -> str:
        new = NewRun(experiment, "", f"run {number}", START_MS + number, [])
        return (await self.runs.create(new, viewer=self.viewer)).info.run_id

    async def log(self, run: str, size: int) -> None:
        await self.writer.log_batch(run, batch(size), viewer=self.viewer)

    async def cost(self, call: Awaitable[object]) -> int:
        before = len(self.engine.asked)
        await call
        return len(self.engine.asked) - before


@asynccontextmanager
async def housed(path: Path) -> AsyncGenerator[House]:
    async with opened(path) as real:
        engine = CountingEngine(real)
        compactor, key_names = Compactor(engine), KeyNames(engine)
        values = ValueRules(truncate=True)
        rules = ArtifactRules("mlflow-artifacts:", 2_048, ())
        house = House(
            engine,
            await everybody({}),
            compactor,
            Experiments(engine, rules),
            Runs(engine, key_names=key_names, compactor=compactor, values=values),
            RunWriter(engine, key_names=key_names, compactor=compactor, values=values),
            MetricReader(engine, key_names),
        )
        run = await house.run(await house.experiment())
        await house.log(run, MOST)  # From here on the names of the keys are known.
        yield house


def batch(size: int) -> Batch:
    return Batch(
        [MetricInput(f"m{number}", 1.0, START_MS, number) for number in range(size)],
        [(f"p{number}", "1") for number in range(size)],
        [(f"t{number}", "1") for number in range(size)],
    )


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("counted") / "mlflow.db"


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
    tags = [(f"t{number}", "1") for number in range(size)]
    new = NewRun(experiment, "ada", "", START_MS, tags)
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


COSTS: dict[str, tuple[Measure, int]] = {
    "log-metric": (log_metric, 4),
    "log-batch": (log_batch, 7),
    "log-batch again": (log_batch_again, 7),
    "set-tag": (set_tag, 3),
    "runs/create": (create_run, 3),
    "runs/update": (update_run, 7),
    "runs/get": (get_run, 7),
    "runs/delete": (delete_run, 3),
    "experiments/delete": (delete_experiment, 4),
    "runs/search": (search_runs(""), 8),
    "runs/search by param": (search_runs("params.p0 = '1'"), 12),
    "runs/search by tag": (search_runs("tags.t0 LIKE '%1%'", "run_name"), 12),
    "runs/search by metric": (search_runs("metrics.m0 > 0.5", "metrics.m1 DESC"), 12),
    "experiments/search": (search_experiments, 3),
    "search-datasets": (search_datasets, 1),
    "log-inputs": (log_inputs, 5),
    "get-history": (history_page, 3),
    "get-history-bulk-interval": (interval, 4),
}
"""How to measure a request, and its most statements."""


@pytest.mark.parametrize("request_", COSTS)
def test_a_request_costs_the_same_for_much_as_for_little(database: Path, request_: str):
    measure, at_most = COSTS[request_]

    async def story() -> list[int]:
        async with housed(database) as house:
            return [await measure(house, size) for size in (2, MOST)]

    little, much = asyncio.run(story())
    assert little == much <= at_most


def test_a_write_is_one_transaction(database: Path):
    async def story() -> int:
        async with housed(database) as house:
            run = await house.run(await house.experiment())
            before = house.engine.transactions
            await house.log(run, MOST)
            return house.engine.transactions - before

    assert asyncio.run(story()) == 1
