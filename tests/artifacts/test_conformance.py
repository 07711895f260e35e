"""What the contract promises, asked of every store."""

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from tests.fixtures.stores import listed, walked

from riverrun.artifacts.contract import (
    PAGE,
    READ_BYTES_MAX,
    ArtifactChanged,
    ArtifactIsDirectory,
    ArtifactNotFound,
    ArtifactStore,
    InvalidArtifactPath,
)
from riverrun.errors import NotImplementedHere

pytestmark = pytest.mark.anyio

SIZES = (0, 1, READ_BYTES_MAX - 1, READ_BYTES_MAX, READ_BYTES_MAX + 1, 5 * READ_BYTES_MAX)
EVIL = ("../x", "a/../../x", "/etc/passwd", "a\\b", "%2e%2e/x", "%252e%252e%252fx", "a\0b", "a#b")
PLAIN = (
    "100%.txt",
    "a b.txt",
    "é.txt",
    "日本/語",
    "-rf",
    "...",
    "a..b",
    ".hidden",
    "a?b",
    "a+b%2Bc",
    "%41 %zz",
    "a  b ",
    "u\u0308\u00fc",  # Two spellings of one letter.
    "\N{OX}\u200d'\"&=;$@!:,*(){}[]<>^`|~",
    "x" * 255,
    "/".join([*["y z" * 83] * 3, "w +%" * 62, "x"]),  # Of 1000 characters.
)


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def broken(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    raise ConnectionResetError


async def write(store: ArtifactStore, path: str, content: bytes = b"x") -> None:
    await store.write(path, stream(content))


async def read(store: ArtifactStore, path: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in store.read(path, start=start, end=end)])


async def names(store: ArtifactStore, path: str = "") -> list[str]:
    return [info.name for info in await listed(store, path)]


async def test_an_empty_store_has_an_empty_root(store: ArtifactStore):
    assert await listed(store, "") == []
    with pytest.raises(ArtifactIsDirectory):
        await store.stat("")


@pytest.mark.parametrize("size", SIZES)
async def test_what_is_written_is_read_back_in_bounded_chunks(store: ArtifactStore, size: int):
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    await write(store, "a/b/c.bin", content)
    chunks = [chunk async for chunk in store.read("a/b/c.bin")]
    assert b"".join(chunks) == content
    assert all(0 < len(chunk) <= READ_BYTES_MAX for chunk in chunks)


async def test_chunks_of_any_size_make_the_same_file(store: ArtifactStore):
    await store.write("f", stream(b"", b"a", b"", b"bc" * READ_BYTES_MAX, b"d", b""))
    assert await read(store, "f") == b"a" + b"bc" * READ_BYTES_MAX + b"d"


async def test_a_hundred_thousand_tiny_chunks_make_one_file(store: ArtifactStore):
    await store.write("f", stream(*[b"ab"] * 100_000))
    assert await read(store, "f") == b"ab" * 100_000


async def test_a_second_write_replaces_the_first(store: ArtifactStore):
    await write(store, "f", b"a long first version")
    await write(store, "f", b"short")
    assert await read(store, "f") == b"short"
    assert await names(store) == ["f"]


async def test_list_gives_sorted_names_of_one_level(store: ArtifactStore):
    for path in ("dir/z", "dir/sub/deep/x", "dir/B", "dir/é", "dir/a", "dirt", "dir/empty"):
        await write(store, path, b"" if path == "dir/empty" else b"123")
    found = await listed(store, "dir")
    assert [(info.name, info.is_dir, info.size_bytes) for info in found] == [
        ("B", False, 3),
        ("a", False, 3),
        ("empty", False, 0),
        ("sub", True, 0),
        ("z", False, 3),
        ("é", False, 3),
    ]
    assert [(info.name, info.is_dir) for info in await listed(store, "")] == [
        ("dir", True),
        ("dirt", False),
    ]


