"""Many writers at once, with a ledger of what was acknowledged, and the check that it is there."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.crash import inspection
from tests.crash.ledger import Effect, RunLedger
from tests.crash.writers import BulkWriter, RunWriter, Uploader
from tests.fixtures.server import Server


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


def storm(server: Server, seed: str, writers: int, *others: Server) -> Storm:
    """`others` are replicas of the server, with as many writers each."""
    stopping = threading.Event()
    begun = Storm(
        [
            *(
                RunWriter(f"writer{each.port}-{n}", each.port, stopping, seed)
                for each in (server, *others)
                for n in range(writers)
            ),
            BulkWriter("bulk", server.port, stopping, seed),
        ],
        Uploader("uploader", server.port, stopping, seed),
        stopping,
    )
    for thread in begun.threads:
        thread.start()
    return begun


def expect_everything(server: Server, weather: Storm, *, files_of: Server | None = None) -> None:
    """`files_of` is the replica that has the artifacts, if it is another."""
    for ledger in weather.ledgers:
        found = inspection.contents(server, ledger.run_id)
        expected = ledger.expected(found)
        assert found == expected, ledger.run_id
        assert inspection.latest(server, ledger.run_id) == expected.latest(), ledger.run_id
    expect_created_runs(server, weather)
    expect_files(files_of or server, weather.uploader)


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


def finish_all_runs(server: Server, weather: Storm, log_rows: Callable[[], int]) -> None:
    """The end of a run has its log compacted."""
    for ledger in weather.ledgers:
        message = {"run_id": ledger.run_id, "status": "FINISHED"}
        assert server.post("runs/update", message).status == 200
        ledger.note(Effect(status="FINISHED"), acknowledged=True)
    deadline = time.monotonic() + 60
    while log_rows():
        assert time.monotonic() < deadline, server.log
        time.sleep(0.1)
