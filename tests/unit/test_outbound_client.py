"""One POST to a receiver of every kind, on real sockets."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from riverrun.outbound.client import BODY_BYTES_MAX, Client, Received
from riverrun.outbound.guard import RefusedError, Rules, UnreachableError, resolve_with_system

LOOSE = Rules(("http", "https"), allow_private=True)
STRICT = Rules(("http", "https"), allow_private=False)

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Peer:
    """A server that reads one request and then does what `talk` does."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list[bytes])


@asynccontextmanager
async def listening(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Peer]:
    peer = Peer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            peer.requests.append(head + await reader.readexactly(int(length[1]) if length else 0))
            await talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # The client has what it needs.
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    async with server:
        yield peer


def saying(*parts: bytes, pause_s: float = 0) -> Talk:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return talk


def post(talk: Talk, *, timeout_s: float = 5) -> tuple[Received, bytes]:
    """The answer, and the request as it arrived."""

    async def story() -> tuple[Received, bytes]:
        async with listening(talk) as peer:
            client = Client(LOOSE, timeout_s=timeout_s)
            url = f"http://127.0.0.1:{peer.port}/a?b=c"
            return await client.post(url, {"X-One": "1"}, b"body"), peer.requests[0]

    return asyncio.run(story())


def refusal(talk: Talk, *, timeout_s: float = 5) -> str:
    with pytest.raises(UnreachableError) as error:
        post(talk, timeout_s=timeout_s)
    return str(error.value)


def test_a_request_is_plain_http():
    received, request = post(saying(b"HTTP/1.1 204 No Content\r\n\r\n"))
    head, _, body = request.partition(b"\r\n\r\n")
    first, host, *rest = head.split(b"\r\n")
    assert first == b"POST /a?b=c HTTP/1.1"
    assert re.fullmatch(rb"Host: 127\.0\.0\.1:\d+", host)
    assert rest == [b"X-One: 1", b"Content-Length: 4", b"Connection: close"]
    assert body == b"body"
    assert received == Received(204, b"", "")


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\n",
            200,
            b"ok!",
        ),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n%s"
            % b"HTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx",
            201,
            b"x",
        ),
        (b"HTTP/1.1 302 Found\r\nLocation: http://a/\r\nContent-Length: 0\r\n\r\n", 302, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", 200, b"cut"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\ngarbage behind it", 500, b""),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_every_kind_of_answer_is_understood(
    answer: bytes, status: int, body: bytes, *, at_once: bool
):
    parts = [answer] if at_once else [answer[n : n + 1] for n in range(len(answer))]
    received, _ = post(saying(*parts))
    assert (received.status, received.body) == (status, body)


def test_how_long_to_wait_is_told():
    received, _ = post(saying(b"HTTP/1.1 503 No\r\nRETRY-AFTER: 7\r\nContent-Length: 0\r\n\r\n"))
    assert received == Received(503, b"", "7")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 20", "does not speak HTTP"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000, "does not speak HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "HTTP"),
    ],
)
def test_what_is_no_answer_is_unreachable(answer: bytes, words: str):
    assert words in refusal(saying(answer))


def test_an_endless_body_is_left_in_the_middle():
    endless = saying(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 1_000] * 100_000)
    received, _ = post(endless)
    assert received == Received(200, b"x" * BODY_BYTES_MAX, "")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_an_answer_that_drips_is_not_waited_for(answer: bytes):
    dripping = saying(answer, *[b"x"] * 100, pause_s=0.05)
    assert refusal(dripping, timeout_s=0.3) == "There was no answer within 0.3 seconds."


def test_silence_is_not_waited_for():
    assert "no answer within" in refusal(saying(b"", pause_s=5), timeout_s=0.2)


def test_nobody_there_is_unreachable():
    async def story() -> None:
        await Client(LOOSE, timeout_s=5).post("http://127.0.0.1:9/", {}, b"")

    with pytest.raises(UnreachableError, match="Connection refused"):
        asyncio.run(story())


# Addresses ---------------------------------------------------------------------------------------


