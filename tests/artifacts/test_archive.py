"""A folder as a zip: what other programs read of it, and what happens when the store moves on."""

import asyncio
import io
import struct
import subprocess
import sys
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path

import pytest

from riverrun.artifacts.archive import (
    Entry,
    directory_entry,
    dos_time,
    end_of_archive,
    local_header,
    zipped,
)
from riverrun.artifacts.contract import (
    READ_BYTES_MAX,
    ArtifactChanged,
    ArtifactStoreUnavailable,
    FileInfo,
)
from riverrun.artifacts.memory import MemoryStore

MODIFIED_MS = 1_700_000_001_000  # 2023-11-14 22:13:21


async def chunks_of(content: bytes) -> AsyncIterator[bytes]:
    yield content


class Store(MemoryStore):
    """Files of one time; `vanish` and `replace` are paths for which a listing is out of date."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__()
        self.vanish: set[str] = set()
        self.replace: dict[str, bytes] = {}
        self.break_at: str = ""
        for path, content in files.items():
            asyncio.run(self.write(path, chunks_of(content)))

    async def walk(self, path: str) -> AsyncGenerator[Sequence[FileInfo]]:
        async for page in super().walk(path):
            yield sorted(page, key=lambda info: info.name)

    async def read(
        self, path: str, *, start: int = 0, end: int | None = None, etag: str | None = None
    ) -> AsyncGenerator[bytes]:
        if path in self.vanish:
            await self.delete(path)
        if path in self.replace:
            await self.write(path, chunks_of(self.replace.pop(path)))
        async for chunk in super().read(path, start=start, end=end, etag=etag):
            yield chunk
            if path == self.break_at:
                raise ArtifactStoreUnavailable("went away")


async def collected(store: MemoryStore, folder: str) -> bytes:
    return b"".join([piece async for piece in zipped(store, folder)])


def unpacked(store: MemoryStore, folder: str = "r") -> dict[str, bytes]:
    """By Python's own reader, which checks sums and sizes."""
    with zipfile.ZipFile(io.BytesIO(asyncio.run(collected(store, folder)))) as found:
        assert found.testzip() is None
        return {name: found.read(name) for name in found.namelist()}


def test_every_file_is_in_it_by_its_path_below_the_folder():
    large = bytes(range(256)) * 8192
    files = {"a.txt": b"hello", "é 実験/b c.bin": large, "empty": b"", "100%.txt": b"x"}
    store = Store({**{f"r/{name}": content for name, content in files.items()}, "other": b"no"})
    assert len(large) > READ_BYTES_MAX
    assert unpacked(store) == files
    assert unpacked(store, "") == {**{f"r/{name}": b for name, b in files.items()}, "other": b"no"}


def test_a_folder_of_nothing_is_an_empty_archive():
    assert unpacked(Store({}), "r") == {}
    assert len(asyncio.run(collected(Store({}), "r"))) == 22


def test_a_file_of_more_than_4_gib_has_sizes_of_64_bits():
    size_bytes = 5 * 1024**3
    entry = Entry(b"large", 0, size_bytes, 6 * 1024**3, crc=1)
    head = local_header(entry)
    assert struct.unpack_from("<II", head, 18) == (0xFFFFFFFF, 0xFFFFFFFF)
    assert head.endswith(struct.pack("<HHQQ", 1, 16, 0, 0))
    listed = directory_entry(entry, size_bytes)
    assert listed.endswith(struct.pack("<HHQQQ", 1, 24, size_bytes, size_bytes, 6 * 1024**3))
    assert struct.unpack_from("<I", listed, 42)[0] == 0xFFFFFFFF


def test_the_end_of_a_small_archive_is_that_of_old():
    assert end_of_archive(3, 100, 1000) == struct.pack(
        "<4sHHHHIIH", b"PK\x05\x06", 0, 0, 3, 3, 100, 1000, 0
    )


