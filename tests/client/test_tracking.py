"""Experiments, runs and what is logged to them, through every client in `make clients`."""

from pathlib import Path
from typing import Any

import pytest
from tests.fixtures.environments import FULL_CLIENTS, Environment
from tests.fixtures.server import Server

pytestmark = pytest.mark.client


@pytest.fixture
def name(client: Environment, request: pytest.FixtureRequest) -> str:
    """An experiment for this test and client alone."""
    return f"{request.function.__name__} {client.name}"


def test_experiments_live(client: Environment, server: Server, name: str, tmp_path: Path):
    ended = client.run("experiments.py", name, url=server.url, folder=tmp_path)
    tags = {"team": "vision", "größe": "10 µm"}
    assert ended.told == {
        "same": True,
        "location": True,
        "first": ["", "active", {}],
        "deleted": [" renamed", "deleted", tags],
        "in bin": [" renamed"],
        "refused": "Cannot set a deleted experiment 'NAME renamed' as the active experiment. You "
        "can restore the experiment, or permanently delete the experiment to create a new one.",
        "restored": [" renamed", "active", tags],
        "pages": [[" renamed"], [""], None],
        "doubled": ["RESOURCE_ALREADY_EXISTS", True],
        "unknown": None,
        "default": "Default",
    }
    assert ended.warnings == []


def test_runs_live(client: Environment, server: Server, name: str, tmp_path: Path):
    ended = client.run("runs.py", name, url=server.url, folder=tmp_path)
    frame = ended.told.pop("frame")
    assert ended.told == {
        "statuses": {
            "parent": "FINISHED",
            "child 0.1": "FINISHED",
            "child 0.01": "FINISHED",
            "broken": "FAILED",
            "stopped": "KILLED",
        },
        "while running": "RUNNING",
        "ended after it started": True,
        "location": True,
        "parent of child": True,
        "tags": {
            "kind": "sweep",
            "mlflow.note.content": "two children",
            "mlflow.runName": "parent",
            "mlflow.source.type": "LOCAL",
        },
        "resumed tags": {"resumed": "yes"},
        "deleted": "deleted",
        "listed": {
            "active": ["child 0.01", "child 0.1", "parent", "stopped"],
            "deleted": ["broken"],
            "filtered": ["child 0.1"],
            "children": ["child 0.01", "child 0.1"],
            "killed": ["stopped"],
        },
        "restored": "active",
        "pages": [["child 0.01", "child 0.1"], None],
    }
    rows = [["FINISHED", "0.01", 0.5, "child 0.01"], ["FINISHED", "0.1", 0.2, "child 0.1"]]
    assert frame == (None if client.name == "mlflow-skinny" else [2, "datetime64", rows])
    assert ended.warnings == []


def test_values_come_back(client: Environment, server: Server, name: str, tmp_path: Path):
    ended = client.run("values.py", name, url=server.url, folder=tmp_path)
    largest = "1.7976931348623157e+308"  # What the protocol makes of infinity.
    assert ended.told == {
        "params": {"lr": "0.1", "größe": "10 µm", "empty": "", "long": "x" * 20},
        "long": 6000,
        "metrics": {"odd": "2.5", "late": "1.0", "a": "1.0", "b/ä c": "0.1"},
        "odd": [
            [0, "1.0"],
            [1, "nan"],
            [2, largest],
            [3, f"-{largest}"],
            [4, "1e-320"],
            [5, "2.5"],
        ],
        "late": [[5, "1.0"], [-3, "2.0"]],
        "never": [],
        "tags": {"release": "1.1", "mood": "😀"},
        "changed": refusal(
            "INVALID_PARAMETER_VALUE",
            "Changing param values is not allowed. Param with key='lr' was already logged with "
            "value='0.1' for run ID='RUN'. Attempted logging new value '0.2'.",
        ),
        "changed in batch": "INVALID_PARAMETER_VALUE",
        "unknown tag": refusal(
            "RESOURCE_DOES_NOT_EXIST", "No tag with name: never in run with id RUN"
        ),
        "bad key": "INVALID_PARAMETER_VALUE",
        "asynchronous": [{"lr": "0.1"}, {"release": "2"}, True],
        "batch": [True, True, True],
        "inputs": [
            *([] if client.name == "mlflow-skinny" else [dataset_input("frame", "code", "eval")]),
            dataset_input("iris", "local", "training"),
        ],
    }
    assert ended.warnings == []


def refusal(code: str, message: str) -> list[str]:
    return [code, f"{code}: {message}"]


def dataset_input(name: str, source_type: str, context: str) -> list[str]:
    return [name, source_type, "mlflow.data.context", context]


@pytest.mark.parametrize("client", FULL_CLIENTS, indirect=True)
def test_a_training_loop_of_100_000_steps_is_kept_whole(
    client: Environment, server: Server, name: str, tmp_path: Path
):
    told = client.run("training.py", name, url=server.url, folder=tmp_path).told
    seconds: dict[str, Any] = told.pop("seconds")
    assert told == {
        "points": 100_000,
        "exact": True,
        "single points": 2000,
        "single exact": True,
        "latest": True,
    }
    assert sum(seconds.values()) < 60, seconds
