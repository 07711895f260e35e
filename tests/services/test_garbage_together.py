"""A removal that is interrupted anywhere, and two at once, and beside others' work."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import pytest
from tests.fixtures.counting import CountingEngine, CountingTx
from tests.fixtures.databases import KINDS
from tests.services.house import (
    EVERYTHING,
    House,
    experiment_names,
    house_on,
    ids_of_runs,
    play,
    reasons,
    stages,
)
from tests.store.engines import play as play_on_engine

from riverrun.artifacts.memory import MemoryStore
from riverrun.errors import (
    InvalidParameterValue,
    TemporarilyUnavailable,
)
from riverrun.services.garbage import AT_ONCE, Garbage, Outcome
from riverrun.services.retention import Retention
from riverrun.services.run_data import Batch
from riverrun.store.engine import Engine, Row, Tx, Work
from riverrun.wire.messages.runs import MetricInput

T = TypeVar("T")

HOUR_MS = 3_600_000

on_servers = pytest.mark.parametrize(
    "database_kind", [kind for kind in KINDS if kind != "sqlite"], indirect=True
)
"""SQLite has one writer at a time."""


class Faults:
    """The write of that number fails, be it of files or of rows, as if the process ended there."""

    def __init__(self, at: int) -> None:
        self.left = at

    def may_fail(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise TemporarilyUnavailable("out of reach")


class FaultyStore(MemoryStore):
    faults = Faults(0)

    async def delete(self, path: str) -> None:
        self.faults.may_fail()
        await super().delete(path)


class FaultyEngine(CountingEngine):
    faults = Faults(0)

    async def write(self, work: Work[T], *, key: bytes = b"") -> T:
        self.faults.may_fail()
        return await super().write(work, key=key)


def test_a_collection_that_ends_anywhere_is_finished_by_the_next(database: str):
    async def story(real: Engine) -> None:
        store, engine = FaultyStore(), FaultyEngine(real)
        house = await house_on(engine, store)
        failures = 0
        while True:
            experiment = await house.experiment()
            runs = [await house.run(experiment, "a") for _ in range(2)]
            model, alive = await house.model(experiment), await house.run("0", "a")
            await house.delete_experiment(experiment)
            store.faults = engine.faults = Faults(failures + 1)
            try:
                await house.collect()
            except TemporarilyUnavailable:
                failures += 1
                store.faults = engine.faults = Faults(0)
                left = set((await stages(house)).items())
                for run in runs:  # Rows go after their files.
                    files = await house.files(f"{experiment}/{run}")
                    assert not files or run in dict(left)
                await house.collect()
            else:
                break
            finally:
                store.faults = engine.faults = Faults(0)
            assert await ids_of_runs(house) == [alive]
            assert await house.files() == [f"0/{alive}/artifacts/a"]
            assert await experiment_names(house) == ["Default"], model
            await house.delete_run(alive)
            await house.collect()
        assert failures == 2 * 3 + 3 + 1  # Two transactions and files of each, one experiment.

    play_on_engine(database, story)


def test_two_at_once_do_no_harm(database: str):
    async def story(house: House) -> None:
        experiment = await house.experiment()
        runs = [await house.run(experiment, "a") for _ in range(20)]
        alive = await house.run("0", "a")
        await house.delete_experiment(experiment)
        both = await asyncio.gather(*[house.collect() for _ in range(2)])
        gone = [{each.name for each in outcomes if not each.kept} for outcomes in both]
        assert gone[0] | gone[1] == {*runs, experiment}
        assert await ids_of_runs(house) == [alive]
        assert await house.files() == [f"0/{alive}/artifacts/a"]

    play(database, story)


def test_a_run_costs_the_same_statements_whatever_it_holds(database: str):
    async def story(real: Engine) -> None:
        engine = CountingEngine(real)
        house = await house_on(engine, MemoryStore())
        costs: list[int] = []
        for size in (1, 300):
            run = await house.run()
            metrics = [MetricInput(f"m{n}", 1.0, 1, n) for n in range(size)]
            params = [(f"p{n}", "value") for n in range(min(size, 100))]
            await house.writer.log_batch(run, Batch(metrics, params, []), viewer=house.viewer)
            await house.delete_run(run)
            before = len(engine.asked)
            await house.collect()
            costs.append(len(engine.asked) - before)
        assert costs[0] == costs[1]

    play_on_engine(database, story)


def test_metrics_are_compacted_beside_a_removal(database: str):
    async def story(house: House) -> None:
        runs = [await house.run() for _ in range(AT_ONCE)]
        for run in runs:
            await house.delete_run(run)
        plan = await house.garbage.plan(EVERYTHING)

        async def collect() -> None:
            async for outcome in house.garbage.carry_out(plan, dry_run=False):
                assert not outcome.kept

        compactor = house.compactor
        works = [compactor.compact(bytes.fromhex(run), ended=True) for run in runs]
        await asyncio.gather(collect(), *works)
        for table in ("metric_log", "metric_chunks", "runs"):
            sql = f"SELECT count(*) FROM {table}"
            assert await house.engine.read(lambda tx, sql=sql: tx.fetch(sql)) == [(0,)]

    play(database, story)


class PausingEngine(CountingEngine):
    """Who has first written to the table stops before the commit, until it may go on."""

    def __init__(self, engine: Engine, table: str) -> None:
        super().__init__(engine)
        self._table = table
        self.is_there, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def write(self, work: Work[T], *, key: bytes = b"") -> T:
        async def paused(tx: Tx) -> T:
            result = await work(tx)
            if not self.is_there.is_set() and f"INTO {self._table} " in " ".join(self.asked):
                self.is_there.set()
                await self.may_go_on.wait()
            return result

        return await super().write(paused, key=key)


@on_servers
@pytest.mark.parametrize("source", ["runs:/{}/model", "s3://bucket/0/{}/artifacts/model"])
@pytest.mark.parametrize("is_deleted", [True, False])
def test_what_is_being_registered_stays(database: str, source: str, *, is_deleted: bool):
    """The version is written and not committed, so that nobody else sees it."""

    async def story(real: Engine) -> None:
        engine = PausingEngine(real, "model_versions")
        house = await house_on(engine, MemoryStore())
        run = await house.run("0", "model")
        if is_deleted:
            await house.delete_run(run)

        async def collect() -> list[Outcome]:
            await house.delete_run(run)
            return await house.collect()

        run_id = run if source.startswith("runs:") else None
        registering = asyncio.create_task(house.register("m", source.format(run), run_id=run_id))
        await engine.is_there.wait()
        collecting = asyncio.create_task(collect())
        await asyncio.wait([collecting], timeout=0.3)  # Nothing keeps it from doing its worst.
        engine.may_go_on.set()
        await registering
        assert reasons(await collecting) == {run: "version 1 of model 'm' refers to it"}
        assert await house.files() == [f"0/{run}/artifacts/model"]

    play_on_engine(database, story)


class VanishingTx(CountingTx):
    """Somebody else goes to work as soon as a run was read without being held."""

    def __init__(self, tx: Tx, vanish: Callable[[], Awaitable[object]]) -> None:
        super().__init__(tx, [])
        self._vanish = vanish

    async def one(self, sql: str, binds: Sequence[object] = ()) -> Row | None:
        row = await super().one(sql, binds)
        if "FROM runs " in sql:
            await self._vanish()
        return row


@on_servers
def test_no_version_is_made_of_a_run_that_goes_while_it_is_looked_at(database: str):
    async def story(real: Engine) -> None:
        house = await house_on(real, MemoryStore())
        run = await house.run("0", "model")
        await house.delete_run(run)

        class VanishingEngine(CountingEngine):
            async def write(self, work: Work[T], *, key: bytes = b"") -> T:
                return await real.write(lambda tx: work(VanishingTx(tx, house.collect)), key=key)

        registering = await house_on(VanishingEngine(real), MemoryStore())
        source = f"mlflow-artifacts:/0/{run}/artifacts/model"
        sql = "UPDATE runs SET lifecycle_stage = 'removing'"
        await real.write(lambda tx: tx.execute(sql))
        with pytest.raises(InvalidParameterValue, match="run_id"):
            await registering.register("m", source, run_id=run)

    play_on_engine(database, story)


# Daily -------------------------------------------------------------------------------------------


def test_one_of_several_servers_collects_once_a_day(database: str):
    async def story(house: House) -> None:
        for run in [await house.run("0", "a") for _ in range(3)]:
            await house.delete_run(run)
        now = Retention(0)
        found = await asyncio.gather(*[house.garbage.collect_if_due(now) for _ in range(3)])
        assert sorted(found) == [False, False, True]
        assert await ids_of_runs(house) == []
        late = await house.run()
        await house.delete_run(late)
        assert not await house.garbage.collect_if_due(now)
        assert await ids_of_runs(house) == [late]
        await a_day_passes(house)
        assert await house.garbage.collect_if_due(now)
        assert await ids_of_runs(house) == []

    play(database, story)


@on_servers
def test_who_is_a_moment_late_sees_that_another_server_was_first(database: str):
    async def story(house: House) -> None:
        engine = PausingEngine(house.engine, "epochs")
        first, second = [Garbage(each, house.stores) for each in (engine, house.engine)]
        works = [asyncio.create_task(first.collect_if_due(Retention(0)))]
        await engine.is_there.wait()
        works.append(asyncio.create_task(second.collect_if_due(Retention(0))))
        await asyncio.wait(works, timeout=0.3)
        engine.may_go_on.set()
        assert await asyncio.gather(*works) == [True, False]

    play(database, story)


async def a_day_passes(house: House) -> None:
    sql = f"UPDATE epochs SET value = value - {24 * HOUR_MS} WHERE name = 'retention.last_ms'"
    await house.engine.write(lambda tx: tx.execute(sql))


def test_a_server_goes_on_after_a_failure(database: str):
    async def story(real: Engine) -> None:
        engine = FaultyEngine(real)
        house = await house_on(engine, MemoryStore())
        await house.delete_run(await house.run())
        engine.faults = Faults(1)
        work = asyncio.create_task(house.garbage.collect_daily(Retention(0), first_after_s=0))
        async with asyncio.timeout(30):
            while engine.faults.left > 0:
                await ids_of_runs(house)
        assert not work.done()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    play_on_engine(database, story)
