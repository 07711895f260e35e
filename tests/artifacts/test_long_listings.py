"""A directory of 100 000 files on S3: asked for in pages, as they are wanted, in little memory."""

import asyncio
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit

import pytest

from riverrun.artifacts.contract import PAGE
from riverrun.artifacts.s3 import open_s3

pytestmark = pytest.mark.anyio

FILES = 100_000
MEMORY_BYTES_MAX = 8 * 1024 * 1024
ENTRY = (
    "<Contents><Key>root/d/{:06}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
    '<ETag>"e"</ETag><Size>1</Size><StorageClass>STANDARD</StorageClass></Contents>'
)


class Listing:
    """What S3 answers of a bucket with the keys `root/d/000000` to `root/d/099999`, made up as it
    is asked for.
    """

    def __init__(self) -> None:
        self.requests = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            body = self._page(parse_qs(urlsplit(head.decode().split()[1]).query)).encode()
            fields = f"Content-Length: {len(body)}\r\nConnection: close\r\n"
            writer.write(f"HTTP/1.1 200 OK\r\n{fields}\r\n".encode() + body)
            await writer.drain()
        writer.close()

    def _page(self, query: dict[str, list[str]]) -> str:
        below = query.get("prefix", [""])[0]
        # Who asks for what comes after a key means the end of the directory.
        start = FILES if "start-after" in query else int(query.get("continuation-token", ["0"])[0])
        end = min(start + PAGE, FILES) if "root/d/".startswith(below) else start
        more = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < FILES else ""
        entries = "".join(map(ENTRY.format, range(start, end)))
        is_cut = str(bool(more)).lower()
        return (
            f"<ListBucketResult><IsTruncated>{is_cut}</IsTruncated>{more}"
            f"<KeyCount>{end - start}</KeyCount>{entries}</ListBucketResult>"
        )


@asynccontextmanager
async def listing() -> AsyncGenerator[tuple[Listing, str]]:
    found = Listing()
    server = await asyncio.start_server(found.accept, "127.0.0.1", 0)
    async with server:
        yield found, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def environ_at(url: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "MLFLOW_S3_ENDPOINT_URL": url,
    }


async def test_the_first_page_takes_few_requests_however_many_follow():
    async with listing() as (server, url):
        store = open_s3("s3://bucket/root", environ_at(url))
        async with aclosing(store.list("d")) as pages:
            first = await anext(pages)
        assert [info.name for info in first] == [f"{number:06}" for number in range(PAGE)]
        assert server.requests <= 3  # The library asks for the next one meanwhile.


async def test_every_page_comes_in_its_turn_and_in_little_memory():
    async with listing() as (server, url):
        store = open_s3("s3://bucket/root", environ_at(url))
        tracemalloc.start()
        try:
            names = 0
            async for page in store.list("d"):
                assert page[0].name == f"{names:06}"
                names += len(page)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert names == FILES
        assert server.requests <= FILES // PAGE + 2
        assert peak_bytes < MEMORY_BYTES_MAX


async def test_a_large_directory_is_looked_past_from_above():
    async with listing() as (server, url):
        store = open_s3("s3://bucket/root", environ_at(url))
        found = [info async for page in store.list("") for info in page]
        assert [(info.name, info.is_dir) for info in found] == [("d", True)]
        assert server.requests <= 3
