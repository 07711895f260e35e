"""The log payload: what one write appends for one run."""

import struct
from collections.abc import Iterable, Sequence

from riverrun.store.points.arithmetic import arithmetic_for
from riverrun.store.points.columns import CorruptPayload, Integers, PackedLog, Points
from riverrun.store.points.plain import is_normal, normalised

VERSION = 1
CODEC_RAW = 0
HEAD_BYTES = 2
POINT_BYTES = 28


def encode_log(
    key_ids: Sequence[int],
    steps: Sequence[int],
    timestamps: Sequence[int],
    values: Sequence[float],
) -> bytes:
    """Any order, duplicates kept; NaN and -0.0 are normalised.

    Numbers that do not fit (32 bits for key ids, 64 for the rest) raise struct.error: whoever
    accepted them has checked.
    """
    payload = _pack(key_ids, steps, timestamps, values)
    if is_normal(values, payload, start=HEAD_BYTES + 20 * len(values)):
        return payload
    return _pack(key_ids, steps, timestamps, normalised(values))


def decode_log(payload: bytes) -> tuple[Integers, Points]:
    """The key ids and the points beside them, as they were encoded."""
    return _decode([payload])


def decode_logs(payloads: Iterable[bytes], key_id: int) -> Points:
    """The points of one key in many payloads, in their order."""
    key_ids, points = _decode(payloads)
    return arithmetic_for(len(points)).select(key_ids, points, key_id)


def decode_logs_by_key(payloads: Iterable[bytes]) -> dict[int, Points]:
    """The points of each key in many payloads, in their order."""
    key_ids, points = _decode(payloads)
    return arithmetic_for(len(points)).by_key(key_ids, points)


def _pack(
    key_ids: Sequence[int],
    steps: Sequence[int],
    timestamps: Sequence[int],
    values: Sequence[float],
) -> bytes:
    n = len(values)
    return struct.pack(
        f"<BB{n}i{n}q{n}q{n}d", VERSION, CODEC_RAW, *key_ids, *steps, *timestamps, *values
    )


def _decode(payloads: Iterable[bytes]) -> tuple[Integers, Points]:
    packed = _join(payloads)
    return arithmetic_for(len(packed.values) // 8).unpack_log(packed)


def _join(payloads: Iterable[bytes]) -> PackedLog:
    key_ids: list[bytes] = []
    steps: list[bytes] = []
    timestamps: list[bytes] = []
    values: list[bytes] = []
    for payload in payloads:
        n = _count(payload)
        key_ids.append(payload[2 : 2 + 4 * n])
        steps.append(payload[2 + 4 * n : 2 + 12 * n])
        timestamps.append(payload[2 + 12 * n : 2 + 20 * n])
        values.append(payload[2 + 20 * n :])
    return PackedLog(b"".join(key_ids), b"".join(steps), b"".join(timestamps), b"".join(values))


def _count(payload: bytes) -> int:
    if len(payload) < HEAD_BYTES:
        raise CorruptPayload(f"Log payload of {len(payload)} bytes has no head")
    if payload[0] != VERSION or payload[1] != CODEC_RAW:
        raise CorruptPayload(
            f"Log payload has version {payload[0]} and codec {payload[1]}; known are 1 and 0"
        )
    count, rest = divmod(len(payload) - HEAD_BYTES, POINT_BYTES)
    if rest:
        raise CorruptPayload(f"Log payload of {len(payload)} bytes does not hold whole points")
    return count
