"""HTTP itself bent: headers, framing, hosts, origins, prefixes."""

import contextlib
from collections.abc import Iterator

import pytest
from tests.fixtures.server import Server, serving
from tests.hostile.target import Target, json_post, status_of

CREATE = "/api/2.0/mlflow/experiments/create"
GET = "GET /api/2.0/mlflow/experiments/get?experiment_id=0 HTTP/1.1"
SMUGGLED = b"POST /api/2.0/mlflow/experiments/create HTTP/1.1\r\nHost: localhost\r\n"


WEBSOCKET = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def exists(target: Target, name: str) -> bool:
    return target.get("experiments/get-by-name", experiment_name=name).status == 200


def smuggled(name: str) -> bytes:
    body = b'{"name":"%b"}' % name.encode()
    length = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return SMUGGLED + length + body


@pytest.mark.parametrize(
    "framing",
    [
        ["Content-Length: 4", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 4"],
        ["Transfer-Encoding: xchunked", "Content-Length: 4"],
        ["Transfer-Encoding : chunked", "Content-Length: 4"],
        ["Transfer-Encoding: identity, chunked", "Content-Length: 4"],
        ["Transfer-Encoding: chunked, identity", "Content-Length: 4"],
        ["Content-Length: 4", "Content-Length: 5"],
        ["Content-Length: 4, 5"],
        ["Content-Length: +4"],
        ["Content-Length: 4 4"],
        ["Content-Length: 0x4"],
        ["Content-Length: -4"],
        ["Content-Length: "],
        [" Content-Length: 4"],
    ],
    ids=" | ".join,
)
def test_a_message_framed_in_two_ways_is_not_followed_by_a_hidden_one(
    framing: list[str], target: Target
):
    """Front and server must agree where a request ends: what is ambiguous is refused whole."""
    name = f"smuggled by {framing}"
    body = b"0\r\n\r\n" + smuggled(name)
    raw = target.send_raw(json_post(CREATE, body, *framing), timeout_s=1)
    assert status_of(raw) in {0, 400}, raw
    assert not exists(target, name)


@pytest.mark.parametrize(
    "chunks",
    [
        b"g\r\n{}\r\n0\r\n\r\n",
        b"-1\r\n{}\r\n0\r\n\r\n",
        b"ffffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}XX0\r\n\r\n",
        b"2\n{}\n0\n\n",
        b"0x2\r\n{}\r\n0\r\n\r\n",
        b" 2\r\n{}\r\n0\r\n\r\n",
        b"2;" + b"a" * 100_000 + b"\r\n{}\r\n0\r\n\r\n",
        b"\r\n\r\n",
        b"2\r\n{",
    ],
    ids=lambda chunks: repr(chunks[:20]),
)
def test_broken_chunks_are_refused_and_the_server_stays(chunks: bytes, target: Target):
    raw = target.send_raw(json_post(CREATE, chunks, "Transfer-Encoding: chunked"), timeout_s=1)
    assert status_of(raw) in {0, 400}, raw
    assert target.is_alive()


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00" * 100_000,
        b"\xff" * 100_000,
        b"\r\n" * 10_000,
        b"A" * 1_000_000,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"G\x00T / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\nHost: localhost\n\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"BOGUS / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://example.com/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET ? HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET //// HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        WEBSOCKET,
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nExpect: nonsense\r\n\r\n",
    ],
    ids=lambda raw: repr(raw[:30]),
)
def test_what_is_hardly_http_ends_at_its_connection(raw: bytes, target: Target):
    answer = target.send_raw(raw, timeout_s=0.5)
    assert status_of(answer) < 500 or status_of(answer) == 501, answer
    assert target.is_alive()


@pytest.mark.parametrize("count", [100, 10_000])
def test_many_headers_break_nothing(count: int, target: Target):
    headers = [f"X-Header-{number}: value" for number in range(count)]
    assert status_of(target.raw(GET, *headers)) in {0, 200, 400, 431}
    assert target.is_alive()


@pytest.mark.parametrize("size", [10_000, 1_000_000])
@pytest.mark.parametrize(
    "name",
    [
        "X-Large",
        "Cookie",
        "Authorization",
        "User-Agent",
        "Accept-Encoding",
        "Range",
        "If-None-Match",
        "Content-Type",
        "X-Request-Id",
        "X-Forwarded-For",
        "X-Forwarded-Prefix",
        "X-Mlflow-Workspace",
        "Origin",
    ],
)
def test_a_large_header_breaks_nothing(name: str, size: int, target: Target):
    raw = target.raw(GET, f"{name}: {',;q=a'[size % 5] * size}")
    assert status_of(raw) in {0, 200, 400, 431}, raw[:500]
    assert len(raw) < 5_000
    assert target.is_alive()


@pytest.mark.parametrize(
    "opening",
    [
        b"GET /",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: ",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2;",
        b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    ],
    ids=["path", "header", "headers", "extension", "trailers"],
)
def test_a_head_without_end_is_cut_off(opening: bytes, target: Target):
    """Uvicorn keeps it all, and its parser copies all of it at every read."""
    piece = b"X-%d: %b\r\n" if opening.endswith(b"\r\n") else b"%d%b"
    with target.connection() as opened, contextlib.suppress(ConnectionError):
        opened.sendall(opening)
        for number in range(2_000):
            opened.sendall(piece % (number, b"a" * 10_000))
        raise AssertionError("20 MB of head were read.")
    assert target.is_alive()


