"""Workspaces through the clients that know them."""

from pathlib import Path

import pytest
from tests.fixtures.environments import Environment, complaints
from tests.fixtures.server import serving

pytestmark = pytest.mark.client

KNOWING = ("mlflow-3.17", "mlflow-newest")


@pytest.mark.parametrize("client", KNOWING, indirect=True)
def test_two_workspaces_have_what_is_called_the_same(client: Environment, tmp_path: Path):
    with serving(tmp_path, "--enable-workspaces") as server:
        ended = client.run("workspaces.py", "team-a", "team-b", url=server.url, folder=tmp_path)
    told = ended.told
    assert told["listed"] == ["default", "team-a", "team-b"]
    assert told["described"] == ["changed", "of team-b"]
    for name, experiment_id in (("team-a", 1), ("team-b", 2)):
        assert told[name] == {
            "experiments": ["the same"],
            "location": f"/workspaces/{name}/{experiment_id}",
            "runs": 1,
            "param": name,
            "file": name,
            "models": ["classifier"],
            "versions": ["1"],
            "answer": ["hello"],
            "other": ["RESOURCE_DOES_NOT_EXIST", 404],
        }
    assert told["default"] == ["Default"]
    assert told["by variable"] == ["the same"]
    assert told["not empty"] == "INVALID_STATE"
    assert told["left"] == ["default", "team-b"]
    assert [each for each in complaints(ended.warnings) if "CloudPickle" not in each] == []


@pytest.mark.parametrize("client", KNOWING, indirect=True)
def test_a_client_is_told_that_there_are_no_workspaces(client: Environment, tmp_path: Path):
    with serving(tmp_path) as server:
        ended = client.run("no_workspaces.py", url=server.url, folder=tmp_path)
    assert ended.told == ["ENDPOINT_NOT_FOUND", "FEATURE_DISABLED"]
