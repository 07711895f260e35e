"""A folder of a store as a zip archive, made while it is sent.

Nothing is compressed: models and pictures are already, and the bytes pass as fast as the store
gives them. The format is PKWARE's APPNOTE, with its 64-bit fields only where they are needed.
"""

import struct
import time
import zlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from tempfile import SpooledTemporaryFile
from typing import IO

from riverrun.artifacts.contract import (
    READ_BYTES_MAX,
    ArtifactChanged,
    ArtifactIsDirectory,
    ArtifactNotFound,
    ArtifactStore,
    FileInfo,
    InvalidArtifactPath,
)
from riverrun.artifacts.paths import safe_file_path

DIRECTORY_BYTES_IN_MEMORY_MAX = 4 * 1024 * 1024
"""About 40 000 entries of the directory at the archive's end; more of them wait in a file."""
TRIES_MAX = 3
U16_MAX = 0xFFFF
U32_MAX = 0xFFFFFFFF
VERSION, VERSION_64 = 20, 45
MADE_ON_UNIX = 3 << 8
PLAIN_FILE = 0o100644 << 16
# Names are UTF-8; checksum and sizes follow the file, which is read only once.
FLAGS = 1 << 11 | 1 << 3
EPOCH_MS, LAST_MS = 315_532_800_000, 4_354_819_198_000
"""1980 and 2107: what the format's times can say."""


async def zipped(store: ArtifactStore, folder: str) -> AsyncGenerator[bytes]:
    """The archive of all files below the folder, by their paths below it, in constant memory.

    Its first step raises ArtifactNotFound where a folder other than the store's root holds nothing.
    A file that goes away meanwhile is left out, as is one whose name a careless reader would unpack
    outside of its folder. When the store fails the stream raises before the directory at its end,
    so that nobody takes the archive for whole.
    """
    with SpooledTemporaryFile[bytes](DIRECTORY_BYTES_IN_MEMORY_MAX) as directory:
        archive = Archive(directory)
        async with aclosing(store.walk(folder)) as pages:
            async for page in pages:
                for info in page:
                    async with aclosing(_member(archive, store, folder, info)) as pieces:
                        async for piece in pieces:
                            yield piece
        for piece in archive.finish():
            yield piece


async def _member(
    archive: "Archive", store: ArtifactStore, folder: str, info: FileInfo
) -> AsyncGenerator[bytes]:
    try:
        name = safe_file_path(info.name)
        path = f"{folder}/{name}" if folder else name
        opened = await _open(store, path, info)
    except (ArtifactNotFound, ArtifactIsDirectory, InvalidArtifactPath):
        return
    async with aclosing(opened.rest):
        yield archive.begin(name, opened.info)
        archive.add(opened.first)
        yield opened.first
        async for chunk in opened.rest:
            archive.add(chunk)
            yield chunk
    yield archive.end()


@dataclass(frozen=True, slots=True)
class Opened:
    """A file whose reading has begun, so that it is there."""

    info: FileInfo
    first: bytes
    rest: AsyncGenerator[bytes]


