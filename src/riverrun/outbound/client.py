"""One POST to a host that a user named: to a checked address, without proxies and redirects, within
a time, and with a bound on what is read of the answer.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from riverrun.outbound.guard import (
    Resolve,
    Rules,
    Target,
    UnreachableError,
    addresses_of,
    resolve_with_system,
    target_of,
)

BODY_BYTES_MAX = 16 * 1024
"""Read of an answer's body; the rest is not waited for."""
ANSWER_BYTES_MAX = 256 * 1024
"""Read of an answer in all, with its head."""
RESOLVE_S_MAX = 10.0
CONNECT_S_MAX = 5.0
"""For each address, unless it is the last: a name may have dead ones."""
ADDRESSES_MAX = 4


@dataclass(frozen=True, slots=True)
class Received:
    """`retry_after` is that header's text, empty without it."""

    status: int
    body: bytes
    retry_after: str


class Client:
    def __init__(
        self, rules: Rules, *, timeout_s: float, resolve: Resolve = resolve_with_system
    ) -> None:
        self._rules = rules
        self._timeout_s = timeout_s
        self._resolve = resolve
        self._tls: ssl.SSLContext | None = None

    async def check(self, url: str) -> None:
        """Raises RefusedError if `post` would refuse the URL now, UnreachableError if its host is
        unknown. Where private addresses are allowed, the name need not resolve yet.
        """
        target = target_of(url, self._rules)
        if not self._rules.allow_private:
            await self._addresses(target)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Received:
        """Whatever status came is an answer. Raises RefusedError and UnreachableError."""
        target = target_of(url, self._rules)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._post(target, headers, body)
        except TimeoutError:
            raise UnreachableError(
                f"There was no answer within {self._timeout_s:g} seconds."
            ) from None
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or "no agreement"
            raise UnreachableError(f"TLS with '{target.host}' failed: {reason}.") from None
        except OSError as error:
            raise UnreachableError(
                f"The connection to '{target.host}' failed: {_reason(error)}."
            ) from None

    async def _post(self, target: Target, headers: Mapping[str, str], body: bytes) -> Received:
        tls = await self._tls_context() if target.scheme == "https" else None
        connection = await _connected(await self._addresses(target), target.port)
        try:
            reader, writer = await asyncio.open_connection(
                sock=connection, ssl=tls, server_hostname=target.host if tls else None
            )
        except BaseException:
            connection.close()
            raise
        try:
            writer.write(_head(target, headers, len(body)) + body)
            await writer.drain()
            return await _answer(reader)
        finally:
            writer.transport.abort()

    async def _addresses(self, target: Target) -> list[str]:
        try:
            async with asyncio.timeout(RESOLVE_S_MAX):
                return await addresses_of(target, self._rules, self._resolve)
        except TimeoutError:
            raise UnreachableError(f"Looking up '{target.host}' takes too long.") from None

    async def _tls_context(self) -> ssl.SSLContext:
        """Of the system's authorities; reading them takes a moment."""
        if self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        return self._tls


async def _connected(addresses: Sequence[str], port: int) -> socket.socket:
    """A connection to the first address that takes one. Raises OSError."""
    *others, last = addresses[:ADDRESSES_MAX]
    for address in others:
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                return await _connect(address, port)
        except OSError:  # TimeoutError is one.
            continue
    return await _connect(last, port)


async def _connect(address: str, port: int) -> socket.socket:
    """To this address and nothing else: it is not looked up any more."""
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    (family, kind, protocol, _, place), *_ = socket.getaddrinfo(
        address, port, type=socket.SOCK_STREAM, flags=flags
    )
    connection = socket.socket(family, kind, protocol)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, place)
    except BaseException:
        connection.close()
        raise
    return connection


def _head(target: Target, headers: Mapping[str, str], length: int) -> bytes:
    given = {
        "Host": target.authority,
        **headers,
        "Content-Length": str(length),
        "Connection": "close",
    }
    lines = [f"POST {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


@dataclass(slots=True)
class _Reading:
    """What the parser has understood so far."""

    parser: Any = None
    status: int = 0
    body: bytearray = field(default_factory=bytearray)
    retry_after: str = ""
    is_over: bool = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after":
            self.retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        self.body += data[: BODY_BYTES_MAX - len(self.body)]
        self.is_over = self.is_over or len(self.body) == BODY_BYTES_MAX

    def on_message_complete(self) -> None:
        if self.status >= 200:  # What is below comes before the answer.
            self.is_over = True


async def _answer(reader: asyncio.StreamReader) -> Received:
    import httptools  # noqa: PLC0415 - Not needed before the first call.

    reading = _Reading()
    reading.parser = httptools.HttpResponseParser(reading)
    size = 0
    while not reading.is_over and size < ANSWER_BYTES_MAX:
        data = await reader.read(16 * 1024)
        if not data:
            break
        size += len(data)
        try:
            reading.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            # An upgrade, or what is no HTTP, perhaps behind an answer that was complete.
            break
    if not size:
        raise UnreachableError("The connection was closed without an answer.")
    if reading.status < 200:
        raise UnreachableError("What answered does not speak HTTP.")
    return Received(reading.status, bytes(reading.body), reading.retry_after)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else "it was closed"
