"""Metric points of one write, as columns, checked and normalised."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan
from operator import attrgetter, itemgetter
from typing import Protocol

from riverrun.errors import InvalidParameterValue
from riverrun.services import limits, names
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
    @property
    def model_id(self) -> str | None: ...
    @property
    def dataset_name(self) -> str | None: ...
    @property
    def dataset_digest(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class ModelPoint:
    """A point of the batch that also measures a logged model, on a dataset if that has a name."""

    index: int
    model_id: bytes
    dataset_name: str
    dataset_digest: str


@dataclass(frozen=True, slots=True)
class MetricBatch:
    """Columns of equal length. `values` may hold NaN, never an infinity or a minus zero."""

    keys: list[str]
    period: int
    """After how many points the keys repeat, all in the same order: a training loop's batches do,
    and are taken apart by slices. The number of points when they do not.
    """
    steps: list[int]
    timestamps: list[int]
    values: list[float]
    has_nan: bool
    of_models: Sequence[ModelPoint] = ()

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def names(self) -> set[str]:
        return set(self.keys[: self.period])

    def payload(self, ids: Mapping[str, int]) -> bytes:
        """What the metric log stores."""
        key_ids = [ids[key] for key in self.keys[: self.period]]
        times = len(self.keys) // self.period
        return encode_log(key_ids * times, self.steps, self.timestamps, self.values)

    def latest(self, ids: Mapping[str, int]) -> list[LatestRow]:
        """The newest value of each key with its extremes, by key id."""
        summary = _latest_with_nan if self.has_nan else _latest
        return sorted(summary(ids[key], series) for key, series in self._series())

    def _series(self) -> Iterator[tuple[str, "_Series"]]:
        """The points of each key, in their order."""
        if self.period < len(self.keys):
            for index, key in enumerate(self.keys[: self.period]):
                part = slice(index, None, self.period)
                yield key, (self.steps[part], self.timestamps[part], self.values[part])
            return
        places: dict[str, list[tuple[int, int, float]]] = {}
        points = zip(self.steps, self.timestamps, self.values, strict=True)
        for key, place in zip(self.keys, points, strict=True):
            if key in places:
                places[key].append(place)
            else:
                places[key] = [place]
        for key, group in places.items():
            steps, timestamps, values = zip(*group, strict=True)
            yield key, (steps, timestamps, values)


_Series = tuple[Sequence[int], Sequence[int], Sequence[float]]
"""Steps, timestamps, values. The greatest of all three is the newest, which is upstream's rule."""


def _latest(key_id: int, series: _Series) -> LatestRow:
    steps, timestamps, values = series
    step, timestamp, value = steps[-1], timestamps[-1], values[-1]
    if len(steps) == 1:
        return key_id, value, 0, timestamp, step, value, value
    if step <= max(steps[:-1]):
        step, timestamp, value = max(zip(*series, strict=True))
    return key_id, value, 0, timestamp, step, min(values), max(values)


def _latest_with_nan(key_id: int, series: _Series) -> LatestRow:
    """A NaN counts as 0, but not towards the extremes; of equals the first is the newest."""
    ranked = [
        (step, at, 0.0 if isnan(value) else value, isnan(value))
        for step, at, value in zip(*series, strict=True)
    ]
    step, timestamp, value, is_nan = max(ranked, key=itemgetter(0, 1, 2))
    values = [value for value in series[2] if not isnan(value)]
    smallest, largest = min(values, default=None), max(values, default=None)
    return key_id, value, int(is_nan), timestamp, step, smallest, largest


def _period(keys: list[str]) -> int:
    try:
        period = keys.index(keys[0], 1)
    except (ValueError, IndexError):
        return len(keys)
    first = keys[:period]
    is_periodic = len(set(first)) == period and keys == first * (len(keys) // period)
    return period if is_periodic else len(keys)


def metric_batch(points: Sequence[Point]) -> MetricBatch:
    """Raises InvalidParameterValue for a bad key or a negative timestamp, naming the point."""
    keys = [point.key for point in points]
    period = _period(keys)
    for key in set(keys[:period]):
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
    values = [point.value + 0.0 for point in points]  # Minus zero is zero.
    has_nan = False
    if not isfinite(sum(values)):
        values = [
            max(-VALUE_MAX, min(VALUE_MAX, value)) if not isnan(value) else value
            for value in values
        ]
        has_nan = any(map(isnan, values))
    return MetricBatch(keys, period, steps, timestamps, values, has_nan, _of_models(points))


_MODEL_ID = attrgetter("model_id")


def _of_models(points: Sequence[Point]) -> Sequence[ModelPoint]:
    """Most batches name no model: they pay for one look at each point."""
    if not any(map(_MODEL_ID, points)):
        return ()
    return [_model_point(index, point) for index, point in enumerate(points) if point.model_id]


def _model_point(index: int, point: Point) -> ModelPoint:
    model_id = point.model_id or ""
    name, digest = point.dataset_name or "", point.dataset_digest or ""
    if not names.is_model_id(model_id):
        raise names.unknown_model(model_id)
    names.check_length(name, limits.DATASET_NAME_LENGTH_MAX, "dataset_name")
    names.check_length(digest, limits.DATASET_DIGEST_LENGTH_MAX, "dataset_digest")
    return ModelPoint(index, names.model_key(model_id), name, digest)
