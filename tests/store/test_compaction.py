"""A log becomes chunks: nothing is lost, nothing is there twice, and chunks never overlap."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from math import nan
from random import Random
from typing import TypeVar

import pytest
from tests.fixtures.counting import CountingEngine
from tests.store.engines import play

from riverrun.clock import now_us
from riverrun.errors import TemporarilyUnavailable
from riverrun.services.compaction import (
    MERGED_POINTS,
    OLD_AFTER_S,
    POINTS_ALONE,
    ROW_BYTES,
    ROWS_ALONE,
    ROWS_AND_POINTS,
    SLICE_BYTES,
    SMALL_CHUNKS_MAX,
    WRITTEN_BYTES_MAX,
    Compactor,
)
from riverrun.store import metrics
from riverrun.store.engine import ConflictError, Engine, Tx, Work
from riverrun.store.metrics import ChunkPlace, LogRow
from riverrun.store.points import Place, encode_log

T = TypeVar("T")

RUN = bytes(range(16))
LOSS, ACCURACY = 1, 2
CHUNK_POINTS_MAX = 6_000
"""Pieces are cut near 4000 points, at most half as much more."""

Point = tuple[int, int, float]
"""Timestamp, step, value."""


async def log(
    engine: Engine, points: Sequence[Point], *, key: int = LOSS, run: bytes = RUN, seq: int = 0
) -> LogRow:
    """One row of the log, as one call leaves it."""
    payload = encode_log(
        [key] * len(points),
        [step for _, step, _ in points],
        [timestamp for timestamp, _, _ in points],
        [value for _, _, value in points],
    )

    async def work(tx: Tx) -> LogRow:
        if not seq:
            return await metrics.append(tx, run, payload)
        sql = "INSERT INTO metric_log (run_id, seq, payload) VALUES (?, ?, ?)"
        await tx.execute(sql, (run, seq, payload))
        return (seq, payload)

    return await engine.write(work)


async def chunks(engine: Engine, key: int = LOSS) -> list[ChunkPlace]:
    return await engine.read(lambda tx: metrics.chunk_places(tx, RUN, key))


async def log_rows(engine: Engine, run: bytes = RUN) -> int:
    sql = "SELECT count(*) FROM metric_log WHERE run_id = ?"
    ((count,),) = await engine.read(lambda tx: tx.fetch(sql, (run,)))
    return count


async def history(engine: Engine, key: int = LOSS, *, page: int = 100_000) -> list[Place]:
    """The whole history, page by page."""
    places: list[Place] = []
    while True:
        after = places[-1] if places else None
        points = await engine.read(
            lambda tx, after=after: metrics.history_page(tx, RUN, key, after=after, limit=page)
        )
        places.extend(points.place(n) for n in range(len(points)))
        if len(points) < page:
            return places


def places(points: Iterable[Point]) -> list[Place]:
    """The set of these points in the order of histories, a NaN as 0 behind the numbers."""
    return sorted(
        {
            (time, step, value if value == value else 0.0, value != value)  # noqa: PLR0124
            for time, step, value in points
        }
    )


async def expect(engine: Engine, points: Iterable[Point], *, key: int = LOSS) -> list[ChunkPlace]:
    """These points are the history, and all of them are in chunks, which are in order."""
    assert await log_rows(engine) == 0
    expected = places(points)
    assert await history(engine, key) == expected
    found = await chunks(engine, key)
    assert sum(chunk.points for chunk in found) == len(expected)
    assert all(0 < chunk.points <= CHUNK_POINTS_MAX for chunk in found)
    for before, after in pairwise(found):
        # Points that share a place may lie in two neighbours.
        assert before.last <= after.first, (before, after)
    for chunk in found:
        assert chunk.first <= chunk.last
        assert chunk.steps[0] <= chunk.steps[1]
    return found


def steps(start: int, count: int) -> list[Point]:
    return [(1_000 + step, step, step / 7) for step in range(start, start + count)]


def test_a_log_becomes_chunks_of_each_metric(database: str):
    async def story(engine: Engine) -> None:
        for start in range(0, 10_000, 500):
            await log(engine, steps(start, 500))
            await log(engine, steps(start, 50), key=ACCURACY)
        await Compactor(engine).compact(RUN, ended=False)
        found = await expect(engine, steps(0, 10_000))
        assert [chunk.points for chunk in found] == [3_333, 3_333, 3_334]
        accuracy = [point for start in range(0, 10_000, 500) for point in steps(start, 50)]
        await expect(engine, accuracy, key=ACCURACY)

    play(database, story)


def test_a_run_without_a_log_has_nothing_to_compact(database: str):
    async def story(engine: Engine) -> None:
        await Compactor(engine).compact(RUN, ended=True)
        assert await chunks(engine) == []

    play(database, story)


def test_points_that_come_twice_are_there_once(database: str):
    """In one call, in two, before and after a compaction."""
    points = [*steps(0, 100), (5, 5, nan), (5, 5, nan), (5, 5, 0.0), (5, 5, -0.0), (5, 5, 1.0)]

    async def story(engine: Engine) -> None:
        compactor = Compactor(engine)
        await log(engine, points + points)
        assert await history(engine) == places(points)
        await log(engine, points)
        await compactor.compact(RUN, ended=False)
        await expect(engine, points)
        await log(engine, points)
        assert await history(engine) == places(points)
        await compactor.compact(RUN, ended=False)
        found = await expect(engine, points)
        assert len(found) == 1

    play(database, story)


def test_small_chunks_at_the_end_are_merged_when_there_are_many(database: str):
    async def story(engine: Engine) -> None:
        counts: list[int] = []
        for n in range(20):
            await log(engine, steps(n * 10, 10))
            await Compactor(engine).compact(RUN, ended=False)
            found = await expect(engine, steps(0, n * 10 + 10))
            counts.append(len(found))
        assert max(counts) == SMALL_CHUNKS_MAX - 1
        assert counts[:8] == [1, 2, 3, 4, 5, 6, 7, 1]

    play(database, story)


def test_small_chunks_at_the_end_are_merged_when_they_hold_enough(database: str):
    async def story(engine: Engine) -> None:
        size = MERGED_POINTS // 3 + 1
        for n in range(3):
            await log(engine, steps(n * size, size))
            await Compactor(engine).compact(RUN, ended=False)
            found = await expect(engine, steps(0, n * size + size))
            assert len(found) == (1, 2, 1)[n]

    play(database, story)


def test_large_chunks_stay_as_they_are(database: str):
    async def story(engine: Engine) -> None:
        await log(engine, steps(0, 5_000))
        await Compactor(engine).compact(RUN, ended=False)
        (first,) = await chunks(engine)
        await log(engine, steps(5_000, 5_000))
        await Compactor(engine).compact(RUN, ended=True)
        found = await expect(engine, steps(0, 10_000))
        assert found[0] == first

    play(database, story)


def test_the_end_of_a_run_merges_what_is_small(database: str):
    async def story(engine: Engine) -> None:
        for n in range(5):
            await log(engine, steps(n * 10, 10))
            await Compactor(engine).compact(RUN, ended=False)
        assert len(await chunks(engine)) == 5
        await log(engine, steps(50, 1))
        await Compactor(engine).compact(RUN, ended=True)
        assert len(await expect(engine, steps(0, 51))) == 1

    play(database, story)


def test_late_points_are_written_into_the_chunks_they_fall_into(database: str):
    async def story(engine: Engine) -> None:
        await log(engine, steps(0, 20_000))
        await Compactor(engine).compact(RUN, ended=False)
        before = await chunks(engine)
        assert len(before) == 5
        late = [(1_000 + 10_000, 10_000, -1.0)]
        await log(engine, late)
        await Compactor(engine).compact(RUN, ended=False)
        after = await expect(engine, [*steps(0, 20_000), *late])
        # One was rewritten, the others are the same.
        assert len({each.chunk_id for each in before} - {each.chunk_id for each in after}) == 1

    play(database, story)


@pytest.mark.parametrize(
    ("late", "rewritten"),
    [
        ([(0, 0, 1.0)], 0),
        ([(1_000, 0, 99.0)], 1),
        ([(0, 0, 1.0), (90_000, 90_000, 1.0)], 5),
        ([(50_000, 50_000, 1.0)], 0),
    ],
    ids=["before all", "on the first place", "around all", "after all"],
)
def test_late_points_may_come_anywhere(database: str, late: list[Point], rewritten: int):
    async def story(engine: Engine) -> None:
        await log(engine, steps(0, 20_000))
        await Compactor(engine).compact(RUN, ended=False)
        before = await chunks(engine)
        await log(engine, late)
        await Compactor(engine).compact(RUN, ended=False)
        after = await expect(engine, [*steps(0, 20_000), *late])
        gone = {each.chunk_id for each in before} - {each.chunk_id for each in after}
        assert len(gone) == rewritten

    play(database, story)


def test_many_points_may_share_one_place(database: str):
    """A client that never gives steps and logs within one millisecond."""

    async def story(engine: Engine) -> None:
        points: list[Point] = steps(0, 3_000)
        for n in range(4):
            same = [(2_000, 1_000, float(n * 3_000 + m)) for m in range(3_000)]
            await log(engine, same)
            if n == 2:
                await log(engine, steps(0, 3_000))
            points += same
            await Compactor(engine).compact(RUN, ended=False)
            if n >= 2:
                await expect(engine, points)
        assert await history(engine, page=700) == places(points)

    play(database, story)


def test_a_large_log_is_worked_off_in_slices(database: str):
    count = SLICE_BYTES // (28 * 10_000) + 2

    async def story(engine: Engine) -> None:
        for n in reversed(range(count)):
            await log(engine, steps(n * 10_000, 10_000))
        writes = Counting(engine)
        await Compactor(writes).compact(RUN, ended=True)
        assert writes.writes == 2
        await expect(engine, steps(0, count * 10_000))

    play(database, story)


@pytest.mark.parametrize("seed", range(6))
def test_points_in_any_order_are_a_set(database: str, seed: int):
    random = Random(seed)

    def some_points() -> list[Point]:
        start, spread = random.randrange(2_000), random.choice((1, 10, 3_000))
        values = [nan, 0.0, -1.5, 1e308, random.random()]
        return [
            (start + random.randrange(spread), random.randrange(3), random.choice(values))
            for _ in range(random.choice((1, 5, 300, 3_000)))
        ]

    async def story(engine: Engine) -> None:
        everything: list[Point] = []
        compactor = Compactor(engine)
        for _ in range(15):
            for _ in range(random.randint(1, 4)):
                points = some_points()
                if everything and random.random() < 0.3:
                    points += random.sample(everything, min(200, len(everything)))
                await log(engine, points)
                everything += points
            assert await history(engine, page=random.choice((7_000, 100_000))) == places(everything)
            await compactor.compact(RUN, ended=random.random() < 0.2)
            await expect(engine, everything)

    play(database, story)


# Interruptions -----------------------------------------------------------------------------------


class Passing:
    """An engine that passes everything on; its children do something more when there is a write."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def read(self, work: Work[T]) -> T:
        return await self.engine.read(work)

    async def glance(self, work: Work[T]) -> T:
        return await self.engine.glance(work)

    async def write(self, work: Work[T], *, key: bytes = b"") -> T:
        return await self.engine.write(work, key=key)

    async def trouble(self) -> str | None:
        return await self.engine.trouble()

    async def close(self) -> None:
        await self.engine.close()


