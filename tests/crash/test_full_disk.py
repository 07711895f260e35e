"""A disk without space: writes are refused, reads go on, and space is all it takes to recover."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tests.crash import inspection
from tests.crash.disks import MIB, Disk, small_disk
from tests.crash.refusals import refusal
from tests.crash.writers import ARTIFACTS
from tests.fixtures.server import Answered, Server, free_port, serving

pytestmark = pytest.mark.slow

DISK_FULL = "The disk of the database is full; nothing was written. Free some space and try again."


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", 24 * MIB) as made:
        yield made


@pytest.fixture
def server(disk: Disk, tmp_path: Path) -> Iterator[Server]:
    """Its database and artifacts lie on the small disk, its log elsewhere."""
    options = (
        "--backend-store-uri",
        f"sqlite:///{disk.path}/mlflow.db",
        "--artifacts-destination",
        f"{disk.path}/artifacts",
    )
    with serving(tmp_path, *options) as running:
        yield running


def refused(answer: Answered) -> bool:
    """503 in MLflow's shape, with a time to wait; anything else than that and 200 is a mistake."""
    if answer.status == 200:
        return False
    assert answer.status == 503, answer
    assert answer.error_code == "TEMPORARILY_UNAVAILABLE"
    assert int(answer.headers["retry-after"]) > 0
    return True


def log_batch(server: Server, run_id: str, number: int) -> Answered:
    """100 points, a param and a tag, 5 KB together."""
    metrics = [
        {"key": "loss", "value": n / 7, "timestamp": 1_700_000_000_000 + n, "step": n}
        for n in range(number * 100, number * 100 + 100)
    ]
    message = {
        "run_id": run_id,
        "metrics": metrics,
        "params": [{"key": f"param-{number}", "value": "x" * 1_000}],
        "tags": [{"key": "last", "value": str(number)}],
    }
    return server.post("runs/log-batch", message)


def upload(server: Server, path: str, content: bytes) -> Answered:
    return server.request("PUT", ARTIFACTS + path, content)


def download(server: Server, path: str) -> Answered:
    return server.request("GET", ARTIFACTS + path)


def test_every_kind_of_write_is_refused_on_a_full_disk_and_works_when_there_is_space(
    server: Server, disk: Disk
):
    run_id = server.create_run()
    assert log_batch(server, run_id, 0).status == 200
    disk.fill()
    written = fill_until_refused(server, run_id)
    assert log_batch(server, run_id, written).json["message"] == DISK_FULL
    calls = {
        "runs/create": {"experiment_id": "0"},
        "runs/log-metric": {"run_id": run_id, "key": "a", "value": 1, "timestamp": 1},
        "runs/log-parameter": {"run_id": run_id, "key": "a", "value": "b" * 5_000},
        "runs/set-tag": {"run_id": run_id, "key": "a", "value": "b" * 5_000},
        "runs/update": {"run_id": run_id, "status": "FINISHED"},
        "experiments/create": {"name": "another"},
    }
    for path, message in calls.items():
        assert refused(server.post(path, message)), path
    expect_batches(server, run_id, written)
    disk.free()
    for path, message in calls.items():
        assert server.post(path, message).status == 200, path
    assert log_batch(server, run_id, written).status == 200
    found = inspection.contents(server, run_id)
    assert found.params.pop("a") == "b" * 5_000
    assert len(found.points["loss"]) == (written + 1) * 100
    assert set(found.params) == {f"param-{n}" for n in range(written + 1)}


def fill_until_refused(server: Server, run_id: str) -> int:
    """The number of batches written; space that the write-ahead log has is used up first."""
    for number in range(1, 5_000):
        if refused(log_batch(server, run_id, number)):
            return number
    raise AssertionError("the disk never was full")


def expect_batches(server: Server, run_id: str, count: int) -> None:
    """Each whole, and nothing of what was refused; reads go on without space."""
    found = inspection.contents(server, run_id)
    assert set(found.params) == {f"param-{n}" for n in range(count)}
    assert found.tags["last"] == str(count - 1)
    assert {step for _, step, _ in found.points["loss"]} == set(range(count * 100))
    assert run_id in {run for ids in inspection.run_ids_by_name(server).values() for run in ids}
    assert server.request("GET", "/health").status == 200


def test_a_disk_that_fills_again_and_again_loses_nothing(server: Server, disk: Disk):
    random = Random("full")
    run_id = server.create_run()
    number = 0
    refusals = 0
    for _ in range(15):
        disk.fill(leave_bytes=random.choice((0, 4_096, 100_000, 400_000)))
        for _ in range(60):
            if refused(log_batch(server, run_id, number)):
                refusals += 1
            else:
                number += 1
        disk.free()
        assert log_batch(server, run_id, number).status == 200
        number += 1
    assert refusals > 15
    expect_batches(server, run_id, number)
    server.kill()
    assert inspection.integrity(disk.path / "mlflow.db") == "ok"
    server.start()
    expect_batches(server, run_id, number)


def test_a_server_killed_on_a_full_disk_serves_reads_again(server: Server, disk: Disk):
    run_id = server.create_run()
    assert log_batch(server, run_id, 0).status == 200
    disk.fill()
    written = fill_until_refused(server, run_id)
    server.kill()
    server.start()
    expect_batches(server, run_id, written)
    assert refused(log_batch(server, run_id, written))
    disk.free()
    assert log_batch(server, run_id, written).status == 200
    expect_batches(server, run_id, written + 1)


def test_a_first_start_on_a_full_disk_says_why_and_the_next_one_works(tmp_path: Path):
    with small_disk(tmp_path / "disk", MIB) as disk:
        disk.fill()
        options = ("--backend-store-uri", f"sqlite:///{disk.path}/mlflow.db")
        code, log = refusal(Server(tmp_path, free_port(), options))
        assert code == 1
        assert log.endswith(f"Error: {DISK_FULL}\n")
        disk.free()
        with serving(tmp_path, *options) as started:
            started.create_run()


def test_an_upload_to_a_full_disk_is_refused_and_leaves_nothing_behind(server: Server, disk: Disk):
    before = b"first" * 1_000
    assert upload(server, "0/model.bin", before).status == 200
    disk.fill(leave_bytes=MIB)
    for path in ("0/model.bin", "0/new.bin"):
        answer = upload(server, path, bytes(3 * MIB))
        assert refused(answer)
        assert answer.json["message"], answer
    assert download(server, "0/model.bin").body == before
    assert download(server, "0/new.bin").status == 404
    left = [path for path in (disk.path / "artifacts").rglob("*") if path.is_file()]
    assert left == [disk.path / "artifacts/0/model.bin"]
    disk.free()
    assert upload(server, "0/model.bin", bytes(3 * MIB)).status == 200
    assert download(server, "0/model.bin").body == bytes(3 * MIB)
