"""Metric points of one write, as columns, checked and normalised."""

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan
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
        values = (
            [0.0 if isnan(value) else value for value in self.values]
            if self.has_nan
            else self.values
        )
        nans = [isnan(value) for value in self.values] if self.has_nan else [False] * len(values)
        # Sorted, the last of each key is the greatest (step, timestamp, value): upstream's rule.
        ranked = sorted(zip(self.steps, self.timestamps, values, self.keys, nans, strict=True))
        newest = {row[3]: row for row in ranked}
        numbers: defaultdict[str, list[float]] = defaultdict(list)
        for key, value in zip(self.keys, self.values, strict=True):
            numbers[key].append(value)
        if self.has_nan:
            for key, given in numbers.items():
                numbers[key] = [value for value in given if not isnan(value)]
        return sorted(
            (
                ids[key],
                value,
                int(is_nan),
                timestamp,
                step,
                min(numbers[key], default=None),
                max(numbers[key], default=None),
            )
            for key, (step, timestamp, value, _, is_nan) in newest.items()
        )


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
