"""Every route of the OpenAPI document under generated input, valid and broken."""

# Schemathesis leaves parts of its types open.
# pyright: reportUnknownVariableType=false, reportUntypedFunctionDecorator=false

import json
import os
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.hostile.target import Target

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
FOR_THE_WEB_UI = "^/ajax-api/2.0"
CHECKED = [status_code_conformance, content_type_conformance, response_schema_conformance]
Case = schemathesis.Case[Any]


def bounded(*, short: int, long: int) -> settings:
    return settings(
        max_examples=long if SOAK else short,
        deadline=None,
        derandomize=not SOAK,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[
            HealthCheck.data_too_large,
            HealthCheck.filter_too_much,
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
        ],
    )


@pytest.fixture(scope="module")
def target(with_workspaces: Target) -> Target:
    return with_workspaces


@pytest.fixture(scope="module")
def known(target: Target) -> dict[str, Any]:
    """Fields that lead past the first check: a run that is there, with something in it."""
    experiment_id = target.create_experiment(f"fuzzed {uuid4().hex}")
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


def exercise(case: Case, target: Target, known: dict[str, Any]) -> None:
    """As it was generated, and once more with what is known in place of ids that lead nowhere."""
    check(case, target)
    if isinstance(case.body, dict):
        case.body = {name: known.get(name, value) for name, value in case.body.items()}
        check(case, target)


def check(case: Case, target: Target) -> None:
    answer = case.call_and_validate(base_url=target.url, checks=CHECKED, timeout=20)
    # 501 is the protocol's answer to multipart uploads on a local disk.
    assert answer.status_code < 500 or answer.status_code == 501, answer.text


@pytest.mark.slow
@pytest.mark.soak
@SCHEMA.exclude(path_regex=FOR_THE_WEB_UI).parametrize()
@bounded(short=6, long=500)
def test_no_input_breaks_a_route(case: Case, target: Target, known: dict[str, Any]):
    exercise(case, target, known)


@pytest.mark.slow
@pytest.mark.soak
@SCHEMA.include(path_regex=FOR_THE_WEB_UI).parametrize()
@bounded(short=1, long=100)
def test_no_input_breaks_a_route_of_the_web_ui(case: Case, target: Target, known: dict[str, Any]):
    exercise(case, target, known)


def test_the_served_document_is_the_one_that_is_tested(target: Target):
    answer = target.request("GET", "/api/riverrun/v1/openapi.json")
    assert (answer.status, answer.body) == (200, document())
    SCHEMA.validate()


def test_the_server_is_the_one_that_was_started(target: Target):
    """Nothing above ended it, or went where it should not."""
    assert target.is_alive()
    assert {path.name for path in target.folder.iterdir()} <= {
        "mlflow.db",
        "mlflow.db.lock",
        "mlflow.db-shm",
        "mlflow.db-wal",
        "mlartifacts",
        "secret.txt",
        "server.log",
    }
