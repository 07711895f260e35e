from collections.abc import Iterator

import pytest
from tests.fixtures.server import free_port
from tests.hostile.target import REQUEST_BYTES_MAX, Target


@pytest.fixture(scope="package")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server for attacks alone: what they leave behind is nobody's expectation."""
    options = ("--request-bytes-max", str(REQUEST_BYTES_MAX))
    server = Target(tmp_path_factory.mktemp("hostile"), free_port(), options)
    try:
        server.start()
        yield server
        assert "unexpected error" not in server.log
        assert "Traceback" not in server.log
    finally:
        if server.process is not None:
            server.process.kill()
            server.process.wait()
