"""Artifacts through the server: up, down, in parts, listed, deleted; paths that lead astray."""

import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.api.files import CONTENT, LIST, PROXY, Files
from tests.api.protocol import AJAX, JSON, NO_RUN, accepted, not_found, refused, unique
from tests.fixtures.server import Server

MPU = "/api/2.0/mlflow-artifacts/mpu"


# Up and down -------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)), b"\r\n" * 70_000])
def test_a_file_comes_back_as_it_went(files: Files, content: bytes):
    files.put("a/b.bin", content)
    answer = files.read("a/b.bin")
    assert (answer.status, answer.body) == (200, content)
    assert answer.headers["content-length"] == str(len(content))
    assert files.get_artifact(run_id=files.run, path="a/b.bin").body == content


def test_a_file_is_replaced_whole(files: Files):
    files.put("f", b"a longer one")
    files.put("f", b"short")
    assert files.read("f").body == b"short"


@pytest.mark.parametrize(
    "path",
    [
        "plain.txt",
        "with space.txt",
        "é 実験 😀.txt",
        "100%.txt",
        "%41.txt",
        "a+b&c=d?e.txt",
        "a;b,c'd\".txt",
        "a:b.txt",
        ".hidden",
        "...",
        "a..b",
        "x" * 255,
        "deep/" * 20 + "file",
    ],
)
def test_a_name_is_kept_character_by_character(files: Files, path: str):
    files.put(path)
    assert files.read(path).body == CONTENT
    assert files.get_artifact(run_id=files.run, path=path).body == CONTENT
    folder, _, name = path.rpartition("/")
    assert {"path": path, "is_dir": False, "file_size": 10} in files.list(path=folder)
    proxied = files.list_proxied(f"/{folder}" if folder else "")
    assert {"path": name, "is_dir": False, "file_size": 10} in proxied


# Lists -------------------------------------------------------------------------------------------


def test_a_list_is_one_level_sorted(files: Files):
    for path in ("b", "a/2", "a/1", "a/deep/x"):
        files.put(path)
    assert files.list() == [
        {"path": "a", "is_dir": True},
        {"path": "b", "is_dir": False, "file_size": 10},
    ]
    below: list[dict[str, Any]] = [
        {"path": "a/1", "is_dir": False, "file_size": 10},
        {"path": "a/2", "is_dir": False, "file_size": 10},
        {"path": "a/deep", "is_dir": True},
    ]
    assert files.list(path="a") == below
    assert files.list(path="a/") == below
    assert files.list_proxied("/a") == [{**each, "path": each["path"][2:]} for each in below]


def test_a_file_of_no_bytes_has_no_size(files: Files):
    files.put("empty", b"")
    assert files.list() == [{"path": "empty", "is_dir": False}]


@pytest.mark.parametrize("path", ["file", "missing", "missing/deep"])
def test_a_file_and_what_is_missing_list_as_nothing(files: Files, path: str):
    """Clients tell a file from a folder by that."""
    files.put("file")
    assert files.list(path=path) is None
    assert files.list_proxied(f"/{path}") is None


def test_a_new_run_has_no_files(files: Files):
    assert files.list() is None


# Deletion ----------------------------------------------------------------------------------------


def test_deleting_a_file_a_folder_and_nothing(files: Files):
    for path in ("a/1", "a/b/2", "kept"):
        files.put(path)
    for path in ("a/1", "a", "a", "never"):
        assert accepted(files.call("DELETE", path)) == {}
    assert files.list() == [{"path": "kept", "is_dir": False, "file_size": 10}]


def test_a_deleted_run_shows_its_files_and_takes_new_ones(files: Files):
    files.put("before")
    for step in ("delete", "restore"):
        accepted(files.server.post(f"runs/{step}", {"run_id": files.run}))
        files.put(f"{step}d")
        accepted(files.upload(CONTENT, run_uuid=files.run, path=f"{step}d by the UI"))
        assert files.read("before").body == CONTENT
        assert files.get_artifact(run_id=files.run, path=f"{step}d").body == CONTENT
        accepted(files.call("DELETE", f"{step}d"))
    assert [each["path"] for each in files.list()] == [
        "before",
        "deleted by the UI",
        "restored by the UI",
    ]


# What is not there -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["missing", "missing/deep", "file/below"])
def test_a_missing_file_is_a_404(files: Files, path: str):
    files.put("file")
    assert not_found(files.read(path)) == f"No such artifact: '{files.root}/{path}'"
    not_found(files.get_artifact(run_id=files.run, path=path))


def test_a_folder_is_no_file(files: Files):
    files.put("a/b")
    for answer in (
        files.read("a"),
        files.read("a/"),
        files.get_artifact(run_id=files.run, path="a"),
        files.call("PUT", "a", b"x"),
        files.call("PUT", "new/", b"x"),
        files.call("PUT", "a/b/c", b"x"),
    ):
        refused(answer)
    assert files.read("a/b").body == CONTENT


def test_get_artifact_needs_a_run_and_a_path(files: Files):
    refused(files.get_artifact(run_id=files.run))
    refused(files.get_artifact(path="x"))
    not_found(files.get_artifact(run_id=NO_RUN, path="x"))
    not_found(files.server.get("artifacts/list", run_id=NO_RUN))
    refused(files.server.get("artifacts/list"))


