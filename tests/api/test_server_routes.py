"""Which paths are served, under which prefixes, and what the server says of itself."""

import re
import socket
from collections.abc import Iterator

import pytest
from tests.api.protocol import AJAX, JSON, accepted, refused
from tests.fixtures.server import Answered, Server, serving

TRACKING = [
    ("POST", "/mlflow/experiments/create"),
    ("GET", "/mlflow/experiments/get"),
    ("GET", "/mlflow/experiments/get-by-name"),
    ("POST", "/mlflow/experiments/search"),
    ("GET", "/mlflow/experiments/search"),
    ("POST", "/mlflow/experiments/update"),
    ("POST", "/mlflow/experiments/delete"),
    ("POST", "/mlflow/experiments/restore"),
    ("POST", "/mlflow/experiments/set-experiment-tag"),
    ("POST", "/mlflow/experiments/delete-experiment-tag"),
    ("POST", "/mlflow/experiments/search-datasets"),
    ("POST", "/mlflow/runs/create"),
    ("GET", "/mlflow/runs/get"),
    ("POST", "/mlflow/runs/update"),
    ("POST", "/mlflow/runs/delete"),
    ("POST", "/mlflow/runs/restore"),
    ("POST", "/mlflow/runs/search"),
    ("POST", "/mlflow/runs/log-metric"),
    ("POST", "/mlflow/runs/log-parameter"),
    ("POST", "/mlflow/runs/log-batch"),
    ("POST", "/mlflow/runs/set-tag"),
    ("POST", "/mlflow/runs/delete-tag"),
    ("POST", "/mlflow/runs/log-model"),
    ("POST", "/mlflow/runs/log-inputs"),
    ("POST", "/mlflow/runs/outputs"),
    ("GET", "/mlflow/metrics/get-history"),
    ("GET", "/mlflow/metrics/get-history-bulk-interval"),
    ("GET", "/mlflow/artifacts/list"),
    ("POST", "/mlflow/artifacts/presigned-upload-url"),
    ("POST", "/mlflow/artifacts/presigned-download-url"),
    ("GET", "/mlflow-artifacts/artifacts"),
    ("GET", "/mlflow-artifacts/artifacts/0/missing"),
    ("PUT", "/mlflow-artifacts/artifacts/0/file"),
    ("DELETE", "/mlflow-artifacts/artifacts/0/missing"),
    ("POST", "/mlflow-artifacts/mpu/create/0/file"),
    ("POST", "/mlflow-artifacts/mpu/complete/0/file"),
    ("POST", "/mlflow-artifacts/mpu/abort/0/file"),
    ("GET", "/mlflow-artifacts/presigned/0/file"),
]
ELSEWHERE = [
    ("GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk"),
    ("POST", "/ajax-api/2.0/mlflow/upload-artifact"),
    ("GET", "/api/3.0/mlflow/server-info"),
    ("GET", "/ajax-api/3.0/mlflow/server-info"),
    ("GET", "/ajax-api/3.0/mlflow/ui-telemetry"),
    ("POST", "/ajax-api/3.0/mlflow/ui-telemetry"),
    ("GET", "/get-artifact"),
    ("GET", "/health"),
    ("GET", "/version"),
    ("GET", "/livez"),
    ("GET", "/readyz"),
]
SERVED = [
    *(
        (method, prefix + path)
        for prefix in ("/api/2.0", "/ajax-api/2.0")
        for method, path in TRACKING
    ),
    *ELSEWHERE,
]
GET = "/api/2.0/mlflow/experiments/get"


def call(server: Server, method: str, path: str) -> Answered:
    body = b"{}" if method in {"POST", "PUT"} else None
    return server.request(method, path, body, {} if body is None else JSON)


def is_served(answer: Answered) -> bool:
    """An unknown path is a 404 with an empty body, another method a 405."""
    return answer.status != 405 and (answer.status != 404 or answer.body != b"")


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("prefixed"), "--static-prefix", "/ml/flow") as running:
        yield running


@pytest.mark.parametrize(("method", "path"), SERVED)
def test_a_path_of_the_protocol_is_served(server: Server, method: str, path: str):
    answer = call(server, method, path)
    assert is_served(answer)
    assert answer.status not in {500, 503}


@pytest.mark.parametrize(("method", "path"), SERVED)
def test_it_is_served_under_a_prefix(prefixed: Server, method: str, path: str):
    assert is_served(call(prefixed, method, "/ml/flow" + path))


@pytest.mark.parametrize("path", ["/health", "/version", "/livez", "/readyz"])
def test_probes_answer_with_and_without_the_prefix(prefixed: Server, path: str):
    assert prefixed.request("GET", path).body == prefixed.request("GET", "/ml/flow" + path).body


def test_artifacts_are_served_without_the_prefix_too_and_nothing_else_is(prefixed: Server):
    """As upstream has it, whose clients upload and download there."""
    path = "/api/2.0/mlflow-artifacts/artifacts/0/file"
    assert prefixed.request("PUT", "/ml/flow" + path, b"x").status == 200
    assert prefixed.request("GET", path).body == b"x"
    assert prefixed.request("GET", f"{GET}?experiment_id=0").status == 404
    assert prefixed.request("GET", f"/ml/flow{GET}?experiment_id=0").status == 200


