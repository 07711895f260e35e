"""Metric points of one write, as columns, checked and normalised."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan
from operator import itemgetter
from typing import Protocol

from riverrun.errors import InvalidParameterValue
from riverrun.services import names
from riverrun.store.metrics import LatestRow
from riverrun.store.points import encode_log

VALUE_MAX = sys.float_info.max
"""Infinity is stored as the largest double, which is what upstream's clients read back."""


class Point(Protocol):
    """A point as a client gave it."""

    @property
    def key(self) -> str: ...
    @property
    def value(self) -> float: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def step(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class MetricBatch:
    """Columns of equal length. `values` may hold NaN, never an infinity."""

    keys: list[str]
    steps: list[int]
    timestamps: list[int]
    values: list[float]
    has_nan: bool

    def __len__(self) -> int:
        return len(self.keys)

    def payload(self, ids: Mapping[str, int]) -> bytes:
        """What the metric log stores."""
        return encode_log([ids[key] for key in self.keys], self.steps, self.timestamps, self.values)

    def latest(self, ids: Mapping[str, int]) -> list[LatestRow]:
        """The newest value of each key with its extremes, by key id."""
        groups: dict[str, list[_Place]] = {}
        places = zip(self.steps, self.timestamps, self.values, strict=True)
        for key, place in zip(self.keys, places, strict=True):
            if key in groups:
                groups[key].append(place)
            else:
                groups[key] = [place]
        summary = _latest_with_nan if self.has_nan else _latest
        return sorted(summary(ids[key], group) for key, group in groups.items())


_Place = tuple[int, int, float]
"""Step, timestamp, value: the greatest is the newest, which is upstream's rule."""


def _latest(key_id: int, group: list[_Place]) -> LatestRow:
    if len(group) == 1:
        step, timestamp, value = group[0]
        return key_id, value, 0, timestamp, step, value, value
    step, timestamp, value = max(group)
    values = [place[2] for place in group]
    return key_id, value, 0, timestamp, step, min(values), max(values)


def _latest_with_nan(key_id: int, group: list[_Place]) -> LatestRow:
    """A NaN counts as 0, but not towards the extremes; of equals the first is the newest."""
    ranked = [(step, at, 0.0 if isnan(value) else value, isnan(value)) for step, at, value in group]
    step, timestamp, value, is_nan = max(ranked, key=itemgetter(0, 1, 2))
    values = [place[2] for place in group if not isnan(place[2])]
    smallest, largest = min(values, default=None), max(values, default=None)
    return key_id, value, int(is_nan), timestamp, step, smallest, largest


def metric_batch(points: Sequence[Point]) -> MetricBatch:
    """Raises InvalidParameterValue for a bad key or a negative timestamp, naming the point."""
    keys = [point.key for point in points]
    for key in set(keys):
        names.check_key(key, what="Metric")
    timestamps = [point.timestamp for point in points]
    if min(timestamps, default=0) < 0:
        point = next(point for point in points if point.timestamp < 0)
        raise InvalidParameterValue(
            f"Invalid value {point.timestamp} for parameter 'timestamp' supplied: metric "
            f"'{point.key}' (value={point.value}). Timestamp must be a nonnegative long "
            "(64-bit integer) "
        )
    steps = [point.step or 0 for point in points]
    values = [point.value for point in points]
    has_nan = False
    if not isfinite(sum(values)):
        values = [
            max(-VALUE_MAX, min(VALUE_MAX, value)) if not isnan(value) else value
            for value in values
        ]
        has_nan = any(map(isnan, values))
    return MetricBatch(keys, steps, timestamps, values, has_nan)
