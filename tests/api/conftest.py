import pytest
from tests.api.files import Files
from tests.api.protocol import unique
from tests.api.registry import create_model
from tests.fixtures.server import Server


@pytest.fixture
def experiment(server: Server) -> str:
    return server.create_experiment(unique("experiment"))


@pytest.fixture
def run(server: Server, experiment: str) -> str:
    return server.create_run(experiment)


@pytest.fixture
def files(server: Server, experiment: str, run: str) -> Files:
    return Files(server, experiment, run)


@pytest.fixture
def registered_model(server: Server) -> str:
    return create_model(server)
