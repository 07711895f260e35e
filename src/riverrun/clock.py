"""Time and new ids, in one place."""

import os
import time


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def new_run_id() -> bytes:
    """A time-ordered UUIDv7 (RFC 9562, section 5.7) as 16 bytes: runs made together lie together in
    every index.
    """
    random = int.from_bytes(os.urandom(10), "big")
    head = (now_ms() & 0xFFFFFFFFFFFF) << 16 | 0x7000 | (random >> 64) & 0x0FFF
    tail = 0x8000000000000000 | random & 0x3FFFFFFFFFFFFFFF
    return (head << 64 | tail).to_bytes(16, "big")


def now_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1_000
