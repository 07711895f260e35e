"""A server whose artifacts lie in each of the clouds: behind the proxy, and where clients go
directly. Whoever has a URL that the server signed needs nothing else.
"""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from tests.api.files import LIST, PROXY
from tests.api.protocol import accepted, refused
from tests.fixtures.objects import AzureServer, S3Server, send, service_account
from tests.fixtures.server import Answered, Server, serving

from riverrun.artifacts.contract import PresignedUrl
from riverrun.artifacts.google_credentials import GoogleCredentials

MPU = "/api/2.0/mlflow-artifacts/mpu"
SIGNED = "/api/2.0/mlflow-artifacts/presigned"
CONTENT = bytes(range(256)) * 4096
NAME = "a b/100% é+f.bin"


@dataclass(frozen=True)
class There:
    """A folder in a bucket that is not there yet, and what opens it: `destination` are the
    variables that put it behind the proxy, `told` is what the log says of the credentials.
    """

    uri: str
    environ: Mapping[str, str]
    destination: Mapping[str, str]
    told: str
    secret: str


@pytest.fixture(scope="module")
def google_account() -> GoogleCredentials:
    return service_account()


def in_s3(request: pytest.FixtureRequest) -> There:
    server: S3Server = request.getfixturevalue("s3_server")
    uri = f"s3://{server.new_name()}/kept"
    environ = {**server.environ, "AWS_SECRET_ACCESS_KEY": "the-secret-of-the-key"}
    destination = {"MLFLOW_ARTIFACTS_DESTINATION": f"{uri}/"}
    return There(uri, environ, destination, "AWS_ACCESS_KEY_ID", "the-secret-of-the-key")


def in_gcs(request: pytest.FixtureRequest) -> There:
    r"""As a guide has it: an account in single variables, `\n` for the breaks of its key."""
    server: S3Server = request.getfixturevalue("s3_server")
    account: GoogleCredentials = request.getfixturevalue("google_account")
    bucket = server.new_name()
    key = str(account.info["private_key"])
    prefix = "GOOGLE_APPLICATION_CREDENTIALS_"
    environ = {
        f"{prefix}TYPE": "service_account",
        f"{prefix}PROJECT_ID": "of-the-key",
        f"{prefix}CLIENT_EMAIL": str(account.info["client_email"]),
        f"{prefix}PRIVATE_KEY": '"' + key.replace("\n", "\\n") + '"',
        "GCP_PROJECT": "project",
        "STORAGE_EMULATOR_HOST": server.url,
    }
    destination = {
        "MLFLOW_BUCKET_LOCATION": f"gs://{bucket}/",
        "MLFLOW_FOLDER_LOCATION": "/kept/",
    }
    told = f"the service account {account.info['client_email']}, from the variables {prefix}..."
    return There(f"gs://{bucket}/kept", environ, destination, told, key.splitlines()[2])


def in_azure(request: pytest.FixtureRequest) -> There:
    server: AzureServer = request.getfixturevalue("azure_server")
    uri = f"wasbs://{server.new_name()}@devstoreaccount1.blob.core.windows.net/kept"
    connection = server.environ["AZURE_STORAGE_CONNECTION_STRING"]
    secret = connection.partition("AccountKey=")[2].partition("=")[0]
    destination = {"MLFLOW_ARTIFACTS_DESTINATION": f"{uri}/"}
    told = "the key of the account devstoreaccount1"
    return There(uri, server.environ, destination, told, secret)


CLOUDS: dict[str, Callable[[pytest.FixtureRequest], There]] = {
    "s3": in_s3,
    "gcs": in_gcs,
    "azure": in_azure,
}


@pytest.fixture(params=CLOUDS)
def there(request: pytest.FixtureRequest) -> There:
    return CLOUDS[request.param](request)


def unzipped(answer: Answered) -> dict[str, bytes]:
    assert answer.status == 200, answer.body[:500]
    with zipfile.ZipFile(io.BytesIO(answer.body)) as found:
        return {name: found.read(name) for name in found.namelist()}


