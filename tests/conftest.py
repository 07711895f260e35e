import os
import signal
from collections.abc import Iterator

import pytest
from tests.fixtures.databases import (
    KINDS,
    Databases,
    MariadbServer,
    PgBouncer,
    PostgresServer,
    SqliteFiles,
    mariadb,
    pgbouncing,
    postgres,
)
from tests.fixtures.objects import AzureServer, S3Server, azure_serving, s3_serving
from tests.fixtures.server import Server, serving

SERVERS = {"postgresql": "postgres_server", "mariadb": "mariadb_server"}
"""The fixture that has each."""


@pytest.fixture(scope="session", params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    """Each in turn; `on_sqlite` says that a test is for the first one alone."""
    return request.param


@pytest.fixture(scope="session")
def databases(
    database_kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Databases:
    """Where databases of this kind come from."""
    if database_kind == "sqlite":
        return SqliteFiles(tmp_path_factory.mktemp("databases"))
    return request.getfixturevalue(SERVERS[database_kind])


@pytest.fixture
def database(databases: Databases) -> str:
    """The URL of an empty database, for one test."""
    return databases.empty_database()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariadbServer]:
    with mariadb() as server:
        yield server


@pytest.fixture(scope="session")
def pgbouncer(postgres_server: PostgresServer) -> Iterator[PgBouncer]:
    """In front of the PostgreSQL server."""
    with pgbouncing(postgres_server) as pooler:
        yield pooler


@pytest.fixture(scope="session")
def azure_server() -> Iterator[AzureServer]:
    with azure_serving() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    with s3_serving() as server:
        yield server


@pytest.fixture(scope="session")
def server(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that only talk to it; each test makes its own experiments."""
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, database=databases.new_database()) as running:
        yield running


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        action="append",
        choices=KINDS,
        help="of the tests that run on every database, run those on this one; may be repeated",
    )


def pytest_configure() -> None:
    # A runner that is told to end takes the servers that it started along, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = config.getoption("--database")
    if chosen:
        left_out = [item for item in items if not kinds_of(item) <= set(chosen)]
        items[:] = [item for item in items if kinds_of(item) <= set(chosen)]
        config.hook.pytest_deselected(items=left_out)


def kinds_of(item: pytest.Item) -> set[object]:
    """The databases that a test says it needs."""
    assert isinstance(item, pytest.Function)
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    if "database_kind" in parameters:
        return {parameters["database_kind"]}
    return {kind for kind, fixture in SERVERS.items() if fixture in item.fixturenames}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A test that is skipped proves nothing: in CI that is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
