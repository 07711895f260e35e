"""The settings of S3, and what only a server of S3 can show."""

import json
import re
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures.faults import proxying
from tests.fixtures.objects import S3Server
from tests.fixtures.stores import listed

from riverrun.artifacts.contract import ArtifactNotFound, ArtifactStore
from riverrun.artifacts.parts import PART_BYTES_MIN
from riverrun.artifacts.s3 import (
    EXTRA_ARGS,
    S3Objects,
    access_to,
    boto3_client,
    config_of,
    open_s3,
)
from riverrun.errors import InvalidParameterValue, InvalidState, NotImplementedHere

pytestmark = pytest.mark.anyio

MEBIBYTE = 1024 * 1024
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
LOOPBACK = {**KEYS, "MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9"}


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def opened(uri: str, environ: Mapping[str, str]) -> S3Objects:
    store = open_s3(uri, environ)
    assert isinstance(store, S3Objects)
    return store


def client_of(server: S3Server) -> Any:
    return boto3_client(access_to("any", server.environ))


def keys_in(server: S3Server, bucket: str) -> list[str]:
    found = client_of(server).list_objects_v2(Bucket=bucket)
    return [each["Key"] for each in found.get("Contents", [])]


@pytest.mark.parametrize(
    ("uri", "key"),
    [
        ("s3://{}", "d/f"),
        ("s3://{}/", "d/f"),
        ("s3://{}/root", "root/d/f"),
        ("s3://{}/root/", "root/d/f"),
        ("s3://{}//root//deep//", "root/deep/d/f"),
    ],
)
async def test_a_root_never_makes_two_slashes(s3_server: S3Server, uri: str, key: str):
    bucket = s3_server.new_bucket()
    store = open_s3(uri.format(bucket), s3_server.environ)
    await store.write("d/f", stream(b"x"))
    assert keys_in(s3_server, bucket) == [key]
    assert [info.name for info in await listed(store, "d")] == ["f"]


async def test_marks_of_directories_are_not_shown(s3_server: S3Server):
    bucket = s3_server.new_bucket()
    store = open_s3(f"s3://{bucket}/root", s3_server.environ)
    for key in ("root/", "root/d/", "root/d/marked/", "root/d/full/", "root/empty/"):
        assert s3_server.request("PUT", f"/{bucket}/{key}") == 200
    await store.write("d/full/f", stream(b"x"))
    await store.write("d/nothing", stream(b""))
    assert [(info.name, info.is_dir) for info in await listed(store, "d")] == [
        ("full", True),
        ("nothing", False),
    ]
    assert [info.name for info in await listed(store, "")] == ["d"]
    assert [info.name async for page in store.walk("") for info in page] == [
        "d/full/f",
        "d/nothing",
    ]
    with pytest.raises(ArtifactNotFound):
        await store.stat("empty")
    await store.write("empty", stream(b"now a file"))
    assert (await store.stat("empty")).size_bytes == 10


@pytest.mark.parametrize("sent", [9, 30])
async def test_a_failed_upload_leaves_no_parts_behind(s3_server: S3Server, sent: int):
    bucket = s3_server.new_bucket()
    store = open_s3(f"s3://{bucket}/root", s3_server.environ)

    async def broken() -> AsyncIterator[bytes]:
        for _ in range(sent):
            yield bytes(MEBIBYTE)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.write("f", broken())
    assert "Uploads" not in client_of(s3_server).list_multipart_uploads(Bucket=bucket)


async def test_small_files_take_two_requests_and_are_never_uploaded_in_parts(s3_server: S3Server):
    bucket = s3_server.new_bucket()
    async with proxying(s3_server.port) as proxy:
        store = open_s3(f"s3://{bucket}", s3_server.environ_at(proxy.port))
        await store.write("d/f", stream(b"x"))
        asked = [request.partition("?")[0] for request in proxy.requests]
        assert asked == [f"GET /{bucket}", f"PUT /{bucket}/d/f"]
        proxy.requests.clear()
        assert [chunk async for chunk in store.read("d/f", start=0, end=1)] == [b"x"]
        assert proxy.requests == [f"GET /{bucket}/d/f"]


async def test_objects_have_a_type_for_those_who_read_them_directly(s3_server: S3Server):
    bucket = s3_server.new_bucket()
    store = open_s3(f"s3://{bucket}", s3_server.environ)
    await store.write("a.json", stream(b"{}"))
    await store.write("model.unknown", stream(b"x"))
    client = client_of(s3_server)
    types = [
        client.head_object(Bucket=bucket, Key=key)["ContentType"]
        for key in ("a.json", "model.unknown")
    ]
    assert types == ["application/json", "application/octet-stream"]


