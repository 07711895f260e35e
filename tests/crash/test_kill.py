"""The server is killed again and again under load: what it acknowledged is there, and whole."""

import os
import secrets
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from tests.crash import inspection
from tests.crash.ledger import Effect, RunLedger
from tests.crash.writers import BulkWriter, RunWriter, Uploader
from tests.fixtures.server import Server, serving

SOAK = os.environ.get("RIVERRUN_SOAK") == "1"
KILLS = 200 if SOAK else 8
LIVES_S = (0.05, 1.2)
"""How long the server lives between two kills."""


@dataclass(frozen=True, slots=True)
class Storm:
    writers: list[RunWriter]
    uploader: Uploader
    stopping: threading.Event

    @property
    def threads(self) -> list[RunWriter | Uploader]:
        return [*self.writers, self.uploader]

    @property
    def ledgers(self) -> list[RunLedger]:
        return [ledger for writer in self.writers for ledger in writer.ledgers]

    def end(self) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), f"{thread.name} gets no answer"
        for thread in self.threads:
            if thread.error is not None:
                raise thread.error


def storm(server: Server, seed: str, writers: int) -> Storm:
    stopping = threading.Event()
    begun = Storm(
        [
            *(RunWriter(f"writer{n}", server.port, stopping, seed) for n in range(writers)),
            BulkWriter("bulk", server.port, stopping, seed),
        ],
        Uploader("uploader", server.port, stopping, seed),
        stopping,
    )
    for thread in begun.threads:
        thread.start()
    return begun


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(3600 if SOAK else 120)
def test_what_was_acknowledged_survives_every_kill(tmp_path: Path):
    seed = secrets.token_hex(8) if SOAK else "riverrun"
    sys.stdout.write(f"seed {seed}\n")
    with serving(tmp_path) as server:
        weather = storm(server, seed, writers=8 if SOAK else 3)
        kill_again_and_again(server, Random(seed))
        weather.end()
        expect_everything(server, weather)
        server.kill()
        chunks = inspection.check_database(tmp_path / "mlflow.db")
        server.start()
        finish_all_runs(server, weather)
        expect_everything(server, weather)
        server.stop()
    compacted = inspection.check_database(tmp_path / "mlflow.db")
    assert inspection.log_rows(tmp_path / "mlflow.db") == 0
    assert chunks > 0
    assert compacted > 0
    unanswered = sum(thread.client.unanswered for thread in weather.threads)
    assert unanswered > 0
    sent = sum(thread.client.sent for thread in weather.threads)
    sys.stdout.write(
        f"{KILLS} kills, {sent} calls, {unanswered} not answered, {len(weather.ledgers)} runs, "
        f"{chunks} chunks, in the end {compacted}\n"
    )


def kill_again_and_again(server: Server, random: Random) -> None:
    for _ in range(KILLS):
        time.sleep(random.uniform(*LIVES_S))
        server.kill()
        server.start()


def expect_everything(server: Server, weather: Storm) -> None:
    for ledger in weather.ledgers:
        found = inspection.contents(server, ledger.run_id)
        expected = ledger.expected(found)
        assert found == expected, ledger.run_id
        assert inspection.latest(server, ledger.run_id) == expected.latest(), ledger.run_id
    expect_created_runs(server, weather)
    expect_files(server, weather.uploader)


def expect_created_runs(server: Server, weather: Storm) -> None:
    """A creation that was not answered may have made a run; then the next try made another."""
    found = inspection.run_ids_by_name(server)
    for writer in weather.writers:
        for name, run_id in writer.created.items():
            assert run_id in found[name]
            for orphan in set(found[name]) - {run_id}:
                tags = inspection.contents(server, orphan).tags
                assert tags == {"mlflow.runName": name, "writer": writer.name}


def expect_files(server: Server, uploader: Uploader) -> None:
    for path in uploader.certain.keys() | uploader.possible.keys():
        allowed = [uploader.certain.get(path), *uploader.possible[path]]
        assert inspection.artifact(server, path) in allowed, path


def finish_all_runs(server: Server, weather: Storm) -> None:
    """The end of a run has its log compacted."""
    for ledger in weather.ledgers:
        message = {"run_id": ledger.run_id, "status": "FINISHED"}
        assert server.post("runs/update", message).status == 200
        ledger.note(Effect(status="FINISHED"), acknowledged=True)
    deadline = time.monotonic() + 60
    while inspection.log_rows(server.folder / "mlflow.db"):
        assert time.monotonic() < deadline, server.log
        time.sleep(0.1)
