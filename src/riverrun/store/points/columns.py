"""Points as columns, which live in `array.array` (few points) or in numpy (many)."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from riverrun.errors import InternalError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Integers: TypeAlias = "array[int] | NDArray[np.int32] | NDArray[np.int64]"
Floats: TypeAlias = "array[float] | NDArray[np.float64]"

Place: TypeAlias = tuple[int, int, float, bool]
"""Timestamp, step, value, is_nan: a point's rank in its series. A NaN has value 0 here."""


class CorruptPayload(InternalError):
    """Stored bytes that are no payload of a version we know."""


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points in columns of equal length, not to be changed.

    Times are milliseconds. NaN stands in `values` as itself, so there is no column for it.
    """

    steps: Integers
    timestamps: Integers
    values: Floats

    @classmethod
    def of(
        cls, *, steps: Iterable[int], timestamps: Iterable[int], values: Iterable[float]
    ) -> "Points":
        return cls(array("q", steps), array("q", timestamps), array("d", values))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> "Points":
        return Points(self.steps[part], self.timestamps[part], self.values[part])

    def take(self, indexes: Sequence[int]) -> "Points":
        """The points at these indexes, in `array.array`."""
        return Points.of(
            steps=[self.steps[i] for i in indexes],
            timestamps=[self.timestamps[i] for i in indexes],
            values=[self.values[i] for i in indexes],
        )

    def place(self, index: int) -> Place:
        value = float(self.values[index])
        is_nan = value != value  # noqa: PLR0124 - only a NaN differs from itself.
        return (
            int(self.timestamps[index]),
            int(self.steps[index]),
            0.0 if is_nan else value,
            is_nan,
        )


@dataclass(frozen=True, slots=True)
class PackedLog:
    """The columns of one log payload or of many, as little-endian bytes."""

    key_ids: bytes
    steps: bytes
    timestamps: bytes
    values: bytes


@dataclass(frozen=True, slots=True)
class Extremes:
    """`lowest` and `highest` are indexes, the first where several are equal; None: all is NaN."""

    min_step: int
    max_step: int
    nan_points: int
    lowest: int | None
    highest: int | None
