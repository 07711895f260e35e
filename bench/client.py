"""A small HTTP/1.1 client that costs the load generator about 20 µs a call.

It asks for no compression, keeps one connection per client, and reads no more of an answer than
status, length and body. General clients top out at 5 to 8 thousand calls a second on one core,
below what is measured here.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

WRITE_BUFFER_BYTES = 4 << 20


class CallFailed(Exception):
    """An answer other than 200, or none at all."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Address:
    """Builds whole requests to one server, as bytes that a loop only has to send."""

    port: int
    host: str = "127.0.0.1"
    authorization: str = ""

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        return self.head("GET", path, headers or {}) + b"\r\n"

    def post(self, path: str, body: bytes) -> bytes:
        return self.send("POST", path, body, "application/json")

    def put(self, path: str, body: bytes) -> bytes:
        return self.send("PUT", path, body, "application/octet-stream")

    def send(self, method: str, path: str, body: bytes, content_type: str) -> bytes:
        headers = {"Content-Type": content_type, "Content-Length": str(len(body))}
        return self.head(method, path, headers) + b"\r\n" + body

    def head(self, method: str, path: str, headers: Mapping[str, str]) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}:{self.port}"]
        if self.authorization:
            lines.append(f"Authorization: {self.authorization}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n").encode()


class Connection(asyncio.Protocol):
    """One keep-alive connection that carries one call at a time."""

    def __init__(self) -> None:
        self.is_open = False
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._keep = True
        self._reset()

    async def exchange(self, request: bytes, *, keep: bool = True) -> Answer:
        """Send one request, await its answer. Without `keep` the body is counted and dropped."""
        answer = self._expect(keep=keep)
        self._write(request)
        return await answer

    async def upload(self, head: bytes, block: bytes, *, times: int) -> Answer:
        """Send `head` and the block that often, never holding more than a few blocks."""
        answer = self._expect(keep=True)
        self._write(head)
        for _ in range(times):
            if answer.done():
                break
            self._write(block)
            await self._writable.wait()
        return await answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass, only alike.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._writable.set()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(CallFailed(f"connection closed: {exc or 'no answer'}"))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        if not self._has_head:
            data = self._rest + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._rest = data
                return
            self._rest = b""
            self._read_head(data[:end].lower())
            data = data[end + 4 :]
        if self._is_chunked:
            self._read_chunks(data)
        else:
            self._read_body(data)
            if self._missing == 0:
                self._finish()

    def _read_head(self, head: bytes) -> None:
        self._has_head = True
        self._status = int(head[9:12])
        start = head.find(b"\r\ncontent-length:")
        if start >= 0:
            end = head.find(b"\r\n", start + 17)
            self._missing = int(head[start + 17 : end if end >= 0 else len(head)])
        else:
            self._is_chunked = b"\r\ntransfer-encoding: chunked" in head

    def _read_body(self, data: bytes) -> None:
        self._missing -= len(data)
        self._size += len(data)
        if self._keep:
            self._parts.append(data)

    def _read_chunks(self, data: bytes) -> None:
        """Chunk = size in hexadecimal CRLF bytes CRLF; the last one has size 0."""
        data = self._rest + data
        place = 0
        while place < len(data):
            if self._missing > 0:
                part = data[place : place + self._missing]
                self._read_body(part)
                place += len(part)
                continue
            # Between chunks: the line end of the last chunk, if any, and the next size.
            start = place + 2 if data[place : place + 1] == b"\r" else place
            end = data.find(b"\r\n", start)
            if end < 0:
                break
            self._missing = int(data[start:end].split(b";")[0], 16)
            place = end + 2
            if self._missing == 0:
                self._finish()
                return
        self._rest = data[place:]

    def _expect(self, *, keep: bool) -> asyncio.Future[Answer]:
        self._keep = keep
        self._answer = asyncio.get_running_loop().create_future()
        return self._answer

    def _write(self, data: bytes) -> None:
        if self._transport is None or not self.is_open:
            raise CallFailed("connection closed before the call")
        self._transport.write(data)

    def _finish(self) -> None:
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        answer, self._answer = self._answer, None
        size, status = self._size, self._status
        self._reset()
        if answer is not None and not answer.done():
            answer.set_result(Answer(status, body, size))

    def _reset(self) -> None:
        self._rest = b""
        self._parts: list[bytes] = []
        self._has_head = self._is_chunked = False
        self._status = self._missing = self._size = 0


async def connect(address: Address) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, address.host, address.port)
    return connection
