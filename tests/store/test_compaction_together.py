"""Two servers compact the same metrics at once: no point is lost and none is there twice."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from random import Random
from typing import TypeVar

import pytest
from tests.store.replicas import Replica, fetch, play, point

from riverrun.services.compaction import Compactor
from riverrun.services.names import run_key
from riverrun.store import metrics
from riverrun.store.engine import Engine, Work
from riverrun.store.points import encode_log

T = TypeVar("T")


@pytest.mark.parametrize("seed", range(2))
def test_no_point_is_lost_and_none_is_there_twice_while_both_servers_compact(
    database: str, seed: int
):
    random = Random(seed)

    async def story(first: Replica, second: Replica) -> None:
        run = await first.run(await first.experiment())
        key = run_key(run)
        ids = await first.key_names.create(["loss", "accuracy"])
        logged: set[tuple[str, int, float]] = set()

        async def log(each: Replica) -> None:
            for _ in range(12):
                points = [
                    (random.choice(("loss", "accuracy")), random.randrange(400), random.random())
                    for _ in range(random.choice((1, 40)))
                ]
                await each.log(run, *(point(name, value, step) for name, step, value in points))
                logged.update(points)

        async def compact(each: Replica) -> None:
            for _ in range(12):
                await each.compactor.compact(key, ended=random.random() < 0.5)

        await asyncio.gather(*(act(each) for act in (log, compact) for each in (first, second)))
        await asyncio.gather(
            *(each.compactor.compact(key, ended=False) for each in (first, second))
        )
        assert await fetch(first.engine, "SELECT count(*) FROM metric_log") == [(0,)]
        for name in ("loss", "accuracy"):
            expected = sorted(
                (1_000 + step, step, value, False) for of, step, value in logged if of == name
            )
            places = await first.engine.read(
                lambda tx, name=name: metrics.chunk_places(tx, key, ids[name])
            )
            assert sum(chunk.points for chunk in places) == len(expected)
            for one, two in pairwise(places):
                assert one.last <= two.first
            points = await second.engine.read(
                lambda tx, name=name: metrics.history_page(
                    tx, key, ids[name], after=None, limit=10_000
                )
            )
            assert [points.place(n) for n in range(len(points))] == expected
            newest = max((step, value) for of, step, value in logged if of == name)
            latest = await fetch(
                first.engine,
                "SELECT step, value FROM latest_metrics WHERE run_id = ? AND key_id = ?",
                key,
                ids[name],
            )
            assert latest == [newest]

    play(database, story)


def test_a_compaction_that_was_planned_before_another_one_begins_again(database: str):
    """The other one took rows from the log; since then as many came, of a server whose clock is
    behind.
    """

    async def story(first: Replica, second: Replica) -> None:
        run = await first.run(await first.experiment())
        key = run_key(run)
        ids = await first.key_names.create(["loss"])
        has_planned, may_go_on = asyncio.Event(), asyncio.Event()

        async def pause() -> None:
            has_planned.set()
            await may_go_on.wait()

        async def late(step: int) -> None:
            sql = "INSERT INTO metric_log (run_id, seq, payload) VALUES (?, ?, ?)"
            row = (key, step, encode_log([ids["loss"]], [step], [1_000 + step], [1.0]))
            await first.engine.write(lambda tx: tx.execute(sql, row))

        for step in (0, 1):
            await first.log(run, point("loss", 1.0, step))
        planned = Compactor(Paused(second.engine, pause))
        compaction = asyncio.create_task(planned.compact(key, ended=False))
        await has_planned.wait()
        await late(2)
        await first.compactor.compact(key, ended=False)
        await late(3)
        await late(4)
        may_go_on.set()
        await compaction
        await expect_steps(first.engine, key, range(5))

    play(database, story)


def test_of_two_compactions_with_the_same_plan_one_begins_again(database: str):
    async def story(first: Replica, second: Replica) -> None:
        run = await first.run(await first.experiment())
        key = run_key(run)
        for n in range(10):
            for step in range(3 * n, 3 * n + 3):
                await first.log(run, point("loss", 1.0, step))
            both = asyncio.Barrier(2)
            await asyncio.gather(
                *(
                    Compactor(Paused(each.engine, both.wait)).compact(key, ended=False)
                    for each in (first, second)
                )
            )
            await expect_steps(first.engine, key, range(3 * n + 3))

    play(database, story)


async def expect_steps(engine: Engine, run: bytes, steps: Sequence[int]) -> None:
    """All of them are in chunks of the run's one metric, each once."""
    assert await fetch(engine, "SELECT count(*) FROM metric_log") == [(0,)]
    ((key_id, held),) = await fetch(
        engine, "SELECT key_id, sum(points) FROM metric_chunks GROUP BY key_id"
    )
    points = await engine.read(
        lambda tx: metrics.history_page(tx, run, key_id, after=None, limit=1_000)
    )
    assert list(points.steps) == list(steps)
    assert held == len(steps)


class Paused:
    """An engine whose first write waits for something."""

    def __init__(self, engine: Engine, pause: Callable[[], Awaitable[object]]) -> None:
        self._engine = engine
        self._pauses = [pause]

    async def read(self, work: Work[T]) -> T:
        return await self._engine.read(work)

    async def glance(self, work: Work[T]) -> T:
        return await self._engine.glance(work)

    async def write(self, work: Work[T], *, key: bytes = b"") -> T:
        while self._pauses:
            await self._pauses.pop()()
        return await self._engine.write(work, key=key)

    async def trouble(self) -> str | None:
        return await self._engine.trouble()

    async def close(self) -> None:
        await self._engine.close()
