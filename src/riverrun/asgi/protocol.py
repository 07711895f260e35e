"""HTTP/1.1 as uvicorn speaks it, with a limit that it lacks, and answers in one piece."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 131_072
"""The longest honest head is the query of 100 run ids, 4 KB. Endless ones would cost memory, and
time that grows with the square of their length.
"""
INTERIM = b"HTTP/1.1 100"


class OnePiece:
    """A transport that holds the head of an answer back until its body comes.

    uvicorn writes them apart: two system calls and two packets, where a client that waits for the
    second may wait for the first's acknowledgement too.
    """

    __slots__ = ("_head", "_is_begun", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self._is_begun = False

    def write(self, data: bytes) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.writelines((head, data))
        elif self._is_begun or data.startswith(INTERIM):
            self._transport.write(data)
        else:
            self._head, self._is_begun = data, True

    def end(self) -> None:
        """The answer is complete: what is held back goes out, the next write is a new head."""
        if self._head is not None:
            self._transport.write(self._head)
        self._head, self._is_begun = None, False

    def close(self) -> None:
        self.end()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a request line, headers, trailers or chunk extensions over the limit with 400."""

    _bytes_without_progress = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._one_piece = OnePiece(transport)
        self.transport = self._one_piece  # pyright: ignore[reportAttributeAccessIssue]

    def on_response_complete(self) -> None:
        self._one_piece.end()
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        self._bytes_without_progress += len(data)
        super().data_received(data)
        if self._bytes_without_progress > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_headers_complete(self) -> None:
        self._bytes_without_progress = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._bytes_without_progress = 0
        super().on_body(body)