async def test_list_and_stat_say_the_same(store: ArtifactStore):
    await write(store, "d/f", b"12345")
    assert await listed(store, "d") == [await store.stat("d/f")]


@pytest.mark.parametrize("path", ["f", "f/below", "missing", "missing/deeper"])
async def test_a_file_or_a_missing_path_lists_nothing(store: ArtifactStore, path: str):
    await write(store, "f")
    assert await listed(store, path) == []


async def test_stat_tells_size_and_time(store: ArtifactStore):
    before_ms = time.time_ns() // 1_000_000
    await write(store, "d/f", b"12345")
    info = await store.stat("d/f")
    assert (info.name, info.is_dir, info.size_bytes) == ("f", False, 5)
    assert info.modified_ms is not None
    assert before_ms - 1000 <= info.modified_ms <= time.time_ns() // 1_000_000 + 1000


async def test_the_etag_is_quoted_steady_and_changes_with_the_content(store: ArtifactStore):
    await write(store, "f", b"one")
    first = (await store.stat("f")).etag
    assert first is not None
    assert first[0] == first[-1] == '"'
    assert (await store.stat("f")).etag == first
    await write(store, "f", b"two")
    assert (await store.stat("f")).etag != first


@pytest.mark.parametrize("path", ["missing", "f/below", "d/missing", "missing/deeper"])
async def test_a_missing_file_is_named(store: ArtifactStore, path: str):
    await write(store, "f")
    await write(store, "d/f")
    with pytest.raises(ArtifactNotFound) as error:
        await store.stat(path)
    assert error.value.message == f"No such artifact: '{path}'"
    with pytest.raises(ArtifactNotFound):
        await read(store, path)


async def test_a_directory_is_no_file(store: ArtifactStore):
    await write(store, "d/f")
    with pytest.raises(ArtifactIsDirectory) as error:
        await store.stat("d")
    assert error.value.message == "Artifact path refers to a directory, not a file: 'd'"
    for path in ("d", ""):
        with pytest.raises(ArtifactIsDirectory):
            await read(store, path)
    with pytest.raises(ArtifactIsDirectory):
        await write(store, "d")
    assert await names(store, "d") == ["f"]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, None, b"0123456789"),
        (3, None, b"3456789"),
        (0, 1, b"0"),
        (9, 10, b"9"),
        (2, 5, b"234"),
        (4, 4, b""),
        (5, 4, b""),
        (0, 99, b"0123456789"),
        (10, None, b""),
        (99, None, b""),
        (99, 200, b""),
    ],
)
async def test_a_span_is_cut_to_the_file(
    store: ArtifactStore, start: int, end: int | None, expected: bytes
):
    await write(store, "f", b"0123456789")
    assert await read(store, "f", start, end) == expected


async def test_a_span_goes_across_chunks(store: ArtifactStore):
    content = b"".join(number.to_bytes(4, "big") for number in range(READ_BYTES_MAX))
    await write(store, "f", content)
    start, end = READ_BYTES_MAX - 3, 3 * READ_BYTES_MAX + 5
    assert await read(store, "f", start, end) == content[start:end]


async def test_an_etag_guards_a_read_against_a_replaced_file(store: ArtifactStore):
    await write(store, "f", b"one")
    etag = (await store.stat("f")).etag
    assert [chunk async for chunk in store.read("f", etag=etag)] == [b"one"]
    await write(store, "f", b"two")
    with pytest.raises(ArtifactChanged):
        await anext(store.read("f", etag=etag))


@pytest.mark.parametrize("change", ["replace", "delete", "delete directory"])
async def test_a_reader_keeps_the_version_that_it_began(store: ArtifactStore, change: str):
    await write(store, "d/f", b"1" * 3 * READ_BYTES_MAX)
    chunks = store.read("d/f")
    content = await anext(chunks)
    match change:
        case "replace":
            await write(store, "d/f", b"2")
        case "delete":
            await store.delete("d/f")
        case _:
            await store.delete("d")
    content += b"".join([chunk async for chunk in chunks])
    assert content == b"1" * 3 * READ_BYTES_MAX


