"""A store that fails, is slow, or goes away: asked again for a while, then said in one sentence."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

import pytest
from tests.artifacts.conftest import Cloud
from tests.fixtures.faults import Fault, Proxy, proxying
from tests.fixtures.objects import send
from tests.fixtures.stores import listed

from riverrun.artifacts.bucket import BucketForbidden, Patience
from riverrun.artifacts.contract import (
    READ_BYTES_MAX,
    ArtifactStore,
    ArtifactStoreUnavailable,
    MultipartUploads,
    NoSpaceForArtifacts,
    UploadedPart,
)
from riverrun.artifacts.parts import PART_BYTES_MIN
from riverrun.errors import InvalidState

pytestmark = pytest.mark.anyio

MEBIBYTE = 1024 * 1024
CONTENT = b"".join(number.to_bytes(4, "big") for number in range(MEBIBYTE))
FAULTS = [500, 503, 429, Fault.RESET]
DID_NOT_ANSWER = (
    "The artifact store did not answer; try again, and see the server's log if that does not help"
)
SILENCE_S = 0.4
CALL_S_MAX = 10
"""Much more than the patience of the stores that have little."""


async def stream(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), READ_BYTES_MAX):
        yield content[start : start + READ_BYTES_MAX]


async def read(store: ArtifactStore, path: str) -> bytes:
    return b"".join([chunk async for chunk in store.read(path)])


async def read_span(store: ArtifactStore, path: str, start: int, end: int) -> bytes:
    return b"".join([chunk async for chunk in store.read(path, start=start, end=end)])


class Failing:
    """A store behind a proxy; `at_once` is the same without patience for failures."""

    def __init__(self, proxy: Proxy, cloud: Cloud) -> None:
        self.proxy = proxy
        self.cloud = cloud
        self.uri = cloud.uri()
        self.store = self.opened(self.uri, Patience(retries_s=20))
        self.at_once = self.opened(self.uri, Patience(retries_s=0))

    def opened(self, uri: str, patience: Patience) -> ArtifactStore:
        return self.cloud.store(uri, port=self.proxy.port, patience=patience)


@pytest.fixture
async def failing(cloud: Cloud) -> AsyncGenerator[Failing]:
    async with proxying(cloud.server.port) as proxy:
        failing = Failing(proxy, cloud)
        await failing.store.write("d/f", stream(CONTENT))
        proxy.requests.clear()
        yield failing


def fail_times(
    proxy: Proxy, times: int, fault: Fault | int, where: Callable[[str], bool] = lambda _: True
) -> None:
    faults = [fault] * times
    proxy.fault = lambda request: faults.pop() if faults and where(request) else None


async def send_part(uploads: MultipartUploads) -> tuple[str, list[UploadedPart]]:
    """An upload of `d/g` that is yet to be completed."""
    upload = await uploads.create("d/g", parts=1)
    status, headers, _ = await asyncio.to_thread(send, upload.parts[0], "PUT", b"content")
    assert status in {200, 201}
    return upload.upload_id, [UploadedPart(1, headers.get("etag", ""))]


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_request_that_fails_twice_is_made_again(failing: Failing, fault: Fault | int):
    store, proxy = failing.store, failing.proxy
    fail_times(proxy, 2, fault)
    assert [info.name for info in await listed(store, "d")] == ["f"]
    fail_times(proxy, 2, fault)
    assert (await store.stat("d/f")).size_bytes == len(CONTENT)
    fail_times(proxy, 2, fault)
    assert await read(store, "d/f") == CONTENT
    fail_times(proxy, 2, fault)
    await store.write("d/g", stream(b"small"))
    fail_times(proxy, 2, fault)
    await store.delete("d/f")
    assert [info.name for info in await listed(store, "d")] == ["g"]


@pytest.mark.parametrize("fault", [503, Fault.RESET])
async def test_an_upload_is_completed_in_spite_of_failures(failing: Failing, fault: Fault | int):
    uploads = failing.store.multipart_uploads()
    upload_id, parts = await send_part(uploads)
    fail_times(failing.proxy, 1, fault)
    await uploads.complete("d/g", upload_id, parts=parts)
    assert await read(failing.store, "d/g") == b"content"


@pytest.mark.parametrize("fault", FAULTS)
async def test_one_that_goes_on_failing_is_said_in_a_sentence(failing: Failing, fault: Fault | int):
    store = failing.at_once
    uploads = store.multipart_uploads()
    upload_id, parts = await send_part(uploads)
    failing.proxy.fault = lambda _: fault
    answered = f"answered with status {fault}" if isinstance(fault, int) else "did not answer"
    sentence = (
        f"The artifact store {answered}; try again, and see the server's log if that does not help"
    )
    for call in (
        listed(store, ""),
        store.stat("d/f"),
        read(store, "d/f"),
        store.write("new", stream(b"x")),
        store.delete("d"),
        store.prepare(),
        uploads.complete("d/g", upload_id, parts=parts),
    ):
        with pytest.raises(ArtifactStoreUnavailable) as error:
            await asyncio.wait_for(call, CALL_S_MAX)
        assert error.value.message == sentence
        assert error.value.retry_after_s == 30
    failing.proxy.fault = lambda _: None
    assert [info.name for info in await listed(store, "")] == ["d"]


async def test_a_store_that_falls_silent_is_not_waited_for_for_ever(failing: Failing):
    upload_id, parts = await send_part(failing.store.multipart_uploads())
    store = failing.opened(failing.uri, Patience(retries_s=0, silence_s=SILENCE_S))
    uploads = store.multipart_uploads()
    failing.proxy.fault = lambda _: Fault.HANG
    for call in (
        listed(store, ""),
        read(store, "d/f"),
        store.write("new", stream(b"x")),
        store.write("new", stream(CONTENT * 7)),
        uploads.complete("d/g", upload_id, parts=parts),
    ):
        begun_s = time.monotonic()
        with pytest.raises(ArtifactStoreUnavailable) as error:
            await asyncio.wait_for(call, CALL_S_MAX)
        assert error.value.message == DID_NOT_ANSWER
        assert time.monotonic() - begun_s >= SILENCE_S * 0.9


async def test_a_slow_answer_is_waited_for_as_long_as_its_bytes_flow(failing: Failing):
    store = failing.opened(failing.uri, Patience(retries_s=0, silence_s=SILENCE_S))
    failing.proxy.fault = lambda _: Fault.SLOW
    begun_s = time.monotonic()
    assert await read(store, "d/f") == CONTENT
    assert time.monotonic() - begun_s > SILENCE_S


@pytest.mark.parametrize(
    "fault", [Fault.RESET, 500, 503], ids=["disappears", "answers 500", "answers 503"]
)
@pytest.mark.parametrize("parts", [0, 1, 2])
async def test_no_partial_file_is_listed_when_the_store_goes_amid_an_upload(
    failing: Failing, fault: Fault | int, parts: int
):
    seen: list[str] = []

    def after_some_parts(request: str) -> Fault | int | None:
        if request.startswith("PUT"):
            seen.append(request)
        return fault if len(seen) > parts else None

    failing.proxy.fault = after_some_parts
    for path in ("d/new", "d/f"):
        writing = failing.at_once.write(path, stream(CONTENT * 7))
        with pytest.raises(ArtifactStoreUnavailable):
            await asyncio.wait_for(writing, CALL_S_MAX)
    failing.proxy.fault = lambda _: None
    assert [info.name for info in await listed(failing.store, "d")] == ["f"]
    assert await read(failing.store, "d/f") == CONTENT


@pytest.mark.parametrize("fault", [500, Fault.RESET])
async def test_the_parts_of_an_upload_that_failed_are_given_up(
    failing: Failing, fault: Fault | int
):
    sent: list[str] = []

    def all_but_the_first(request: str) -> Fault | int | None:
        is_part = failing.cloud.parts in request
        sent.extend([request] if is_part else [])
        return fault if is_part and len(sent) > 1 else None

    failing.proxy.fault = all_but_the_first
    with pytest.raises(ArtifactStoreUnavailable):
        await failing.at_once.write("d/new", stream(CONTENT * 7))
    assert len(sent) > 1
    assert failing.cloud.server.uploads(failing.uri) == []
    assert [info.name for info in await listed(failing.store, "d")] == ["f"]


async def test_a_part_that_fails_is_sent_again(failing: Failing):
    fail_times(failing.proxy, 2, 500, lambda request: failing.cloud.parts in request)
    await failing.store.write("d/g", stream(CONTENT * 7))
    sent = [request for request in failing.proxy.requests if failing.cloud.parts in request]
    assert len(sent) == -(-7 * len(CONTENT) // PART_BYTES_MIN) + 2
    assert await read(failing.store, "d/g") == CONTENT * 7


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.SHORT])
async def test_an_answer_cut_off_is_read_on_where_it_ended(failing: Failing, fault: Fault):
    fail_times(failing.proxy, 1, fault)
    assert await read(failing.store, "d/f") == CONTENT


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.SHORT])
async def test_a_file_that_stays_cut_off_is_never_taken_for_a_short_one(
    failing: Failing, fault: Fault
):
    failing.proxy.fault = lambda _: fault
    for call in (
        read(failing.at_once, "d/f"),
        read_span(failing.at_once, "d/f", 1, len(CONTENT) - 1),
    ):
        with pytest.raises(ArtifactStoreUnavailable) as error:
            await call
        assert error.value.message == DID_NOT_ANSWER


async def test_rights_that_lack_are_named(failing: Failing):
    store = failing.store
    uploads = store.multipart_uploads()
    upload_id, parts = await send_part(uploads)
    failing.proxy.fault = lambda _: 403
    needs = {
        "s3": "s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject, "
        "s3:AbortMultipartUpload and, for that alone, s3:CreateBucket",
        "gs": "the role Storage Object User, and Storage Admin if they are to create it",
        "az": "those of a Storage Blob Data Contributor",
    }
    for call in (
        listed(store, ""),
        store.stat("d/f"),
        read(store, "d/f"),
        store.write("new", stream(b"x")),
        store.write("new", stream(CONTENT * 7)),
        store.delete("d/f"),
        uploads.complete("d/g", upload_id, parts=parts),
    ):
        with pytest.raises(BucketForbidden) as error:
            await call
        assert error.value.message.startswith("The artifact store does not let the server in: on ")
        assert error.value.message.endswith(f"need {needs[failing.uri.partition(':')[0]]}")
        assert "secret" not in error.value.message


async def test_an_account_that_may_not_list_is_told_at_the_start(failing: Failing):
    """Though it may read and write, and even where it could make the bucket."""
    failing.proxy.fault = lambda request: 403 if request.startswith("GET") else None
    with pytest.raises(InvalidState, match=r"^The artifact store does not let the server in: on "):
        await failing.store.prepare()


async def test_an_account_that_may_not_make_the_bucket_is_told_at_the_start(failing: Failing):
    store = failing.opened(failing.cloud.uri(is_there=False), Patience(retries_s=0))
    failing.proxy.fault = lambda request: 403 if request.startswith("PUT") else None
    with pytest.raises(InvalidState, match=r"^The artifact store does not let the server in: on "):
        await store.prepare()


async def test_a_full_store_says_so(failing: Failing):
    failing.proxy.fault = lambda request: 507 if request.startswith("PUT") else None
    with pytest.raises(NoSpaceForArtifacts):
        await failing.at_once.write("new", stream(b"x"))


async def test_whoever_waits_for_a_silent_store_can_be_cancelled(failing: Failing):
    store = failing.at_once
    failing.proxy.fault = lambda _: Fault.HANG
    for call in (listed(store, ""), store.stat("d/f"), read(store, "d/f")):
        waiting = asyncio.create_task(call)
        await failing.proxy.hangs.wait()
        failing.proxy.hangs.clear()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_a_reader_that_leaves_early_lets_go_of_the_connection(failing: Failing):
    async with aclosing(failing.store.read("d/f")) as chunks:
        assert len(await anext(chunks)) > 0
    assert await read(failing.store, "d/f") == CONTENT
