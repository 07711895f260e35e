"""Local default roots: which become the server's own store, and which are handed out as paths."""

import io
import zipfile
from pathlib import Path

import pytest
from tests.api.files import LIST, PROXY
from tests.api.protocol import accepted, not_found, refused, unique
from tests.fixtures.server import Server, serving

pytestmark = pytest.mark.slow


def uri_of(server: Server, run_id: str) -> str:
    return server.get_run(run_id)["info"]["artifact_uri"]


def reads(server: Server, run_id: str) -> None:
    """The server shows `a/f.txt` of the run by every way."""
    listed = accepted(server.request("GET", f"{LIST}?run_id={run_id}&path=a"))
    assert listed["root_uri"] == uri_of(server, run_id)
    assert listed["files"] == [{"path": "a/f.txt", "is_dir": False, "file_size": 5}]
    got = server.request("GET", f"/get-artifact?run_id={run_id}&path=a/f.txt")
    assert (got.status, got.body) == (200, b"hello")
    archive = server.request("GET", f"/api/riverrun/v1/runs/{run_id}/artifacts.zip")
    with zipfile.ZipFile(io.BytesIO(archive.body)) as found:
        assert found.namelist() == ["a/f.txt"]


def written(folder: Path) -> None:
    """As a client on the same machine does."""
    (folder / "a").mkdir(parents=True)
    (folder / "a/f.txt").write_bytes(b"hello")


@pytest.mark.parametrize(
    "given", ["data", "data/", "./data", "{folder}/data/", "file://{folder}/data"]
)
def test_while_artifacts_are_served_a_local_root_is_the_servers_own_store(
    tmp_path: Path, given: str
):
    root = given.format(folder=tmp_path)
    with serving(tmp_path, "--default-artifact-root", root) as server:
        run_id = server.create_run()
        assert uri_of(server, run_id) == f"mlflow-artifacts:/0/{run_id}/artifacts"
        path = f"{PROXY}/0/{run_id}/artifacts/a/f.txt"
        assert server.request("PUT", path, b"hello").status == 200
        reads(server, run_id)
        assert (tmp_path / f"data/0/{run_id}/artifacts/a/f.txt").read_bytes() == b"hello"


def test_beside_a_destination_a_local_root_is_handed_out_and_read(tmp_path: Path):
    options = ("--default-artifact-root", "data/", "--artifacts-destination", "store")
    with serving(tmp_path, *options) as server:
        run_id = server.create_run()
        uri = uri_of(server, run_id)
        assert uri == f"{tmp_path}/data/0/{run_id}/artifacts"
        written(Path(uri))
        reads(server, run_id)
        assert server.request("PUT", f"{PROXY}/0/f", b"x").status == 200
        assert (tmp_path / "store/0/f").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("options", "root"), [((), "mlruns"), (("--default-artifact-root", "data/"), "data")]
)
def test_a_server_without_the_proxy_hands_out_a_path_and_reads_it(
    tmp_path: Path, options: tuple[str, ...], root: str
):
    with serving(tmp_path, "--no-serve-artifacts", *options) as server:
        run_id = server.create_run()
        uri = uri_of(server, run_id)
        assert uri == f"{tmp_path}/{root}/0/{run_id}/artifacts"
        assert accepted(server.request("GET", f"{LIST}?run_id={run_id}")) == {"root_uri": uri}
        written(Path(uri))
        reads(server, run_id)
        for method in ("GET", "PUT", "DELETE"):
            body = b"x" if method == "PUT" else None
            answer = server.request(method, f"{PROXY}/0/f", body)
            assert (answer.status, answer.error_code) == (503, "TEMPORARILY_UNAVAILABLE")
            assert "--no-serve-artifacts" in answer.json["message"]
        info = accepted(server.get("server-info", prefix="/api/3.0/mlflow/"))
        assert info["multipart_uploads_enabled"] is info["multipart_downloads_enabled"] is False


def test_a_path_beside_the_root_or_out_of_it_by_a_link_is_not_opened(tmp_path: Path):
    (tmp_path / "private").mkdir()
    (tmp_path / "private/f").write_bytes(b"private")
    with serving(tmp_path, "--no-serve-artifacts", "--default-artifact-root", "data") as server:
        for location in (tmp_path / "private", tmp_path / "data-2", tmp_path, Path("/etc")):
            message = {"name": unique("theirs"), "artifact_location": str(location)}
            experiment = accepted(server.post("experiments/create", message))["experiment_id"]
            run_id = server.create_run(experiment)
            assert uri_of(server, run_id) == f"{location}/{run_id}/artifacts"
            sentence = "which this server does not serve. Read them there directly."
            assert sentence in refused(server.request("GET", f"{LIST}?run_id={run_id}"))
            link = f"/get-artifact?run_id={run_id}&path=f"
            assert sentence in refused(server.request("GET", link))
        run_id = server.create_run()
        folder = Path(uri_of(server, run_id))
        folder.mkdir(parents=True)
        (folder / "link").symlink_to(tmp_path / "private")
        assert "files" not in accepted(server.request("GET", f"{LIST}?run_id={run_id}"))
        not_found(server.request("GET", f"/get-artifact?run_id={run_id}&path=link/f"))
