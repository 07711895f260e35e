"""Clients that send too much are told to wait, and do."""

from pathlib import Path

import pytest
from tests.api.accounts import guarded
from tests.api.protocol import accepted
from tests.fixtures.environments import Environment

pytestmark = pytest.mark.client

STEPS = 30
PER_S = 10


def test_a_client_with_a_token_waits_when_it_is_told_to_and_loses_nothing(
    client: Environment, tmp_path: Path
):
    with guarded(tmp_path, "--requests-per-second", str(PER_S)) as admin:
        made = accepted(admin.post("tokens", {"name": "ci"}, api="/api/riverrun/v1/"))
        environ = {"MLFLOW_TRACKING_TOKEN": made["token"]}
        url = admin.server.url
        ended = client.run("patient.py", str(STEPS), url=url, folder=tmp_path, environ=environ)
        assert ended.told["steps"] == list(range(STEPS))
        assert "status=429" in admin.server.log or '"status":429' in admin.server.log
        assert ended.told["s"] > (STEPS - PER_S) / PER_S
