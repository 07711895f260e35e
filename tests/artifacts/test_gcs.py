"""The settings of Google Cloud Storage, and who may sign."""

import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.fixtures.objects import S3Server, send

from riverrun.artifacts.gcs import Signer, open_gcs
from riverrun.artifacts.google_credentials import MACHINE, GoogleCredentials
from riverrun.errors import InvalidParameterValue, InvalidState, NotImplementedHere

pytestmark = pytest.mark.anyio

EMULATOR = {"STORAGE_EMULATOR_HOST": "127.0.0.1:9"}


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize("uri", ["gs://", "gs:///x", "s3://bucket", "gs://bucket?x=1"])
def test_a_uri_needs_a_bucket(uri: str, google_account: GoogleCredentials):
    with pytest.raises(InvalidParameterValue) as error:
        open_gcs(uri, google_account, EMULATOR)
    assert error.value.message == f"Invalid artifact store '{uri}': expected gs://bucket/folder"


def test_the_credentials_chosen_are_named(google_account: GoogleCredentials):
    store = open_gcs("gs://bucket/x", google_account, EMULATOR)
    assert store.bucket.credentials == google_account.told


async def test_only_a_service_account_signs_for_others():
    store = open_gcs("gs://bucket/x", MACHINE, EMULATOR)
    with pytest.raises(NotImplementedHere, match=r"^Multipart download is not supported"):
        store.presigned_urls()
    with pytest.raises(NotImplementedHere, match=r"^Multipart upload is not supported"):
        store.multipart_uploads()


def test_a_key_that_is_none_is_one_sentence(google_account: GoogleCredentials):
    info = {**google_account.info, "private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n"}
    with pytest.raises(InvalidState, match=r"^Invalid Google credentials: "):
        open_gcs("gs://bucket/x", replace(google_account, info=info), EMULATOR)


def test_a_signature_is_for_one_method_path_and_query(google_account: GoogleCredentials):
    signer = Signer(google_account.info)

    def signature(method: str = "PUT", path: str = "f", part: str = "1") -> str:
        url = f"https://storage.googleapis.com/bucket/{path}"
        signed = signer.signed(method, url, {"partNumber": part}, expires_s=60)
        assert "?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=tests%40project" in signed
        return signed.rpartition("&X-Goog-Signature=")[2]

    found = {signature(), signature("GET"), signature(path="g"), signature(part="2")}
    assert len(found) == 4
    assert all(len(each) == 512 for each in found)


async def test_without_google_auth_the_server_only_does_without_what_needs_it(
    google_account: GoogleCredentials, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "google.auth.transport.requests", None)
    emulator = {"STORAGE_EMULATOR_HOST": s3_server.url}
    store = open_gcs(f"gs://{s3_server.new_bucket()}", google_account, emulator)
    await store.prepare()
    await store.write("f", stream(b"x"))
    assert send(await store.presigned_urls().download("f", expires_s=60), "GET")[::2] == (200, b"x")
    with pytest.raises(NotImplementedHere, match=r"^Multipart upload is not supported"):
        store.multipart_uploads()
    with pytest.raises(InvalidState) as error:
        await open_gcs("gs://nobucket/x", google_account, emulator).prepare()
    assert error.value.message == (
        "The artifact store has no bucket 'nobucket': create it, or set GCP_PROJECT and install "
        "riverrun[gcs], with which the server does."
    )


async def test_without_a_project_a_missing_bucket_is_one_sentence(
    google_account: GoogleCredentials, s3_server: S3Server
):
    homeless = replace(google_account, project="")
    store = open_gcs("gs://nobucket/x", homeless, {"STORAGE_EMULATOR_HOST": s3_server.url})
    with pytest.raises(InvalidState) as error:
        await store.prepare()
    assert error.value.message == (
        "The artifact store has no bucket 'nobucket': create it, or set GCP_PROJECT and install "
        "riverrun[gcs], with which the server does."
    )