# What is not served ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nothing/here"),
        ("POST", "/api/2.0/mlflow/nothing"),
        ("GET", "/api/3.0/mlflow/experiments/get?experiment_id=0"),
        ("GET", "/api/1.0/mlflow/experiments/get?experiment_id=0"),
        ("GET", "/api/2.0/preview/mlflow/experiments/get?experiment_id=0"),
        ("GET", "/API/2.0/mlflow/experiments/get?experiment_id=0"),
        ("GET", "/api/2.0/mlflow/experiments/get/?experiment_id=0"),
        ("GET", "/api/2.0/mlflow/experiments/get/0"),
        ("GET", "/api/2.0/mlflow/metrics/get-history-bulk"),
        ("POST", "/api/2.0/mlflow/upload-artifact"),
        ("GET", "/api/2.0/mlflow/server-info"),
        ("GET", "/api/3.0/mlflow/workspaces"),
        ("POST", "/api/2.0/mlflow/experiments/list"),
        ("GET", "/health/"),
        ("GET", "/version/"),
    ],
)
def test_an_unknown_path_is_an_empty_404_at_which_clients_fall_back(
    server: Server, method: str, path: str
):
    answer = call(server, method, path)
    assert (answer.status, answer.body) == (404, b"")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/2.0/mlflow/runs/create", "POST"),
        ("POST", GET, "GET, HEAD"),
        ("DELETE", "/api/2.0/mlflow/runs/search", "POST"),
        ("PUT", "/api/2.0/mlflow/runs/search", "POST"),
        ("PATCH", GET, "GET, HEAD"),
        ("POST", "/api/2.0/mlflow-artifacts/artifacts/x", "DELETE, GET, HEAD, PUT"),
        ("POST", "/health", "GET, HEAD"),
    ],
)
def test_another_method_is_a_405_that_names_the_right_ones(
    server: Server, method: str, path: str, allowed: str
):
    answer = call(server, method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)


def test_slashes_at_the_beginning_may_be_doubled(server: Server):
    """Clients join a tracking URI that ends in a slash with a path that begins with one."""
    assert server.request("GET", f"/{GET}?experiment_id=0").status == 200
    answer = server.request("POST", "//api/2.0/mlflow/runs/search", b"{}", JSON)
    assert (answer.status, answer.json) == (200, {})


def test_head_answers_as_get_without_a_body(server: Server):
    path = f"{GET}?experiment_id=0"
    got, told = server.request("GET", path), server.request("HEAD", path)
    assert (told.status, told.body) == (200, b"")
    assert told.headers["content-length"] == got.headers["content-length"]
    assert server.request("HEAD", "/health").status == 200
    assert server.request("HEAD", "/nothing").status == 404


# The server about itself -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [("/health", b"OK"), ("/livez", b"OK"), ("/readyz", b"OK"), ("/version", b"3.17.2")],
)
def test_probes(server: Server, path: str, body: bytes):
    answer = server.request("GET", path)
    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["content-type"].startswith("text/")


def test_the_version_is_the_protocol_s_and_ours_is_in_a_header(server: Server):
    assert server.request("GET", "/version").headers["x-riverrun-version"]


@pytest.mark.parametrize("prefix", ["/api/3.0/mlflow/", "/ajax-api/3.0/mlflow/"])
def test_server_info_advertises_what_works(server: Server, prefix: str):
    info = accepted(server.get("server-info", prefix=prefix))
    assert info["store_type"] == "SqlStore"
    assert info["workspaces_enabled"] is False
    assert info["multipart_uploads_enabled"] is False
    assert info["multipart_downloads_enabled"] is False


def test_nothing_is_reported_to_anybody(server: Server):
    prefix = AJAX.replace("2.0", "3.0")
    told = accepted(server.get("ui-telemetry", prefix=prefix))
    assert told["disable_ui_telemetry"] is True
    posted = server.post("ui-telemetry", {"records": [{"a": 1}]}, prefix=prefix)
    assert accepted(posted) == {"status": "disabled"}


# Workspaces --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["team-a", "Default", "default2", "é".encode().decode("latin-1")])
def test_a_workspace_is_refused_with_a_400_that_no_client_retries(server: Server, name: str):
    for path in (f"{GET}?experiment_id=0", "/api/2.0/mlflow-artifacts/artifacts?path=0"):
        answer = server.request("GET", path, None, {"X-MLFLOW-WORKSPACE": name})
        refused(answer, 400, "FEATURE_DISABLED")


@pytest.mark.parametrize("name", ["default", ""])
def test_the_default_workspace_is_the_one_there_is(server: Server, name: str):
    answer = server.request("GET", f"{GET}?experiment_id=0", None, {"X-MLFLOW-WORKSPACE": name})
    assert accepted(answer)["experiment"]["workspace"] == "default"


@pytest.mark.parametrize("path", ["/api/3.0/mlflow/server-info", "/health", "/version"])
def test_what_clients_ask_first_answers_with_any_workspace(server: Server, path: str):
    answer = server.request("GET", path, None, {"X-MLFLOW-WORKSPACE": "team-a"})
    assert answer.status == 200


@pytest.mark.parametrize("path", ["/health", "/api/3.0/mlflow/server-info"])
def test_a_small_answer_leaves_in_one_piece(server: Server, path: str):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        for _ in range(3):
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head, _, body = connection.recv(65_536).partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            assert length, head
            assert len(body) == int(length[1])


def test_answers_without_a_body_are_not_held_back(server: Server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        for _ in range(2):
            connection.sendall(b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(server: Server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(
            b"PUT /api/2.0/mlflow-artifacts/artifacts/0/expect/f HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
