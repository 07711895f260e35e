"""Clients send a write again when its answer did not reach them: what must not change does not."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.api.protocol import accepted, history, not_found, point, refused, unique
from tests.fixtures.server import Server

DATASET = {"name": "n", "digest": "d", "source_type": "local", "source": "{}"}
MODEL: dict[str, Any] = {
    "artifact_path": "m",
    "flavors": {},
    "utc_time_created": "t",
    "run_id": "r",
}

IDEMPOTENT: dict[str, dict[str, Any]] = {
    "log-metric": point("m", 1),
    "log-metric of NaN": point("m", "NaN"),
    "log-parameter": {"key": "p", "value": "1"},
    "set-tag": {"key": "t", "value": "1"},
    "set-tag of a name": {"key": "mlflow.runName", "value": "named"},
    "update": {"status": "FINISHED", "end_time": 5, "run_name": "ended"},
    "delete": {},
    "restore": {},
    "log-batch": {
        "metrics": [point("b", number, step=number) for number in range(100)],
        "params": [{"key": "p", "value": "1"}],
        "tags": [{"key": "t", "value": "1"}],
    },
    "log-batch with doubles": {"metrics": [point("d", 1), point("d", 1), point("d", "NaN")] * 2},
    "log-inputs": {
        "datasets": [{"dataset": DATASET, "tags": [{"key": "k", "value": "v"}]}],
        "models": [{"model_id": "m-1"}],
    },
    "outputs": {"models": [{"model_id": "m-2", "step": 3}]},
    "log-model": {"model_json": json.dumps(MODEL)},
}


def everything(server: Server, run: str) -> tuple[Any, list[Any]]:
    """The run, and the histories of its metrics."""
    found = server.get_run(run)
    keys = [each["key"] for each in found["data"].get("metrics", [])]
    return found, [history(server, run, key) for key in keys]


@pytest.mark.parametrize("call", IDEMPOTENT)
def test_a_write_to_a_run_that_comes_again_changes_nothing(server: Server, run: str, call: str):
    message = {"run_id": run, **IDEMPOTENT[call]}
    path = f"runs/{call.split(maxsplit=1)[0]}"
    first = accepted(server.post(path, message))
    after_first = everything(server, run)
    for _ in range(2):
        assert accepted(server.post(path, message)) == first
    assert everything(server, run) == after_first


def test_a_late_copy_of_a_batch_changes_only_the_tags_it_sets(server: Server, run: str):
    """Last writer wins is the protocol's rule for tags; the rest stands."""
    early = {
        "run_id": run,
        "metrics": [point("m", 1, step=1)],
        "params": [{"key": "p", "value": "1"}],
        "tags": [{"key": "t", "value": "early"}],
    }
    late = {**early, "metrics": [point("m", 2, step=2)], "tags": [{"key": "t", "value": "late"}]}
    accepted(server.post("runs/log-batch", early))
    accepted(server.post("runs/log-batch", late))
    metrics = server.get_run(run)["data"]["metrics"]
    accepted(server.post("runs/log-batch", early))
    data = server.get_run(run)["data"]
    assert data["metrics"] == metrics
    assert data["params"] == [{"key": "p", "value": "1"}]
    assert {"key": "t", "value": "early"} in data["tags"]
    assert history(server, run, "m") == [(1.0, 1, 1), (2.0, 1, 2)]


def test_a_refused_batch_that_comes_again_is_refused_again(server: Server, run: str):
    accepted(server.post("runs/log-parameter", {"run_id": run, "key": "p", "value": "1"}))
    before = everything(server, run)
    bad = {"metrics": [point("m", 1)], "params": [{"key": "p", "value": "2"}]}
    messages = {refused(server.post("runs/log-batch", {"run_id": run, **bad})) for _ in range(2)}
    assert len(messages) == 1
    assert everything(server, run) == before


ONCE: dict[str, Callable[[Server, str], Any]] = {
    "set-experiment-tag": lambda server, number: server.post(
        "experiments/set-experiment-tag", {"experiment_id": number, "key": "k", "value": "v"}
    ),
    "update": lambda server, number: server.post(
        "experiments/update", {"experiment_id": number, "new_name": f"renamed {number}"}
    ),
}


@pytest.mark.parametrize("call", ONCE)
def test_a_write_to_an_experiment_that_comes_again_changes_nothing(
    server: Server, experiment: str, call: str
):
    def state() -> dict[str, Any]:
        found = accepted(server.get("experiments/get", experiment_id=experiment))["experiment"]
        found.pop("last_update_time")
        return found

    first = accepted(ONCE[call](server, experiment))
    after_first = state()
    assert accepted(ONCE[call](server, experiment)) == first
    assert state() == after_first


def test_what_the_protocol_cannot_make_once(server: Server, experiment: str, run: str):
    """There is no key that would tell a copy from a second call."""
    name = unique("again")
    accepted(server.post("experiments/create", {"name": name}))
    refused(server.post("experiments/create", {"name": name}), 400, "RESOURCE_ALREADY_EXISTS")
    assert server.create_run(experiment, run_name="x") != server.create_run(
        experiment, run_name="x"
    )
    accepted(server.post("runs/set-tag", {"run_id": run, "key": "t", "value": "1"}))
    accepted(server.post("runs/delete-tag", {"run_id": run, "key": "t"}))
    not_found(server.post("runs/delete-tag", {"run_id": run, "key": "t"}))
    for path in ("delete", "restore"):
        accepted(server.post(f"experiments/{path}", {"experiment_id": experiment}))
        not_found(server.post(f"experiments/{path}", {"experiment_id": experiment}))


def test_an_upload_and_a_deletion_that_come_again(server: Server, experiment: str):
    path = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/file"
    for _ in range(2):
        assert server.request("PUT", path, b"content").status == 200
        assert server.request("GET", path).body == b"content"
    for _ in range(2):
        assert accepted(server.request("DELETE", path)) == {}
        assert server.request("GET", path).status == 404