async def test_extra_args_go_with_every_upload(s3_server: S3Server):
    bucket = s3_server.new_bucket()
    extra = {
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": "arn:aws:kms:us-east-1:123456789012:key/abc",
        "StorageClass": "STANDARD_IA",
        "Metadata": {"team": "vision"},
        "Tagging": "project=x&owner=y",
        "ContentDisposition": "attachment",
    }
    environ = {**s3_server.environ, "MLFLOW_S3_UPLOAD_EXTRA_ARGS": json.dumps(extra)}
    store = open_s3(f"s3://{bucket}", environ)
    await store.write("small", stream(b"x"))
    await store.write("large", stream(*[bytes(MEBIBYTE)] * 9))
    client = client_of(s3_server)
    for key in ("small", "large"):
        found = client.head_object(Bucket=bucket, Key=key)
        assert {name: found[name] for name in extra if name in found} == {
            name: extra[name] for name in extra if name != "Tagging"
        }
        tags = client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
        assert {each["Key"]: each["Value"] for each in tags} == {"project": "x", "owner": "y"}


async def test_uploads_bring_the_checksum_that_is_asked_for(s3_server: S3Server):
    extra = json.dumps({"ChecksumAlgorithm": "SHA256"})
    bucket = s3_server.new_bucket()
    async with proxying(s3_server.port) as proxy:
        environ = {**s3_server.environ_at(proxy.port), "MLFLOW_S3_UPLOAD_EXTRA_ARGS": extra}
        store = open_s3(f"s3://{bucket}", environ)
        await store.write("small", stream(b"x"))
        await store.write("large", stream(*[bytes(MEBIBYTE)] * 9))
    brought = re.findall(r"^x-amz-checksum-sha256: (.+)\r$", "".join(proxy.heads), re.MULTILINE)
    contents = (b"x", bytes(PART_BYTES_MIN), bytes(9 * MEBIBYTE - PART_BYTES_MIN))
    assert sorted(brought) == sorted(b64encode(sha256(each).digest()).decode() for each in contents)


async def test_who_sends_the_parts_needs_no_checksum(s3_server: S3Server):
    """Amazon would refuse those that bring none, once the upload was begun with an algorithm."""
    bucket = s3_server.new_bucket()
    extra = json.dumps({"ChecksumAlgorithm": "SHA256", "StorageClass": "STANDARD_IA"})
    environ = {**s3_server.environ, "MLFLOW_S3_UPLOAD_EXTRA_ARGS": extra}
    await open_s3(f"s3://{bucket}", environ).multipart_uploads().create("f", parts=1)
    begun = client_of(s3_server).list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [(each["Key"], each.get("ChecksumAlgorithm")) for each in begun] == [("f", None)]


@pytest.mark.parametrize(
    "extra", [{"ChecksumAlgorithm": "SHA1"}, {"ServerSideEncryption": "rot13"}], ids=str
)
def test_extra_args_of_no_known_value_are_one_sentence(extra: Mapping[str, str]):
    with pytest.raises(InvalidParameterValue, match=r"^Invalid settings of S3: .*(SHA1|rot13)"):
        open_s3("s3://bucket", {**LOOPBACK, "MLFLOW_S3_UPLOAD_EXTRA_ARGS": json.dumps(extra)})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("{", 'expected a JSON object such as {"ServerSideEncryption": "AES256"}'),
        ("[]", 'expected a JSON object such as {"ServerSideEncryption": "AES256"}'),
        ('{"ACL": "private"}', f"ACL is not supported; these are: {', '.join(sorted(EXTRA_ARGS))}"),
    ],
)
def test_extra_args_that_cannot_be_given_are_refused(given: str, reason: str):
    with pytest.raises(InvalidParameterValue) as error:
        open_s3("s3://bucket", {**LOOPBACK, "MLFLOW_S3_UPLOAD_EXTRA_ARGS": given})
    assert error.value.message == f"Invalid MLFLOW_S3_UPLOAD_EXTRA_ARGS: {reason}"


@pytest.mark.parametrize("uri", ["s3://", "s3:///path", "s3:bucket", "gs://bucket", "s3://b?x=1"])
def test_a_uri_needs_a_bucket(uri: str):
    with pytest.raises(InvalidParameterValue) as error:
        open_s3(uri, LOOPBACK)
    assert error.value.message == f"Invalid artifact store '{uri}': expected s3://bucket/folder"


@pytest.mark.parametrize("endpoint", ["minio:9000", "127.0.0.1", "ftp://host", "http://u:p@host"])
def test_an_endpoint_needs_a_scheme_and_a_host_and_no_login(endpoint: str):
    with pytest.raises(InvalidParameterValue, match=r"^Invalid S3 endpoint ") as error:
        open_s3("s3://bucket", {**KEYS, "MLFLOW_S3_ENDPOINT_URL": endpoint})
    assert "u:p" not in error.value.message


