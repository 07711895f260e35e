"""Request ids, forwarded headers, compression, access log."""

import asyncio
import gzip
import io
import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.fixtures.asgi import Echo, call

from riverrun.asgi.middleware.access_log import AccessLog
from riverrun.asgi.middleware.compression import Compression, accepts_gzip
from riverrun.asgi.middleware.forwarded import ForwardedHeaders
from riverrun.asgi.middleware.hosts import HostCheck, HostRule, OriginRule
from riverrun.asgi.middleware.request_id import RequestId
from riverrun.obs.logs import configure_logs

LOOPBACK = ("127.0.0.1", "::1")


# Request ids


def test_every_request_gets_an_id_of_its_own():
    app = RequestId(Echo())
    ids = {call(app).header("x-request-id") for _ in range(100)}
    assert len(ids) == 100
    assert None not in ids


def test_a_sane_id_of_the_caller_is_kept():
    for given in ("a", "req-1.2:3/x+y=@_", "Z" * 128):
        answer = call(RequestId(Echo()), headers={"X-Request-ID": given})
        assert answer.header("x-request-id") == given


@pytest.mark.parametrize("given", ["", "a b", "a\nb", "x" * 129, '"', "<b>", "é"])
def test_another_id_is_replaced(given: str):
    answer = call(RequestId(Echo()), headers={"X-Request-ID": given})
    assert answer.header("x-request-id") not in {given, None}


# Forwarded headers


def forwarded(client: str = "127.0.0.1", trusted: tuple[str, ...] = LOOPBACK, **headers: Any):
    app = Echo()
    pairs = {f"x-forwarded-{name}": value for name, value in headers.items()}
    call(ForwardedHeaders(app, trusted=trusted), headers=pairs, client=(client, 1))
    return app.scope["client"][0], app.scope["scheme"], app.scope["root_path"]


def via(hops: str) -> dict[str, Any]:
    return {"for": hops}


EVERYTHING: dict[str, Any] = {"for": "203.0.113.7", "proto": "https", "prefix": "/mlflow/"}


def test_a_trusted_proxy_names_client_scheme_and_prefix():
    assert forwarded(**EVERYTHING) == ("203.0.113.7", "https", "/mlflow")


def test_a_stranger_names_nothing():
    assert forwarded("203.0.113.9", **EVERYTHING) == ("203.0.113.9", "http", "")
    assert forwarded(trusted=(), **EVERYTHING) == ("127.0.0.1", "http", "")


def test_the_client_is_the_last_address_that_is_no_proxy():
    hops: dict[str, Any] = {"for": "6.6.6.6, 203.0.113.7, 10.0.0.2"}
    assert forwarded(trusted=(*LOOPBACK, "10.0.0.0/8"), **hops)[0] == "203.0.113.7"
    assert forwarded(trusted=LOOPBACK, **hops)[0] == "10.0.0.2"
    assert forwarded(trusted=("*",), **hops)[0] == "6.6.6.6"


def test_what_stands_before_nonsense_is_not_believed():
    assert forwarded(trusted=("*",), **via("6.6.6.6, unknown, 10.0.0.2"))[0] == "10.0.0.2"
    assert forwarded(**via("127.0.0.1\t, <script>"))[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("203.0.113.7:4711", "203.0.113.7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
    ],
)
def test_addresses_come_in_every_form(given: str, address: str):
    assert forwarded(**via(given))[0] == address


def test_a_mapped_address_of_the_proxy_is_the_proxy():
    assert forwarded("::ffff:127.0.0.1", **EVERYTHING)[0] == "203.0.113.7"


@pytest.mark.parametrize("proto", ["", "javascript", "https, ftp", "wss"])
def test_other_schemes_are_ignored(proto: str):
    assert forwarded(proto=proto)[1] == "http"


@pytest.mark.parametrize(
    "prefix", ["", "/", "mlflow", "//evil.com", "/a/../b", '/"x', "/a b", "/%2e"]
)
def test_odd_prefixes_are_ignored(prefix: str):
    assert forwarded(prefix=prefix)[2] == ""


# Compression

LONG = json.dumps([{"key": f"metric{number}"} for number in range(1000)]).encode()
GZIP = {"accept-encoding": "gzip, deflate, br"}


def test_a_long_answer_is_compressed_when_asked_for():
    answer = call(Compression(Echo(LONG, headers={"etag": '"1"'})), headers=GZIP)
    assert gzip.decompress(answer.body) == LONG
    assert answer.header("content-encoding") == "gzip"
    assert answer.header("content-length") == str(len(answer.body))
    assert answer.header("vary") == "accept-encoding"
    assert answer.header("etag") == 'W/"1"'
    assert len(answer.body) < len(LONG) / 5


