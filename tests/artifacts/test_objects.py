"""What only stores of objects have: parts, URLs for others, buckets, markers, long listings."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TYPE_CHECKING, cast

import obstore
import pytest
from obstore.store import MemoryStore as LibraryMemory
from tests.artifacts.conftest import Cloud
from tests.fixtures.objects import send
from tests.fixtures.stores import listed, walked

from riverrun.artifacts.bucket import Bucket
from riverrun.artifacts.contract import (
    PAGE,
    READ_BYTES_MAX,
    ArtifactIsDirectory,
    ArtifactNotFound,
    ArtifactStore,
    ArtifactStoreUnavailable,
    InvalidArtifactPath,
    UploadedPart,
)
from riverrun.artifacts.objects import ObjectStore
from riverrun.artifacts.parts import (
    PART_BYTES_MIN,
    PARTS_MAX,
    Feed,
    UploadStopped,
    part_bytes,
    parts_in_flight,
)
from riverrun.errors import InvalidParameterValue

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import S3Store

pytestmark = pytest.mark.anyio

MEBIBYTE = 1024 * 1024
LARGE = 20 * MEBIBYTE + 1
"""Of five parts."""
TERMS = ["a", "a-", "a.", "a!b", "a b", "ab", "b", "0", "é", "~", "a-0"]


async def stream(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), READ_BYTES_MAX):
        yield content[start : start + READ_BYTES_MAX]


async def write(store: ArtifactStore, path: str, content: bytes = b"x") -> None:
    await store.write(path, stream(content))


async def read(store: ArtifactStore, path: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in store.read(path, start=start, end=end)])


def content_of(size_bytes: int, letter: bytes = b"") -> bytes:
    return letter * size_bytes if letter else random.Random(size_bytes).randbytes(size_bytes)


class Counting(ObjectStore):
    """In memory; counts the objects that are asked for."""

    def __init__(self) -> None:
        self.library = LibraryMemory()
        self.objects = 0
        bucket = Bucket("bucket 'memory'", "none", "none")
        super().__init__(cast("S3Store", self.library), bucket, "root")

    def put(self, *keys: str) -> None:
        for key in keys:
            obstore.put(self.library, f"root/{key}", b"1")

    async def _objects(
        self, folder: str, offset: str | None = None, *, at_once: int = PAGE
    ) -> "AsyncGenerator[Sequence[ObjectMeta]]":
        async for objects in super()._objects(folder, offset, at_once=at_once):
            self.objects += len(objects)
            yield objects


@pytest.mark.parametrize("seed", range(10))
async def test_a_long_listing_has_each_name_once_and_in_order(seed: int):
    store, chance = Counting(), random.Random(seed)
    numbered = [f"{chance.choice(TERMS)}{number}" for number in range(1500)]
    keys = {
        "/".join(chance.choices([*TERMS, *chance.sample(numbered, 200)], k=chance.randint(1, 3)))
        for _ in range(4000)
    } | set(numbered)
    store.put(*keys)
    names = [info.name for info in await listed(store, "")]
    assert names == sorted({key.partition("/")[0] for key in keys})
    directories = {info.name for info in await listed(store, "") if info.is_dir}
    files = {key for key in keys if "/" not in key}
    assert directories == {key.partition("/")[0] for key in keys if "/" in key} - files
    assert sorted(info.name for info in await walked(store, "")) == sorted(keys)


async def test_what_lies_deeper_is_not_read():
    store = Counting()
    store.put(*(f"d/large/{number:05}" for number in range(5000)), "d/after", "d/zero/x")
    assert [info.name for info in await listed(store, "d")] == ["after", "large", "zero"]
    assert store.objects <= PAGE + 2


async def test_a_directory_comes_before_its_longer_namesakes_over_pages():
    store = Counting()
    expected = ["model", *(f"model-{number:05}" for number in range(2 * PAGE))]
    store.put("model/x", *expected[1:])
    assert [info.name for info in await listed(store, "")] == expected


@pytest.mark.parametrize("is_known", [True, False], ids=["size known", "size unknown"])
async def test_a_large_file_goes_in_parts(cloud_store: ArtifactStore, *, is_known: bool):
    content = content_of(LARGE)
    await cloud_store.write("d/f", stream(content), size_bytes=LARGE if is_known else None)
    assert (await cloud_store.stat("d/f")).size_bytes == LARGE
    assert await read(cloud_store, "d/f") == content
    assert (
        await read(cloud_store, "d/f", PART_BYTES_MIN - 3, PART_BYTES_MIN + 3)
        == content[PART_BYTES_MIN - 3 : PART_BYTES_MIN + 3]
    )


@pytest.mark.parametrize("size", [PART_BYTES_MIN - 1, PART_BYTES_MIN, PART_BYTES_MIN + 1])
@pytest.mark.parametrize("told", [None, 0, 1, 9 * MEBIBYTE])
async def test_a_wrong_size_does_no_harm(cloud_store: ArtifactStore, size: int, told: int | None):
    content = content_of(size)
    await cloud_store.write("f", stream(content), size_bytes=told)
    assert await read(cloud_store, "f") == content


async def test_an_empty_file_that_was_said_to_be_large_is_empty(cloud_store: ArtifactStore):
    await cloud_store.write("f", stream(b""), size_bytes=LARGE)
    assert await read(cloud_store, "f") == b""


async def test_a_large_upload_that_fails_leaves_the_file_of_before(cloud_store: ArtifactStore):
    async def broken() -> AsyncIterator[bytes]:
        async for chunk in stream(content_of(LARGE)):
            yield chunk
        raise ConnectionResetError

    await write(cloud_store, "d/f", b"before")
    for path in ("d/f", "d/new"):
        with pytest.raises(ConnectionResetError):
            await cloud_store.write(path, broken())
    assert await read(cloud_store, "d/f") == b"before"
    assert [info.name for info in await listed(cloud_store, "d")] == ["f"]


@pytest.mark.parametrize("sent", [9, 12, 17, 30])
async def test_a_large_upload_that_is_cancelled_leaves_the_file_of_before(
    cloud_store: ArtifactStore, sent: int
):
    reached = asyncio.Event()

    async def waiting() -> AsyncIterator[bytes]:
        for _ in range(sent):
            yield bytes(MEBIBYTE)
        reached.set()
        await asyncio.Event().wait()

    await write(cloud_store, "d/f", b"before")
    for path in ("d/f", "d/new"):
        writing = asyncio.create_task(cloud_store.write(path, waiting()))
        await reached.wait()
        reached.clear()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
    assert await read(cloud_store, "d/f") == b"before"
    assert [info.name for info in await listed(cloud_store, "d")] == ["f"]


async def test_of_large_concurrent_writes_one_wins_entirely(cloud_store: ArtifactStore):
    contents = [content_of(LARGE, letter) for letter in (b"1", b"2", b"3")]
    await asyncio.gather(
        *(write(cloud_store, "f", content) for content in contents), return_exceptions=True
    )
    assert await read(cloud_store, "f") in contents


async def test_a_bucket_that_is_missing_is_made(unprepared_store: ArtifactStore):
    await unprepared_store.prepare()
    await unprepared_store.prepare()
    await write(unprepared_store, "d/f", b"content")
    assert await read(unprepared_store, "d/f") == b"content"


async def test_replicas_that_start_at_once_agree_on_a_new_bucket(cloud: Cloud):
    uri = cloud.uri(is_there=False)
    replicas = [cloud.store(uri) for _ in range(4)]
    await asyncio.gather(*(replica.prepare() for replica in replicas))
    await write(replicas[0], "f", b"content")
    assert await read(replicas[-1], "f") == b"content"


async def test_a_bucket_that_is_missing_is_said_in_a_sentence(unprepared_store: ArtifactStore):
    store = unprepared_store
    for call in (
        listed(store, ""),
        walked(store, ""),
        store.stat("f"),
        read(store, "f"),
        write(store, "f"),
        store.write("f", stream(content_of(LARGE))),
        store.delete("f"),
    ):
        with pytest.raises(ArtifactStoreUnavailable) as error:
            await call
        assert isinstance(store, ObjectStore)
        assert error.value.message == (
            f"The artifact store has no {store.bucket.title}: create it, or start the server with "
            "the right to create it"
        )


NAMES = [
    "f.bin",
    "d/a b+c%20d.txt",
    "é/日本",
    "u\u0308\u00fc",
    "100%/%41 %zz",
    "a?b&c=d;e",
    "a  b ",
    "\N{OX}\u200d'\"$:@!,*(){}[]<>^`|~",
    "/".join([*["y z" * 83] * 3, "w +%" * 62, "x"]),  # Of 1000 characters.
]


@pytest.mark.parametrize("path", NAMES)
async def test_urls_let_their_bearer_read_and_write_one_file(cloud_store: ArtifactStore, path: str):
    urls = cloud_store.presigned_urls()
    status, _, _ = send(await urls.upload(path, expires_s=60), "PUT", b"content")
    assert status in {200, 201}
    assert await read(cloud_store, path) == b"content"
    url = await urls.download(path, expires_s=60)
    assert send(url, "GET")[::2] == (200, b"content")
    assert [info.name for info in await walked(cloud_store, "")] == [path]


async def test_a_url_is_given_for_files_only(cloud_store: ArtifactStore):
    await write(cloud_store, "d/f")
    urls = cloud_store.presigned_urls()
    with pytest.raises(ArtifactNotFound):
        await urls.download("none", expires_s=60)
    with pytest.raises(ArtifactIsDirectory):
        await urls.download("d", expires_s=60)
    for path in ("../x", "d/", "/x"):
        with pytest.raises(InvalidArtifactPath):
            await urls.upload(path, expires_s=60)


@pytest.mark.parametrize("path", NAMES)
async def test_a_client_sends_parts_by_itself(cloud_store: ArtifactStore, path: str):
    contents = [content_of(5 * MEBIBYTE), content_of(5 * MEBIBYTE, b"2"), b"end"]
    uploads = cloud_store.multipart_uploads()
    upload = await uploads.create(path, parts=3)
    assert len(upload.parts) == 3
    parts: list[UploadedPart] = []
    for number in (3, 1, 2):
        status, headers, _ = send(upload.parts[number - 1], "PUT", contents[number - 1])
        assert status in {200, 201}
        parts.append(UploadedPart(number, headers.get("etag", "")))
    with pytest.raises(ArtifactNotFound):
        await cloud_store.stat(path)
    parts.sort(key=lambda part: part.part_number)
    await uploads.complete(path, upload.upload_id, parts=parts)
    assert await read(cloud_store, path) == b"".join(contents)
    assert [info.name for info in await walked(cloud_store, "")] == [path]
    await cloud_store.delete(path)
    assert await walked(cloud_store, "") == []


async def test_an_upload_that_is_given_up_leaves_nothing(cloud_store: ArtifactStore):
    uploads = cloud_store.multipart_uploads()
    upload = await uploads.create("d/f", parts=1)
    send(upload.parts[0], "PUT", b"content")
    await uploads.abort("d/f", upload.upload_id)
    await uploads.abort("d/f", upload.upload_id)
    assert await listed(cloud_store, "") == []


@pytest.mark.parametrize("parts", [-1, 0, PARTS_MAX + 1])
async def test_a_number_of_parts_that_cannot_be_is_refused(cloud_store: ArtifactStore, parts: int):
    with pytest.raises(InvalidParameterValue) as error:
        await cloud_store.multipart_uploads().create("f", parts=parts)
    assert error.value.message == (f"Invalid number of parts: expected 1 to 10000, got {parts}")


async def test_a_path_may_be_as_long_as_its_key(cloud_store: ArtifactStore):
    longest = "/".join(["x" * 249] * 4) + "/" + "y" * (1024 - len("some/folder/") - 1000)
    await write(cloud_store, longest, b"content")
    assert await read(cloud_store, longest) == b"content"
    with pytest.raises(InvalidArtifactPath, match="1024 bytes"):
        await write(cloud_store, f"{longest}y")


def test_parts_grow_with_the_file():
    assert part_bytes(None) == part_bytes(0) == part_bytes(10_000 * 5 * MEBIBYTE) == 5 * MEBIBYTE
    assert part_bytes(10_000 * 5 * MEBIBYTE + 1) == 6 * MEBIBYTE
    for size in (10**9, 10**11, 10**12, 5 * 1024**4):
        assert size <= part_bytes(size) * PARTS_MAX < size + 10_000 * 5 * MEBIBYTE
    assert [parts_in_flight(5 * MEBIBYTE, uploads) for uploads in (1, 2, 3, 4)] == [2, 1, 1, 1]
    assert parts_in_flight(part_bytes(5 * 1024**4), 1) == 1


async def test_a_stream_that_outgrows_its_parts_is_stopped():
    """As one of unknown length does after 10 000 parts of 5 MiB."""
    feed = Feed(bytes_max=10)

    async def read_all() -> None:
        async for _ in feed:
            pass

    sending = asyncio.create_task(read_all())
    await feed.offer(b"x" * 10, sending)
    with pytest.raises(InvalidParameterValue) as error:
        await feed.offer(b"x", sending)
    assert error.value.message == (
        "The file is longer than 10 bytes: expected no more, as its length was not told beforehand "
        "by Content-Length, or is more than stores take"
    )
    feed.stop()
    with pytest.raises(UploadStopped):
        await sending