async def test_a_reader_may_stop_early(store: ArtifactStore):
    await write(store, "f", b"1" * 3 * READ_BYTES_MAX)
    for _ in range(3):
        async with aclosing(store.read("f")) as chunks:
            assert len(await anext(chunks)) == READ_BYTES_MAX


async def test_a_file_is_not_there_before_its_stream_has_ended(store: ArtifactStore):
    seen: list[object] = []

    async def watching() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * READ_BYTES_MAX
            seen.append(await listed(store, "") or await listed(store, "d"))

    await store.write("d/f", watching())
    assert seen == [[], [], []]
    assert await names(store, "d") == ["f"]


@pytest.mark.parametrize("sent", [0, 1, 3])
async def test_a_failed_stream_leaves_nothing(store: ArtifactStore, sent: int):
    with pytest.raises(ConnectionResetError):
        await store.write("d/e/f", broken(*[b"x" * READ_BYTES_MAX] * sent))
    assert await listed(store, "") == []


async def test_a_failed_stream_leaves_the_file_of_before(store: ArtifactStore):
    await write(store, "d/f", b"before")
    with pytest.raises(ConnectionResetError):
        await store.write("d/f", broken(b"after" * READ_BYTES_MAX))
    assert await read(store, "d/f") == b"before"
    assert await names(store, "d") == ["f"]


@pytest.mark.parametrize("steps", range(8))
async def test_a_cancelled_write_leaves_nothing(store: ArtifactStore, steps: int):
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * READ_BYTES_MAX
            await asyncio.sleep(0)

    writing = asyncio.create_task(store.write("d/f", endless()))
    for _ in range(steps):
        await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await listed(store, "") == []


async def test_of_concurrent_writes_one_wins_entirely(store: ArtifactStore):
    async def slowly(letter: bytes) -> AsyncIterator[bytes]:
        for _ in range(5):
            yield letter * READ_BYTES_MAX
            await asyncio.sleep(0)

    await asyncio.gather(*(store.write("d/f", slowly(b"%d" % number)) for number in range(8)))
    content = await read(store, "d/f")
    assert content in {b"%d" % number * 5 * READ_BYTES_MAX for number in range(8)}
    assert await names(store, "d") == ["f"]


async def test_concurrent_writes_make_their_directories_together(store: ArtifactStore):
    await asyncio.gather(*(write(store, f"a/b/c/{number}") for number in range(50)))
    assert len(await listed(store, "a/b/c")) == 50


async def test_writes_and_deletes_of_one_directory_get_along(store: ArtifactStore):
    async def write_some(number: int) -> None:
        for round_ in range(10):
            await write(store, f"d/{number}/{round_}")

    async def delete_some() -> None:
        for _ in range(20):
            await store.delete("d")

    await asyncio.gather(delete_some(), *(write_some(number) for number in range(4)))
    await write(store, "d/last")
    assert await read(store, "d/last") == b"x"


async def test_delete_takes_a_file_or_a_whole_directory(store: ArtifactStore):
    for path in ("d/f", "d/sub/x", "d/sub/deep/y", "dz", "d2/f"):
        await write(store, path)
    await store.delete("d/f")
    assert await names(store, "d") == ["sub"]
    await store.delete("d")
    assert await names(store) == ["d2", "dz"]


@pytest.mark.parametrize("path", ["missing", "missing/deeper", "f/below"])
async def test_deleting_what_is_missing_is_no_error(store: ArtifactStore, path: str):
    await write(store, "f")
    await store.delete(path)
    await store.delete(path)
    assert await names(store) == ["f"]


async def test_the_root_cannot_be_deleted(store: ArtifactStore):
    await write(store, "f")
    for path in ("", ".", "//."[2:]):
        with pytest.raises(InvalidArtifactPath) as error:
            await store.delete(path)
        assert error.value.message == "Invalid path: the root cannot be deleted"
    assert await names(store) == ["f"]