@pytest.mark.parametrize(("count", "offset"), [(65_535, 1000), (1, 2**32 - 1), (10**6, 2**40)])
def test_the_end_of_a_large_archive_says_in_64_bits_where_its_directory_is(count: int, offset: int):
    end = end_of_archive(count, 100, offset)
    wide = struct.unpack_from("<4sQHHIIQQQQ", end)
    assert (wide[0], *wide[6:]) == (b"PK\x06\x06", count, count, 100, offset)
    assert struct.unpack_from("<4sIQI", end, 56) == (b"PK\x06\x07", 0, offset + 100, 1)
    assert struct.unpack_from("<HH", end, 56 + 20 + 8) == (min(count, 65_535),) * 2


def test_python_s_command_reads_it(tmp_path: Path):
    path = tmp_path / "r.zip"
    path.write_bytes(asyncio.run(collected(Store({"r/a/b.txt": b"hello"}), "r")))
    command = [sys.executable, "-m", "zipfile", "-e", str(path), str(tmp_path / "out")]
    subprocess.run(command, check=True, timeout=30)
    assert (tmp_path / "out" / "a" / "b.txt").read_text() == "hello"


# Names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../out", "a/../../out", "/etc/passwd", "C:/x", "a\\..\\..\\b", "a\x00b", "%2e%2e/x"]
)
def test_a_name_that_would_be_unpacked_elsewhere_is_left_out(name: str):
    """Other programs may have put such objects into a bucket."""

    class Hostile(Store):
        async def walk(self, path: str) -> AsyncGenerator[Sequence[FileInfo]]:
            async for page in super().walk(path):
                yield [FileInfo(name, is_dir=False, size_bytes=1), *page]

    assert unpacked(Hostile({"r/kept": b"x"})) == {"kept": b"x"}


# While it is sent --------------------------------------------------------------------------------


def test_a_file_that_goes_away_is_left_out():
    store = Store({"r/a": b"a", "r/b": b"b"})
    store.vanish = {"r/a"}
    assert unpacked(store) == {"b": b"b"}


def test_a_file_that_is_replaced_is_there_whole_in_its_new_form():
    store = Store({"r/a": b"old", "r/b": b"b"})
    store.replace = {"r/a": b"new and longer"}
    assert unpacked(store) == {"a": b"new and longer", "b": b"b"}


def test_a_file_that_is_replaced_again_and_again_ends_it():
    class Restless(Store):
        async def read(
            self, path: str, *, start: int = 0, end: int | None = None, etag: str | None = None
        ) -> AsyncGenerator[bytes]:
            del start, end, etag
            raise ArtifactChanged(path)
            yield b""

    with pytest.raises(ArtifactChanged):
        unpacked(Restless({"r/a": b"a"}))


def test_a_store_that_goes_away_leaves_no_archive_that_seems_whole():
    store = Store({"r/a": b"a", "r/b": b"b"})
    store.break_at = "r/b"
    sent: list[bytes] = []

    async def story() -> None:
        async for piece in zipped(store, "r"):
            sent.append(piece)  # noqa: PERF401 - What came before the failure counts.

    with pytest.raises(ArtifactStoreUnavailable):
        asyncio.run(story())
    assert not zipfile.is_zipfile(io.BytesIO(b"".join(sent)))


# Times -------------------------------------------------------------------------------------------


def test_times_are_utc_and_within_what_the_format_can_say():
    store = Store({"r/a": b"a"})
    with zipfile.ZipFile(io.BytesIO(asyncio.run(collected(store, "r")))) as found:
        assert found.infolist()[0].date_time[0] >= 2025
    date, clock = 43 << 9 | 11 << 5 | 14, 22 << 11 | 13 << 5 | 10
    assert dos_time(MODIFIED_MS) == date << 16 | clock
    assert dos_time(None) == dos_time(0) == 1 << 21 | 1 << 16
    assert dos_time(10**15) >> 25 == 127
