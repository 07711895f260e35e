"""Runs whose artifacts lie in a bucket: what the server opens, signs and hands out."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures.clouds import Answered, Bucket, Cloud, cloud

from riverrun.artifacts.contract import READ_BYTES_MAX
from riverrun.auth.levels import Level
from riverrun.auth.viewer import DEFAULT_WORKSPACE, Asking, Authenticate, Viewer
from riverrun.errors import PermissionDenied
from riverrun.services.direct_transfers import TransferRules, is_public

pytestmark = pytest.mark.anyio

PROXY = "/api/2.0/mlflow-artifacts"
DIRECT = "s3://mlflow"
SERVED = "gs://kept"
CONTENT = b"0123456789"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def rules() -> TransferRules:
    """A module or a class of tests may have others."""
    return TransferRules(reach="always", download_url_ttl_s=120)


@pytest.fixture
async def clouded(tmp_path: Path, rules: TransferRules) -> AsyncGenerator[Cloud]:
    async with cloud(tmp_path, SERVED, DIRECT, SERVED, rules=rules) as running:
        yield running


def refused(answer: Answered, status: int = 400, code: str = "INVALID_PARAMETER_VALUE") -> str:
    assert (answer.status, answer.json["error_code"]) == (status, code), answer.body
    return answer.json["message"]


async def bucket_at(running: Cloud, uri: str, path: str = "") -> Bucket:
    """Opened by the first look into it."""
    run_id, _ = await running.run_at(f"{uri}/opened{path}", f"opens {uri}{path}")
    assert (await list_of(running, run_id)).status == 200
    return running.buckets[uri]


async def list_of(running: Cloud, run_id: str, path: str = "") -> Answered:
    return await running.call("GET", f"/api/2.0/mlflow/artifacts/list?run_id={run_id}&path={path}")


# Runs directly in a bucket -----------------------------------------------------------------------


async def test_the_server_lists_and_reads_what_clients_put_into_its_own_root(clouded: Cloud):
    run_id, uri = await clouded.run_at(f"{DIRECT}/7", "direct")
    assert uri == f"{DIRECT}/7/{run_id}/artifacts"
    assert (await list_of(clouded, run_id)).json == {"root_uri": uri}
    await clouded.buckets[DIRECT].put(f"7/{run_id}/artifacts/a b/f%20.txt", CONTENT)
    assert (await list_of(clouded, run_id)).json == {
        "root_uri": uri,
        "files": [{"path": "a b", "is_dir": True}],
    }
    assert (await list_of(clouded, run_id, "a%20b")).json["files"] == [
        {"path": "a b/f%20.txt", "is_dir": False, "file_size": 10}
    ]
    got = await clouded.call("GET", f"/get-artifact?run_id={run_id}&path=a%20b/f%2520.txt")
    assert (got.status, got.body) == (200, CONTENT)
    part = await clouded.call(
        "GET",
        f"/get-artifact?run_id={run_id}&path=a%20b/f%2520.txt",
        headers={"range": "bytes=2-3"},
    )
    assert (part.status, part.body) == (206, b"23")


async def test_the_web_ui_uploads_into_it_too(clouded: Cloud):
    run_id, _ = await clouded.run_at(f"{DIRECT}/7", "uploaded")
    path = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run_id}&path=up/f"
    assert (await clouded.call("POST", path, body=CONTENT)).status == 200
    assert (await clouded.buckets[DIRECT].stat(f"7/{run_id}/artifacts/up/f")).size_bytes == 10


@pytest.mark.parametrize(
    "location",
    [
        "s3://other/7",
        "s3://mlflow-2/7",
        "gs://mlflow/7",
        "wasbs://c@account.blob.core.windows.net/7",
        "/etc",
        "file:///etc",
        "/kept/7",
        "dbfs:/x",
    ],
)
async def test_what_lies_elsewhere_is_told_and_not_opened(clouded: Cloud, location: str):
    run_id, uri = await clouded.run_at(location, "elsewhere")
    sentence = (
        f"These artifacts are at '{uri}', which this server does not serve. "
        "Read them there directly."
    )
    assert refused(await list_of(clouded, run_id)) == sentence
    for path in (
        f"/get-artifact?run_id={run_id}&path=passwd",
        f"/api/riverrun/v1/runs/{run_id}/artifacts.zip",
    ):
        assert refused(await clouded.call("GET", path)) == sentence
    for direction in ("upload", "download"):
        answer = await presigned(clouded, direction, run_id=run_id, path="f")
        assert refused(answer) == sentence
    upload = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run_id}&path=f"
    assert refused(await clouded.call("POST", upload, body=b"x")) == sentence
    assert clouded.buckets == {}


async def test_a_version_of_a_model_in_a_bucket_is_read(clouded: Cloud):
    run_id, uri = await clouded.run_at(f"{DIRECT}/7", "versioned")
    await list_of(clouded, run_id)
    await clouded.buckets[DIRECT].put(f"7/{run_id}/artifacts/model/MLmodel", b"flavors")
    await clouded.post("registered-models/create", {"name": "m"})
    version = {"name": "m", "source": f"{uri}/model", "run_id": run_id}
    assert (await clouded.post("model-versions/create", version)).status == 200
    got = await clouded.call("GET", "/model-versions/get-artifact?name=m&version=1&path=MLmodel")
    assert (got.status, got.body) == (200, b"flavors")


class Confined(Viewer):
    """May do everything in the experiment that is its name, and nothing else."""

    __slots__ = ()

    def may(self, level: Level, experiment_id: int | None) -> bool:
        del level
        return str(experiment_id) == self.name


def confined_to(experiment_id: str) -> Authenticate:
    async def authenticate(asking: Asking) -> Viewer:
        del asking
        return Confined(experiment_id, DEFAULT_WORKSPACE, all_powerful=False)

    return authenticate


async def test_an_experiment_that_lies_among_another_ones_files_opens_none_of_them(clouded: Cloud):
    victim, uri = await clouded.run_at("", "victim")
    assert uri == f"mlflow-artifacts:/1/{victim}/artifacts"
    bucket = await bucket_at(clouded, DIRECT)
    await bucket.put(f"1/{victim}/artifacts/f", b"private")
    for location in ("mlflow-artifacts:/1", f"{DIRECT}/1"):
        thief, _ = await clouded.run_at(location, f"thief at {location}")
        run = (await clouded.call("GET", f"/api/2.0/mlflow/runs/get?run_id={thief}")).json["run"]
        seen = await clouded.seen_by(confined_to(run["info"]["experiment_id"]))
        refused(await list_of(seen, thief), 403, PermissionDenied.code)
        path = f"/get-artifact?run_id={thief}&path=../../{victim}/artifacts/f"
        refused(await seen.call("GET", path))
        upload = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={thief}&path=f"
        refused(await seen.call("POST", upload, body=b"x"), 403, PermissionDenied.code)
    for direction in ("upload", "download"):
        answer = await presigned(seen, direction, run_id=thief, path="f")
        refused(answer, 403, PermissionDenied.code)


async def test_a_version_opens_no_files_that_who_made_it_may_not_read(clouded: Cloud):
    """Its readers need no permission on the experiment: so its maker does."""
    victim, uri = await clouded.run_at(f"{DIRECT}/1", "victim")
    await (await bucket_at(clouded, DIRECT)).put(f"1/{victim}/artifacts/f", b"private")
    own, _ = await clouded.run_at("", "own")
    run = (await clouded.call("GET", f"/api/2.0/mlflow/runs/get?run_id={own}")).json["run"]
    seen = await clouded.seen_by(confined_to(run["info"]["experiment_id"]))
    await clouded.post("registered-models/create", {"name": "m"})
    logged = {"experiment_id": run["info"]["experiment_id"]}
    model = (await seen.post("logged-models", logged)).json["model"]["info"]["model_id"]
    for claims in ({}, {"run_id": own}, {"model_id": model}):
        version = {"name": "m", "source": uri, **claims}
        refused(await seen.post("model-versions/create", version), 403, PermissionDenied.code)


async def test_a_version_of_a_whole_root_opens_what_its_reader_may_read(tmp_path: Path):
    root = f"{DIRECT}/below"
    rules = TransferRules(reach="always")
    async with cloud(tmp_path, SERVED, root, rules=rules) as clouded:
        victim, _ = await clouded.run_at(f"{root}/1", "victim")
        assert (await list_of(clouded, victim)).status == 200
        await clouded.buckets[root].put(f"1/{victim}/artifacts/f", b"private")
        await clouded.post("registered-models/create", {"name": "m"})
        seen = await clouded.seen_by(confined_to("2"))
        whole = {"name": "m", "source": root}
        assert (await seen.post("model-versions/create", whole)).status == 200
        path = f"1/{victim}/artifacts/f"
        got = f"/model-versions/get-artifact?name=m&version=1&path={path}"
        refused(await seen.call("GET", got), 403, PermissionDenied.code)
        assert (await clouded.call("GET", got)).body == b"private"


# URLs for runs directly in a bucket --------------------------------------------------------------


async def presigned(running: Cloud, direction: str, **message: Any) -> Answered:
    return await running.post(f"artifacts/presigned-{direction}-url", message)


async def test_a_direct_run_has_urls_up_and_down(clouded: Cloud):
    run_id, _ = await clouded.run_at(f"{DIRECT}/7", "urls")
    root = f"https://storage.example.com/7/{run_id}/artifacts"
    up = await presigned(clouded, "upload", run_id=run_id, path="a/f")
    assert (up.status, up.json) == (
        200,
        {"presigned_url": f"{root}/a/f?put=900", "headers": {"x-kind": "blob"}},
    )
    missing = await presigned(clouded, "download", run_id=run_id, path="a/f")
    refused(missing, 404, "RESOURCE_DOES_NOT_EXIST")
    await clouded.buckets[DIRECT].put(f"7/{run_id}/artifacts/a/f", CONTENT)
    down = await presigned(clouded, "download", run_id=run_id, path="a/f")
    assert (down.status, down.json) == (
        200,
        {"presigned_url": f"{root}/a/f?expires=120", "file_size": 10},
    )
    refused(await presigned(clouded, "download", run_id=run_id, path="a"))
    refused(await presigned(clouded, "upload", run_id=run_id, path="a/"))
    refused(await presigned(clouded, "upload", run_id=run_id, path="../f"))


async def test_a_logged_model_directly_in_a_bucket_has_a_url_up(clouded: Cloud):
    run_id, _ = await clouded.run_at(f"{DIRECT}/7", "models")
    info = (await clouded.call("GET", f"/api/2.0/mlflow/runs/get?run_id={run_id}")).json
    experiment_id = info["run"]["info"]["experiment_id"]
    created = await clouded.post("logged-models", {"experiment_id": experiment_id, "name": "m"})
    model_id = created.json["model"]["info"]["model_id"]
    up = await presigned(clouded, "upload", model_id=model_id, path="MLmodel", expiration=60)
    assert up.json["presigned_url"] == (
        f"https://storage.example.com/7/models/{model_id}/artifacts/MLmodel?put=60"
    )


async def test_a_url_up_is_for_a_run_or_a_model(clouded: Cloud):
    sentence = "Exactly one of run_id and model_id must be provided."
    assert refused(await presigned(clouded, "upload", path="f")) == sentence
    both = await presigned(clouded, "upload", path="f", run_id="r", model_id="m")
    assert refused(both) == sentence
    assert "path" in refused(await presigned(clouded, "upload", run_id="r"))


@pytest.mark.parametrize("direction", ["upload", "download"])
async def test_a_url_is_good_for_a_second_to_a_week(clouded: Cloud, direction: str):
    run_id, _ = await clouded.run_at(f"{DIRECT}/7", "expires")
    await (await bucket_at(clouded, DIRECT)).put(f"7/{run_id}/artifacts/f", CONTENT)
    for expiration in (1, 604_800):
        answer = await presigned(clouded, direction, run_id=run_id, path="f", expiration=expiration)
        assert answer.json["presigned_url"].endswith(f"={expiration}")
    for expiration in (0, -1, 604_801):
        answer = await presigned(clouded, direction, run_id=run_id, path="f", expiration=expiration)
        assert refused(answer) == (
            f"expiration must be between 1 and 604800 seconds (got {expiration})."
        )


@pytest.mark.parametrize("direction", ["upload", "download"])
async def test_a_run_behind_the_proxy_has_no_urls_of_its_own(clouded: Cloud, direction: str):
    run_id, _ = await clouded.run_at("", "proxied")
    message = refused(await presigned(clouded, direction, run_id=run_id, path="f"))
    assert "(artifact URI scheme: mlflow-artifacts)" in message


# Straight to the bucket behind the proxy ---------------------------------------------------------


async def test_a_file_goes_up_in_parts(clouded: Cloud):
    created = await clouded.call(
        "POST",
        f"{PROXY}/mpu/create/1/run/artifacts/models",
        {"path": "/home/me/model.bin", "num_parts": 2},
    )
    url = "https://storage.example.com/1/run/artifacts/models/model.bin?upload-0&part="
    assert created.json == {
        "upload_id": "upload-0",
        "credentials": [
            {"url": f"{url}1", "part_number": 1, "headers": {"x-part": "1"}},
            {"url": f"{url}2", "part_number": 2, "headers": {"x-part": "2"}},
        ],
    }
    bucket = clouded.buckets[SERVED]
    bucket.uploads["upload-0"] = {1: b"first ", 2: b"second"}
    parts = [{"part_number": number, "etag": f"e{number}", "url": "u"} for number in (2, 1)]
    message = {"path": "model.bin", "upload_id": "upload-0", "parts": parts}
    path = f"{PROXY}/mpu/complete/1/run/artifacts/models"
    assert (await clouded.call("POST", path, message)).json == {}
    got = await clouded.call("GET", f"{PROXY}/artifacts/1/run/artifacts/models/model.bin")
    assert got.body == b"first second"


async def test_an_upload_in_parts_is_given_up(clouded: Cloud):
    message = {"path": "C:\\models\\f", "num_parts": 1}
    created = await clouded.call("POST", f"{PROXY}/mpu/create/1/run", message)
    assert created.json["credentials"][0]["url"].startswith("https://storage.example.com/1/run/f?")
    for _ in range(2):
        message = {"path": "f", "upload_id": created.json["upload_id"]}
        assert (await clouded.call("POST", f"{PROXY}/mpu/abort/1/run", message)).json == {}
    assert clouded.buckets[SERVED].uploads == {}


@pytest.mark.parametrize("parts", [-1, 10_001])
async def test_parts_are_10_000_at_most(clouded: Cloud, parts: int):
    message = {"path": "f", "num_parts": parts}
    answer = await clouded.call("POST", f"{PROXY}/mpu/create/1/run", message)
    assert refused(answer) == f"num_parts must be between 1 and 10000 (got {parts})."


@pytest.mark.parametrize("numbers", [(1, 1), (0, 1), (10_001,)])
async def test_parts_have_numbers_of_their_own(clouded: Cloud, numbers: tuple[int, ...]):
    parts = [{"part_number": number, "etag": "e"} for number in numbers]
    message = {"path": "f", "upload_id": "u", "parts": parts}
    refused(await clouded.call("POST", f"{PROXY}/mpu/complete/1/run", message))


@pytest.mark.parametrize("path", ["", "..", "models/", "a\x00b", "\\", "a#b"])
async def test_a_part_s_file_has_a_safe_name(clouded: Cloud, path: str):
    message = {"path": path, "num_parts": 1}
    refused(await clouded.call("POST", f"{PROXY}/mpu/create/1/run", message))
    assert SERVED not in clouded.buckets or clouded.buckets[SERVED].uploads == {}


async def test_a_file_comes_down_from_a_url(clouded: Cloud):
    path = f"{PROXY}/presigned/1/run/artifacts/f"
    refused(await clouded.call("GET", path), 404, "RESOURCE_DOES_NOT_EXIST")
    await clouded.buckets[SERVED].put("1/run/artifacts/f", CONTENT)
    assert (await clouded.call("GET", path)).json == {
        "url": "https://storage.example.com/1/run/artifacts/f?expires=120",
        "headers": {},
        "file_size": 10,
    }
    refused(await clouded.call("GET", f"{PROXY}/presigned/1/run/artifacts"))


async def server_info(running: Cloud) -> Any:
    return (await running.call("GET", "/api/3.0/mlflow/server-info")).json


async def test_what_works_is_advertised(clouded: Cloud):
    info = await server_info(clouded)
    assert info["multipart_uploads_enabled"] is info["multipart_downloads_enabled"] is True
    assert info["presigned_upload_run_id_supported"] is True
    assert info["presigned_upload_model_id_supported"] is True


@pytest.mark.parametrize(
    ("reach", "host", "works"),
    [
        ("auto", "bucket.s3.eu-central-1.amazonaws.com", True),
        ("auto", "minio", False),
        ("always", "minio", True),
        ("never", "bucket.s3.eu-central-1.amazonaws.com", False),
    ],
)
async def test_where_clients_cannot_reach_the_bucket_nothing_is_advertised_or_signed(
    tmp_path: Path, reach: str, host: str, *, works: bool
):
    rules = TransferRules(reach=reach)
    async with cloud(tmp_path, SERVED, rules=rules, host=host) as running:
        info = await server_info(running)
        assert info["multipart_uploads_enabled"] is info["multipart_downloads_enabled"] is works
        message = {"path": "f", "num_parts": 1}
        create = await running.call("POST", f"{PROXY}/mpu/create/1/run", message)
        await running.buckets[SERVED].put("f", CONTENT)
        down = await running.call("GET", f"{PROXY}/presigned/f")
        assert [create.status, down.status] == ([200, 200] if works else [501, 501])
        if not works:
            # Clients fall back to one stream when the message begins so.
            assert create.json["message"].startswith(
                "Multipart upload is not supported for the current artifact repository"
            )


async def test_a_server_without_the_proxy_advertises_nothing(tmp_path: Path):
    async with cloud(tmp_path, None, DIRECT, rules=TransferRules(reach="always")) as running:
        info = await server_info(running)
        assert info["multipart_uploads_enabled"] is info["multipart_downloads_enabled"] is False
        assert info["presigned_upload_run_id_supported"] is True
        answer = await running.call("GET", f"{PROXY}/presigned/f")
        refused(answer, 503, "TEMPORARILY_UNAVAILABLE")


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("storage.googleapis.com", True),
        ("account.blob.core.windows.net", True),
        ("8.8.8.8", True),
        ("10.0.0.5", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("::1", False),
        ("localhost", False),
        ("minio", False),
        ("minio-dev.pgsql.svc.cluster.local", False),
        ("minio.internal", False),
        ("", False),
    ],
)
async def test_a_public_host_is_one_that_everybody_knows(host: str, *, public: bool):
    assert is_public(host) is public


# Streams -----------------------------------------------------------------------------------------


async def test_the_store_is_told_how_long_an_upload_will_be(clouded: Cloud):
    path = f"{PROXY}/artifacts/1/run/f"
    await clouded.call("PUT", path, body=CONTENT, headers={"content-length": "10"})
    assert clouded.buckets[SERVED].sizes == {"1/run/f": 10}
    await clouded.call("PUT", path, body=CONTENT)
    assert clouded.buckets[SERVED].sizes == {"1/run/f": None}


@pytest.mark.parametrize(("count", "pieces"), [(999, 1), (1000, 1), (1001, 3), (2500, 4)])
async def test_a_long_list_is_sent_page_by_page(clouded: Cloud, count: int, pieces: int):
    await clouded.call("PUT", f"{PROXY}/artifacts/1/run/opened", body=b"x")
    names = [f"{number:06}" for number in range(count)]
    for name in names:
        await clouded.buckets[SERVED].put(f"1/many/{name}", b"x")
    answer = await clouded.call("GET", f"{PROXY}/artifacts?path=1/many")
    assert [each["path"] for each in answer.json["files"]] == names
    assert answer.json["files"][-1] == {"path": names[-1], "is_dir": False, "file_size": 1}
    assert answer.pieces == pieces
    assert answer.headers["content-type"] == "application/json"
    run_id, uri = await clouded.run_at("mlflow-artifacts:/1/of", "long list")
    for name in names:
        await clouded.buckets[SERVED].put(f"1/of/{run_id}/artifacts/a/{name}", b"x")
    listed = await list_of(clouded, run_id, "a")
    assert listed.json["root_uri"] == uri
    assert [each["path"] for each in listed.json["files"]] == [f"a/{name}" for name in names]


LARGE = bytes(READ_BYTES_MAX * 3)


async def test_a_store_that_fails_at_once_is_told_and_later_ends_the_connection(clouded: Cloud):
    await clouded.call("PUT", f"{PROXY}/artifacts/1/run/f", body=LARGE)
    bucket = clouded.buckets[SERVED]
    path = f"{PROXY}/artifacts/1/run/f"
    bucket.chunks_until_failure = 0
    refused(await clouded.call("GET", path), 503, "TEMPORARILY_UNAVAILABLE")
    bucket.chunks_until_failure = 1
    answer = await clouded.call("GET", path)
    assert (answer.status, len(answer.body), answer.is_whole) == (200, READ_BYTES_MAX, False)
    bucket.chunks_until_failure = None
    answer = await clouded.call("GET", path)
    assert (answer.body, answer.is_whole) == (LARGE, True)