class Counting(Passing):
    writes = 0

    async def write(self, work: Work[T], *, key: bytes = b"") -> T:
        self.writes += 1
        return await super().write(work, key=key)


class FailingBefore(Passing):
    """The server dies, or its disk is full, between reading and writing."""

    async def write(self, work: Work[T], *, key: bytes = b"") -> T:
        raise TemporarilyUnavailable("The disk is full.")


class FailingAfter(Passing):
    """The server dies before it learns that it has written."""

    async def write(self, work: Work[T], *, key: bytes = b"") -> T:
        await super().write(work, key=key)
        raise TemporarilyUnavailable("Nobody was there to hear the answer.")


class Overtaken(Passing):
    """Somebody else is faster, once: with a write, or with the same compaction."""

    def __init__(self, engine: Engine, *, by_compaction: bool) -> None:
        super().__init__(engine)
        self.by_compaction = by_compaction
        self.writes = 0

    async def write(self, work: Work[T], *, key: bytes = b"") -> T:
        self.writes += 1
        if self.writes == 1:
            await log(self.engine, steps(5_000, 10))
            if self.by_compaction:
                await Compactor(self.engine).compact(RUN, ended=False)
        return await super().write(work, key=key)


@pytest.mark.parametrize("failing", [FailingBefore, FailingAfter])
def test_an_interrupted_compaction_is_simply_done_again(database: str, failing: type[Passing]):
    async def story(engine: Engine) -> None:
        await log(engine, steps(0, 9_000))
        await Compactor(engine).compact(RUN, ended=False)
        everything = [*steps(0, 9_000), (4_000, 3, 3.0), *steps(9_000, 100)]
        await log(engine, everything[9_000:])
        for _ in range(3):
            if await log_rows(engine):
                with pytest.raises(TemporarilyUnavailable):
                    await Compactor(failing(engine)).compact(RUN, ended=False)
            assert await history(engine) == places(everything)
        await Compactor(engine).compact(RUN, ended=False)
        await expect(engine, everything)

    play(database, story)