def test_an_answer_at_the_limit_is_compressed_and_one_below_is_not():
    for size, encoding in ((1023, None), (1024, "gzip"), (0, None)):
        answer = call(Compression(Echo(b"x" * size)), headers=GZIP)
        assert answer.header("content-encoding") == encoding


@pytest.mark.parametrize("header", [None, "", "identity", "gzip;q=0", "br, *;q=0", "deflate"])
def test_who_does_not_accept_gzip_gets_the_answer_as_it_is(header: str | None):
    headers = {} if header is None else {"accept-encoding": header}
    answer = call(Compression(Echo(LONG)), headers=headers)
    assert answer.body == LONG
    assert answer.header("content-encoding") is None


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True),
        ("GZip ; Q=0.5", True),
        ("x-gzip", True),
        ("*", True),
        ("identity;q=0, gzip;q=1.0", True),
        ("gzip;q=0.001", True),
        ("gzip;q=0.000, *", False),
        ("gzip;q=abc", False),
        ("gzipped", False),
        (",,;;", False),
    ],
)
def test_quality_values_decide(header: str, accepted: object):
    assert accepts_gzip(header) is accepted


@pytest.mark.parametrize(
    ("content_type", "headers"),
    [
        ("application/octet-stream", {}),
        ("image/png", {}),
        ("text/event-stream", {}),
        ("", {}),
        ("application/json", {"content-encoding": "br"}),
        ("text/csv", {"content-disposition": 'Attachment; filename="a.csv"'}),
    ],
)
def test_artifacts_and_encoded_answers_are_left_alone(content_type: str, headers: dict[str, str]):
    app = Compression(Echo(LONG, content_type=content_type, headers=headers))
    assert call(app, headers=GZIP).body == LONG


def test_partial_and_empty_answers_and_heads_are_left_alone():
    for status in (204, 206, 304):
        assert call(Compression(Echo(LONG, status)), headers=GZIP).body == LONG
    assert call(Compression(Echo(LONG)), "HEAD", headers=GZIP).body == LONG


def test_a_stream_is_compressed_as_a_stream():
    pieces = [b'{"run": "%d"}' % number * 100 for number in range(500)]
    answer = call(Compression(Echo(pieces, content_type="text/html; charset=utf-8")), headers=GZIP)
    assert gzip.decompress(answer.body) == b"".join(pieces)
    assert answer.header("content-length") is None
    assert gzip.decompress(call(Compression(Echo([])), headers=GZIP).body) == b""


# Access log


def logged(app: AccessLog, path: str = "/x", **headers: str) -> list[dict[str, object]]:
    stream = io.StringIO()
    configure_logs("info", "json", stream=stream)
    try:
        call(RequestId(app), "POST", path, headers=headers)
    except RuntimeError:
        pass
    finally:
        configure_logs("info", "json")
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_error_gets_one_line_with_its_request_id():
    app = AccessLog(Echo(status=404), every=False)
    line = logged(app, "/api/x\ny", **{"x-request-id": "abc"})[0]
    assert isinstance(line.pop("time"), str)
    assert isinstance(line.pop("ms"), float)
    assert line == {
        "level": "info",
        "event": "request",
        "logger": "riverrun.access",
        "method": "POST",
        "path": "/api/x\ny",
        "status": 404,
        "client": "127.0.0.1",
        "request_id": "abc",
    }


def test_a_good_answer_gets_a_line_only_when_all_are_wanted():
    assert logged(AccessLog(Echo(), every=False)) == []
    assert logged(AccessLog(Echo(), every=True))[0]["status"] == 200


def test_a_fault_is_a_warning_and_a_client_that_left_is_noted():
    assert logged(AccessLog(Echo(status=500), every=False))[0]["level"] == "warning"

    async def leaves(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError

    assert logged(AccessLog(leaves, every=False))[0]["status"] == 499


def test_what_is_no_request_passes_through_all():
    seen: list[str] = []

    async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def silent() -> Message:
        return {"type": "lifespan.startup"}

    async def deaf(message: Message) -> None:
        raise AssertionError(message)

    checked = HostCheck(lifespan, hosts=HostRule(), origins=OriginRule())
    logging_all = AccessLog(RequestId(checked), every=True)
    app = ForwardedHeaders(Compression(logging_all), trusted=("*",))

    async def story() -> None:
        await app({"type": "lifespan"}, silent, deaf)

    asyncio.run(story())
    assert seen == ["lifespan"]
