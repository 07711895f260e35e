"""What a server with a bucket refuses: buckets of others, and settings that cannot be meant."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from tests.api.protocol import accepted, refused
from tests.fixtures.objects import S3Server, s3_serving
from tests.fixtures.server import serving

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
CONTENT = bytes(range(256)) * 4096


def test_other_buckets_stay_closed_though_the_credentials_would_open_them(
    s3_server: S3Server, tmp_path: Path
):
    private, bucket = s3_server.new_bucket(), s3_server.new_bucket()
    environ = {**s3_server.environ, "MLFLOW_DEFAULT_ARTIFACT_ROOT": f"s3://{bucket}/mlflow"}
    with serving(tmp_path, environ=environ) as server:
        for number, location in enumerate((f"s3://{private}/x", f"s3://{bucket}/else")):
            message = {"name": str(number), "artifact_location": location}
            experiment = accepted(server.post("experiments/create", message))["experiment_id"]
            run_id = server.create_run(experiment)
            sentence = refused(server.get("artifacts/list", run_id=run_id))
            assert "which this server does not serve" in sentence
            message = {"run_id": run_id, "path": "f"}
            refused(server.post("artifacts/presigned-upload-url", message))


def test_a_bucket_that_is_out_of_reach_at_the_start_is_made_when_it_is_not(tmp_path: Path):
    with s3_serving() as late:
        environ = {**late.environ, "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{late.new_name()}"}
        late.stop()
        with serving(tmp_path, environ=environ) as server:
            path = f"{PROXY}/0/f"
            answer = server.request("PUT", path, b"x")
            assert (answer.status, answer.error_code) == (503, "TEMPORARILY_UNAVAILABLE")
            assert int(answer.headers["retry-after"]) > 0
            assert server.create_run()
            late.start()
            deadline = time.monotonic() + 60
            while server.request("PUT", path, CONTENT).status == 503:
                assert time.monotonic() < deadline, server.log
            assert server.request("GET", path).body == CONTENT


def test_a_store_that_says_nothing_does_not_hold_up_the_start(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environ = {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "MLFLOW_ARTIFACTS_DESTINATION": "s3://silent",
        }
        with serving(tmp_path, environ=environ) as server:
            assert server.create_run()


AZURE = "wasbs://c@account.blob.core.windows.net"
GOOGLE = "GOOGLE_APPLICATION_CREDENTIALS"
NO_RSA_KEY = "-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("root", "environ", "sentence"),
    [
        ("s3://b", {"MLFLOW_S3_ENDPOINT_URL": "minio:9000"}, "Invalid S3 endpoint"),
        ("s3://b", {"MLFLOW_S3_UPLOAD_EXTRA_ARGS": "x"}, "expected a JSON object"),
        ("s3://b", {"AWS_PROFILE": "typo"}, "the profile 'typo' was not found"),
        (
            "s3://b",
            {"MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "x"},
            "Invalid MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE 'x': expected auto, path, virtual",
        ),
        (
            "gs://b",
            {GOOGLE: "/missing/key.json"},
            "(GOOGLE_APPLICATION_CREDENTIALS): there is no such file",
        ),
        (
            "gs://b",
            {f"{GOOGLE}_CLIENT_EMAIL": "a@b", f"{GOOGLE}_PRIVATE_KEY": "s3cr3t"},
            "private_key is no key in PEM form",
        ),
        (
            "gs://b",
            {f"{GOOGLE}_CLIENT_EMAIL": "a@b", f"{GOOGLE}_PRIVATE_KEY": NO_RSA_KEY},
            "Invalid Google credentials",
        ),
        ("az://c", {}, "Invalid Azure storage account"),
        (AZURE, {"AZURE_STORAGE_CONNECTION_STRING": "s3cr3t"}, "expected parts such as"),
        (AZURE, {"AZURE_STORAGE_ACCESS_KEY": "s3cr3t!"}, "expected base64"),
        ("s3://b?x=1", {}, "expected s3://bucket"),
        ("s3:b", {}, "expected s3://bucket"),
    ],
)
def test_a_destination_that_cannot_be_used_stops_the_start_with_one_sentence(
    tmp_path: Path, root: str, environ: dict[str, str], sentence: str
):
    stopped(started({"MLFLOW_ARTIFACTS_DESTINATION": root, **environ}, tmp_path), sentence)


@pytest.mark.parametrize("variable", ["MLFLOW_ARTIFACT_ROOT", "RIVERRUN_ARTIFACT_ROOTS"])
def test_nor_can_a_root_that_the_server_only_reads(tmp_path: Path, variable: str):
    environ = {variable: "gs://b", GOOGLE: "/missing/key.json"}
    stopped(started(environ, tmp_path), "there is no such file")


def stopped(ended: "subprocess.CompletedProcess[str]", sentence: str) -> None:
    assert ended.returncode == 1
    [line] = [each for each in ended.stderr.splitlines() if sentence in each]
    assert line == ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert "s3cr3t" not in ended.stderr


@pytest.mark.parametrize("status", [401, 403])
def test_a_bucket_that_lets_nobody_in_stops_the_start_with_the_rights_that_are_missing(
    tmp_path: Path, status: int
):
    with answering(status) as port:
        environ = {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "s3cr3t",
            "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        }
        ended = started({**environ, "MLFLOW_ARTIFACTS_DESTINATION": "s3://theirs"}, tmp_path)
        assert ended.returncode == 1
        last = ended.stderr.splitlines()[-1]
        assert "on bucket 'theirs' its credentials need s3:ListBucket" in last
        # Where clients go directly they may have rights that the server has not.
        direct = {**environ, "MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://theirs"}
        with serving(tmp_path, environ=direct) as server:
            run_id = server.create_run()
            answer = server.get("artifacts/list", run_id=run_id)
            assert (answer.status, answer.error_code) == (503, "TEMPORARILY_UNAVAILABLE")
            assert "its credentials need" in answer.json["message"]
            assert '"artifact store not usable"' in server.log


def started(environ: dict[str, str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """A server that is not expected to start."""
    return subprocess.run(
        [sys.executable, "-m", "riverrun", "server", "--port", "0"],
        check=False,
        cwd=folder,
        env={**os.environ, "HOME": str(folder), **environ},
        capture_output=True,
        text=True,
        timeout=30,
    )


@contextmanager
def answering(status: int) -> Generator[int]:
    """The port of a server that answers every request with this status."""

    class Refusing(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline()
            if self.raw_requestline and self.parse_request():
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - Its name there.
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
