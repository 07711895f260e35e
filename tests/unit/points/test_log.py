import math
import struct
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riverrun.store.points import (
    CorruptPayload,
    Points,
    decode_log,
    decode_logs,
    decode_logs_by_key,
    encode_log,
    plain,
    vector,
)
from riverrun.store.points.log import _join  # pyright: ignore[reportPrivateUsage]

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
NAN_BITS = bytes.fromhex("000000000000f87f")


def rows(points: Points) -> list[tuple[int, int, bytes]]:
    """Steps, timestamps and the bits of the values."""
    packed = [struct.pack("<d", value) for value in points.values.tolist()]
    return list(zip(points.steps.tolist(), points.timestamps.tolist(), packed, strict=True))


def normal(points: Points) -> Points:
    return Points(
        points.steps, points.timestamps, array("d", plain.normalised(points.values.tolist()))
    )


def encode(points: Points, key_ids: list[int]) -> bytes:
    return encode_log(
        key_ids, points.steps.tolist(), points.timestamps.tolist(), points.values.tolist()
    )


def test_the_bytes_are_those_of_the_specification():
    payload = encode_log([7, -1], [1, -2], [1_700_000_000_000, 0], [0.5, math.nan])
    assert payload[:2] == b"\x01\x00"
    assert payload[2:].hex(" ", 4) == (
        "07000000 ffffffff 01000000 00000000 feffffff ffffffff 0068e5cf 8b010000"
        " 00000000 00000000 00000000 0000e03f 00000000 0000f87f"
    )


def test_extremes_come_back():
    columns = ([2**31 - 1, -(2**31)], [INT64_MIN, INT64_MAX], [INT64_MAX, INT64_MIN])
    values = [1.7976931348623157e308, 5e-324]
    key_ids, points = decode_log(encode_log(*columns, values))
    assert key_ids.tolist() == columns[0]
    assert points.steps.tolist() == columns[1]
    assert points.timestamps.tolist() == columns[2]
    assert points.values.tolist() == values


def test_a_number_that_does_not_fit_is_refused():
    with pytest.raises(struct.error):
        encode_log([1], [INT64_MAX + 1], [0], [0.0])
    with pytest.raises(struct.error):
        encode_log([2**31], [0], [0], [0.0])


def test_a_write_without_points_has_an_empty_payload():
    key_ids, points = decode_log(encode_log([], [], [], []))
    assert (len(key_ids), len(points)) == (0, 0)


def test_integers_are_taken_as_values():
    _, points = decode_log(encode_log([1, 2], [0, 0], [0, 0], [3, 0]))
    assert points.values.tolist() == [3.0, 0.0]


@given(points=...)
def test_every_point_comes_back_normalised(points: Points):
    key_ids = list(range(len(points)))
    decoded_ids, decoded = decode_log(encode(points, key_ids))
    assert decoded_ids.tolist() == key_ids
    assert rows(decoded) == rows(normal(points))


@given(bits=st.integers(1, 2**52 - 1), negative=st.booleans())
def test_every_nan_becomes_the_same_nan(bits: int, negative: bool):  # noqa: FBT001
    word = (0x7FF << 52) | bits | (negative << 63)
    (value,) = struct.unpack("<d", word.to_bytes(8, "little"))
    assert encode_log([1], [0], [0], [value])[-8:] == NAN_BITS


def test_zero_has_no_sign():
    assert encode_log([1, 1], [0, 0], [0, 0], [1.0, -0.0])[-8:] == bytes(8)


def test_opposite_infinities_are_kept_though_their_sum_is_nan():
    _, points = decode_log(encode_log([1, 1], [0, 0], [0, 0], [math.inf, -math.inf]))
    assert points.values.tolist() == [math.inf, -math.inf]


@given(writes=...)
def test_both_ways_read_many_payloads_alike(writes: list[Points]):
    payloads = [encode(points, [step % 3 for step in points.steps]) for points in writes]
    packed = _join(payloads)
    plain_ids, plain_points = plain.unpack_log(packed)
    vector_ids, vector_points = vector.unpack_log(packed)
    assert plain_ids.tolist() == vector_ids.tolist()
    assert rows(plain_points) == rows(vector_points)
    by_key = plain.by_key(plain_ids, plain_points)
    assert {key: rows(points) for key, points in by_key.items()} == {
        key: rows(points) for key, points in vector.by_key(vector_ids, vector_points).items()
    }
    for key_id in range(4):
        one = rows(plain.select(plain_ids, plain_points, key_id))
        assert one == rows(vector.select(vector_ids, vector_points, key_id))
        assert one == rows(by_key.get(key_id, plain_points[:0]))


@pytest.mark.parametrize("writes", [3, 300])
def test_one_key_is_read_from_many_payloads_in_their_order(writes: int):
    payloads = [encode_log([1, 2], [i, i], [i, i], [i, -i]) for i in range(writes)]
    assert decode_logs(payloads, 2).values.tolist() == [-i for i in range(writes)]
    assert len(decode_logs(payloads, 3)) == 0
    by_key = decode_logs_by_key(payloads)
    assert list(by_key) == [1, 2]
    assert by_key[1].steps.tolist() == list(range(writes))


def test_no_payloads_hold_no_points():
    assert len(decode_logs([], 1)) == 0
    assert decode_logs_by_key([]) == {}


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "Log payload of 0 bytes has no head"),
        (b"\x01", "Log payload of 1 bytes has no head"),
        (b"\x02\x00", "Log payload has version 2 and codec 0; known are 1 and 0"),
        (b"\x01\x01", "Log payload has version 1 and codec 1; known are 1 and 0"),
        (b"\x01\x00" + bytes(27), "Log payload of 29 bytes does not hold whole points"),
        (b"\x01\x00" + bytes(29), "Log payload of 31 bytes does not hold whole points"),
    ],
)
def test_what_is_no_payload_is_refused(payload: bytes, message: str):
    with pytest.raises(CorruptPayload) as error:
        decode_log(payload)
    assert error.value.message == message
    with pytest.raises(CorruptPayload):
        decode_logs([encode_log([1], [1], [1], [1.0]), payload], 1)


@given(payload=st.binary(max_size=120) | st.binary(max_size=112).map(b"\x01\x00".__add__))
def test_any_bytes_give_points_or_corrupt_payload(payload: bytes):
    try:
        _, points = decode_log(payload)
    except CorruptPayload:
        return
    assert len(payload) == 2 + 28 * len(points)
