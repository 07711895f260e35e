"""Turns the logs of runs into chunks, in the background, one run at a time.

A run is compacted when its log has grown, when it ends, or when the log's oldest row is some
minutes old. The counters that decide, and the rows that were written last, are hints kept in
memory; the log is the truth, and a sweep finds what they missed.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from riverrun.clock import now_us
from riverrun.errors import TrackingError
from riverrun.obs.logs import Log
from riverrun.services.background import Background
from riverrun.store import metrics, runs
from riverrun.store.engine import ConflictError, Engine, Tx
from riverrun.store.metrics import ChunkPlace, LogRow
from riverrun.store.points import Chunk, Points, cut, decode_logs_by_key, encode_chunk, merge

ROWS_AND_POINTS = (500, 5_000)
"""Log rows and points that together are worth a compaction,"""
ROWS_ALONE = 2_000
"""rows that are whatever they hold,"""
POINTS_ALONE = 32_000
"""and points that are however they came."""
SLICE_BYTES = 28 * 2 * POINTS_ALONE
"""Log read in one go, so that a backlog is worked off in steps of bounded memory and short
transactions.
"""
SMALL_CHUNK_POINTS = 2_000
SMALL_CHUNKS_MAX = 8
MERGED_POINTS = 4_000
"""Small chunks at the end of a series are merged when there are so many, when they hold so much, or
when the run ends.
"""
SWEEP_EVERY_S = 30
OLD_AFTER_S = 600
WRITTEN_BYTES_MAX = 8 * 1024 * 1024
"""Of the log's newest rows, kept in memory."""
ROW_BYTES = 200
"""What a row takes there besides its payload."""
SWEEP_RUNS_MAX = 1_000
SWEEP_PAUSE_S = 0.03
"""Between two runs of a sweep, which nobody waits for: it must not slow down who asks meanwhile."""

log = Log("riverrun.compaction")


@dataclass(slots=True)
class _Backlog:
    rows: int = 0
    points: int = 0

    def is_due(self) -> bool:
        rows, points = ROWS_AND_POINTS
        return (
            (self.rows >= rows and self.points >= points)
            or self.rows >= ROWS_ALONE
            or self.points >= POINTS_ALONE
        )


class _Written:
    """The newest rows of the log, so that they need not be read back: hints, too, of bounded size.

    A row is known by its run and seq, and never changes.
    """

    def __init__(self) -> None:
        self._rows: defaultdict[bytes, dict[int, bytes]] = defaultdict(dict)
        """By run, in the order in which the runs came."""
        self._bytes = 0

    def add(self, run_id: bytes, row: LogRow) -> None:
        seq, payload = row
        self._rows[run_id][seq] = payload
        self._bytes += ROW_BYTES + len(payload)
        while self._bytes > WRITTEN_BYTES_MAX:
            self.pop(next(iter(self._rows)))

    def pop(self, run_id: bytes) -> dict[int, bytes]:
        """The rows of a run, which are forgotten."""
        rows = self._rows.pop(run_id, {})
        self._bytes -= sum(ROW_BYTES + len(payload) for payload in rows.values())
        return rows


@dataclass(frozen=True, slots=True)
class _Plan:
    """What becomes of the oldest rows of a run's log, unless they or the chunks change before."""

    last_seq: int
    rows: int
    chunk_ids: set[tuple[int, int]]
    old: list[ChunkPlace]
    new: list[tuple[int, Chunk]]
    is_all: bool


