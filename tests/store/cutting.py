"""A way to a server that is cut after a number of statements."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from riverrun.store.urls import DatabaseUrl

CHANGES = re.compile(rb"(?:CREATE|ALTER|DROP|INSERT|UPDATE) ")


class Cutter:
    """Passes on what one client and a server say, up to the first change that is one too many."""

    def __init__(self, url: DatabaseUrl, changes_max: int) -> None:
        self._url = url
        self._left = changes_max
        self.has_cut = False
        self.ended = asyncio.Event()

    async def serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        results, server = await asyncio.open_connection(self._url.host, self._url.port)
        answering = asyncio.create_task(_pass_on(results, answers))
        with suppress(ConnectionError):
            while data := await client.read(65_536):
                if CHANGES.search(data):
                    self._left -= 1
                if self._left < 0:
                    self.has_cut = True
                    break
                server.write(data)
        server.close()
        answers.close()
        await answering
        self.ended.set()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


@asynccontextmanager
async def cut_after(
    url: DatabaseUrl, changes_max: int
) -> AsyncGenerator[tuple[DatabaseUrl, Cutter]]:
    """The URL that leads through the cutter."""
    cutter = Cutter(url, changes_max)
    server = await asyncio.start_server(cutter.serve, "127.0.0.1", 0)
    async with server:
        yield replace(url, port=server.sockets[0].getsockname()[1]), cutter
        await cutter.ended.wait()
