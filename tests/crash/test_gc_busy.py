"""`riverrun gc` beside a server at work: what a client was told to have stays, and whole."""

import os
import secrets
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest
from tests.api.protocol import unique
from tests.cli.test_commands import riverrun
from tests.crash.writers import ARTIFACTS
from tests.fixtures.databases import Databases
from tests.fixtures.server import Server, serving

SOAK = os.environ.get("RIVERRUN_SOAK") == "1"
ROUNDS = 60 if SOAK else 3
"""Of the command, by each of the two that run it."""
CLIENTS = 4
CONTENT = b"x" * 1024


class Client(threading.Thread):
    """Makes runs, deletes them, and changes its mind, until it is told to stop."""

    def __init__(self, server: Server, seed: str, stopping: threading.Event) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.random = Random(seed)
        self.stopping = stopping
        self.error: BaseException | None = None
        self.stages: dict[str, str] = {}
        """What the client knows of its runs: "active", "deleted" if a registered version names
        them, and "" for those that are to go.
        """
        self.experiments: dict[str, str] = {}
        """Of runs that are not in experiment 0."""
        self.late = 0
        """How often it changed its mind too late."""

    def run(self) -> None:
        stories = (self.restored, self.registered, self.registered_first, self.left, self.together)
        try:
            while not self.stopping.is_set():
                self.random.choice(stories)()
        except BaseException as error:  # noqa: BLE001 - The test raises it.
            self.error = error

    def call(self, path: str, *refusals: int, **message: object) -> bool:
        """Whether it was done; it may be refused only so."""
        answer = self.server.post(path, message)
        assert answer.status in {200, *refusals}, (path, answer.status, answer.body)
        return answer.status == 200

    def new_run(self, experiment: str = "0") -> str:
        run = self.server.create_run(experiment)
        self.call("runs/log-metric", run_id=run, key="loss", value=0.5, timestamp=1, step=0)
        path = f"{ARTIFACTS}{experiment}/{run}/artifacts/model/MLmodel"
        assert self.server.request("PUT", path, CONTENT).status == 200
        self.experiments[run] = experiment
        return run

    def deleted_run(self) -> str:
        run = self.new_run()
        self.stages[run] = ""
        self.call("runs/delete", run_id=run)
        return run

    def left(self) -> None:
        self.deleted_run()

    def restored(self) -> None:
        runs = [self.deleted_run() for _ in range(self.random.randint(1, 4))]
        for run in runs:
            is_in_time = self.call("runs/restore", 404, run_id=run)
            self.stages[run] = "active" if is_in_time else ""
            self.late += not is_in_time

    def registered(self) -> None:
        runs = [self.deleted_run() for _ in range(self.random.randint(1, 4))]
        for run in runs:
            is_in_time = self.version(run)
            self.stages[run] = "deleted" if is_in_time else ""
            self.late += not is_in_time

    def registered_first(self) -> None:
        run = self.new_run()
        assert self.version(run)
        self.call("runs/delete", run_id=run)
        self.stages[run] = "deleted"

    def version(self, run: str) -> bool:
        name = unique("model")
        self.call("registered-models/create", name=name)
        source = f"mlflow-artifacts:/0/{run}/artifacts/model"
        return self.call("model-versions/create", 400, name=name, source=source, run_id=run)

    def together(self) -> None:
        """A whole experiment, which cannot be lost once it is restored."""
        experiment = self.server.create_experiment(unique("experiment"))
        runs = [self.new_run(experiment) for _ in range(3)]
        self.call("experiments/delete", experiment_id=experiment)
        is_there = self.call("experiments/restore", 404, experiment_id=experiment)
        for run in runs:
            answer = self.server.get("runs/get", run_id=run)
            is_active = is_there and answer.status == 200
            is_active = is_active and answer.json["run"]["info"]["lifecycle_stage"] == "active"
            self.stages[run] = "active" if is_active else ""
            self.late += not is_active


def expect(server: Server, client: Client) -> None:
    for run, stage in client.stages.items():
        answer = server.get("runs/get", run_id=run)
        path = f"{ARTIFACTS}{client.experiments[run]}/{run}/artifacts/model/MLmodel"
        file = server.request("GET", path)
        if not stage:
            assert (answer.status, file.status) == (404, 404), run
            continue
        assert (answer.status, file.status) == (200, 200), (run, stage)
        found = answer.json["run"]
        assert found["info"]["lifecycle_stage"] == stage, run
        assert [each["key"] for each in found["data"]["metrics"]] == ["loss"]
        assert file.body == CONTENT
        history = server.get("metrics/get-history", run_id=run, metric_key="loss")
        assert len(history.json["metrics"]) == 1


def collect(server: Server) -> None:
    done = riverrun("gc", "--backend-store-uri", server.database, cwd=server.folder)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(3600 if SOAK else 120)
def test_what_was_answered_stays_whatever_is_removed_meanwhile(
    databases: Databases, tmp_path: Path
):
    seed = secrets.token_hex(8) if SOAK else "riverrun"
    sys.stdout.write(f"seed {seed}\n")
    stopping = threading.Event()
    with serving(tmp_path, database=databases.new_database()) as server:
        clients = [Client(server, f"{seed}/{number}", stopping) for number in range(CLIENTS)]
        clients[0].left()
        for client in clients:
            client.start()
        try:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(collect, [server] * 2 * ROUNDS))
        finally:
            stopping.set()
        for client in clients:
            client.join(60)
            if client.error is not None:
                raise client.error
        collect(server)
        for client in clients:
            expect(server, client)
        stages = [stage for client in clients for stage in client.stages.values()]
        assert {"", "active", "deleted"} == set(stages)
        late = sum(client.late for client in clients)
        sys.stdout.write(f"{len(stages)} runs, {stages.count('')} gone, {late} times too late\n")
