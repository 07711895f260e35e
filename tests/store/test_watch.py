"""Who watches runs is told of their changes, whoever made them, for one query at a time."""

import asyncio
from typing import TypeVar

import pytest
from tests.fixtures.counting import CountingEngine
from tests.store.engines import play

from riverrun.clock import new_run_id, now_ms
from riverrun.errors import TemporarilyUnavailable
from riverrun.services.watch import WATCHED_MAX, RunWatch
from riverrun.store import runs
from riverrun.store.engine import Engine, Work
from riverrun.store.runs import NewRun

T = TypeVar("T")
PATIENCE_S = 15
"""For what happens soon; a test that fails waits for so long."""


async def create(engine: Engine, count: int) -> list[bytes]:
    """New runs, of version 1."""
    ids = [new_run_id() for _ in range(count)]
    for run_id in ids:
        new = NewRun(run_id, 0, "run", "", 1, "", "", now_ms())
        await engine.write(lambda tx, new=new: runs.insert(tx, new))
    return ids


async def touch(engine: Engine, run_id: bytes) -> None:
    await engine.write(lambda tx: runs.touch(tx, run_id, by="", at_ms=now_ms()), key=run_id)


def test_a_write_is_noticed(database: str):
    async def story(engine: Engine) -> None:
        first, second = await create(engine, 2)
        watch = RunWatch(engine, pause_s=0.01)
        watching = asyncio.create_task(watch.changed({first: 1, second: 1}, PATIENCE_S))
        await asyncio.sleep(0.03)
        await touch(engine, second)
        assert await watching == {second: 2}

    play(database, story)


def test_what_has_changed_before_is_told_at_once(database: str):
    async def story(engine: Engine) -> None:
        (run_id,) = await create(engine, 1)
        await touch(engine, run_id)
        assert await RunWatch(engine).changed({run_id: 1}, PATIENCE_S) == {run_id: 2}

    play(database, story)


def test_a_run_that_is_gone_has_changed(database: str):
    async def story(engine: Engine) -> None:
        run_id = new_run_id()
        assert await RunWatch(engine).changed({run_id: 3}, PATIENCE_S) == {run_id: 0}

    play(database, story)


def test_time_is_up_when_nothing_happens(database: str):
    async def story(engine: Engine) -> None:
        (run_id,) = await create(engine, 1)
        assert await RunWatch(engine, pause_s=0.01).changed({run_id: 1}, 0.05) == {}
        assert await RunWatch(engine, pause_s=0.01).changed({}, 0.05) == {}

    play(database, story)


def test_many_watchers_cost_one_query(database: str):
    async def story(engine: Engine) -> None:
        ids = await create(engine, 5)
        counting = CountingEngine(engine)
        watch = RunWatch(counting, pause_s=60)
        known = dict.fromkeys(ids, 0)
        expected = dict.fromkeys(ids, 1)
        watching = [watch.changed(known, PATIENCE_S) for _ in range(50)]
        assert await asyncio.gather(*watching) == [expected] * 50
        assert len(counting.asked) == 1
        # The next query is a minute away, also for one who comes now.
        assert await watch.changed(known, 0.05) == {}
        assert len(counting.asked) == 1

    play(database, story)


def test_nothing_is_asked_when_nobody_watches(database: str):
    async def story(engine: Engine) -> None:
        (run_id,) = await create(engine, 1)
        counting = CountingEngine(engine)
        watch = RunWatch(counting, pause_s=0.002)
        await asyncio.sleep(0.02)
        assert counting.asked == []
        assert await watch.changed({run_id: 1}, 0.05) == {}
        await asyncio.sleep(0.02)
        before = len(counting.asked)
        await asyncio.sleep(0.05)
        assert len(counting.asked) == before

    play(database, story)


class Gated(CountingEngine):
    """Reads wait until the gate is open."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.is_reading = asyncio.Event()
        self.gate = asyncio.Event()

    async def read(self, work: Work[T]) -> T:
        self.is_reading.set()
        await self.gate.wait()
        return await super().read(work)


def test_who_comes_during_a_query_is_told_of_the_next_one(database: str):
    async def story(engine: Engine) -> None:
        first, second = await create(engine, 2)
        gated = Gated(engine)
        watch = RunWatch(gated, pause_s=0.01)
        early = asyncio.create_task(watch.changed({first: 0}, PATIENCE_S))
        await gated.is_reading.wait()
        late = asyncio.create_task(watch.changed({second: 1}, PATIENCE_S))
        await asyncio.sleep(0)
        gated.gate.set()
        assert await early == {first: 1}
        await touch(engine, second)
        assert await late == {second: 2}

    play(database, story)


class Troubled(CountingEngine):
    """The first three reads find no database."""

    reads = 0

    async def read(self, work: Work[T]) -> T:
        self.reads += 1
        if self.reads <= 3:
            raise TemporarilyUnavailable("The database is gone.")
        return await super().read(work)


def test_watchers_outlast_trouble(database: str, caplog: pytest.LogCaptureFixture):
    async def story(engine: Engine) -> None:
        (run_id,) = await create(engine, 1)
        watch = RunWatch(Troubled(engine), pause_s=0.01)
        assert await watch.changed({run_id: 0}, PATIENCE_S) == {run_id: 1}

    play(database, story)
    messages = [record.message for record in caplog.records]
    assert messages.count("watched runs not read") == 3


def test_runs_that_are_watched_have_a_maximum(database: str):
    async def story(engine: Engine) -> None:
        watch = RunWatch(engine)
        many = {number.to_bytes(16, "big"): 1 for number in range(WATCHED_MAX + 1)}
        with pytest.raises(TemporarilyUnavailable, match="Too many runs"):
            await watch.changed(many, PATIENCE_S)

    play(database, story)
