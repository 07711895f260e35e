"""Files through every client, which has no credentials and knows nothing but the server."""

from pathlib import Path

import pytest
from tests.fixtures.environments import Environment
from tests.fixtures.server import Server, serving

pytestmark = pytest.mark.client

FIRST_STEPS = {
    "name": "first",
    "params": {"lr": "0.1"},
    "metrics": {"loss": 0.5},
    "artifact": "hello",
}


def test_files_go_up_and_come_down_unchanged(client: Environment, server: Server, tmp_path: Path):
    name = f"artifacts {client.name}"
    ended = client.run("artifacts.py", name, url=server.url, folder=tmp_path)
    pictures = client.name != "mlflow-skinny"
    assert ended.told == {
        "root": [
            ["a", True, None],
            ["empty.bin", False, None],
            ["files", True, None],
            *([["images", True, None]] if pictures else []),
            ["notes", True, None],
            *([["pictures", True, None], ["table.json", False, 46]] if pictures else []),
        ],
        "notes": [
            ["notes/a.json", False, 46],
            ["notes/a.txt", False, 8],
            ["notes/a.yaml", False, 21],
        ],
        "many": True,
        "of a file": [],
        "of nothing": [],
        "files": True,
        "many files": True,
        "one": "replaced",
        "text": "replaced",
        "json": {"b": [1, 2], "a": "ü"},
        "yaml": 'a: "\\xFC"\nb:\n- 1\n- 2\n',
        "missing": True,
        "pictures": [["black.png", "figure.png"], 4, [4, 4], [[1, "a"], [2, "b"]]]
        if pictures
        else None,
        "after deletion": [[], [["late/a.txt", False, 4]], "late"],
    }
    assert ended.warnings == []
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize("client", ["mlflow-2.22", "mlflow-newest"], indirect=True)
def test_a_server_below_a_prefix_serves_everything(client: Environment, tmp_path: Path):
    with serving(tmp_path, "--static-prefix", "/team/mlflow") as server:
        url = f"{server.url}/team/mlflow"
        ended = client.run("first_steps.py", "prefixed", url=url, folder=tmp_path)
    assert ended.told == FIRST_STEPS
    assert ended.warnings == []


def test_a_local_root_serves_clients_that_are_elsewhere(client: Environment, tmp_path: Path):
    """A guide's server and its users' script, which has no credentials and another folder."""
    server_folder, elsewhere = tmp_path / "server", tmp_path / "elsewhere"
    server_folder.mkdir()
    elsewhere.mkdir()
    environ = {"MLFLOW_DEFAULT_ARTIFACT_ROOT": str(tmp_path / "mlflow" / "artifacts")}
    with serving(server_folder, environ=environ) as server:
        ended = client.run("guide.py", url=server.url, folder=elsewhere)
        assert ended.told == ["mlflow-artifacts:", "a pickle"]
        [stored] = (tmp_path / "mlflow" / "artifacts").rglob("model.pkl")
        assert stored.read_bytes() == b"a pickle"
    assert [path.name for path in elsewhere.iterdir()] == ["model.pkl"]
