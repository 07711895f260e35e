"""The retries that clients come with, against a server that stops and starts again meanwhile."""

import time
from pathlib import Path

import pytest
from tests.fixtures.environments import Environment
from tests.fixtures.server import serving

pytestmark = pytest.mark.client


@pytest.mark.parametrize("client", ["mlflow-2.22", "mlflow-newest"], indirect=True)
def test_a_restart_while_a_client_logs_loses_and_doubles_nothing(
    client: Environment, tmp_path: Path
):
    with serving(tmp_path) as server:
        script = client.start("restart.py", "restarted", url=server.url, folder=tmp_path)
        try:
            wait_for(tmp_path / "started")
            assert server.stop() == 0
            time.sleep(0.5)  # Calls are refused meanwhile.
            server.start()
        finally:
            (tmp_path / "stop").touch()
            ended = client.end(script)
    slowest_s = ended.told.pop("slowest_s")
    assert ended.told.pop("steps") > 20
    assert ended.told == {"complete": True, "status": "FINISHED"}
    assert 0.5 < slowest_s < 20  # One call waited through the restart.


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < deadline, f"{file.name} did not appear"
        time.sleep(0.02)
