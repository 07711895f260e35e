import os
from collections.abc import Iterator

import pytest
from tests.fixtures.server import Server, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that only talk to it; each test makes its own experiments."""
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A test that is skipped proves nothing: in CI that is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
