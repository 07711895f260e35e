import math
import random
import struct
import subprocess
import sys
import tracemalloc
import zlib
from array import array
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from riverrun.errors import InternalError
from riverrun.store.points import (
    Chunk,
    Codec,
    CorruptPayload,
    Points,
    decode_chunk,
    decode_chunks,
    encode_chunk,
    merge,
    plain,
    vector,
)
from riverrun.store.points.chunks import POINTS_MAX

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
codecs = st.sampled_from(list(Codec))


def rows(points: Points) -> list[tuple[int, int, bytes]]:
    """Steps, timestamps and the bits of the values."""
    packed = [struct.pack("<d", value) for value in points.values.tolist()]
    return list(zip(points.steps.tolist(), points.timestamps.tolist(), packed, strict=True))


def curve(count: int) -> Points:
    noise = random.Random(1)
    return Points.of(
        steps=range(count),
        timestamps=(1_700_000_000_000 + 50 * i for i in range(count)),
        values=(noise.random() for _ in range(count)),
    )


def head(count: int, *, version: int = 1, codec: int = Codec.RAW) -> bytes:
    return struct.pack("<BBI", version, codec, count)


def test_the_bytes_are_those_of_the_specification():
    points = Points.of(steps=[1, 0], timestamps=[256, 255], values=[0.5, -0.0])
    assert encode_chunk(points, codec=Codec.RAW).payload == (
        b"\x01\x00\x02\x00\x00\x00"
        b"\x00\xff\x01\xff\x00\xff\x00\xff\x00\xff\x00\xff\x00\xff\x00\xff"  # 256, -1
        b"\x01\xff\x00\xff\x00\xff\x00\xff\x00\xff\x00\xff\x00\xff\x00\xff"  # 1, -1
        b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xe0\x00\x3f\x00"  # 0.5, 0.0
    )


@given(points=..., codec=codecs)
def test_every_chunk_comes_back(points: Points, codec: Codec):
    merged = merge([points])
    if len(merged):
        chunk = encode_chunk(merged, codec=codec)
        assert rows(decode_chunk(chunk.payload, chunk.points)) == rows(merged)


@given(points=...)
def test_both_ways_write_the_same_bytes(points: Points):
    assert plain.to_planes(points) == vector.to_planes(points)


@given(raw=st.binary(max_size=480))
def test_both_ways_read_the_same_points_from_any_bytes(raw: bytes):
    count = len(raw) // 24
    raw = raw[: 24 * count]
    assert rows(plain.from_planes(raw, count)) == rows(vector.from_planes(raw, count))


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("count", [1, 4000, POINTS_MAX])
def test_lengths_from_one_to_the_limit_come_back(codec: Codec, count: int):
    points = curve(count)
    chunk = encode_chunk(points, codec=codec)
    assert rows(decode_chunk(chunk.payload, count)) == rows(points)
    assert [rows(part) for part in decode_chunks([(chunk.payload, count)] * 2)] == [
        rows(points),
        rows(points),
    ]


@pytest.mark.parametrize("count", [0, POINTS_MAX + 1])
def test_no_chunk_is_written_that_could_not_be_read(count: int):
    with pytest.raises(InternalError) as error:
        encode_chunk(curve(count))
    assert error.value.message == f"A chunk holds 1 to 16384 points, not {count}"


def test_int64_extremes_come_back():
    points = Points.of(
        steps=[INT64_MAX, INT64_MIN, INT64_MAX],
        timestamps=[INT64_MIN, INT64_MAX, INT64_MAX],
        values=[1.7976931348623157e308, -1.7976931348623157e308, 5e-324],
    )
    assert plain.to_planes(points) == vector.to_planes(points)
    chunk = encode_chunk(points)
    assert rows(decode_chunk(chunk.payload, 3)) == rows(points)


def test_a_chunk_that_would_grow_is_stored_raw():
    assert encode_chunk(curve(1), codec=Codec.ZSTD).payload[1] == Codec.RAW
    assert encode_chunk(curve(1000), codec=Codec.ZSTD).payload[1] == Codec.ZSTD


def test_a_chunk_describes_its_points():
    points = Points.of(
        steps=[5, 3, 9, 4, 0, 7],
        timestamps=[10, 20, 20, 30, 40, 50],
        values=[math.nan, 2.0, -1.0, 2.0, -1.0, math.nan],
    )
    chunk = encode_chunk(points)
    assert chunk == Chunk(
        points=6,
        first_timestamp=10,
        first_step=5,
        last_timestamp=50,
        last_step=7,
        min_step=0,
        max_step=9,
        nan_points=2,
        min_value=-1.0,
        min_value_step=9,
        min_value_timestamp=20,
        max_value=2.0,
        max_value_step=3,
        max_value_timestamp=20,
        payload=chunk.payload,
    )


def test_a_chunk_of_nan_has_no_smallest_value():
    chunk = encode_chunk(Points.of(steps=[1], timestamps=[2], values=[math.nan]))
    assert (chunk.nan_points, chunk.min_value, chunk.max_value_step) == (1, None, None)


@given(points=...)
def test_both_ways_find_the_same_extremes(points: Points):
    if len(points):
        assert plain.extremes(points) == vector.extremes(points)


@given(points=..., codec=codecs, place=st.integers(0, 2000), byte=st.integers(1, 255))
def test_a_changed_byte_gives_points_or_corrupt_payload(
    points: Points, codec: Codec, place: int, byte: int
):
    merged = merge([points])
    if not len(merged):
        return
    payload = bytearray(encode_chunk(merged, codec=codec).payload)
    payload[place % len(payload)] ^= byte
    try:
        decoded = decode_chunk(bytes(payload), len(merged))
    except CorruptPayload:
        return
    assert len(decoded) == len(merged)


