"""The choice between the standard library and numpy. Both give the same points and bytes."""

import sys
from collections.abc import Sequence
from typing import Protocol

from riverrun.store.points import plain
from riverrun.store.points.columns import Extremes, Integers, PackedLog, Points

POINTS_WORTH_IMPORT = 25_000
"""Below, the standard library is done before numpy is imported (0.2 s of CPU, 20 MB)."""

POINTS_WORTH_CALL = 100
"""Below, the standard library is as fast as numpy even when that is there already."""


class Arithmetic(Protocol):
    """What `plain` and `vector` both do."""

    def unpack_log(self, packed: PackedLog) -> tuple[Integers, Points]:
        """The key ids and the points beside them."""
        ...

    def select(self, key_ids: Integers, points: Points, key_id: int) -> Points:
        """The points of one key."""
        ...

    def by_key(self, key_ids: Integers, points: Points) -> dict[int, Points]:
        """The points of each key, keys ascending, points in their order."""
        ...

    def merge(self, parts: Sequence[Points]) -> Points:
        """Normalised, unique, in the order of their places."""
        ...

    def by_step(self, points: Points) -> Points:
        """Sorted by step; points of one step keep their order."""
        ...

    def extremes(self, points: Points) -> Extremes:
        """Of at least one point."""
        ...

    def to_planes(self, points: Points) -> bytes:
        """Timestamp deltas, step deltas and normalised values, as 8 byte planes each."""
        ...

    def from_planes(self, raw: bytes, count: int) -> Points:
        """The inverse of `to_planes`, for 24 x `count` bytes."""
        ...


def arithmetic_for(count: int) -> Arithmetic:
    """The cheaper of the two for this many points."""
    at_least = POINTS_WORTH_CALL if "numpy" in sys.modules else POINTS_WORTH_IMPORT
    if count < at_least:
        return plain
    from riverrun.store.points import vector  # noqa: PLC0415 - imports numpy.

    return vector
