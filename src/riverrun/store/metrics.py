"""Metric points: a log of what arrived together, chunks that the compactor makes of it, and the
latest values.

The history of a metric is a set of points (timestamp, step, value, is_nan). Writes check nothing: a
point that arrives twice is dropped when it is read and when it is compacted. `docs/metric-
format.md` has the payloads.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain, pairwise
from operator import attrgetter
from types import MappingProxyType

from riverrun.store.dialects import Changes
from riverrun.store.engine import Tx
from riverrun.store.points import (
    Chunk,
    Place,
    Points,
    bucket_starts,
    decode_chunks,
    decode_logs,
    merge,
    page,
    sample,
    within_steps,
)

LatestRow = tuple[int, float, int, int, int, float | None, float | None]
"""key_id, value, is_nan, timestamp, step, min_value, max_value. A NaN has value 0 here."""

_LATEST_COLUMNS = (
    "run_id",
    "experiment_id",
    "key_id",
    "value",
    "is_nan",
    "timestamp",
    "step",
    "min_value",
    "max_value",
)
_NEWER = "(new(step), new(timestamp), new(value)) > (old(step), old(timestamp), old(value))"
_SMALLER = "old(min_value) IS NULL OR new(min_value) < old(min_value)"
_LARGER = "old(max_value) IS NULL OR new(max_value) > old(max_value)"
# In the order that is right also where a change sees earlier ones: once the value is the new one, a
# point that is newer by its value alone no longer is; its step and timestamp are the old ones.
_LATEST_CHANGES: Changes = (
    ("is_nan", f"CASE WHEN {_NEWER} THEN new(is_nan) ELSE old(is_nan) END"),
    ("value", f"CASE WHEN {_NEWER} THEN new(value) ELSE old(value) END"),
    ("timestamp", f"CASE WHEN {_NEWER} THEN new(timestamp) ELSE old(timestamp) END"),
    ("step", f"CASE WHEN {_NEWER} THEN new(step) ELSE old(step) END"),
    ("min_value", f"CASE WHEN {_SMALLER} THEN new(min_value) ELSE old(min_value) END"),
    ("max_value", f"CASE WHEN {_LARGER} THEN new(max_value) ELSE old(max_value) END"),
)


LogRow = tuple[int, bytes]
"""seq, payload."""


async def append(tx: Tx, run_id: bytes, payload: bytes) -> LogRow:
    row = (tx.next_seq(), payload)
    await tx.execute_many(
        "INSERT INTO metric_log (run_id, seq, payload) VALUES (?, ?, ?)", [(run_id, *row)]
    )
    return row


async def upsert_latest(
    tx: Tx, run_id: bytes, experiment_id: int, rows: Iterable[LatestRow]
) -> None:
    """Upstream's rule: the greatest (step, timestamp, value) wins, a NaN counting as 0; equals
    change nothing.
    """
    upsert = tx.dialect.upsert(
        "latest_metrics", _LATEST_COLUMNS, key=("run_id", "key_id"), changes=_LATEST_CHANGES
    )
    await tx.execute_many(upsert, [(run_id, experiment_id, *row) for row in rows])


# Reading -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChunkPlace:
    """A chunk without its points. Chunks of one series never overlap in (timestamp, step)."""

    key_id: int
    chunk_id: int
    points: int
    first: tuple[int, int]
    last: tuple[int, int]
    steps: tuple[int, int]
    """The smallest and the largest step."""


async def chunk_places(tx: Tx, run_id: bytes, key_id: int | None = None) -> list[ChunkPlace]:
    """In the order of their points, series by series."""
    condition, binds = "", []
    if key_id is not None:
        condition, binds = " AND key_id = ?", [key_id]
    rows = await tx.fetch(
        "SELECT key_id, chunk_id, points, first_timestamp, first_step, last_timestamp, last_step, "
        "min_step, max_step "
        f"FROM metric_chunks WHERE run_id = ?{condition} "
        "ORDER BY key_id, first_timestamp, first_step, chunk_id",
        (run_id, *binds),
    )
    return [
        ChunkPlace(key, chunk, points, (first, first_step), (last, last_step), (low, high))
        for key, chunk, points, first, first_step, last, last_step, low, high in rows
    ]


async def chunk_points(tx: Tx, run_id: bytes, chunks: Sequence[ChunkPlace]) -> list[Points]:
    """The points of these chunks of one series, in the same order."""
    if not chunks:
        return []
    payloads: dict[int, bytes] = {}
    for start in range(0, len(chunks), 1_000):
        part = chunks[start : start + 1_000]
        wanted = tx.dialect.among("chunk_id", [chunk.chunk_id for chunk in part])
        payloads.update(
            await tx.fetch(  # pyright: ignore[reportArgumentType]
                "SELECT chunk_id, payload FROM metric_chunks "
                f"WHERE run_id = ? AND key_id = ? AND {wanted.text}",
                (run_id, part[0].key_id, *wanted.binds),
            )
        )
    return decode_chunks([(payloads[chunk.chunk_id], chunk.points) for chunk in chunks])


async def tail(tx: Tx, run_id: bytes, key_id: int) -> Points:
    """What is still in the log of one series, as it arrived."""
    rows = await tx.fetch("SELECT payload FROM metric_log WHERE run_id = ? ORDER BY seq", (run_id,))
    return decode_logs((payload for (payload,) in rows), key_id)


async def history_page(
    tx: Tx, run_id: bytes, key_id: int, *, after: Place | None, limit: int
) -> Points:
    """At most `limit` points behind `after`, by (timestamp, step, value, is_nan); reads only the
    chunks that it needs.
    """
    # A chunk that begins at the place of `after`, or earlier, may lie before it: its points do not
    # count for those that are certain to follow.
    place = after[:2] if after else ()
    certain = "CASE WHEN (first_timestamp, first_step) > (?, ?) THEN points ELSE 0 END"
    since = " AND (last_timestamp, last_step) >= (?, ?)"
    if not place:
        certain, since = "points", ""
    rows = await tx.fetch(
        "SELECT c.payload, c.points FROM (SELECT chunk_id, first_timestamp, first_step, "
        "coalesce(sum(certain) OVER (ORDER BY first_timestamp, first_step, chunk_id "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before_it "
        f"FROM (SELECT chunk_id, first_timestamp, first_step, {certain} AS certain "
        f"FROM metric_chunks WHERE run_id = ? AND key_id = ?{since}) AS x) AS p "
        "JOIN metric_chunks AS c ON c.run_id = ? AND c.key_id = ? AND c.chunk_id = p.chunk_id "
        "WHERE p.before_it <= ? ORDER BY p.first_timestamp, p.first_step, p.chunk_id",
        (*place, run_id, key_id, *place, run_id, key_id, limit),
    )
    parts = decode_chunks(rows)  # pyright: ignore[reportArgumentType]
    return page(merge([*parts, await tail(tx, run_id, key_id)]), after, limit)


async def sampled(
    tx: Tx, run_id: bytes, key_id: int, *, count: int, steps: tuple[int, int] | None
) -> Points:
    """At most `count` points by step as upstream samples them (see `points.sample`), of the given
    steps or all.

    Where the chunks follow each other in steps too, as a training loop makes them, they are decoded
    one at a time; else the whole series is.
    """
    chunks = await chunk_places(tx, run_id, key_id)
    rest = merge([await tail(tx, run_id, key_id)])
    first, last = steps or (None, None)
    if not _follow_each_other(chunks, rest):
        everything = merge([*await chunk_points(tx, run_id, chunks), rest])
        return sample(everything, count, start_step=first, end_step=last)
    reader = _StepReader(tx, run_id, [*chunks, rest])
    return await reader.sample(count, steps)


def _follow_each_other(chunks: Sequence[ChunkPlace], rest: Points) -> bool:
    """Whether every part begins at a later step, and place, than the one before it ends."""
    spans = [(chunk.steps, chunk.first, chunk.last) for chunk in chunks]
    if len(rest):
        span = (min(rest.steps), max(rest.steps))
        spans.append((span, rest.place(0)[:2], rest.place(-1)[:2]))
    return all(one[0][1] < two[0][0] and one[2] < two[1] for one, two in pairwise(spans))


class _StepReader:
    """Parts of a series that follow each other in steps: chunks and the tail."""

    def __init__(self, tx: Tx, run_id: bytes, parts: Sequence[ChunkPlace | Points]) -> None:
        self._tx = tx
        self._run_id = run_id
        self._parts = parts

    async def sample(self, count: int, steps: tuple[int, int] | None) -> Points:
        sizes = [await self._size(part, steps) for part in self._parts]
        wanted = bucket_starts(sum(sizes), count)
        taken: list[Points] = []
        before = position = 0
        for part, size in zip(self._parts, sizes, strict=True):
            end = bisect_left(wanted, before + size, lo=position)
            if end > position:
                points = await self._by_step(part, steps)
                taken.append(points.take([index - before for index in wanted[position:end]]))
            before, position = before + size, end
        return Points.of(
            steps=chain.from_iterable(points.steps for points in taken),
            timestamps=chain.from_iterable(points.timestamps for points in taken),
            values=chain.from_iterable(points.values for points in taken),
        )

    async def _size(self, part: ChunkPlace | Points, steps: tuple[int, int] | None) -> int:
        if isinstance(part, Points):
            return len(await self._by_step(part, steps))
        if steps is None or (steps[0] <= part.steps[0] and part.steps[1] <= steps[1]):
            return part.points
        if part.steps[1] < steps[0] or steps[1] < part.steps[0]:
            return 0
        return len(await self._by_step(part, steps))

    async def _by_step(self, part: ChunkPlace | Points, steps: tuple[int, int] | None) -> Points:
        if isinstance(part, ChunkPlace):
            (part,) = await chunk_points(self._tx, self._run_id, [part])
        return within_steps(part, steps)


# Compaction --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogSlice:
    """The oldest rows of a run's log."""

    last_seq: int
    rows: int
    payloads: list[bytes]
    is_all: bool