async def _open(store: ArtifactStore, path: str, info: FileInfo) -> Opened:
    """Raises ArtifactNotFound, and ArtifactChanged for a file that is replaced again and again."""
    for _ in range(TRIES_MAX):
        rest = store.read(path, end=info.size_bytes, etag=info.etag)
        with suppress(ArtifactChanged):
            return Opened(info, await anext(rest, b""), rest)
        info = await store.stat(path)
    raise ArtifactChanged(path)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file as the directory names it; `offset` is where its header begins."""

    name: bytes
    modified: int
    size_bytes: int
    offset: int
    crc: int = 0

    @property
    def is_large(self) -> bool:
        return self.size_bytes >= U32_MAX


class Archive:
    """An archive on its way. `directory` is an empty file that collects what stands at its end."""

    def __init__(self, directory: IO[bytes]) -> None:
        self._directory = directory
        self._count = 0
        self._offset = 0
        self._entry = Entry(b"", 0, 0, 0)
        self._added = 0

    def begin(self, name: str, info: FileInfo) -> bytes:
        """The header of a file of `info.size_bytes` at the most."""
        modified = dos_time(info.modified_ms)
        self._entry = Entry(name.encode(), modified, info.size_bytes, self._offset)
        self._added = 0
        return self._sent(local_header(self._entry))

    def add(self, chunk: bytes) -> None:
        """Counts bytes of the file that was begun."""
        self._entry = replace(self._entry, crc=zlib.crc32(chunk, self._entry.crc))
        self._added += len(chunk)
        self._offset += len(chunk)

    def end(self) -> bytes:
        sizes = "QQ" if self._entry.is_large else "II"
        entry = self._entry
        self._directory.write(directory_entry(entry, self._added))
        self._count += 1
        return self._sent(
            struct.pack(f"<4sI{sizes}", b"PK\x07\x08", entry.crc, self._added, self._added)
        )

    def finish(self) -> Iterator[bytes]:
        size_bytes = self._directory.tell()
        self._directory.seek(0)
        while piece := self._directory.read(READ_BYTES_MAX):
            yield piece
        yield end_of_archive(self._count, size_bytes, self._offset)

    def _sent(self, piece: bytes) -> bytes:
        self._offset += len(piece)
        return piece


def local_header(entry: Entry) -> bytes:
    """A large file announces sizes of 64 bits, which follow it as all sizes do."""
    extra = struct.pack("<HHQQ", 1, 16, 0, 0) if entry.is_large else b""
    size = U32_MAX if entry.is_large else 0
    version = VERSION_64 if entry.is_large else VERSION
    numbers = (version, FLAGS, 0, entry.modified, 0, size, size, len(entry.name), len(extra))
    return struct.pack("<4sHHHIIIIHH", b"PK\x03\x04", *numbers) + entry.name + extra


def directory_entry(entry: Entry, size_bytes: int) -> bytes:
    wide = [value for value in (size_bytes, size_bytes, entry.offset) if value >= U32_MAX]
    extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    size = min(size_bytes, U32_MAX)
    version = VERSION_64 if wide or entry.is_large else VERSION
    head = struct.pack(
        "<4sHHHHIIII",
        b"PK\x01\x02",
        MADE_ON_UNIX | version,
        version,
        FLAGS,
        0,
        entry.modified,
        entry.crc,
        size,
        size,
    )
    lengths = struct.pack("<HHHHH", len(entry.name), len(extra), 0, 0, 0)
    place = struct.pack("<II", PLAIN_FILE, min(entry.offset, U32_MAX))
    return head + lengths + place + entry.name + extra


def end_of_archive(count: int, size_bytes: int, offset: int) -> bytes:
    """The directory's length and place, in 64 bits too when 32 (16 for `count`) do not suffice."""
    small = (min(count, U16_MAX), min(count, U16_MAX), min(size_bytes, U32_MAX))
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, *small, min(offset, U32_MAX), 0)
    if count < U16_MAX and max(size_bytes, offset) < U32_MAX:
        return end
    numbers = (44, MADE_ON_UNIX | VERSION_64, VERSION_64, 0, 0, count, count, size_bytes, offset)
    wide = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", *numbers)
    return wide + struct.pack("<4sIQI", b"PK\x06\x07", 0, offset + size_bytes, 1) + end


def dos_time(modified_ms: int | None) -> int:
    """Two seconds exact, in UTC; 1980 when nobody knows."""
    known_ms = min(max(modified_ms or 0, EPOCH_MS), LAST_MS)
    t = time.gmtime(known_ms / 1000)
    date = (t.tm_year - 1980) << 9 | t.tm_mon << 5 | t.tm_mday
    return date << 16 | t.tm_hour << 11 | t.tm_min << 5 | t.tm_sec // 2