def credentials_told(server: Server, uri: str) -> str:
    """What the log says when a store is opened."""
    events = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
    [told] = [
        each["credentials"]
        for each in events
        if each["event"] == "artifact store opened" and each["store"] == uri
    ]
    return told


def advertised(server: Server) -> tuple[bool, bool]:
    info = accepted(server.get("server-info", prefix="/api/3.0/mlflow/"))
    return info["multipart_uploads_enabled"], info["multipart_downloads_enabled"]


def test_a_destination_in_a_bucket_is_made_and_used_like_a_folder(there: There, tmp_path: Path):
    with serving(tmp_path, environ={**there.environ, **there.destination}) as server:
        run_id = server.create_run()
        root = f"0/{run_id}/artifacts"
        assert server.get_run(run_id)["info"]["artifact_uri"] == f"mlflow-artifacts:/{root}"
        path = f"{PROXY}/{root}/{quote(NAME)}"
        assert server.request("PUT", path, CONTENT).status == 200
        got = server.request("GET", path)
        assert (got.status, got.body) == (200, CONTENT)
        etag = got.headers["etag"]
        assert server.request("GET", path, None, {"If-None-Match": etag}).status == 304
        part = server.request("GET", path, None, {"Range": "bytes=1000-1999", "If-Range": etag})
        assert (part.status, part.body) == (206, CONTENT[1000:2000])
        told = server.request("HEAD", path)
        assert (told.status, told.headers["content-length"]) == (200, str(len(CONTENT)))
        listed = accepted(server.request("GET", f"{LIST}?run_id={run_id}&path=a%20b"))["files"]
        assert listed == [{"path": NAME, "is_dir": False, "file_size": len(CONTENT)}]
        archive = server.request("GET", f"/api/riverrun/v1/runs/{run_id}/artifacts.zip")
        assert unzipped(archive) == {NAME: CONTENT}
        assert server.request("DELETE", f"{PROXY}/{root}/a%20b").status == 200
        assert server.request("GET", path).status == 404
        assert credentials_told(server, there.uri) == there.told
        assert there.secret not in server.log


def test_where_clients_may_not_reach_the_bucket_nothing_is_signed(there: There, tmp_path: Path):
    """The tests' clouds are on loopback, which means another machine to a client."""
    with serving(tmp_path, environ={**there.environ, **there.destination}) as server:
        assert advertised(server) == (False, False)
        message = {"path": "f", "num_parts": 1}
        refusal = refused(server.post("/create/0/x", message, prefix=MPU), 501, "NOT_IMPLEMENTED")
        assert refusal.startswith("Multipart upload is not supported for the current artifact repo")
        server.request("PUT", f"{PROXY}/0/x/f", b"x")
        refused(server.request("GET", f"{SIGNED}/0/x/f"), 501, "NOT_IMPLEMENTED")


def test_a_file_goes_up_in_parts_and_down_in_ranges_past_the_server(there: There, tmp_path: Path):
    environ = {**there.environ, **there.destination, "RIVERRUN_DIRECT_TRANSFERS": "always"}
    parts = [bytes(5 * 1024 * 1024), b"the rest"]
    with serving(tmp_path, environ=environ) as server:
        assert advertised(server) == (True, True)
        folder = quote("0/run/artifacts/a b")
        begun = accepted(
            server.post(f"/create/{folder}", {"path": "/x/m %é.bin", "num_parts": 2}, prefix=MPU)
        )
        sent = [put(each, part) for each, part in zip(begun["credentials"], parts, strict=True)]
        file = f"{folder}/{quote('m %é.bin')}"
        assert server.request("GET", f"{PROXY}/{file}").status == 404
        message = {"path": "m %é.bin", "upload_id": begun["upload_id"], "parts": sent}
        assert accepted(server.post(f"/complete/{folder}", message, prefix=MPU)) == {}
        assert server.request("GET", f"{PROXY}/{file}").body == b"".join(parts)
        down = accepted(server.request("GET", f"{SIGNED}/{file}"))
        assert down["file_size"] == len(b"".join(parts))
        headers = {**down["headers"], "Range": f"bytes={len(parts[0])}-"}
        status, _, body = send(PresignedUrl(down["url"], headers), "GET")
        assert (status, body) == (206, parts[1])
        assert there.secret not in server.log


