"""Real clients and a bucket: large files past the server, and everything past it."""

import io
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.fixtures.environments import FULL_CLIENTS, Environment, complaints
from tests.fixtures.objects import S3Server
from tests.fixtures.server import Server, serving

pytestmark = pytest.mark.client

MIB = 1024 * 1024
SIZE_BYTES = 11 * MIB
EAGER = {
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",  # Newer clients go by what is advertised.
    "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": str(6 * MIB),
    "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": str(5 * MIB),
    "MLFLOW_MULTIPART_DOWNLOAD_MINIMUM_FILE_SIZE": str(6 * MIB),
    "MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE": str(5 * MIB),
}


@pytest.mark.parametrize("reach", ["always", "auto"])
def test_a_large_file_goes_straight_where_clients_reach_the_bucket_and_else_in_one_stream(
    client: Environment, s3_server: S3Server, tmp_path: Path, reach: str
):
    """A bucket on loopback is nobody's but this machine's, so that `auto` signs nothing."""
    options = (
        *("--artifacts-destination", f"s3://{s3_server.new_bucket()}/kept"),
        *("--direct-transfers", reach),
        *("--access-log", "all"),
    )
    with serving(tmp_path, *options, environ=s3_server.environ) as server:
        is_direct = reach == "always"
        asked = {"MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": str(is_direct).lower()}
        ended = client.run(
            "large_file.py", str(SIZE_BYTES), url=server.url, folder=tmp_path, environ=EAGER | asked
        )
        assert ended.told is True
        assert ended.warnings == []
        assert ('"method":"PUT"' in server.log) is not is_direct
        assert ("/mpu/complete/" in server.log) is is_direct


@pytest.mark.parametrize("client", FULL_CLIENTS, indirect=True)
def test_with_a_root_in_a_bucket_clients_go_there_and_the_server_shows_the_same(
    client: Environment, s3_server: S3Server, tmp_path: Path
):
    bucket = s3_server.new_bucket()
    environ = {**s3_server.environ, "MLFLOW_DEFAULT_ARTIFACT_ROOT": f"s3://{bucket}/"}
    with serving(tmp_path, "--access-log", "all", environ=environ) as server:
        own = {**s3_server.environ, "AWS_EC2_METADATA_DISABLED": "true"}
        ended = client.run("direct.py", "direct", url=server.url, folder=tmp_path, environ=own)
        told, run_id = ended.told, ended.told["run_id"]
        assert complaints(ended.warnings) == []
        assert "mlflow-artifacts" not in server.log
        assert told["uri"] == f"s3://{bucket}/1/{run_id}/artifacts"
        assert told["text"] == "h\u00e9llo"
        assert told["same"] is told["empty"] is told["predicts"] is True
        size_bytes = 256 * 40_000
        assert told["files"] == [["files/deep", True, None], ["files/large.bin", False, size_bytes]]
        assert [[each["path"], each["is_dir"]] for each in files_of(server, run_id)] == told["root"]
        assert files_of(server, run_id, "files")[1]["file_size"] == size_bytes
        query = f"run_id={run_id}&path=notes/a%20b.txt"
        assert server.request("GET", f"/get-artifact?{query}").body == "h\u00e9llo".encode()
        # 2.x keeps the model among the run's artifacts; since 3.0 it is a logged model of its own.
        model_id = told["model_id"]
        of_run = zipped(server, f"runs/{run_id}")
        of_model = zipped(server, f"logged-models/{model_id}") if model_id else []
        assert {"files/deep/empty.bin", "files/large.bin", "notes/a b.txt"} <= set(of_run)
        assert ("model/MLmodel" in of_run) is not ("MLmodel" in of_model)


def files_of(server: Server, run_id: str, path: str = "") -> Any:
    query = urlencode({"run_id": run_id, "path": path})
    return server.request("GET", f"/api/2.0/mlflow/artifacts/list?{query}").json["files"]


def zipped(server: Server, of: str) -> list[str]:
    answer = server.request("GET", f"/api/riverrun/v1/{of}/artifacts.zip")
    with zipfile.ZipFile(io.BytesIO(answer.body)) as found:
        assert found.testzip() is None
        return found.namelist()