async def log_slice(
    tx: Tx, run_id: bytes, *, bytes_max: int, known: Mapping[int, bytes] = MappingProxyType({})
) -> LogSlice | None:
    """Rows from the oldest on, up to `bytes_max` of payload but one at least; None when the log is
    empty. If all payloads are among those that are `known`, by seq, none is read.
    """
    sizes = await tx.fetch(
        "SELECT seq, length(payload) FROM metric_log WHERE run_id = ? ORDER BY seq", (run_id,)
    )
    if not sizes:
        return None
    total = taken = 0
    for _, size in sizes:
        if taken and total + size > bytes_max:
            break
        total += size
        taken += 1
    last_seq = sizes[taken - 1][0]
    payloads = [known[seq] for seq, _ in sizes[:taken] if seq in known]
    if len(payloads) < taken:
        rows = await tx.fetch(
            "SELECT payload FROM metric_log WHERE run_id = ? AND seq <= ? ORDER BY seq",
            (run_id, last_seq),
        )
        payloads = [payload for (payload,) in rows]
    return LogSlice(last_seq, taken, payloads, taken == len(sizes))


async def log_rows(tx: Tx, run_id: bytes, last_seq: int) -> int:
    """How many rows the log has up to this one."""
    rows = await tx.fetch(
        "SELECT count(*) FROM metric_log WHERE run_id = ? AND seq <= ?", (run_id, last_seq)
    )
    return rows[0][0]