def put(credential: Mapping[str, Any], part: bytes) -> dict[str, Any]:
    """What an MLflow client does with one part: headers as they come, the etag if there is one."""
    url = PresignedUrl(credential["url"], credential.get("headers", {}))
    status, headers, body = send(url, "PUT", part)
    assert status in {200, 201}, body
    number = credential["part_number"]
    return {"part_number": number, "etag": headers.get("etag", ""), "url": url.url}


def test_parts_that_are_given_up_leave_nothing(there: There, tmp_path: Path):
    environ = {**there.environ, **there.destination, "RIVERRUN_DIRECT_TRANSFERS": "always"}
    with serving(tmp_path, environ=environ) as server:
        begun = accepted(server.post("/create/0/x", {"path": "f", "num_parts": 1}, prefix=MPU))
        put(begun["credentials"][0], b"part")
        message = {"path": "f", "upload_id": begun["upload_id"]}
        for _ in range(2):
            assert accepted(server.post("/abort/0/x", message, prefix=MPU)) == {}
        assert server.request("GET", f"{PROXY}/0/x/f").status == 404
        assert accepted(server.request("GET", f"{PROXY}?path=0/x")) == {}


def test_an_upload_is_named_by_its_id(there: There, tmp_path: Path):
    """Without one, S3 would take the end of an upload for the end of the file."""
    environ = {**there.environ, **there.destination, "RIVERRUN_DIRECT_TRANSFERS": "always"}
    with serving(tmp_path, environ=environ) as server:
        server.request("PUT", f"{PROXY}/0/x/f", b"kept")
        for message in ({"path": "f"}, {"path": "f", "upload_id": ""}):
            for step in ("abort", "complete"):
                whole = {**message, "parts": [{"part_number": 1, "etag": "e"}]}
                assert "upload_id" in refused(server.post(f"/{step}/0/x", whole, prefix=MPU))
        assert server.request("GET", f"{PROXY}/0/x/f").body == b"kept"


@pytest.mark.parametrize("variable", ["MLFLOW_DEFAULT_ARTIFACT_ROOT", "MLFLOW_ARTIFACT_ROOT"])
def test_a_root_in_a_bucket_is_the_clients_and_read_by_the_server(
    there: There, tmp_path: Path, variable: str
):
    with serving(tmp_path, environ={**there.environ, variable: f"{there.uri}/"}) as server:
        run_id = server.create_run()
        uri = server.get_run(run_id)["info"]["artifact_uri"]
        assert uri == f"{there.uri}/0/{run_id}/artifacts"
        assert credentials_told(server, there.uri) == there.told
        wait_for_bucket(server)
        up = {"run_id": run_id, "path": NAME}
        given = accepted(server.post("artifacts/presigned-upload-url", up))
        url = PresignedUrl(given["presigned_url"], given.get("headers", {}))
        status, _, body = send(url, "PUT", CONTENT)
        assert status in {200, 201}, body
        listed = accepted(server.request("GET", f"{LIST}?run_id={run_id}&path=a%20b"))
        assert listed["root_uri"] == uri
        assert listed["files"] == [{"path": NAME, "is_dir": False, "file_size": len(CONTENT)}]
        query = urlencode({"run_id": run_id, "path": NAME})
        got = server.request("GET", f"/get-artifact?{query}")
        assert (got.status, got.body) == (200, CONTENT)
        archive = server.request("GET", f"/api/riverrun/v1/runs/{run_id}/artifacts.zip")
        assert unzipped(archive) == {NAME: CONTENT}
        down = accepted(server.post("artifacts/presigned-download-url", up))
        assert down["file_size"] == len(CONTENT)
        found = send(PresignedUrl(down["presigned_url"], down.get("headers", {})), "GET")
        assert (found[0], found[2]) == (200, CONTENT)


def wait_for_bucket(server: Server) -> None:
    """A root of clients is seen to beside the requests, so the bucket may come a little later."""
    while "created" not in server.log:
        assert server.request("GET", "/health").status == 200