ENDPOINT = "https://minio.example:9000"


@pytest.mark.parametrize(
    ("environ", "bucket", "expected"),
    [
        ({}, "plain", (None, True)),
        ({}, "with.dots", (None, False)),
        ({"MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "path"}, "plain", (None, False)),
        ({"MLFLOW_S3_ENDPOINT_URL": f"{ENDPOINT}/"}, "plain", (ENDPOINT, False)),
        ({"AWS_ENDPOINT_URL_S3": ENDPOINT, "AWS_ENDPOINT_URL": "x"}, "plain", (ENDPOINT, False)),
        ({"AWS_ENDPOINT_URL": ENDPOINT}, "plain", (ENDPOINT, False)),
        (
            {
                "MLFLOW_S3_ENDPOINT_URL": ENDPOINT,
                "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "virtual",
            },
            "plain",
            ("https://plain.minio.example:9000", True),
        ),
    ],
)
def test_where_a_bucket_is_asked_for(
    environ: Mapping[str, str], bucket: str, expected: tuple[str | None, bool]
):
    config = config_of(access_to(bucket, {**KEYS, **environ}))
    assert (config.get("endpoint"), config.get("virtual_hosted_style_request")) == expected


def test_an_unknown_style_is_refused():
    with pytest.raises(InvalidParameterValue) as error:
        open_s3("s3://bucket", {**LOOPBACK, "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "vhost"})
    assert error.value.message == (
        "Invalid MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE 'vhost': expected auto, path, virtual"
    )


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        (KEYS, "AWS_ACCESS_KEY_ID"),
        ({**KEYS, "AWS_PROFILE": "other"}, "AWS_ACCESS_KEY_ID"),
        (
            {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token", "AWS_ROLE_ARN": "arn"},
            "the role of AWS_WEB_IDENTITY_TOKEN_FILE",
        ),
        ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x"}, "the role of the container"),
        ({}, "the role of the machine"),
    ],
)
def test_the_credentials_chosen_are_named(environ: Mapping[str, str], told: str):
    store = open_s3("s3://bucket", {"MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9", **environ})
    assert store.bucket.credentials == told


async def test_a_profile_brings_its_keys(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    credentials = tmp_path / "credentials"
    credentials.write_text("[team]\naws_access_key_id = key\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    environ = {"MLFLOW_S3_ENDPOINT_URL": s3_server.url, "AWS_PROFILE": "team"}
    store = opened(f"s3://{s3_server.new_bucket()}", environ)
    await store.write("f", stream(b"x"))
    assert store.bucket.credentials == "the profile team"
    with pytest.raises(InvalidParameterValue) as error:
        open_s3("s3://bucket", {**environ, "AWS_PROFILE": "nobody"})
    assert error.value.message == (
        "AWS_PROFILE: the profile 'nobody' was not found, or has no credentials"
    )


async def test_without_boto3_the_server_only_does_without_what_needs_it(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "boto3", None)
    store: ArtifactStore = open_s3(f"s3://{s3_server.new_bucket()}", s3_server.environ)
    await store.prepare()
    await store.write("f", stream(b"x"))
    with pytest.raises(NotImplementedHere, match=r"^Multipart upload is not supported"):
        store.multipart_uploads()
    name = s3_server.new_name()
    with pytest.raises(InvalidState) as error:
        await open_s3(f"s3://{name}", s3_server.environ).prepare()
    assert error.value.message == (
        f"The artifact store has no bucket '{name}': create it, or install riverrun[s3], with "
        "which the server does."
    )
    with pytest.raises(InvalidParameterValue) as refused:
        open_s3("s3://bucket", {"MLFLOW_S3_ENDPOINT_URL": s3_server.url, "AWS_PROFILE": "team"})
    assert refused.value.message == "AWS_PROFILE is 'team': to read profiles, install riverrun[s3]"


async def test_a_bucket_is_made_in_its_region(s3_server: S3Server):
    environ = {**s3_server.environ, "AWS_DEFAULT_REGION": "eu-central-1"}
    name = s3_server.new_name()
    store = open_s3(f"s3://{name}/x", environ)
    await store.prepare()
    await store.write("f", stream(b"x"))
    where = client_of(s3_server).get_bucket_location(Bucket=name)
    assert where["LocationConstraint"] == "eu-central-1"


def test_a_bundle_of_certificates_that_cannot_be_read_is_said():
    with pytest.raises(InvalidParameterValue) as error:
        open_s3("s3://bucket", {**LOOPBACK, "AWS_CA_BUNDLE": "/none.pem"})
    assert error.value.message == (
        "AWS_CA_BUNDLE: '/none.pem' cannot be read (No such file or directory)"
    )
