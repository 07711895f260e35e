"""Scripts that use what the server does not have end well, with few words and no waiting."""

import json
from collections import Counter
from pathlib import Path

import pytest
from tests.fixtures.environments import Environment
from tests.fixtures.server import Server, serving

pytestmark = pytest.mark.client

NOT_SENT = (
    "WARNING mlflow.tracing.export.mlflow_v3: Failed to send trace to MLflow backend: API request "
    "to endpoint /api/2.0/mlflow/traces failed with error code 404 != 200. Response body: ''"
)


def refusals(server: Server) -> Counter[str]:
    """How often each path was answered with an error."""
    lines = [json.loads(line) for line in server.log.splitlines()]
    return Counter(line["path"] for line in lines if line["event"] == "request")


def test_a_traced_function_inside_a_run_ends_well(client: Environment, tmp_path: Path):
    with serving(tmp_path) as server:
        ended = client.run("tracing.py", "traced", url=server.url, folder=tmp_path)
        refused = refusals(server)
    assert ended.told == {"status": "FINISHED", "metrics": {"answer": 42.0}}
    # Each line begins with its date and time.
    assert [line[20:] for line in ended.warnings] == (
        [] if client.name == "mlflow-2.22" else [NOT_SENT]
    )
    traces = {path: count for path, count in refused.items() if "traces" in path}
    assert traces == (
        {"/api/2.0/mlflow/traces": 2}
        if client.name == "mlflow-2.22"
        else {"/v1/traces": 1, "/api/3.0/mlflow/traces": 1, "/api/2.0/mlflow/traces": 1}
    )
    assert ended.took_s < 20  # Most of it imports.
