"""The server under attack, and the raw ways to reach it."""

import contextlib
import json
import re
import socket
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from tests.fixtures.server import Answered, Server, free_port

REQUEST_BYTES_MAX = 2_000_000
LEAKS = re.compile(rb"Traceback|sqlite|SELECT |INSERT |\.py\b|site-packages|Errno", re.IGNORECASE)


class Target(Server):
    """A server whose every answer is searched for what only its log may say."""

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout_s: float = 30,
    ) -> Answered:
        answer = super().request(method, path, body, headers, timeout_s=timeout_s)
        if answer.status >= 400:
            assert_says_nothing(answer.body, self, asked=path.encode() + (body or b""))
        return answer

    def is_alive(self) -> bool:
        return self.request("GET", "/readyz").body == b"OK"

    @contextlib.contextmanager
    def connection(self, timeout_s: float = 10) -> Generator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s) as opened:
            yield opened

    def send_raw(self, raw: bytes, *, timeout_s: float = 10) -> bytes:
        """What comes back until the server closes, or is silent for `timeout_s` seconds."""
        with self.connection(timeout_s) as opened:
            with contextlib.suppress(ConnectionError):
                opened.sendall(raw)
            return read_all(opened)

    def raw(
        self, line: str | bytes, *headers: str | bytes, body: bytes = b"", timeout_s: float = 10
    ) -> bytes:
        """A request with its path as it is, and `Connection: close`."""
        lines = [line, "Host: localhost", "Connection: close", *headers]
        encoded = [each if isinstance(each, bytes) else each.encode("latin-1") for each in lines]
        return self.send_raw(b"\r\n".join([*encoded, b"", body]), timeout_s=timeout_s)


@contextlib.contextmanager
def attacked(folder: Path, *options: str) -> Generator[Target]:
    """A server that must not have been surprised by anything until the end."""
    server = Target(folder, free_port(), ("--request-bytes-max", str(REQUEST_BYTES_MAX), *options))
    try:
        server.start()
        yield server
        assert '"event":"unexpected error"' not in server.log
        assert "Traceback" not in server.log
    finally:
        if server.process is not None:
            server.process.kill()
            server.process.wait()


def assert_says_nothing(body: bytes, server: Server, *, asked: bytes = b"") -> None:
    """No trace of the inside that was not in the question: code, driver, SQL, folders."""
    leaks = [found for found in LEAKS.findall(body) if found not in asked]
    assert not leaks, body
    assert str(server.folder).encode() not in body, body


def read_all(opened: socket.socket) -> bytes:
    pieces: list[bytes] = []
    with contextlib.suppress(TimeoutError, ConnectionError):
        while piece := opened.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


def status_of(raw: bytes) -> int:
    """0 for a connection that was closed without an answer."""
    return int(raw.split(b" ", 2)[1]) if raw.startswith(b"HTTP/1.1 ") else 0


def json_of(raw: bytes) -> Any:
    return json.loads(raw.partition(b"\r\n\r\n")[2])


def json_post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        *headers,
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body
