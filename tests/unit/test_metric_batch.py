"""Columns of a batch, however its keys are arranged, say what its points say one by one."""

from itertools import groupby
from math import isnan, nan

from hypothesis import example, given
from hypothesis import strategies as st

from riverrun.services.metric_batch import metric_batch
from riverrun.store.points import decode_log
from riverrun.wire.messages.runs import MetricInput

IDS = {"a": 7, "b": 3, "c": 5}
NUMBERS = st.sampled_from([0.0, 1.0, 2.0, -1.0, nan])


@st.composite
def batches(draw: st.DrawFn) -> list[MetricInput]:
    """Random keys, or the same ones again and again as a training loop sends them."""
    keys = draw(st.lists(st.sampled_from(list(IDS)), min_size=1, max_size=6))
    if draw(st.booleans()):
        keys = list(dict.fromkeys(keys)) * draw(st.integers(1, 5))
    return [
        MetricInput(key, draw(NUMBERS), draw(st.integers(0, 3)), draw(st.integers(-1, 3)))
        for key in keys
    ]


def newest(points: list[MetricInput]) -> tuple[object, ...]:
    """Upstream's rule, as its store applies it point by point: a NaN is stored as 0."""
    best = points[0]
    for point in points[1:]:
        if rank(point) > rank(best):
            best = point
    numbers = [point.value for point in points if not isnan(point.value)]
    extremes = (min(numbers, default=None), max(numbers, default=None))
    return (*rank(best), isnan(best.value), *extremes)


def rank(point: MetricInput) -> tuple[int, int, float]:
    value = 0.0 if isnan(point.value) else point.value
    return point.step or 0, point.timestamp, value


def of_keys(keys: str) -> list[MetricInput]:
    return [MetricInput(key, float(step), 0, step) for step, key in enumerate(keys)]


@given(batches())
@example(of_keys("abbabb"))
@example(of_keys("ababa"))
def test_the_latest_value_of_each_key_is_upstreams(points: list[MetricInput]):
    by_key = groupby(sorted(points, key=lambda point: point.key), key=lambda point: point.key)
    expected = sorted((IDS[key], *newest(list(group))) for key, group in by_key)
    rows = [
        (key_id, step, timestamp, value, bool(is_nan), smallest, largest)
        for key_id, value, is_nan, timestamp, step, smallest, largest in metric_batch(
            points
        ).latest(IDS)
    ]
    assert rows == expected


@given(batches())
def test_the_payload_has_every_point_in_its_order(points: list[MetricInput]):
    key_ids, stored = decode_log(metric_batch(points).payload(IDS))
    assert list(key_ids) == [IDS[point.key] for point in points]
    assert list(stored.steps) == [point.step for point in points]
    assert [str(value) for value in stored.values] == [str(point.value) for point in points]


def test_keys_that_repeat_in_the_same_order_are_taken_apart_by_slices():
    def period(keys: str) -> int:
        return metric_batch([MetricInput(key, 0.0, 0) for key in keys]).period

    assert period("abcabcabc") == 3
    assert period("aaa") == 1
    assert period("abcabcab") == 8
    assert period("abab" + "ba") == 6
    assert period("a") == 1
    assert period("") == 0