@pytest.mark.parametrize("value", [b"\xff\xfe", b"\xc3\xa9", b"a\tb", b"'\"<>", b"%00", b"..", b""])
@pytest.mark.parametrize(
    "name",
    ["X-Mlflow-Workspace", "X-Request-Id", "Accept-Encoding", "X-Forwarded-For", "Content-Length"],
)
def test_odd_bytes_in_a_header_break_nothing(name: str, value: bytes, target: Target):
    raw = target.raw(GET, name.encode() + b": " + value)
    assert status_of(raw) in {0, 200, 400}, raw
    assert b"\r\n\r\n" in raw or not raw


def test_a_line_break_in_a_path_makes_no_header(target: Target):
    raw = target.raw("GET /get-artifact%0d%0aX-Injected:%20yes?run_id=%0d%0aX: HTTP/1.1")
    assert b"\nx-injected" not in raw.lower()
    assert status_of(raw) == 404


@pytest.mark.parametrize(
    "host",
    [
        "evil.com",
        "localhost.evil.com",
        "127.0.0.1.nip.io",
        "evil.com:5000",
        "localhost@evil.com",
        "",
    ],
)
def test_a_rebound_name_reaches_nothing_but_probes(host: str, target: Target):
    for path in ("/", "/api/2.0/mlflow/experiments/get?experiment_id=0", "/get-artifact"):
        raw = target.send_raw(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        )
        assert status_of(raw) == 403, raw
        assert b"--allowed-hosts" in raw
    raw = target.send_raw(
        f"GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    )
    assert status_of(raw) == 200


def test_a_request_without_a_host_or_with_two_is_refused(target: Target):
    for hosts in (
        b"",
        b"Host: localhost\r\nHost: evil.com\r\n",
        b"Host: evil.com\r\nHost: localhost\r\n",
    ):
        head = GET.encode() + b"\r\nConnection: close\r\n" + hosts + b"\r\n"
        assert status_of(target.send_raw(head)) in {400, 403}


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.com",
        "null",
        "http://localhost.evil.com",
        "http://evil.com:80@localhost",
        "http://localhost:5000.evil.com",
        "file://",
        "",
        "https://EVIL.com/",
        "http://127.0.0.1.evil.com",
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_foreign_page_changes_nothing(method: str, origin: str, target: Target):
    paths = [CREATE, "/api/2.0/mlflow-artifacts/artifacts/1/planted.txt", "/p/../" + CREATE[1:]]
    for path in paths:
        raw = target.raw(
            f"{method} {path} HTTP/1.1",
            f"Origin: {origin}",
            "Content-Type: application/json",
            "Content-Length: 18",
            body=b'{"name":"planted"}',
        )
        assert status_of(raw) == 403, raw
    assert not exists(target, "planted")


def test_a_form_of_a_foreign_page_is_no_message(target: Target):
    """A page can post text/plain without asking first; even without its Origin that is refused."""
    answer = target.request("POST", CREATE, b'{"name":"formed"}', {"Content-Type": "text/plain"})
    assert answer.status == 400
    assert not exists(target, "formed")


@pytest.mark.parametrize(
    "path",
    [
        "/p/../api/2.0/mlflow/experiments/get",
        "/api/2.0/../2.0/mlflow/experiments/get",
        "/api/2.0/mlflow/experiments/get/",
        "/api/2.0/mlflow/experiments//get",
        "/api/2.0/mlflow/./experiments/get",
        "/API/2.0/mlflow/experiments/get",
        "/api/2.0/mlflow/experiments/get%2f",
        "/api/2.0/mlflow/experiments/get;x=1",
        "/api/2.0%2fmlflow/experiments/get%00",
        "/api/9.9/mlflow/experiments/get",
        "/static-files/../api",
        "/health/../api/2.0/mlflow/experiments/get",
        "/etc/passwd",
        "/.env",
        "/graphql",
        "/gateway",
        "/ajax-api/3.0/jobs/run",
    ],
)
def test_a_path_that_is_almost_a_route_is_none(path: str, target: Target):
    raw = target.raw(f"GET {path}?experiment_id=0 HTTP/1.1")
    assert status_of(raw) == 404
    assert raw.endswith(b"\r\n\r\n"), "The body is empty: clients read that as endpoint not found."


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("prefixed"), "--static-prefix", "/p") as running:
        yield running


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/p/api/2.0/mlflow/experiments/get?experiment_id=0", 200),
        ("/api/2.0/mlflow/experiments/get?experiment_id=0", 404),
        ("/p/p/api/2.0/mlflow/experiments/get?experiment_id=0", 404),
        ("/p/../api/2.0/mlflow/experiments/get?experiment_id=0", 404),
        ("/papi/2.0/mlflow/experiments/get?experiment_id=0", 404),
        ("/P/api/2.0/mlflow/experiments/get?experiment_id=0", 404),
        ("/%70/api/2.0/mlflow/experiments/get?experiment_id=0", 200),
        ("/p/health", 200),
        ("/health", 200),
        ("/p/health/", 404),
    ],
)
def test_under_a_prefix_there_is_one_way_in(path: str, status: int, prefixed: Server):
    assert prefixed.request("GET", path).status == status


@pytest.mark.parametrize("path", ["/p/api/2.0/mlflow/experiments/create", "/p/../api", "/p", "/p/"])
def test_under_a_prefix_hosts_and_origins_are_checked(path: str, prefixed: Server):
    """MLflow's login plug-in once did not see requests under a prefix at all."""
    headers = {"Content-Type": "application/json"}
    for attack in ({"Host": "evil.com"}, {"Origin": "https://evil.com"}):
        assert prefixed.request("POST", path, b"{}", {**headers, **attack}).status == 403


def test_five_hundred_connections_are_served(target: Target):
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(target.connection()) for _ in range(500)]
        for connection in opened:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert all(connection.recv(15) == b"HTTP/1.1 200 OK" for connection in opened)
