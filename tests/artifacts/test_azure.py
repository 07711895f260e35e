"""The settings of Azure's storage, and who may sign."""

import sys
from collections.abc import AsyncIterator, Mapping

import pytest
from tests.fixtures.objects import AzureServer, send

from riverrun.artifacts.azure import EMULATOR, access_to, open_azure
from riverrun.errors import InvalidParameterValue, InvalidState, NotImplementedHere

KEY = EMULATOR["AccountKey"]
WITH_KEY = {"AZURE_STORAGE_ACCOUNT_NAME": "acc", "AZURE_STORAGE_ACCESS_KEY": KEY}


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize(
    ("uri", "environ", "endpoint"),
    [
        ("wasbs://box@acc.blob.core.windows.net/a", {}, "https://acc.blob.core.windows.net"),
        ("abfss://box@acc.dfs.core.windows.net/a", {}, "https://acc.blob.core.windows.net"),
        (
            "wasbs://box@acc.blob.core.chinacloudapi.cn",
            {},
            "https://acc.blob.core.chinacloudapi.cn",
        ),
        ("az://box/a/b/", {"AZURE_STORAGE_ACCOUNT": "acc"}, "https://acc.blob.core.windows.net"),
        (
            "az://box",
            {
                "AZURE_STORAGE_CONNECTION_STRING": "DefaultEndpointsProtocol=https;"
                f"AccountName=acc;AccountKey={KEY};EndpointSuffix=core.usgovcloudapi.net"
            },
            "https://acc.blob.core.usgovcloudapi.net",
        ),
        (
            "az://box",
            {"AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true"},
            "http://127.0.0.1:10000/devstoreaccount1",
        ),
    ],
)
def test_where_a_container_is_asked_for(uri: str, environ: Mapping[str, str], endpoint: str):
    host = uri.partition("@")[2].partition("/")[0]
    assert open_azure(uri, {"AZURE_STORAGE_ACCESS_KEY": KEY, **environ}).bucket.title
    assert access_to("box", host, environ).endpoint == endpoint


@pytest.mark.parametrize(
    "uri", ["wasbs://acc.blob.core.windows.net/x", "az://", "s3://box", "az://box?sig=x"]
)
def test_a_uri_needs_a_container(uri: str):
    with pytest.raises(InvalidParameterValue) as error:
        open_azure(uri, WITH_KEY)
    assert error.value.message == (
        f"Invalid artifact store '{uri}': expected "
        "wasbs://container@account.blob.core.windows.net/folder or az://container/folder"
    )


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        (WITH_KEY, "the key of the account acc"),
        ({"AZURE_STORAGE_SAS_TOKEN": "?sv=1&sig=x"}, "a shared access signature"),
        (
            {"AZURE_CLIENT_ID": "i", "AZURE_CLIENT_SECRET": "s", "AZURE_TENANT_ID": "t"},
            "AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
        ),
        ({"AZURE_FEDERATED_TOKEN_FILE": "/token"}, "the workload's identity"),
        ({}, "the machine's managed identity"),
    ],
)
def test_the_credentials_chosen_are_named(environ: Mapping[str, str], told: str):
    found = access_to("box", "acc.blob.core.windows.net", environ)
    assert found.credentials == told


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        (
            {"AZURE_STORAGE_CONNECTION_STRING": "nonsense"},
            (
                "Invalid AZURE_STORAGE_CONNECTION_STRING: expected parts such as AccountName=... "
                "and AccountKey=..., with `;` between them"
            ),
        ),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": f"AccountName=other;AccountKey={KEY}"},
            (
                "Invalid Azure storage account 'acc': expected the one of "
                "AZURE_STORAGE_CONNECTION_STRING, or one in AZURE_STORAGE_ACCOUNT_NAME"
            ),
        ),
        (
            {"AZURE_STORAGE_ACCESS_KEY": "no base64!"},
            "Invalid key of the Azure storage account: expected base64, as Azure's portal shows it",
        ),
    ],
)
def test_settings_that_cannot_be_meant_are_one_sentence(environ: Mapping[str, str], sentence: str):
    with pytest.raises(InvalidParameterValue) as error:
        open_azure("wasbs://box@acc.blob.core.windows.net/x", environ)
    assert error.value.message == sentence


def test_only_the_account_s_key_signs_for_others():
    signature = {"AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=eA%3D%3D"}
    store = open_azure("wasbs://box@acc.blob.core.windows.net/x", signature)
    with pytest.raises(NotImplementedHere, match=r"^Multipart download is not supported"):
        store.presigned_urls()
    with pytest.raises(NotImplementedHere, match=r"^Multipart upload is not supported"):
        store.multipart_uploads()


@pytest.mark.anyio
async def test_without_microsoft_s_library_the_server_only_does_without_what_needs_it(
    azure_server: AzureServer, monkeypatch: pytest.MonkeyPatch
):
    store = open_azure(f"az://{azure_server.new_bucket()}/x", azure_server.environ)
    name = azure_server.new_name()
    monkeypatch.setitem(sys.modules, "azure.storage.blob", None)
    await store.prepare()
    await store.write("f", stream(b"x"))
    assert send(await store.presigned_urls().download("f", expires_s=60), "GET")[::2] == (200, b"x")
    with pytest.raises(NotImplementedHere, match=r"^Multipart upload is not supported"):
        store.multipart_uploads()
    with pytest.raises(InvalidState) as error:
        await open_azure(f"az://{name}", azure_server.environ).prepare()
    assert error.value.message == (
        f"The artifact store has no container '{name}' of the account 'devstoreaccount1': create "
        "it, or give the server the account's key and install riverrun[azure], with which the "
        "server does."
    )
