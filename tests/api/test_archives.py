"""A run's or a model's artifacts as one zip."""

import io
import zipfile
from urllib.parse import quote

import pytest
from tests.api.protocol import NO_RUN, accepted, not_found, refused, unique
from tests.fixtures.server import Answered, Server

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
OWN = "/api/riverrun/v1"


@pytest.fixture
def root(experiment: str, run: str) -> str:
    return f"{experiment}/{run}/artifacts"


def put(server: Server, path: str, content: bytes) -> None:
    assert server.request("PUT", f"{PROXY}/{quote(path)}", content).status == 200


def archive(server: Server, of: str, path: str = "", method: str = "GET") -> Answered:
    query = f"?path={quote(path)}" if path else ""
    return server.request(method, f"{OWN}/{of}/artifacts.zip{query}")


def content_of(answer: Answered) -> dict[str, bytes]:
    assert answer.status == 200, answer.body[:500]
    with zipfile.ZipFile(io.BytesIO(answer.body)) as found:
        assert found.testzip() is None
        return {name: found.read(name) for name in found.namelist()}


def test_all_files_of_a_run_are_in_it(server: Server, run: str, root: str):
    files = {"a.txt": b"one", "é 実験/b c.bin": bytes(3_000_000), "deep/er/empty": b""}
    for path, content in files.items():
        put(server, f"{root}/{path}", content)
    answer = archive(server, f"runs/{run}")
    assert content_of(answer) == files
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="{run}.zip"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["transfer-encoding"] == "chunked"


def test_a_folder_of_a_run(server: Server, run: str, root: str):
    for path in ("model/MLmodel", "model/data/x", "models/no", "f"):
        put(server, f"{root}/{path}", b"x")
    for path in ("model", "model/"):
        answer = archive(server, f"runs/{run}", path)
        assert set(content_of(answer)) == {"MLmodel", "data/x"}
        assert answer.headers["content-disposition"] == f'attachment; filename="{run}-model.zip"'


def test_a_run_without_files_is_an_empty_archive_and_a_folder_that_is_not_there_a_404(
    server: Server, run: str, root: str
):
    assert content_of(archive(server, f"runs/{run}")) == {}
    put(server, f"{root}/f", b"x")
    for path in ("missing", "f"):
        assert not_found(archive(server, f"runs/{run}", path)) == f"No such artifact: '{path}'"
    not_found(archive(server, f"runs/{NO_RUN}"))
    refused(archive(server, f"runs/{run}", "../x"))
    refused(archive(server, f"runs/{run}", "%2e%2e/x"))


def test_head_sends_no_archive(server: Server, run: str):
    answer = archive(server, f"runs/{run}", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"] == "application/zip"


def test_the_files_of_a_logged_model(server: Server, experiment: str):
    message = {"experiment_id": experiment, "name": unique("m").replace(" ", "-")}
    created = accepted(server.post("logged-models", message))
    model_id = created["model"]["info"]["model_id"]
    put(server, f"{experiment}/models/{model_id}/artifacts/MLmodel", b"flavors")
    answer = archive(server, f"logged-models/{model_id}")
    assert content_of(answer) == {"MLmodel": b"flavors"}
    assert answer.headers["content-disposition"] == f'attachment; filename="{model_id}.zip"'
    not_found(archive(server, "logged-models/m-" + "0" * 32))