class Compactor:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._backlogs: defaultdict[bytes, _Backlog] = defaultdict(_Backlog)
        self._written = _Written()
        self._due: dict[bytes, bool] = {}
        """Runs to compact, in order of arrival, and whether they have ended."""
        self._wake = asyncio.Event()
        self._background = Background(self._work, self._sweep)

    def start(self) -> None:
        self._background.start()

    async def stop(self) -> None:
        await self._background.stop()

    def logged(self, run_id: bytes, points: int, row: LogRow) -> None:
        """Called after each committed write of metrics, with what it added to the log."""
        self._written.add(run_id, row)
        backlog = self._backlogs[run_id]
        backlog.rows += 1
        backlog.points += points
        if backlog.is_due():
            self._enqueue(run_id, ended=False)

    def ended(self, run_id: bytes) -> None:
        """Called when a run's status says that it is over."""
        self._enqueue(run_id, ended=True)

    def _enqueue(self, run_id: bytes, *, ended: bool) -> None:
        self._due[run_id] = self._due.get(run_id, False) or ended
        self._wake.set()

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            while self._due:
                run_id = next(iter(self._due))
                ended = self._due.pop(run_id)
                try:
                    await self.compact(run_id, ended=ended)
                except (TrackingError, ConflictError) as error:
                    log.error("compaction failed", run_id=run_id.hex(), reason=str(error))
                    await asyncio.sleep(1)
            self._wake.clear()

    async def _sweep(self) -> None:
        """Finds runs that nobody logs to any more, and what a stopped server left behind."""
        while True:
            old = now_us() - OLD_AFTER_S * 1_000_000
            try:
                runs = await self._engine.read(
                    lambda tx, old=old: metrics.runs_with_log(
                        tx, before_seq=old, limit=SWEEP_RUNS_MAX
                    )
                )
            except TrackingError as error:
                log.error("sweep failed", reason=error.message)
                runs = []
            for run_id in runs:
                self._enqueue(run_id, ended=False)
                await asyncio.sleep(SWEEP_PAUSE_S)
            await asyncio.sleep(SWEEP_EVERY_S)

    async def compact(self, run_id: bytes, *, ended: bool) -> None:
        """Empties the log of one run, slice by slice. Safe to be killed at any point, and while
        another server does the same.
        """
        self._backlogs.pop(run_id, None)
        known = self._written.pop(run_id)
        while True:
            plan = await self._engine.read(lambda tx: _plan(tx, run_id, known, ended=ended))
            if plan is None:
                return
            is_done = await self._engine.write(
                lambda tx, plan=plan: _apply(tx, run_id, plan), key=run_id
            )
            if is_done and plan.is_all:
                return


async def _plan(tx: Tx, run_id: bytes, known: Mapping[int, bytes], *, ended: bool) -> _Plan | None:
    log = await metrics.log_slice(tx, run_id, bytes_max=SLICE_BYTES, known=known)
    if log is None:
        return None
    chunks: defaultdict[int, list[ChunkPlace]] = defaultdict(list)
    places = await metrics.chunk_places(tx, run_id)
    for chunk in places:
        chunks[chunk.key_id].append(chunk)
    old: list[ChunkPlace] = []
    new: list[tuple[int, Chunk]] = []
    for key_id, arrived in decode_logs_by_key(log.payloads).items():
        points = merge([arrived])
        touched = _touched(chunks[key_id], points, ended=ended)
        if touched:
            points = merge([*await metrics.chunk_points(tx, run_id, touched), points])
        old.extend(touched)
        new.extend((key_id, encode_chunk(piece)) for piece in cut(points))
    chunk_ids = {(chunk.key_id, chunk.chunk_id) for chunk in places}
    return _Plan(log.last_seq, log.rows, chunk_ids, old, new, log.is_all)


async def _apply(tx: Tx, run_id: bytes, plan: _Plan) -> bool:
    """False when the plan is out of date: then nothing was changed.

    Whoever writes to the log or to the chunks holds the run. Each compaction makes a chunk: while
    these are the same, none took rows away. Writers may have added some before the last one.
    """
    await runs.take(tx, run_id)
    if await metrics.chunk_ids(tx, run_id) != plan.chunk_ids:
        return False
    if await metrics.log_rows(tx, run_id, plan.last_seq) != plan.rows:
        return False
    await metrics.delete_log(tx, run_id, plan.last_seq)
    await metrics.delete_chunks(tx, run_id, plan.old)
    await metrics.insert_chunks(tx, run_id, plan.new)
    return True


def _touched(chunks: list[ChunkPlace], points: Points, *, ended: bool) -> list[ChunkPlace]:
    """The chunks of one series to rewrite together with new points, a run of neighbours.

    All that the new points fall into, so that chunks never overlap; and small ones at the end, if
    it is time.
    """
    first, last = points.place(0)[:2], points.place(-1)[:2]
    start = next((n for n, chunk in enumerate(chunks) if chunk.last >= first), len(chunks))
    end = next((n for n, chunk in enumerate(chunks) if chunk.first > last), len(chunks))
    if end == len(chunks):
        start = min(start, _small_tail(chunks[:start], len(points), ended=ended))
    return chunks[start:end]


def _small_tail(chunks: list[ChunkPlace], arriving: int, *, ended: bool) -> int:
    """Where the small chunks at the end begin, if they are to be merged now; else the end."""
    start = len(chunks)
    held = arriving
    while start and chunks[start - 1].points < SMALL_CHUNK_POINTS:
        start -= 1
        held += chunks[start].points
    count = len(chunks) - start
    is_time = ended or count + 1 >= SMALL_CHUNKS_MAX or held >= MERGED_POINTS
    return start if is_time else len(chunks)