@pytest.mark.parametrize("by_compaction", [False, True])
def test_a_compaction_that_was_overtaken_begins_again(database: str, *, by_compaction: bool):
    async def story(engine: Engine) -> None:
        await log(engine, steps(0, 100))
        everything = [*steps(0, 100), *steps(5_000, 10)]
        await Compactor(Overtaken(engine, by_compaction=by_compaction)).compact(RUN, ended=False)
        assert await history(engine) == places(everything)
        await Compactor(engine).compact(RUN, ended=False)
        await expect(engine, everything)

    play(database, story)


def test_two_compactions_of_one_run_at_once_lose_nothing(database: str):
    async def story(engine: Engine) -> None:
        everything: list[Point] = []
        for n in range(10):
            points = [(time, step, value + n) for time, step, value in steps(n * 50, 200)]
            await log(engine, points)
            everything += points
            compactor = Compactor(engine)
            await asyncio.gather(*(compactor.compact(RUN, ended=False) for _ in range(4)))
            await expect(engine, everything)

    play(database, story)


def test_readers_see_every_point_while_it_moves(database: str):
    async def story(engine: Engine) -> None:
        everything: list[Point] = []

        async def keep_reading() -> int:
            count = 0
            while len(everything) < 8_000:
                certain = len(everything)
                found = await history(engine)
                assert len(set(found)) == len(found) >= certain
                count += 1
            return count

        reading = asyncio.create_task(keep_reading())
        for n in range(80):
            await log(engine, steps(n * 100, 100))
            everything += steps(n * 100, 100)
            await Compactor(engine).compact(RUN, ended=n % 10 == 9)
        assert await reading > 3

    play(database, story)