def resolving(
    *answers: Sequence[str],
) -> tuple[list[str], Callable[[str, int], Awaitable[list[str]]]]:
    """The hosts asked for, and a resolver that gives one answer after the other."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return list(answers[min(len(asked), len(answers)) - 1])

    return asked, resolve


def test_a_name_that_becomes_private_is_refused_at_the_call():
    """DNS rebinding: public when the webhook is saved, private when it is called."""
    asked, resolve = resolving(["8.8.8.8"], ["127.0.0.1"])

    async def story() -> list[bytes]:
        async with listening(saying(b"HTTP/1.1 200 OK\r\n\r\n")) as peer:
            client = Client(STRICT, timeout_s=5, resolve=resolve)
            url = f"http://rebound.example:{peer.port}/"
            await client.check(url)
            with pytest.raises(RefusedError, match=r"resolves to 127\.0\.0\.1"):
                await client.post(url, {}, b"")
            return peer.requests

    assert asyncio.run(story()) == []
    assert asked == ["rebound.example", "rebound.example"]


def test_the_connection_goes_to_the_address_that_was_checked():
    """The name is asked for once a call: what it would say a moment later does not matter."""
    asked, resolve = resolving(["127.0.0.1"], ["192.0.2.1"])

    async def story() -> bytes:
        async with listening(saying(b"HTTP/1.1 200 OK\r\n\r\n")) as peer:
            client = Client(LOOSE, timeout_s=5, resolve=resolve)
            await client.post(f"http://hooks.example:{peer.port}/", {}, b"")
            return peer.requests[0]

    assert b"\r\nHost: hooks.example:" in asyncio.run(story())
    assert asked == ["hooks.example"]


def test_a_dead_address_is_passed_over():
    _, resolve = resolving(["127.0.0.2", "127.0.0.1"])

    async def story() -> Received:
        async with listening(saying(b"HTTP/1.1 200 OK\r\n\r\n")) as peer:
            client = Client(LOOSE, timeout_s=5, resolve=resolve)
            return await client.post(f"http://hooks.example:{peer.port}/", {}, b"")

    assert asyncio.run(story()).status == 200


def test_a_name_that_takes_for_ever_is_unreachable():
    async def never(host: str, port: int) -> list[str]:
        return await asyncio.Future[list[str]]()

    async def story() -> None:
        await Client(LOOSE, timeout_s=0.1, resolve=never).post("http://slow.example/", {}, b"")

    with pytest.raises(UnreachableError, match="no answer within"):
        asyncio.run(story())


def test_this_machine_is_known_and_private():
    addresses = asyncio.run(resolve_with_system("localhost", 80))
    assert "127.0.0.1" in addresses

    async def story() -> None:
        await Client(STRICT, timeout_s=5).check("http://localhost:80/")

    with pytest.raises(RefusedError, match="'localhost' resolves to"):
        asyncio.run(story())


# TLS ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Authority:
    """A certificate for some names, signed by itself, in a file with its key."""

    file: Path

    @classmethod
    def make(cls, file: Path, *names: x509.GeneralName) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        secret = key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(secret + certificate.public_bytes(pem))
        return cls(file)

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        return context


def post_tls(authority: Authority, host: str) -> Received:
    _, resolve = resolving(["127.0.0.1"])

    async def story() -> Received:
        talk = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        async with listening(talk, authority.context()) as peer:
            client = Client(LOOSE, timeout_s=5, resolve=resolve)
            return await client.post(f"https://{host}:{peer.port}/", {}, b"")

    return asyncio.run(story())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    names = x509.DNSName("hooks.example"), x509.IPAddress(ip_address("127.0.0.1"))
    return Authority.make(tmp_path / "certificate.pem", *names)


@pytest.mark.parametrize("host", ["hooks.example", "127.0.0.1"])
def test_tls_is_for_the_name_although_the_address_is_ours(
    authority: Authority, host: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    assert post_tls(authority, host).status == 200


def test_a_certificate_for_another_name_is_refused(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with pytest.raises(UnreachableError, match=r"TLS with 'other\.example' failed: .*match"):
        post_tls(authority, "other.example")


def test_a_certificate_of_nobody_is_refused(authority: Authority):
    with pytest.raises(UnreachableError, match=r"TLS with 'hooks\.example' failed: self"):
        post_tls(authority, "hooks.example")


def test_plain_http_on_the_port_of_tls_is_unreachable():
    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            loop = asyncio.get_running_loop()
            server.setblocking(False)

            async def answer() -> None:
                connection, _ = await loop.sock_accept(server)
                with connection:
                    await loop.sock_sendall(connection, b"HTTP/1.1 400 Bad Request\r\n\r\n")

            task = asyncio.create_task(answer())
            try:
                await Client(LOOSE, timeout_s=5).post(f"https://127.0.0.1:{port}/", {}, b"")
            finally:
                await task

    with pytest.raises(UnreachableError, match=r"TLS with '127\.0\.0\.1' failed"):
        asyncio.run(story())