@pytest.mark.parametrize("path", PLAIN)
async def test_odd_but_plain_names_keep_their_spelling(store: ArtifactStore, path: str):
    full = f"d/{path}"
    await write(store, full, b"content")
    assert await read(store, full) == b"content"
    assert await names(store, "d") == [path.partition("/")[0]]
    info = await store.stat(full)
    assert (info.name, info.size_bytes) == (full.rpartition("/")[2], 7)
    assert await listed(store, full.rpartition("/")[0]) == [info]
    assert [found.name for found in await walked(store, "d")] == [path]
    await store.delete(full)
    assert await walked(store, "") == []


@pytest.mark.parametrize("path", EVIL)
async def test_every_method_refuses_an_unsafe_path(store: ArtifactStore, path: str):
    with pytest.raises(InvalidArtifactPath, match=r"^Invalid path: "):
        await listed(store, path)
    with pytest.raises(InvalidArtifactPath, match=r"^Invalid path: "):
        await store.stat(path)
    with pytest.raises(InvalidArtifactPath, match=r"^Invalid path: "):
        await read(store, path)
    with pytest.raises(InvalidArtifactPath, match=r"^Invalid path: "):
        await write(store, path)
    with pytest.raises(InvalidArtifactPath, match=r"^Invalid path: "):
        await store.delete(path)
    assert await listed(store, "") == []


@pytest.mark.parametrize("path", ["", "/", "d/", "d/.", "."])
async def test_a_write_needs_a_file_name(store: ArtifactStore, path: str):
    with pytest.raises(InvalidArtifactPath):
        await write(store, path)


async def test_empty_segments_do_not_count(store: ArtifactStore):
    await write(store, "a//./b", b"content")
    assert await read(store, "a/b") == b"content"
    assert await names(store, "a/") == ["b"]


async def test_memory_stays_constant_both_ways(large_store: ArtifactStore):
    store = large_store

    async def sixty_four_mib() -> AsyncIterator[bytes]:
        for _ in range(1024):
            yield bytes(64 * 1024)

    tracemalloc.start()
    try:
        await store.write("f", sixty_four_mib())
        async for _ in store.read("f"):
            pass
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 24 * 1024 * 1024  # Clouds get two parts of 5 MiB at once.


async def test_what_a_store_cannot_do_it_says_in_words_that_clients_know(
    plain_store: ArtifactStore,
):
    store = plain_store
    with pytest.raises(NotImplementedHere) as error:
        store.multipart_uploads()
    assert error.value.message == (
        "Multipart upload is not supported for the current artifact repository"
    )
    with pytest.raises(NotImplementedHere) as error:
        store.presigned_urls()
    assert error.value.message == (
        "Multipart download is not supported for the current artifact repository"
    )


async def test_a_walk_finds_every_file_below(store: ArtifactStore):
    for path in ("a/b/c", "a/b/d/e", "a/f", "g", "ab/h"):
        await write(store, path, path.encode())
    assert sorted(info.name for info in await walked(store, "a")) == ["b/c", "b/d/e", "f"]
    assert {info.name: info.size_bytes for info in await walked(store, "")} == {
        "a/b/c": 5,
        "a/b/d/e": 7,
        "a/f": 3,
        "g": 1,
        "ab/h": 4,
    }
    assert await walked(store, "g") == await walked(store, "none") == []


async def test_long_directories_come_in_pages(store: ArtifactStore):
    expected = [f"{number:05}" for number in range(PAGE + 1)]
    for start in range(0, len(expected), 100):
        await asyncio.gather(*(write(store, f"d/{name}") for name in expected[start:][:100]))
    pages = [page async for page in store.list("d")]
    assert all(0 < len(page) <= PAGE for page in pages)
    assert [info.name for page in pages for info in page] == expected
    assert len(await walked(store, "")) == len(expected)
