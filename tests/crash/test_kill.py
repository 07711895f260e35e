"""The server is killed again and again under load: what it acknowledged is there, and whole."""

import os
import secrets
import sys
import time
from pathlib import Path
from random import Random

import pytest
from tests.crash import inspection
from tests.crash.storm import expect_everything, finish_all_runs, storm
from tests.fixtures.server import Server, serving

SOAK = os.environ.get("RIVERRUN_SOAK") == "1"
KILLS = 200 if SOAK else 8
LIVES_S = (0.05, 1.2)
"""How long the server lives between two kills."""


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
        finish_all_runs(server, weather, lambda: inspection.log_rows(tmp_path / "mlflow.db"))
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
