"""The stores under test: a backend joins the suite in test_conformance.py by a line in STORES."""

from collections.abc import Callable
from pathlib import Path

import pytest

from riverrun.artifacts.contract import ArtifactStore
from riverrun.artifacts.local import LocalStore
from riverrun.artifacts.memory import MemoryStore

STORES: dict[str, Callable[[Path], ArtifactStore]] = {
    "local": LocalStore,
    "local without fsync": lambda root: LocalStore(root, fsync=False),
    "memory": lambda _: MemoryStore(),
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=[name for name in STORES if name != "memory"])
def store_on_disk(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    """The stores that are to pass files of any size in constant memory."""
    return STORES[request.param](tmp_path / "root")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    return STORES[request.param](tmp_path / "root")
