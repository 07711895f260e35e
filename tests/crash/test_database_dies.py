"""The database is killed, cut off and paused under two replicas: what was acknowledged is there."""

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from tests.crash.storm import expect_everything, finish_all_runs, storm
from tests.fixtures.databases import DatabaseServer, mariadb, postgres
from tests.fixtures.server import serving

SOAK = os.environ.get("RIVERRUN_SOAK") == "1"
MISFORTUNES = 60 if SOAK else 6
CALM_S = (0.3, 1.5)
PAUSE_S = 1.5


@pytest.fixture(params=["postgresql", "mariadb"])
def database(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    with postgres(durable=True) if request.param == "postgresql" else mariadb(durable=True) as here:
        yield here


def kill(database: DatabaseServer, _url: str) -> None:
    database.kill()
    database.start()


def cut_off(database: DatabaseServer, url: str) -> None:
    database.cut_off(url)


def pause(database: DatabaseServer, _url: str) -> None:
    database.pause()
    time.sleep(PAUSE_S)
    database.resume()


KINDS: list[Callable[[DatabaseServer, str], None]] = [kill, cut_off, pause]


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(3600 if SOAK else 180)
def test_what_was_acknowledged_survives_the_databases_misfortunes(
    tmp_path: Path, database: DatabaseServer
):
    seed = secrets.token_hex(8) if SOAK else "riverrun"
    sys.stdout.write(f"seed {seed}\n")
    random, url = Random(seed), database.new_database()
    folders = tmp_path / "one", tmp_path / "two"
    for folder in folders:
        folder.mkdir()
    options = ("--backend-store-uri", url)
    with serving(folders[0], *options) as one, serving(folders[1], *options) as two:
        weather = storm(one, seed, 3, two)
        for number in range(MISFORTUNES):
            time.sleep(random.uniform(*CALM_S))
            KINDS[number % len(KINDS)](database, url)
        time.sleep(1)
        weather.end()
        expect_everything(two, weather, files_of=one)
        finish_all_runs(
            one,
            weather,
            lambda: int(database.execute("SELECT count(*) FROM metric_log", url)[0][0]),
        )
        expect_everything(one, weather)
    sent = sum(thread.client.sent for thread in weather.threads)
    sys.stdout.write(f"{MISFORTUNES} misfortunes, {sent} calls, {len(weather.ledgers)} runs\n")
    assert len(weather.ledgers) > 10
