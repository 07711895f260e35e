"""A disk without space: writes are refused in MLflow's words, reads go on, and space is all it takes to recover."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.crash import inspection
from tests.crash.disks import MIB, Disk, small_disk
from tests.crash.writers import ARTIFACTS
from tests.fixtures.server import Answered, Server, serving

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
    """Space that the write-ahead log has already is used up first. The number of batches written."""
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


def test_a_disk_that_fills_again_and_again_loses_nothing(
    server: Server, disk: Disk, tmp_path: Path
):
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


def test_a_server_killed_on_a_full_disk_starts_on_it_or_says_why_not(server: Server, disk: Disk):
    run_id = server.create_run()
    disk.fill()
    written = fill_until_refused(server, run_id) if not log_batch(server, run_id, 0).status == 503 else 0
    server.kill()
    server.spawn()
    assert server.process
    disk.free()
    del written


def test_an_upload_to_a_full_disk_is_refused_and_leaves_nothing_behind(
    server: Server, disk: Disk
):
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


def test_a_write_ahead_log_without_room_to_grow_goes_on_where_it_was(server: Server, disk: Disk):
    """A large write that does not fit is refused; the small one behind it fits."""
    run_id = server.create_run()
    disk.fill(leave_bytes=200_000)
    large = {"run_id": run_id, "key": "large", "value": "x" * 5_000}
    for n in range(200):
        if refused(server.post("runs/set-tag", {**large, "key": f"large-{n}"})):
            break
    else:
        raise AssertionError("the disk never was full")
    assert server.get_run(run_id)["info"]["run_id"] == run_id
    disk.free()
    assert server.post("runs/set-tag", large).status == 200
    assert json.dumps(server.get_run(run_id)).count('"large"') == 1
