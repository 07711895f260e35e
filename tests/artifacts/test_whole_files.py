"""A store need not know ranges: HTTP lets it answer one that is all of the file with 200."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from riverrun.artifacts.s3 import open_s3
from riverrun.services.artifacts import OpenFile

pytestmark = pytest.mark.anyio

CONTENT = b"0123456789" * 1000


async def test_a_whole_file_comes_from_a_store_that_answers_no_range() -> None:
    async with ignorant_store() as port:
        file = await opened(port)
        chunks = [chunk async for chunk in file.read(0, file.size_bytes)]
    assert b"".join(chunks) == CONTENT


async def opened(port: int) -> OpenFile:
    environ = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    store = open_s3("s3://bucket", environ)
    info = await store.stat("file.bin")
    return OpenFile(info.name, info.size_bytes, info.modified_ms, info.etag, store, "file.bin")


@asynccontextmanager
async def ignorant_store() -> AsyncGenerator[int]:
    """The port of a server that holds one object and knows no `Range`."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await reader.readuntil(b"\r\n\r\n")
    writer.write(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n"
        b'ETag: "tag"\r\nLast-Modified: Sat, 21 Nov 2026 10:00:00 GMT\r\n\r\n' % len(CONTENT)
    )
    if request.startswith(b"GET "):
        writer.write(CONTENT)
    await writer.drain()
    writer.close()