# In the background -------------------------------------------------------------------------------


@asynccontextmanager
async def running(engine: Engine) -> AsyncGenerator[Compactor]:
    compactor = Compactor(engine)
    compactor.start()
    try:
        yield compactor
    finally:
        await compactor.stop()


async def until_compacted(engine: Engine, run: bytes = RUN) -> None:
    deadline = time.monotonic() + 20
    while await log_rows(engine, run):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("rows", "points"),
    [
        (ROWS_AND_POINTS[0], ROWS_AND_POINTS[1] // ROWS_AND_POINTS[0]),
        (ROWS_ALONE, 1),
        (4, POINTS_ALONE // 4),
    ],
    ids=["rows and points", "rows", "points"],
)
def test_a_run_is_compacted_when_its_log_has_grown(database: str, rows: int, points: int):
    async def story(engine: Engine) -> None:
        async with running(engine) as compactor:
            batches = [steps(n * points, points) for n in range(rows)]
            *written, last = await asyncio.gather(*(log(engine, batch) for batch in batches))
            for row in written:
                compactor.logged(RUN, points, row)
            await asyncio.sleep(0.05)
            assert await log_rows(engine) == rows
            compactor.logged(RUN, points, last)
            await until_compacted(engine)
        await expect(engine, steps(0, rows * points))

    play(database, story)


def test_a_run_is_compacted_when_it_ends(database: str):
    async def story(engine: Engine) -> None:
        async with running(engine) as compactor:
            compactor.logged(RUN, 1, await log(engine, steps(0, 1)))
            compactor.ended(RUN)
            await until_compacted(engine)
        await expect(engine, steps(0, 1))

    play(database, story)


@pytest.mark.parametrize(("known", "reads"), [(4, 0), (3, 1), (0, 1)])
def test_what_this_server_just_wrote_is_not_read_back(database: str, known: int, reads: int):
    """Unless another one wrote to the same run."""

    async def story(engine: Engine) -> None:
        rows = [await log(engine, steps(n * 10, 10)) for n in range(4)]
        counting = CountingEngine(engine)
        compactor = Compactor(counting)
        for row in rows[:known]:
            compactor.logged(RUN, 10, row)
        await compactor.compact(RUN, ended=True)
        asked = [sql for sql in counting.asked if sql.startswith("SELECT payload FROM metric_log")]
        assert len(asked) == reads
        await expect(engine, steps(0, 40))

    play(database, story)


def test_of_what_was_written_a_bounded_part_is_remembered(database: str):
    runs = [bytes([number]) * 16 for number in range(3)]
    half = steps(0, (WRITTEN_BYTES_MAX // 2 - ROW_BYTES) // 28)

    async def story(engine: Engine) -> None:
        counting = CountingEngine(engine)
        compactor = Compactor(counting)
        for run in runs:
            compactor.logged(run, len(half), await log(engine, half, run=run))
        del counting.asked[:]
        reads: list[int] = []
        for run in runs:
            await compactor.compact(run, ended=True)
            reads.append(sum("SELECT payload FROM metric_log" in sql for sql in counting.asked))
            del counting.asked[:]
        assert reads == [1, 0, 0]

    play(database, story)


def test_what_an_earlier_server_left_is_compacted_when_it_is_old(database: str):
    old = now_us() - (OLD_AFTER_S + 5) * 1_000_000
    young = bytes(16)

    async def story(engine: Engine) -> None:
        await log(engine, steps(0, 10), seq=old)
        await log(engine, steps(10, 10))
        await log(engine, steps(0, 10), run=young)
        async with running(engine):
            await until_compacted(engine)
        await expect(engine, steps(0, 20))
        assert await log_rows(engine, young) == 1

    play(database, story)


@pytest.mark.parametrize("error", [TemporarilyUnavailable("The disk is full."), ConflictError()])
def test_a_compaction_that_fails_does_not_end_all_others(database: str, error: Exception):
    other = bytes(16)

    class FailingOnce(Passing):
        failures = 0

        async def write(self, work: Work[T], *, key: bytes = b"") -> T:
            if not self.failures:
                self.failures += 1
                raise error
            return await super().write(work, key=key)

    async def story(engine: Engine) -> None:
        await log(engine, steps(0, 10))
        await log(engine, steps(0, 10), run=other)
        async with running(FailingOnce(engine)) as compactor:
            compactor.ended(RUN)
            compactor.ended(other)
            await until_compacted(engine, other)
            assert await log_rows(engine) == 1
            compactor.ended(RUN)
            await until_compacted(engine)
        await expect(engine, steps(0, 10))

    play(database, story)
