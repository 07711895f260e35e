"""The body of a chunk: as it is, zstd or zlib."""

import threading
import zlib
from enum import IntEnum
from functools import cache

from riverrun.store.points.columns import CorruptPayload

ZSTD_LEVEL = 3
ZLIB_LEVEL = 1
WINDOW_MAX = 1 << 19
"""Bytes; the largest chunk is smaller (24 x 16384), so no honest frame asks for more."""


class Codec(IntEnum):
    RAW = 0
    ZSTD = 1
    ZLIB = 2


class _Zstd(threading.local):
    """Each thread makes its own pair: two threads that share one crash the process."""

    def __init__(self) -> None:
        import zstandard  # noqa: PLC0415 - 12 ms that a start need not pay.

        self.error = zstandard.ZstdError
        self.size = zstandard.frame_content_size
        self.compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True)
        self.decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_MAX)


@cache
def _zstd() -> _Zstd:
    return _Zstd()


def compress(codec: Codec, raw: bytes) -> bytes:
    if codec is Codec.ZSTD:
        return _zstd().compressor.compress(raw)
    if codec is Codec.ZLIB:
        return zlib.compress(raw, ZLIB_LEVEL)
    return raw


def expand(codec: int, body: bytes, *, size: int) -> bytes:
    """Exactly `size` bytes, or CorruptPayload; never allocates much more than that."""
    if codec == Codec.ZSTD:
        raw = _expand_zstd(body, size)
    elif codec == Codec.ZLIB:
        raw = _expand_zlib(body, size)
    elif codec == Codec.RAW:
        raw = body
    else:
        raise CorruptPayload(f"Chunk payload has codec {codec}; known are 0, 1 and 2")
    if len(raw) != size:
        raise CorruptPayload(f"Chunk payload holds {len(raw)} bytes instead of {size}")
    return raw


def _expand_zstd(body: bytes, size: int) -> bytes:
    zstd = _zstd()
    try:
        # The frame's own word on its size decides what is allocated, so it is read first.
        if zstd.size(body) != size:
            raise CorruptPayload(f"Chunk payload is not a zstd frame of {size} bytes")
        return zstd.decompressor.decompress(body, allow_extra_data=False)
    except zstd.error as error:
        raise CorruptPayload("Chunk payload is a broken zstd frame") from error


def _expand_zlib(body: bytes, size: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(body, size + 1)
    except zlib.error as error:
        raise CorruptPayload("Chunk payload is a broken zlib stream") from error
    if not stream.eof or stream.unused_data:
        raise CorruptPayload(f"Chunk payload is not one zlib stream of {size} bytes")
    return raw
