"""A database that cannot be written: refused at the start, and outlived by a running server."""

import contextlib
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from tests.crash import inspection
from tests.crash.disks import MIB, Disk, small_disk
from tests.crash.refusals import refusal
from tests.fixtures.server import Server, free_port, serving

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", 24 * MIB) as made:
        yield made


def options(folder: Path) -> tuple[str, ...]:
    return ("--backend-store-uri", f"sqlite:///{folder}/mlflow.db")


def last_words(folder: Path, *given: str) -> str:
    """The last line of a server that does not start."""
    code, log = refusal(Server(folder, free_port(), given))
    assert code == 1
    return log.splitlines()[-1]


def test_a_server_does_not_start_on_a_read_only_disk(disk: Disk, tmp_path: Path):
    sentence = f"Error: The database {disk.path}/mlflow.db cannot be opened: Read-only file system."
    disk.remount("ro")
    assert last_words(tmp_path, *options(disk.path)) == sentence
    disk.remount("rw")
    with serving(tmp_path, *options(disk.path)) as server:
        run_id = server.create_run()
        server.stop()
    disk.remount("ro")
    assert last_words(tmp_path, *options(disk.path)) == sentence
    disk.remount("rw")
    with serving(tmp_path, *options(disk.path)) as server:
        assert server.get_run(run_id)["info"]["run_id"] == run_id


def test_a_server_does_not_start_on_a_read_only_file(tmp_path: Path):
    with serving(tmp_path) as server:
        run_id = server.create_run()
        server.stop()
    with immutable(tmp_path / "mlflow.db"):
        assert last_words(tmp_path) == (
            f"Error: The database {tmp_path}/mlflow.db cannot be opened: this user may not write "
            "it."
        )
    with serving(tmp_path) as server:
        assert server.get_run(run_id)["info"]["run_id"] == run_id


@contextlib.contextmanager
def immutable(*paths: Path) -> Generator[None]:
    """Files that nobody may write, not even root or whoever has them open."""
    done = subprocess.run(
        ["chattr", "+i", *map(str, paths)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"NOT TESTED: a file that turns read-only, which needs root: {done.stderr}")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *map(str, paths)], check=True)


def test_a_running_server_outlives_a_database_that_turns_read_only(tmp_path: Path):
    """As when a disk fails: reads go on, writes are refused, and it recovers by itself."""
    with serving(tmp_path) as server:
        run_id = server.create_run()
        tag = {"run_id": run_id, "key": "a", "value": "1"}
        assert server.post("runs/set-tag", tag).status == 200
        with immutable(tmp_path / "mlflow.db", tmp_path / "mlflow.db-wal"):
            for n in range(5):
                answer = server.post("runs/set-tag", {**tag, "value": f"refused {n}"})
                assert answer.status == 503
                assert answer.error_code == "TEMPORARILY_UNAVAILABLE"
                assert answer.json["message"].endswith("nothing was written.")
                assert int(answer.headers["retry-after"]) > 0
            assert inspection.contents(server, run_id).tags["a"] == "1"
            assert server.request("GET", "/readyz").status == 200
        assert server.post("runs/set-tag", {**tag, "value": "2"}).status == 200
        assert inspection.contents(server, run_id).tags["a"] == "2"
        server.stop()
    assert inspection.integrity(tmp_path / "mlflow.db") == "ok"


def test_artifacts_on_a_read_only_disk_are_read_and_not_written(disk: Disk, tmp_path: Path):
    path = "/api/2.0/mlflow-artifacts/artifacts/0/file.txt"
    with serving(tmp_path, "--artifacts-destination", f"{disk.path}/artifacts") as server:
        assert server.request("PUT", path, b"content").status == 200
        disk.remount("ro")
        answer = server.request("PUT", path, b"other")
        assert answer.status == 503
        assert answer.error_code == "TEMPORARILY_UNAVAILABLE"
        assert int(answer.headers["retry-after"]) > 0
        assert server.request("GET", path).body == b"content"
        disk.remount("rw")
        assert server.request("PUT", path, b"other").status == 200
        assert server.request("GET", path).body == b"other"
