"""Points of metric histories: packed payloads in, sorted columns out. Pure functions, no SQL.

`docs/metric-format.md` specifies both payloads.
"""

from riverrun.store.points.chunks import (
    Chunk,
    decode_chunk,
    decode_chunks,
    encode_chunk,
)
from riverrun.store.points.columns import CorruptPayload, Place, Points
from riverrun.store.points.compression import Codec
from riverrun.store.points.log import decode_log, decode_logs, decode_logs_by_key, encode_log
from riverrun.store.points.series import (
    bucket_starts,
    cut,
    merge,
    page,
    sample,
    within_steps,
)

__all__ = [
    "Chunk",
    "Codec",
    "CorruptPayload",
    "Place",
    "Points",
    "bucket_starts",
    "cut",
    "decode_chunk",
    "decode_chunks",
    "decode_log",
    "decode_logs",
    "decode_logs_by_key",
    "encode_chunk",
    "encode_log",
    "merge",
    "page",
    "sample",
    "within_steps",
]
