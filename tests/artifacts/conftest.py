"""The stores under test: a backend joins the suite in test_conformance.py by a line in STORES."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.fixtures.objects import (
    AzureServer,
    S3Server,
    azure_serving,
    service_account,
)

from riverrun.artifacts.azure import open_azure
from riverrun.artifacts.bucket import PATIENCE, Patience
from riverrun.artifacts.contract import ArtifactStore
from riverrun.artifacts.gcs import open_gcs
from riverrun.artifacts.google_credentials import GoogleCredentials
from riverrun.artifacts.local import LocalStore
from riverrun.artifacts.memory import MemoryStore
from riverrun.artifacts.objects import ObjectStore
from riverrun.artifacts.s3 import open_s3


@dataclass(frozen=True, slots=True)
class Cloud:
    """A server on a port of this machine, and how a store there is opened, also through another
    port that passes on to it. `parts` is what the requests that send one have in common.
    """

    server: S3Server | AzureServer
    root: str
    opening: Callable[[str, int, Patience], ObjectStore]
    parts: str

    def uri(self, *, is_there: bool = True) -> str:
        """Of a folder in a new bucket."""
        server = self.server
        return self.root.format(server.new_bucket() if is_there else server.new_name())

    def store(
        self, uri: str = "", *, port: int | None = None, patience: Patience = PATIENCE
    ) -> ObjectStore:
        return self.opening(uri or self.uri(), port or self.server.port, patience)


def s3_cloud(request: pytest.FixtureRequest) -> Cloud:
    server: S3Server = request.getfixturevalue("s3_server")

    def opening(uri: str, port: int, patience: Patience) -> ObjectStore:
        return open_s3(uri, server.environ_at(port), patience=patience)

    return Cloud(server, "s3://{}/some/folder/", opening, "partNumber=")


def gcs_cloud(request: pytest.FixtureRequest) -> Cloud:
    """Google's XML interface is S3's, as far as it is used."""
    server: S3Server = request.getfixturevalue("s3_server")
    account: GoogleCredentials = request.getfixturevalue("google_account")

    def opening(uri: str, port: int, patience: Patience) -> ObjectStore:
        environ = {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}"}
        return open_gcs(uri, account, environ, patience=patience)

    return Cloud(server, "gs://{}/some/folder", opening, "partNumber=")


def azure_cloud(request: pytest.FixtureRequest) -> Cloud:
    server: AzureServer = request.getfixturevalue("azure_server")

    def opening(uri: str, port: int, patience: Patience) -> ObjectStore:
        return open_azure(uri, server.environ_at(port), patience=patience)

    return Cloud(server, "az://{}/some/folder", opening, "comp=block&")


def folder(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue("tmp_path")
    return path / "root"


Stores = dict[str, Callable[[pytest.FixtureRequest], ArtifactStore]]

ON_DISK: Stores = {
    "local": lambda request: LocalStore(folder(request)),
    "local without fsync": lambda request: LocalStore(folder(request), fsync=False),
}
CLOUDS = {"s3": s3_cloud, "gcs": gcs_cloud, "azure": azure_cloud}
IN_CLOUDS: Stores = {
    "s3": lambda request: s3_cloud(request).store(),
    "gcs": lambda request: gcs_cloud(request).store(),
    "azure": lambda request: azure_cloud(request).store(),
}
STORES: Stores = {**ON_DISK, "memory": lambda _: MemoryStore(), **IN_CLOUDS}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def azure_server() -> Iterator[AzureServer]:
    with azure_serving() as server:
        yield server


@pytest.fixture(scope="session")
def google_account() -> GoogleCredentials:
    return service_account()


@pytest.fixture(params=ON_DISK)
def store_on_disk(request: pytest.FixtureRequest) -> ArtifactStore:
    return STORES[request.param](request)


@pytest.fixture(params=[*ON_DISK, *IN_CLOUDS])
def large_store(request: pytest.FixtureRequest) -> ArtifactStore:
    """The stores that are to pass files of any size in constant memory."""
    return STORES[request.param](request)


@pytest.fixture(params=[name for name in STORES if name not in IN_CLOUDS])
def plain_store(request: pytest.FixtureRequest) -> ArtifactStore:
    """The stores without URLs of their own."""
    return STORES[request.param](request)


@pytest.fixture(params=IN_CLOUDS)
def cloud_store(request: pytest.FixtureRequest) -> ArtifactStore:
    return STORES[request.param](request)


@pytest.fixture(params=CLOUDS)
def cloud(request: pytest.FixtureRequest) -> Cloud:
    return CLOUDS[request.param](request)


@pytest.fixture
def unprepared_store(cloud: Cloud) -> ArtifactStore:
    """In a bucket that is not there."""
    return cloud.store(cloud.uri(is_there=False))


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> ArtifactStore:
    return STORES[request.param](request)
