"""Arithmetic on points with numpy. Imported only through `arithmetic_for`."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from riverrun.store.points.columns import Extremes, Floats, Integers, PackedLog, Points

Int64s: TypeAlias = NDArray[np.int64]
Float64s: TypeAlias = NDArray[np.float64]


def unpack_log(packed: PackedLog) -> tuple[Integers, Points]:
    points = Points(
        steps=np.frombuffer(packed.steps, "<i8").astype(np.int64, copy=False),
        timestamps=np.frombuffer(packed.timestamps, "<i8").astype(np.int64, copy=False),
        values=np.frombuffer(packed.values, "<f8").astype(np.float64, copy=False),
    )
    return np.frombuffer(packed.key_ids, "<i4").astype(np.int32, copy=False), points


def select(key_ids: Integers, points: Points, key_id: int) -> Points:
    return _take(points, np.flatnonzero(np.asarray(key_ids) == key_id))


def by_key(key_ids: Integers, points: Points) -> dict[int, Points]:
    keys = np.asarray(key_ids)
    order = np.argsort(keys, kind="stable")
    keys, points = keys[order], _take(points, order)
    names, starts = np.unique(keys, return_index=True)
    bounds = pairwise([*starts.tolist(), len(keys)])
    return {
        name: points[start:end] for name, (start, end) in zip(names.tolist(), bounds, strict=True)
    }


def merge(parts: Sequence[Points]) -> Points:
    points = _concatenate(parts)
    steps, timestamps, values = _columns(points)
    if _is_ascending(timestamps, steps):
        return points
    is_nan = np.isnan(values)
    order = np.lexsort((is_nan, np.where(is_nan, 0.0, values), steps, timestamps))
    points = _take(points, order)
    return _take(points, np.flatnonzero(_is_new(points)))


def by_step(points: Points) -> Points:
    steps = _int64s(points.steps)
    if bool((steps[1:] >= steps[:-1]).all()):
        return points
    return _take(points, np.argsort(steps, kind="stable"))


def extremes(points: Points) -> Extremes:
    steps, _, values = _columns(points)
    numbers = np.flatnonzero(~np.isnan(values))
    return Extremes(
        min_step=int(steps.min()),
        max_step=int(steps.max()),
        nan_points=len(values) - len(numbers),
        lowest=int(numbers[values[numbers].argmin()]) if len(numbers) else None,
        highest=int(numbers[values[numbers].argmax()]) if len(numbers) else None,
    )


def to_planes(points: Points) -> bytes:
    steps, timestamps, values = _columns(points)
    words = np.empty((3, len(points)), "<u8")
    words[0] = _deltas(timestamps)
    words[1] = _deltas(steps)
    words[2] = _normalise(values.copy()).view(np.uint64)
    return words.view(np.uint8).reshape(3, len(points), 8).transpose(0, 2, 1).tobytes()


def from_planes(raw: bytes, count: int) -> Points:
    planes = np.frombuffer(raw, np.uint8).reshape(3, 8, count).transpose(0, 2, 1)
    words = np.ascontiguousarray(planes).view("<u8").reshape(3, count)
    words = words.astype(np.uint64, copy=False)
    return Points(
        steps=np.cumsum(words[1], dtype=np.uint64).view(np.int64),
        timestamps=np.cumsum(words[0], dtype=np.uint64).view(np.int64),
        values=words[2].view(np.float64),
    )


def _int64s(column: Integers) -> Int64s:
    return np.asarray(column, np.int64)


def _float64s(column: Floats) -> Float64s:
    return np.asarray(column, np.float64)


def _columns(points: Points) -> tuple[Int64s, Int64s, Float64s]:
    return _int64s(points.steps), _int64s(points.timestamps), _float64s(points.values)


def _take(points: Points, indexes: NDArray[np.intp]) -> Points:
    steps, timestamps, values = _columns(points)
    return Points(steps[indexes], timestamps[indexes], values[indexes])


def _concatenate(parts: Sequence[Points]) -> Points:
    nothing = np.empty(0, np.int64)
    values = [_float64s(part.values) for part in parts]
    return Points(
        steps=np.concatenate([nothing, *(_int64s(part.steps) for part in parts)]),
        timestamps=np.concatenate([nothing, *(_int64s(part.timestamps) for part in parts)]),
        values=_normalise(np.concatenate([np.empty(0), *values])),
    )


def _normalise(values: Float64s) -> Float64s:
    """In place, to spare a million points two copies."""
    # First the NaN: adding to a signalling one would raise a floating-point warning.
    values[np.isnan(values)] = np.nan
    values += 0.0
    return values


def _deltas(column: Int64s) -> NDArray[np.uint64]:
    return np.diff(column.view(np.uint64), prepend=np.uint64(0))


def _is_ascending(timestamps: Int64s, steps: Int64s) -> bool:
    later = timestamps[1:] > timestamps[:-1]
    same = timestamps[1:] == timestamps[:-1]
    return bool((later | (same & (steps[1:] > steps[:-1]))).all())


def _is_new(points: Points) -> NDArray[np.bool_]:
    """Which of sorted, normalised points differ from the one before: by bits, as NaN != NaN."""
    steps, timestamps, values = _columns(points)
    is_new = np.zeros(len(points), np.bool_)
    is_new[:1] = True
    for column in (steps, timestamps, values.view(np.int64)):
        is_new[1:] |= column[1:] != column[:-1]
    return is_new
