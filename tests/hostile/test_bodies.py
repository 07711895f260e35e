"""Bodies that are too large, too slow, too deep, or no text."""

import contextlib
import http.client
import json
import time

import pytest
from tests.hostile.target import (
    REQUEST_BYTES_MAX,
    Target,
    json_of,
    json_post,
    read_all,
    status_of,
)

CREATE = "/api/2.0/mlflow/experiments/create"
SEARCH = "/api/2.0/mlflow/runs/search"


def files_in_scratch(target: Target) -> list[str]:
    """What unfinished uploads left anywhere below the artifacts."""
    root = target.folder / "mlartifacts"
    return sorted(str(path) for path in root.rglob("*") if path.is_file() and "wanted" in path.name)


def chunked(pieces: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def test_a_body_at_the_limit_is_read(target: Target):
    body = b'{"experiment_ids":[],"x":"%b"}'
    body %= b"a" * (REQUEST_BYTES_MAX - len(body) + 2)
    assert len(body) == REQUEST_BYTES_MAX
    assert target.post("runs/search", body).status == 200


def test_a_body_over_the_limit_is_refused_in_the_protocols_shape(target: Target):
    answer = target.post("runs/search", b"a" * (REQUEST_BYTES_MAX + 1))
    assert (answer.status, answer.error_code) == (413, "INVALID_PARAMETER_VALUE")
    assert "--request-bytes-max" in answer.json["message"]
    assert str(REQUEST_BYTES_MAX) in answer.json["message"]


@pytest.mark.parametrize("length", [2**31, 2**63, 10**30])
def test_a_body_that_only_claims_to_be_large_is_refused_at_once(length: int, target: Target):
    began = time.monotonic()
    raw = target.send_raw(
        json_post(CREATE, b"{}", f"Content-Length: {length}", "Connection: close"), timeout_s=3
    )
    assert status_of(raw) in {400, 413}
    assert time.monotonic() - began < 2


def test_a_body_over_the_limit_without_a_length_is_refused(target: Target):
    pieces = chunked([b"a" * 65536] * 64)
    with target.connection() as opened:
        with contextlib.suppress(ConnectionError):
            opened.sendall(json_post(CREATE, pieces, "Transfer-Encoding: chunked"))
        opened.settimeout(2)
        raw = read_all(opened)
    assert status_of(raw) == 413
    assert json.loads(raw.partition(b"\r\n\r\n")[2])["error_code"] == "INVALID_PARAMETER_VALUE"
    assert target.is_alive()


def test_after_a_refused_body_the_next_call_on_the_connection_is_understood(target: Target):
    """Or the connection is closed; what never happens is that the rest of the body is a request."""
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=10)
    with contextlib.closing(connection):
        smuggled = b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"
        body = smuggled * (REQUEST_BYTES_MAX // len(smuggled) + 2)
        with contextlib.suppress(ConnectionError):
            connection.request("POST", CREATE, body, {"Content-Type": "application/json"})
        assert connection.getresponse().read().startswith(b'{"error_code"')
        connection.request("GET", "/health")  # http.client connects again if it was closed.
        assert connection.getresponse().read() == b"OK"


def test_a_client_that_leaves_in_the_middle_of_its_message_changes_nothing(target: Target):
    message = b'{"name":"half an experiment"}'
    for sent in (0, 1, len(message) - 1):
        with target.connection() as opened:
            opened.sendall(json_post(CREATE, message[:sent], f"Content-Length: {len(message)}"))
    answer = target.get("experiments/get-by-name", experiment_name="half an experiment")
    assert answer.status == 404


def test_a_slow_client_holds_up_nobody(target: Target):
    with target.connection() as slow:
        slow.sendall(json_post(CREATE, b"{", "Content-Length: 2"))
        began = time.monotonic()
        for _ in range(20):
            assert target.get("experiments/get", experiment_id=0).status == 200
        assert time.monotonic() - began < 2
        slow.sendall(b"}")
        assert status_of(slow.recv(65536)) == 400


def test_a_hundred_slow_clients_hold_up_nobody(target: Target):
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            opened = stack.enter_context(target.connection())
            opened.sendall(b"POST %b HTTP/1.1\r\nHost: localhost\r\nX-Slow:" % CREATE.encode())
        assert target.get("experiments/get", experiment_id=0).status == 200


@pytest.mark.parametrize("sent", [0, 1, 70_000])
def test_an_upload_that_breaks_off_leaves_no_file(sent: int, target: Target):
    path = f"/api/2.0/mlflow-artifacts/artifacts/1/wanted-{sent}.bin"
    head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    with target.connection() as opened:
        opened.sendall(head.encode() + b"a" * sent)
        time.sleep(0.1)
    deadline = time.monotonic() + 5
    while files_in_scratch(target) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert files_in_scratch(target) == []
    assert target.request("GET", path).status == 404


def test_a_download_that_nobody_reads_to_its_end_is_given_up(target: Target):
    path = "/api/2.0/mlflow-artifacts/artifacts/1/large.bin"
    assert target.request("PUT", path, b"a" * 3_000_000).status == 200
    for _ in range(20):
        with target.connection() as opened:
            opened.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            opened.recv(100)
    assert target.request("GET", path).body == b"a" * 3_000_000


def test_the_web_uis_upload_stops_at_its_own_limit(target: Target):
    run_id = target.create_run(target.create_experiment("uploads"))
    path = f"/ajax-api/2.0/mlflow/upload-artifact?run_id={run_id}&path="
    with contextlib.suppress(ConnectionError):
        answer = target.request("POST", path + "large.bin", b"a" * (10 * 1024 * 1024 + 1))
        assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert target.get("artifacts/list", run_id=run_id).json.get("files", []) == []
    assert target.request("POST", path + "empty.bin", b"").status == 400


@pytest.mark.parametrize(
    "body",
    [
        b'{"name":"\xff"}',
        b'{"name":"\xc0\x80"}',
        b'{"name":"\xed\xa0\x80"}',
        b'{"name":"\xf4\x90\x80\x80"}',
        b'{"\xff":1,"name":"x"}',
        b"\xff\xfe{\x00}\x00",
        '{"name":"text"}'.encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b"\x00",
        b'{"name":"a\x00b"}',
        b'{"name":"a\nb"}',
        b'{"name":"\\u0000"}',
        b'{"name":"\\ud800"}',
        b'{"name":"\\udc00\\ud800"}',
        b'{"\\u0000":1,"name":"x"}',
        b'{"name":"\\x"}',
        b'{"name":"open}',
        b'{"name":"x"',
        b'{"name":"x"}}',
        b'{"name":"x"} {"name":"y"}',
        b"{'name':'x'}",
        b'{"name":"x",}',
        b"{name:1}",
        b"name=x",
        b"<xml/>",
    ],
)
def test_what_is_no_text_or_no_json_is_refused(body: bytes, target: Target):
    answer = target.post("experiments/create", body)
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer.body


@pytest.mark.parametrize("depth", [101, 1_000, 100_000, 900_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_deep_nesting_is_refused(depth: int, opening: bytes, closing: bytes, target: Target):
    depth = min(depth, (REQUEST_BYTES_MAX - 100) // (len(opening) + len(closing)))
    whole = b'{"name":' + opening * depth + b"1" + closing * depth + b"}"
    broken = b'{"name":' + opening * depth
    for body in (whole, broken):
        answer = target.post("experiments/create", body)
        assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE")


def test_json_inside_json_inside_json_is_opened_once(target: Target):
    message = json.dumps({"name": "twice"})
    assert target.post("experiments/create", json.dumps(message).encode()).status == 200
    thrice = json.dumps(json.dumps(json.dumps({"name": "thrice"}))).encode()
    assert target.post("experiments/create", thrice).status == 400


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "\t"],
)
def test_another_content_type_is_refused(content_type: str, target: Target):
    answer = target.request("POST", CREATE, b'{"name":"x"}', {"Content-Type": content_type})
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE")


def test_nul_and_surrogates_are_refused_in_every_text(target: Target):
    run_id = target.create_run().encode()
    for text in (b"\\u0000", b"a\\u0000", b"\\ud800", b"a\\udfffb"):
        for call, body in (
            (b"log-parameter", b'"key":"%b","value":"v"'),
            (b"log-parameter", b'"key":"k","value":"%b"'),
            (b"set-tag", b'"key":"k","value":"%b"'),
            (b"update", b'"run_name":"%b"'),
            (b"log-batch", b'"tags":[{"key":"k","value":"%b"}]'),
            (b"log-inputs", b'"datasets":[{"dataset":{"name":"%b","digest":"d"}}]'),
            (b"log-inputs", b'"models":[{"model_id":"%b"}]'),
        ):
            whole = b'{"run_id":"%b",%b}' % (run_id, body % text)
            answer = target.post(f"runs/{call.decode()}", whole)
            assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), whole
    assert target.get_run(run_id.decode())["data"].keys() == {"tags"}


@pytest.mark.parametrize("query", ["%ff", "%c0%80", "%ed%a0%80", "%00", "a%00b", "%e2%28%a1"])
def test_a_query_is_text(query: str, target: Target):
    answer = target.request("GET", f"/api/2.0/mlflow/runs/get?run_id={query}")
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE")


def test_a_query_of_raw_bytes_is_refused(target: Target):
    for query in (b"run_id=\xff", b"run_id=\xc3\xa9", b"\x01=1"):
        raw = target.raw(b"GET /api/2.0/mlflow/runs/get?" + query + b" HTTP/1.1")
        assert status_of(raw) in {0, 400}, raw


@pytest.mark.parametrize("count", [2_001, 20_000])
def test_a_query_has_a_limit(count: int, target: Target):
    query = "&".join(["run_id=x"] * count)
    raw = target.raw(f"GET /ajax-api/2.0/mlflow/metrics/get-history-bulk?{query} HTTP/1.1")
    assert status_of(raw) == 400
    if count == 2_001:
        assert json_of(raw)["error_code"] == "INVALID_PARAMETER_VALUE"
