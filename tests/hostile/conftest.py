from collections.abc import Iterator

import pytest
from tests.hostile.target import Target, attacked


@pytest.fixture(scope="package")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server for attacks alone: what they leave behind is nobody's expectation."""
    with attacked(tmp_path_factory.mktemp("hostile")) as server:
        yield server


@pytest.fixture(scope="package")
def with_workspaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Another one, which has all routes; where there are workspaces, nobody chooses a location."""
    with attacked(tmp_path_factory.mktemp("hostile"), "--enable-workspaces") as server:
        yield server
