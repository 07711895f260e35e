"""The clouds that what is removed lies in; all servers come from the tests' own conftest."""

from typing import TYPE_CHECKING

import pytest

from riverrun.artifacts.azure import open_azure
from riverrun.artifacts.contract import ArtifactStore
from riverrun.artifacts.s3 import open_s3

if TYPE_CHECKING:
    from tests.fixtures.objects import AzureServer, S3Server


@pytest.fixture(params=["s3", "azure"])
def cloud(request: pytest.FixtureRequest) -> tuple[str, ArtifactStore]:
    """The root of a new bucket's folder, and the store there."""
    if request.param == "s3":
        s3: S3Server = request.getfixturevalue("s3_server")
        root = f"s3://{s3.new_bucket()}/some/folder"
        return root, open_s3(root, s3.environ)
    azure: AzureServer = request.getfixturevalue("azure_server")
    root = f"az://{azure.new_bucket()}/some/folder"
    return root, open_azure(root, azure.environ)