# Paths that lead out -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "a/../../x",
        "..",
        "a/..",
        "%2e%2e/x",
        "..%2fx",
        "%2e%2e%2fx",
        "%252e%252e%252fx",
        "%25252e%25252e/x",
        "%5c..%5cx",
        "..\\x",
        "%255c",
        "x%23y",
        "x%2523y",
        "x%00y",
        "x%0ay",
        "x%7fy",
        "%ff",
        "%c0%ae%c0%ae/x",
        "x" * 256,
    ],
)
def test_a_path_that_leads_out_or_astray_is_refused_everywhere(files: Files, path: str):
    files.put("kept")
    for method in ("GET", "PUT", "DELETE"):
        refused(files.call_raw(method, path, b"x" if method == "PUT" else None))
    query = f"run_id={files.run}&path={path}"
    refused(files.server.request("GET", f"/get-artifact?{query}"))
    refused(files.server.request("GET", f"{LIST}?{query}"))
    refused(files.server.request("GET", f"{PROXY}?path={path}"))
    refused(files.server.request("POST", f"{AJAX}upload-artifact?{query}", b"x"))
    message = b'{"path":"x","num_parts":2}'
    refused(files.server.request("POST", f"{MPU}/create/{files.root}/{path}", message, JSON))
    assert files.list() == [{"path": "kept", "is_dir": False, "file_size": 10}]


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "%2fetc/passwd", "%252fetc/passwd", "C:/x", "file:/x"]
)
def test_an_absolute_path_is_refused(files: Files, path: str):
    for method in ("GET", "PUT", "DELETE"):
        body = b"x" if method == "PUT" else None
        refused(files.server.request(method, f"{PROXY}/{path}", body))
    refused(files.server.request("GET", f"/get-artifact?run_id={files.run}&path={path}"))


# Places that the server does not serve -----------------------------------------------------------


@pytest.mark.parametrize("location", ["/etc", "file:///etc", "s3://bucket/x"])
def test_a_run_s_own_place_is_never_opened_by_the_server(server: Server, location: str):
    message = {"name": unique("elsewhere"), "artifact_location": location}
    experiment = accepted(server.post("experiments/create", message))["experiment_id"]
    there = Files(server, experiment, server.create_run(experiment))
    refused(there.server.get("artifacts/list", run_id=there.run))
    refused(there.get_artifact(run_id=there.run, path="passwd"))
    refused(there.upload(b"x", run_uuid=there.run, path="f"))


# The web UI's upload -----------------------------------------------------------------------------


def test_uploading_to_a_run(files: Files):
    assert accepted(files.upload(CONTENT, run_uuid=files.run, path="up/f")) == {}
    assert files.read("up/f").body == CONTENT


def test_an_upload_needs_a_run_a_path_and_data(files: Files):
    refused(files.upload(CONTENT, path="f"))
    refused(files.upload(CONTENT, run_uuid=files.run))
    refused(files.upload(b"", run_uuid=files.run, path="f"))
    refused(files.upload(CONTENT, run_uuid=files.run, path="f/"))
    not_found(files.upload(CONTENT, run_uuid=NO_RUN, path="f"))
    assert files.list() is None


def test_an_upload_has_10_mib_at_most(files: Files):
    most = 10 * 1024 * 1024
    accepted(files.upload(bytes(most), run_uuid=files.run, path="most"))
    refused(files.upload(bytes(most + 1), run_uuid=files.run, path="more"))
    assert files.list() == [{"path": "most", "is_dir": False, "file_size": most}]
    files.put("through the proxy", bytes(most + 1))


# What a local folder cannot do -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("create", b'{"path":"x","num_parts":2}'),
        ("complete", b'{"path":"x","upload_id":"u","parts":[{"part_number":1,"etag":"e"}]}'),
        ("abort", b'{"path":"x","upload_id":"u"}'),
    ],
)
def test_multipart_uploads_are_not_implemented_for_a_folder(
    files: Files, step: str, message: bytes
):
    """Clients fall back when the message begins so."""
    answer = files.server.request("POST", f"{MPU}/{step}/{files.root}", message, JSON)
    assert refused(answer, 501, "NOT_IMPLEMENTED").startswith(
        "Multipart upload is not supported for the current artifact repository"
    )


def test_presigned_downloads_are_not_implemented_for_a_folder(files: Files):
    files.put("f")
    path = f"/api/2.0/mlflow-artifacts/presigned/{files.root}/f"
    refused(files.server.request("GET", path), 501, "NOT_IMPLEMENTED")
    refused(files.server.request("GET", "/api/2.0/mlflow-artifacts/presigned/%2e%2e/f"))


@pytest.mark.parametrize("direction", ["upload", "download"])
def test_a_proxied_run_has_no_presigned_urls(files: Files, direction: str):
    path = f"artifacts/presigned-{direction}-url"
    message = refused(files.server.post(path, {"run_id": files.run, "path": "f"}))
    assert message.startswith(f"Presigned {direction} is not supported for ")
    assert "(artifact URI scheme: mlflow-artifacts)" in message
    refused(files.server.post(path, {"run_id": files.run}))
    refused(files.server.post(path, {"path": "f"}))
    not_found(files.server.post(path, {"run_id": NO_RUN, "path": "f"}))


def test_a_download_ends_when_its_client_leaves(server: Server):
    folder = server.folder / "mlartifacts" / "0" / "left"
    folder.mkdir(parents=True)
    with (folder / "sparse.bin").open("wb") as file:
        file.truncate(50 * 1024**3)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(
            b"GET " + PROXY.encode() + b"/0/left/sparse.bin HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        assert _has_open(server.pid, "sparse.bin")
    deadline = time.monotonic() + 3
    while _has_open(server.pid, "sparse.bin"):
        assert time.monotonic() < deadline, "the server reads on for nobody"
        time.sleep(0.05)


def _has_open(pid: int, name: str) -> bool:
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            if descriptor.readlink().name == name:
                return True
    return False
