from collections.abc import Iterator

import pytest
from tests.fixtures.environments import CLIENTS, Environment, find_environment
from tests.fixtures.server import Server, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Which database it has makes no difference that a client could see: tests/api proves it."""
    with serving(tmp_path_factory.mktemp("clients")) as running:
        yield running


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> Environment:
    """Each release in turn; a test that needs some of them parametrizes `client` indirectly."""
    return find_environment(request.param)