@pytest.mark.parametrize("codec", [Codec.ZSTD, Codec.ZLIB])
def test_compressed_bodies_carry_a_checksum(codec: Codec):
    payload = encode_chunk(curve(200), codec=codec).payload
    for place in range(len(payload) - 8, len(payload)):
        broken = bytearray(payload)
        broken[place] ^= 1
        with pytest.raises(CorruptPayload):
            decode_chunk(bytes(broken), 200)


@pytest.mark.parametrize("codec", list(Codec))
def test_cut_and_extended_payloads_are_refused(codec: Codec):
    payload = encode_chunk(curve(100), codec=codec).payload
    for length in range(len(payload)):
        with pytest.raises(CorruptPayload):
            decode_chunk(payload[:length], 100)
    for tail in (b"\x00", b"garbage", payload, payload[6:]):
        with pytest.raises(CorruptPayload):
            decode_chunk(payload + tail, 100)


@given(payload=st.binary(max_size=200), count=st.integers(0, 2**32 - 1), codec=st.integers(0, 4))
def test_any_bytes_give_points_or_corrupt_payload(payload: bytes, count: int, codec: int):
    for hostile in (payload, head(count, codec=codec) + payload):
        try:
            points = decode_chunk(hostile, count)
        except CorruptPayload:
            continue
        assert len(points) == count


@pytest.mark.parametrize(
    ("payload", "points", "message"),
    [
        (b"\x01\x00", 1, "Chunk payload of 2 bytes has no head"),
        (head(1, version=2) + bytes(24), 1, "Chunk payload has version 2; known is 1"),
        (head(1, codec=3), 1, "Chunk payload has codec 3; known are 0, 1 and 2"),
        (head(1) + bytes(24), 2, "Chunk payload says 1 points, its row 2"),
        (head(1) + bytes(25), 1, "Chunk payload holds 25 bytes instead of 24"),
        (head(0), 0, "Chunk payload says 0 points; 1 to 16384 are allowed"),
        (
            head(16_385) + bytes(24 * 16_385),
            16_385,
            "Chunk payload says 16385 points; 1 to 16384 are allowed",
        ),
        (
            head(1, codec=Codec.ZSTD) + b"no frame",
            1,
            "Chunk payload is a broken zstd frame",
        ),
        (
            head(1, codec=Codec.ZSTD) + zstandard.compress(bytes(25)),
            1,
            "Chunk payload is not a zstd frame of 24 bytes",
        ),
        (
            head(1, codec=Codec.ZLIB) + b"no stream",
            1,
            "Chunk payload is a broken zlib stream",
        ),
        (
            head(1, codec=Codec.ZLIB) + zlib.compress(bytes(23)),
            1,
            "Chunk payload holds 23 bytes instead of 24",
        ),
    ],
)
def test_what_is_no_payload_is_refused(payload: bytes, points: int, message: str):
    with pytest.raises(CorruptPayload) as error:
        decode_chunk(payload, points)
    assert error.value.message == message


def frame_that_claims(size: int) -> bytes:
    """A zstd frame header with an 8-byte content size, then one empty last block."""
    return bytes.fromhex("28b52ffde0") + struct.pack("<Q", size) + b"\x01\x00\x00"


@pytest.mark.parametrize(
    "payload",
    [
        head(2**32 - 1) + bytes(24),
        head(4000, codec=Codec.ZLIB) + zlib.compress(bytes(50_000_000)),
        head(4000, codec=Codec.ZSTD) + zstandard.compress(bytes(50_000_000)),
        head(4000, codec=Codec.ZSTD) + frame_that_claims(2**60),
        head(4000, codec=Codec.ZSTD) + frame_that_claims(24 * 4000),
        head(4000, codec=Codec.ZSTD)
        + zstandard.ZstdCompressor(write_content_size=False).compress(bytes(96_000)),
    ],
    ids=["count", "zlib bomb", "zstd bomb", "false size", "empty frame", "no size"],
)
def test_a_hostile_payload_allocates_no_more_than_an_honest_one(payload: bytes):
    tracemalloc.start()
    try:
        with pytest.raises(CorruptPayload):
            decode_chunk(payload, 4000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_threads_compress_at_the_same_time():
    points = curve(1000)
    expected = encode_chunk(points).payload

    def there_and_back(_: int) -> bool:
        payload = encode_chunk(points).payload
        return payload == expected and len(decode_chunk(payload, 1000)) == 1000

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(there_and_back, range(800)))


def run_alone(script: str) -> None:
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_numpy_and_zstandard_wait_until_they_are_needed():
    run_alone(
        "import sys\n"
        "from riverrun.store.points import *\n"
        "assert not {'numpy', 'zstandard'} & set(sys.modules)\n"
        "def history(count):\n"
        "    payload = encode_log([1] * count, range(count), range(count), [0.5] * count)\n"
        "    return merge([decode_logs([payload], 1)])\n"
        "points = history(5000)\n"
        "sample(page(points, None, 4000), 320)\n"
        "chunk = encode_chunk(points)\n"
        "assert len(decode_chunk(chunk.payload, 5000)) == 5000\n"
        "assert 'zstandard' in sys.modules and 'numpy' not in sys.modules\n"
        "points = history(25_000)\n"
        "assert 'numpy' in sys.modules\n"
        "assert encode_chunk(points[:5000]).payload == chunk.payload\n"
    )


def test_columns_may_be_arrays_of_either_kind():
    points = curve(50)
    as_numpy = vector.merge([points])
    assert isinstance(points.values, array)
    assert not isinstance(as_numpy.values, array)
    assert encode_chunk(as_numpy) == encode_chunk(points)
    assert rows(plain.merge([as_numpy, points])) == rows(vector.merge([points, as_numpy]))
