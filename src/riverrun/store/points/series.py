"""What readers and the compactor do with the points of one series."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from riverrun.store.points.arithmetic import arithmetic_for
from riverrun.store.points.columns import Place, Points

CHUNK_POINTS = 4_000
"""Smaller chunks cost rows, larger ones cost rewriting; the size per point hardly changes."""


def merge(parts: Sequence[Points]) -> Points:
    """The set of all points, sorted by place: timestamp, step, value, is_nan.

    Parts may overlap, be unsorted and hold duplicates. NaN and -0.0 are normalised.
    """
    return arithmetic_for(sum(map(len, parts))).merge(parts)


def cut(points: Points, *, target: int = CHUNK_POINTS) -> list[Points]:
    """Pieces in order, whose lengths differ by one at most, near `target` (under 1.5 of it)."""
    count = len(points)
    if not count:
        return []
    pieces = max(1, (count + target // 2) // target)
    bounds = [piece * count // pieces for piece in range(pieces + 1)]
    return [points[start:end] for start, end in pairwise(bounds)]


def page(points: Points, after: Place | None, limit: int) -> Points:
    """At most `limit` of merged points, starting behind the place `after`.

    The next page's `after` is `place(-1)` of this one.
    """
    start = 0 if after is None else bisect_right(range(len(points)), after, key=points.place)
    return points[start : start + limit]


def sample(
    points: Points,
    max_results: int,
    *,
    start_step: int | None = None,
    end_step: int | None = None,
) -> Points:
    """At most `max_results` (one or more) of merged points for a chart, by step, then place.

    Points from `start_step` to `end_step`, both included, fall into `max_results` buckets as
    SQL's NTILE makes them. Each gives its first point; the last point of all is always there,
    in place of the last bucket's first.
    """
    ordered = arithmetic_for(len(points)).by_step(points)
    start = 0 if start_step is None else bisect_left(ordered.steps, start_step)
    end = len(ordered) if end_step is None else bisect_right(ordered.steps, end_step)
    return ordered.take([start + index for index in bucket_starts(end - start, max_results)])


def bucket_starts(count: int, buckets: int) -> list[int]:
    """Which of `count` points a sample takes: the first of each bucket, at the end the last point.

    NTILE gives the first `count % buckets` buckets one row more than the others.
    """
    if count <= buckets:
        return list(range(count))
    size, larger = divmod(count, buckets)
    starts = [bucket * size + min(bucket, larger) for bucket in range(buckets)]
    return [*starts[:-1], count - 1]


def within_steps(points: Points, steps: tuple[int, int] | None) -> Points:
    """Merged points by step, then place: those from the first to the second step, or all."""
    ordered = arithmetic_for(len(points)).by_step(points)
    if steps is None:
        return ordered
    return ordered[bisect_left(ordered.steps, steps[0]) : bisect_right(ordered.steps, steps[1])]
