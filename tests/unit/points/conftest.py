"""Strategies for points, registered by type: tests ask for `Points` in their annotations."""

import struct
from array import array

from hypothesis import strategies as st

from riverrun.store.points import Points

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def _float_of_bits(bits: int) -> float:
    return struct.unpack("<d", bits.to_bytes(8, "little"))[0]


# Few distinct numbers give ties and duplicates; any 64 bits give every NaN and subnormal.
_steps = st.integers(-2, 2) | st.integers(INT64_MIN, INT64_MAX)
_values = (
    st.sampled_from([0.0, -0.0, float("nan"), 1.0, -1.0, 5e-324, -5e-324])
    | st.integers(0, 2**64 - 1).map(_float_of_bits)
    | st.floats()
)
_rows = st.lists(st.tuples(_steps, _steps, _values), max_size=40)


def _points(rows: list[tuple[int, int, float]]) -> Points:
    return Points(
        array("q", [step for step, _, _ in rows]),
        array("q", [timestamp for _, timestamp, _ in rows]),
        array("d", [value for _, _, value in rows]),
    )


st.register_type_strategy(Points, _rows.map(_points))
