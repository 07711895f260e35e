from collections.abc import Iterator

import pytest
from tests.api.accounts import Account, guarded
from tests.api.files import Files
from tests.api.protocol import unique
from tests.api.registry import create_model
from tests.fixtures.databases import Databases
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


@pytest.fixture(scope="session")
def admin(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """The admin of a server with access control, which all tests share that need no other."""
    folder = tmp_path_factory.mktemp("guarded")
    with guarded(folder, database=databases.new_database()) as account:
        yield account


@pytest.fixture
def user(admin: Account) -> Account:
    """One who was granted nothing."""
    return admin.new_user()
