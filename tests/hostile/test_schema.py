"""Every route of the OpenAPI document under generated input, valid and broken."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from tests.fixtures.server import Server

from riverrun.api.openapi import document

SOAK = bool(os.environ.get("RIVERRUN_SOAK"))
SCHEMA = schemathesis.openapi.from_dict(
    json.loads(document()),
    config=SchemathesisConfig(
        seed=1,
        projects=ProjectsConfig(
            default=ProjectConfig(
                generation=GenerationConfig(deterministic=not SOAK, database="none")
            )
        ),
    ),
)
load_all_checks()
CHECKED = CHECKS.get_by_names(
    ["status_code_conformance", "content_type_conformance", "response_schema_conformance"]
)
BOUNDED = settings(
    deadline=None,
    derandomize=not SOAK,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def known(target: Server) -> dict[str, Any]:
    """Fields that lead past the first check: a run that is there, with something in it."""
    experiment_id = target.create_experiment("fuzzed")
    run_id = target.create_run(experiment_id)
    metric = {"key": "loss", "value": 1, "timestamp": 1, "step": 1}
    assert target.post("runs/log-batch", {"run_id": run_id, "metrics": [metric]}).status == 200
    return {
        "run_id": run_id,
        "run_uuid": run_id,
        "run_ids": [run_id],
        "experiment_ids": [experiment_id],
        "max_results": 10,
        "metric_key": "loss",
    }


def led_on(fields: object, known: dict[str, Any]) -> object:
    """The same fields, with what is known in place of ids that lead nowhere."""
    if not isinstance(fields, dict):
        return fields
    return {name: known.get(name, value) for name, value in fields.items()}


def exercise(case: schemathesis.Case, target: Server, known: dict[str, Any]) -> None:
    for body in (case.body, led_on(case.body, known)):
        case.body = body
        answer = case.call_and_validate(base_url=target.url, checks=CHECKED, timeout=20)
        # 501 is the protocol's answer to multipart uploads on a local disk.
        assert answer.status_code < 500 or answer.status_code == 501, answer.text


@pytest.mark.soak
@SCHEMA.exclude(path_regex="^/ajax-api/2.0").parametrize()
@settings(BOUNDED, max_examples=500 if SOAK else 6)
def test_no_input_breaks_a_route(case: schemathesis.Case, target: Server, known: dict[str, Any]):
    exercise(case, target, known)


@pytest.mark.soak
@SCHEMA.include(path_regex="^/ajax-api/2.0").parametrize()
@settings(BOUNDED, max_examples=100 if SOAK else 1)
def test_no_input_breaks_a_route_of_the_web_ui(
    case: schemathesis.Case, target: Server, known: dict[str, Any]
):
    exercise(case, target, known)


def test_the_served_document_is_the_one_that_is_tested(target: Server):
    answer = target.request("GET", "/api/riverrun/v1/openapi.json")
    assert (answer.status, answer.body) == (200, document())
    SCHEMA.validate()


def test_the_server_is_the_one_that_was_started(target: Server):
    """Last: nothing above ended it, or went where it should not."""
    assert target.request("GET", "/readyz").body == b"OK"
    assert {path.name for path in Path(target.folder).iterdir()} <= {
        "mlflow.db",
        "mlflow.db.lock",
        "mlflow.db-shm",
        "mlflow.db-wal",
        "mlartifacts",
        "server.log",
    }
