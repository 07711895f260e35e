import math
import sqlite3
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riverrun.store.points import Place, Points, cut, merge, page, plain, sample, vector
from riverrun.store.points.arithmetic import Arithmetic


def rows(points: Points) -> list[tuple[int, int, bytes]]:
    """Steps, timestamps and the bits of the values."""
    packed = [struct.pack("<d", value) for value in points.values.tolist()]
    return list(zip(points.steps.tolist(), points.timestamps.tolist(), packed, strict=True))


def places(points: Points) -> list[Place]:
    return [points.place(index) for index in range(len(points))]


def line(count: int) -> Points:
    return Points.of(steps=range(count), timestamps=range(count), values=map(float, range(count)))


@given(parts=...)
def test_merging_makes_a_sorted_set(parts: list[Points]):
    expected = sorted({place for part in parts for place in places(part)})
    assert places(merge(parts)) == expected


@given(parts=...)
def test_both_ways_merge_alike(parts: list[Points]):
    assert rows(plain.merge(parts)) == rows(vector.merge(parts))


@given(parts=...)
def test_merging_twice_or_in_another_order_changes_nothing(parts: list[Points]):
    once = rows(merge(parts))
    assert rows(merge([*reversed(parts), *parts, merge(parts)])) == once


@pytest.mark.parametrize("arithmetic", [plain, vector])
def test_nan_stands_right_behind_zero(arithmetic: Arithmetic):
    points = Points.of(
        steps=[0] * 7,
        timestamps=[0] * 7,
        values=[5e-324, math.nan, -0.0, -5e-324, -math.nan, 0.0, -math.inf],
    )
    merged = arithmetic.merge([points])
    assert str(merged.values.tolist()) == "[-inf, -5e-324, 0.0, nan, 5e-324]"


def test_nothing_merges_to_nothing():
    assert len(merge([])) == len(plain.merge([])) == len(vector.merge([])) == 0


@pytest.mark.parametrize(
    ("count", "lengths"),
    [
        (0, []),
        (1, [1]),
        (4000, [4000]),
        (5999, [5999]),
        (6000, [3000, 3000]),
        (8001, [4000, 4001]),
        (14_000, [3500] * 4),
    ],
)
def test_pieces_are_equal_and_near_the_target(count: int, lengths: list[int]):
    pieces = cut(line(count))
    assert [len(piece) for piece in pieces] == lengths
    assert [step for piece in pieces for step in piece.steps] == list(range(count))


@given(points=..., limit=st.integers(1, 7))
def test_pages_hold_every_point_once(points: Points, limit: int):
    merged = merge([points])
    found: list[tuple[int, int, bytes]] = []
    after = None
    while len(one := page(merged, after, limit)):
        assert len(one) <= limit
        found += rows(one)
        after = one.place(-1)
    assert found == rows(merged)


@given(points=..., after=...)
def test_a_page_starts_behind_any_place(points: Points, after: Place):
    merged = merge([points])
    assert places(page(merged, after, 3)) == [each for each in places(merged) if each > after][:3]


def test_a_page_of_nothing_is_empty():
    assert len(page(line(0), None, 10)) == len(page(line(5), (9, 9, 9.0, False), 10)) == 0


def ntile(points: Points, buckets: int) -> list[Place]:
    """SQL's own opinion: the first row of each bucket, then the last row, at most `buckets`."""
    ordered = sorted((step, time, value, nan) for time, step, value, nan in places(points))
    database = sqlite3.connect(":memory:")
    database.execute("create table points (number)")
    database.executemany("insert into points values (?)", [(i,) for i in range(len(ordered))])
    firsts = database.execute(
        "select min(number) from (select number, ntile(?) over (order by number) as bucket"
        " from points) group by bucket order by 1",
        (buckets,),
    ).fetchall()
    database.close()
    numbers = [number for (number,) in firsts]
    if numbers and numbers[-1] != len(ordered) - 1:
        numbers[len(numbers) - (len(numbers) == buckets) :] = [len(ordered) - 1]
    return [
        (time, step, value, nan) for step, time, value, nan in map(ordered.__getitem__, numbers)
    ]


@given(points=..., buckets=st.integers(1, 45))
def test_samples_are_those_of_ntile(points: Points, buckets: int):
    merged = merge([points])
    assert places(sample(merged, buckets)) == ntile(merged, buckets)


@pytest.mark.parametrize("count", [0, 1, 319, 320, 321, 640, 1000])
def test_samples_of_a_long_curve_are_those_of_ntile(count: int):
    assert places(sample(line(count), 320)) == ntile(line(count), 320)


@given(points=..., start=st.integers(-3, 3), end=st.integers(-3, 3))
def test_a_sample_takes_steps_of_a_range_with_both_ends(points: Points, start: int, end: int):
    merged = merge([points])
    inside = [place for place in places(merged) if start <= place[1] <= end]
    taken = places(sample(merged, 50, start_step=start, end_step=end))
    assert taken == sorted(inside, key=lambda place: (place[1], place))


def test_a_sample_may_be_open_at_either_end():
    assert sample(line(10), 3, start_step=7).steps.tolist() == [7, 8, 9]
    assert sample(line(10), 3, end_step=2).steps.tolist() == [0, 1, 2]
    assert sample(line(10), 1).steps.tolist() == [9]


@given(points=...)
def test_both_ways_sort_by_step_alike(points: Points):
    merged = plain.merge([points])
    assert rows(plain.by_step(merged)) == rows(vector.by_step(merged))
