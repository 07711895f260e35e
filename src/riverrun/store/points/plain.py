"""Arithmetic on points with the standard library: the reference, and the faster for few points."""

import math
import struct
import sys
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, compress, islice
from operator import lt, sub

from riverrun.store.points.columns import (
    Extremes,
    Integers,
    PackedLog,
    Place,
    Points,
)

NEGATIVE_ZERO = struct.pack("<d", -0.0)
TWO_TO_63 = 1 << 63
MASK_64 = (1 << 64) - 1


def is_normal(values: Iterable[float], packed: bytes, *, start: int = 0) -> bool:
    """Whether `values`, packed from `start` on, surely hold neither NaN nor -0.0.

    False may be a false alarm (inf - inf, a zero between two numbers): normalising is harmless.
    """
    return not math.isnan(sum(values)) and packed.find(NEGATIVE_ZERO, start) < 0


def normalised(values: Iterable[float]) -> list[float]:
    """Every NaN as the one quiet NaN, -0.0 as 0.0."""
    return [math.nan if math.isnan(value) else value + 0.0 for value in values]


def unpack_log(packed: PackedLog) -> tuple[Integers, Points]:
    points = Points(
        steps=_integers("q", packed.steps),
        timestamps=_integers("q", packed.timestamps),
        values=_floats(packed.values),
    )
    return _integers("i", packed.key_ids), points


def select(key_ids: Integers, points: Points, key_id: int) -> Points:
    chosen = [each == key_id for each in key_ids.tolist()]
    if all(chosen):
        return points
    return Points.of(
        steps=compress(points.steps, chosen),
        timestamps=compress(points.timestamps, chosen),
        values=compress(points.values, chosen),
    )


def by_key(key_ids: Integers, points: Points) -> dict[int, Points]:
    indexes: defaultdict[int, list[int]] = defaultdict(list)
    for index, key_id in enumerate(key_ids.tolist()):
        indexes[key_id].append(index)
    return {key_id: points.take(indexes[key_id]) for key_id in sorted(indexes)}


def merge(parts: Sequence[Points]) -> Points:
    points = _concatenate(parts)
    if _is_ascending(points):
        return points
    places = sorted(set(_places(points)))
    return Points.of(
        steps=[step for _, step, _, _ in places],
        timestamps=[timestamp for timestamp, _, _, _ in places],
        values=[math.nan if is_nan else value for _, _, value, is_nan in places],
    )


def by_step(points: Points) -> Points:
    steps = points.steps.tolist()
    if steps == sorted(steps):
        return points
    return points.take(sorted(range(len(steps)), key=steps.__getitem__))


def extremes(points: Points) -> Extremes:
    steps, values = points.steps.tolist(), points.values.tolist()
    # The sum tells in one call that there is no NaN, which is the common case.
    if math.isnan(sum(values)):
        numbers = [value for value in values if not math.isnan(value)]
    else:
        numbers = values
    return Extremes(
        min_step=min(steps),
        max_step=max(steps),
        nan_points=len(values) - len(numbers),
        lowest=values.index(min(numbers)) if numbers else None,
        highest=values.index(max(numbers)) if numbers else None,
    )


def to_planes(points: Points) -> bytes:
    columns = (
        _deltas(points.timestamps),
        _deltas(points.steps),
        _packed(_normal(points.values.tolist())),
    )
    return b"".join(column[plane::8] for column in columns for plane in range(8))


def from_planes(raw: bytes, count: int) -> Points:
    timestamps, steps, values = (_interleaved(raw, column, count) for column in range(3))
    return Points(_running_sums(steps), _running_sums(timestamps), _floats(values))


def _integers(typecode: str, packed: bytes | bytearray) -> "array[int]":
    numbers = array(typecode, packed)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _floats(packed: bytes | bytearray) -> "array[float]":
    numbers = array("d", packed)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _packed(numbers: "array[int] | array[float]") -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def _normal(values: Iterable[float]) -> "array[float]":
    numbers = array("d", values)
    if is_normal(numbers, _packed(numbers)):
        return numbers
    return array("d", normalised(numbers))


def _concatenate(parts: Sequence[Points]) -> Points:
    return Points(
        steps=array("q", chain.from_iterable(part.steps.tolist() for part in parts)),
        timestamps=array("q", chain.from_iterable(part.timestamps.tolist() for part in parts)),
        values=_normal(chain.from_iterable(part.values.tolist() for part in parts)),
    )


def _is_ascending(points: Points) -> bool:
    moments = list(zip(points.timestamps, points.steps, strict=True))
    return all(map(lt, moments, islice(moments, 1, None)))


def _places(points: Points) -> Iterable[Place]:
    for timestamp, step, value in zip(points.timestamps, points.steps, points.values, strict=True):
        is_nan = math.isnan(value)
        yield timestamp, step, 0.0 if is_nan else value, is_nan


def _deltas(column: Integers) -> bytes:
    numbers = column.tolist()
    deltas = list(map(sub, numbers, [0, *numbers[:-1]]))
    try:
        return _packed(array("q", deltas))
    except OverflowError:
        return _packed(array("Q", [delta & MASK_64 for delta in deltas]))


def _running_sums(packed: bytearray) -> "array[int]":
    sums = list(accumulate(_integers("q", packed)))
    try:
        return array("q", sums)
    except OverflowError:
        return array("q", [(each + TWO_TO_63 & MASK_64) - TWO_TO_63 for each in sums])


def _interleaved(raw: bytes, column: int, count: int) -> bytearray:
    words = bytearray(8 * count)
    for plane in range(8):
        start = (8 * column + plane) * count
        words[plane::8] = raw[start : start + count]
    return words