async def delete_log(tx: Tx, run_id: bytes, last_seq: int) -> None:
    await tx.execute("DELETE FROM metric_log WHERE run_id = ? AND seq <= ?", (run_id, last_seq))


async def chunk_ids(tx: Tx, run_id: bytes) -> set[tuple[int, int]]:
    """The keys and ids of all chunks of a run."""
    return set(  # pyright: ignore[reportReturnType]
        await tx.fetch("SELECT key_id, chunk_id FROM metric_chunks WHERE run_id = ?", (run_id,))
    )


async def delete_chunks(tx: Tx, run_id: bytes, chunks: Iterable[ChunkPlace]) -> None:
    await tx.execute_many(
        "DELETE FROM metric_chunks WHERE run_id = ? AND key_id = ? AND chunk_id = ?",
        [(run_id, chunk.key_id, chunk.chunk_id) for chunk in chunks],
    )


_CHUNK_COLUMNS = [field.name for field in fields(Chunk)]
_chunk_row = attrgetter(*_CHUNK_COLUMNS)
_INSERT_CHUNK = (
    f"INSERT INTO metric_chunks (run_id, key_id, chunk_id, {', '.join(_CHUNK_COLUMNS)}) "
    f"VALUES ({', '.join('?' * (3 + len(_CHUNK_COLUMNS)))})"
)


async def insert_chunks(tx: Tx, run_id: bytes, chunks: Iterable[tuple[int, Chunk]]) -> None:
    """Chunks with their keys, those of one series in the order of their points."""
    await tx.execute_many(
        _INSERT_CHUNK,
        [(run_id, key_id, tx.next_seq(), *_chunk_row(chunk)) for key_id, chunk in chunks],
    )


async def runs_with_log(tx: Tx, *, before_seq: int, limit: int) -> list[bytes]:
    """Runs whose oldest log row is older than `before_seq`."""
    rows = await tx.fetch(
        "SELECT run_id FROM metric_log GROUP BY run_id HAVING min(seq) < ? LIMIT ?",
        (before_seq, limit),
    )
    return [run_id for (run_id,) in rows]
