"""Files of logged models: which there are, what is in them, and paths that lead astray."""

import pytest
from tests.api.logged_models import create
from tests.api.protocol import AJAX, accepted, not_found, refused
from tests.fixtures.server import Server


@pytest.fixture
def stored(server: Server, experiment: str) -> str:
    """A model with two files."""
    model = create(server, experiment, name="stored")
    root = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/models/{model}/artifacts"
    for path in ("MLmodel", "data/model.pkl"):
        accepted(server.request("PUT", f"{root}/{path}", f"bytes of {path}".encode()))
    return model


def test_directories_are_listed_below_the_models_root(server: Server, experiment: str, stored: str):
    uri = f"mlflow-artifacts:/{experiment}/models/{stored}/artifacts"
    path = f"logged-models/{stored}/artifacts/directories"
    assert accepted(server.get(path)) == {
        "root_uri": uri,
        "files": [
            {"path": "MLmodel", "is_dir": False, "file_size": 16},
            {"path": "data", "is_dir": True},
        ],
    }
    assert accepted(server.get(path, artifact_directory_path="data")) == {
        "root_uri": uri,
        "files": [{"path": "data/model.pkl", "is_dir": False, "file_size": 23}],
    }
    assert accepted(server.get(path, artifact_directory_path="MLmodel")) == {"root_uri": uri}


def test_a_file_is_read_through_the_web_ui_path(server: Server, stored: str):
    path = f"logged-models/{stored}/artifacts/files"
    answer = server.get(path, prefix=AJAX, artifact_file_path="data/model.pkl")
    assert (answer.status, answer.body) == (200, b"bytes of data/model.pkl")
    assert "attachment" in answer.headers["content-disposition"]
    not_found(server.get(path, prefix=AJAX, artifact_file_path="none"))
    assert "artifact_file_path" in refused(server.get(path, prefix=AJAX))
    assert server.get(path, artifact_file_path="MLmodel").status == 404


@pytest.mark.parametrize("path", ["../x", "%2e%2e/x", "/etc/passwd", "a/../../x"])
def test_a_path_does_not_leave_the_model(server: Server, stored: str, path: str):
    files = f"logged-models/{stored}/artifacts/files"
    refused(server.get(files, prefix=AJAX, artifact_file_path=path))
    directories = f"logged-models/{stored}/artifacts/directories"
    refused(server.get(directories, artifact_directory_path=path))
