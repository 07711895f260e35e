from collections.abc import Iterator

import pytest
from tests.fixtures.server import Server, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that only talk to it; each test makes its own experiments."""
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running
