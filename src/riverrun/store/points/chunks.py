"""The chunk payload: some thousand points of one series, sorted and compressed."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from riverrun.errors import InternalError
from riverrun.store.points.arithmetic import Arithmetic, arithmetic_for
from riverrun.store.points.columns import CorruptPayload, Points
from riverrun.store.points.compression import Codec, compress, expand

VERSION = 1
HEAD = struct.Struct("<BBI")
POINT_BYTES = 24
POINTS_MAX = 16_384


@dataclass(frozen=True, slots=True)
class Chunk:
    """The columns of `metric_chunks` that its points decide.

    First and last are by (timestamp, step). The places of the smallest and the largest value are
    their first ones in that order; all six are None when every value is NaN.
    """

    points: int
    first_timestamp: int
    first_step: int
    last_timestamp: int
    last_step: int
    min_step: int
    max_step: int
    nan_points: int
    min_value: float | None
    min_value_step: int | None
    min_value_timestamp: int | None
    max_value: float | None
    max_value_step: int | None
    max_value_timestamp: int | None
    payload: bytes


def encode_chunk(points: Points, *, codec: Codec = Codec.ZSTD) -> Chunk:
    """One chunk of 1 to 16384 points, which come from `merge`: sorted and unique.

    Where compression would not make the body smaller it is stored raw.
    """
    count = len(points)
    if not 1 <= count <= POINTS_MAX:
        raise InternalError(f"A chunk holds 1 to {POINTS_MAX} points, not {count}")
    arithmetic = arithmetic_for(count)
    payload = _payload(arithmetic.to_planes(points), count, codec)
    return _describe(points, arithmetic, payload)


def decode_chunk(payload: bytes, points: int) -> Points:
    """The points as they were encoded; `points` is the count in the chunk's row."""
    return _decode(payload, points, arithmetic_for(points))


def decode_chunks(chunks: Sequence[tuple[bytes, int]]) -> list[Points]:
    """Several payloads with their rows' counts, decoded together for speed."""
    arithmetic = arithmetic_for(sum(points for _, points in chunks))
    return [_decode(payload, points, arithmetic) for payload, points in chunks]


def _payload(raw: bytes, count: int, codec: Codec) -> bytes:
    body = compress(codec, raw)
    if len(body) >= len(raw):
        codec, body = Codec.RAW, raw
    return HEAD.pack(VERSION, codec, count) + body


def _describe(points: Points, arithmetic: Arithmetic, payload: bytes) -> Chunk:
    first_timestamp, first_step, _, _ = points.place(0)
    last_timestamp, last_step, _, _ = points.place(-1)
    extremes = arithmetic.extremes(points)
    min_value, min_value_step, min_value_timestamp = _corner(points, extremes.lowest)
    max_value, max_value_step, max_value_timestamp = _corner(points, extremes.highest)
    return Chunk(
        points=len(points),
        first_timestamp=first_timestamp,
        first_step=first_step,
        last_timestamp=last_timestamp,
        last_step=last_step,
        min_step=extremes.min_step,
        max_step=extremes.max_step,
        nan_points=extremes.nan_points,
        min_value=min_value,
        min_value_step=min_value_step,
        min_value_timestamp=min_value_timestamp,
        max_value=max_value,
        max_value_step=max_value_step,
        max_value_timestamp=max_value_timestamp,
        payload=payload,
    )


def _corner(points: Points, index: int | None) -> tuple[float | None, int | None, int | None]:
    if index is None:
        return None, None, None
    timestamp, step, value, _ = points.place(index)
    return value + 0.0, step, timestamp  # A -0.0 is stored as 0.0.


def _decode(payload: bytes, points: int, arithmetic: Arithmetic) -> Points:
    count, codec = _head(payload)
    if count != points:
        raise CorruptPayload(f"Chunk payload says {count} points, its row {points}")
    raw = expand(codec, payload[HEAD.size :], size=POINT_BYTES * count)
    return arithmetic.from_planes(raw, count)


def _head(payload: bytes) -> tuple[int, int]:
    if len(payload) < HEAD.size:
        raise CorruptPayload(f"Chunk payload of {len(payload)} bytes has no head")
    version, codec, count = HEAD.unpack_from(payload)
    if version != VERSION:
        raise CorruptPayload(f"Chunk payload has version {version}; known is {VERSION}")
    if not 1 <= count <= POINTS_MAX:
        raise CorruptPayload(f"Chunk payload says {count} points; 1 to {POINTS_MAX} are allowed")
    return count, codec
