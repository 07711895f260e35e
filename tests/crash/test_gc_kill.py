"""`riverrun gc` is killed again and again: whatever is left has its files, and the next one goes on
from there.
"""

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
from tests.services.house import House, house_on, stages
from tests.store.engines import play

from riverrun.artifacts.local import LocalStore
from riverrun.artifacts.s3 import open_s3
from riverrun.store import removal
from riverrun.store.engine import Engine, Tx
from riverrun.store.removal import MODEL, REMOVING, RUN, Kind

if TYPE_CHECKING:
    from tests.fixtures.objects import S3Server

SOAK = os.environ.get("RIVERRUN_SOAK") == "1"
KILLS = 60 if SOAK else 4
LIVES_S = (0.0, 0.25)
"""How long a command lives after the first thing that it did."""
NAMES = ("model/MLmodel", "model/data.bin", "a b.txt")


@dataclass
class Past:
    """What there was, by id."""

    alive: set[str] = field(default_factory=set[str])
    kept: set[str] = field(default_factory=set[str])
    """Deleted, but registered versions name them."""
    doomed: set[str] = field(default_factory=set[str])
    models: set[str] = field(default_factory=set[str])
    """All doomed."""
    experiments: set[str] = field(default_factory=set[str])
    """All doomed."""
    paths: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """The files of each run and logged model."""


async def add(house: House, past: Past, name: str) -> None:
    """More of everything."""
    experiment = await house.experiment(name)
    for number in range(36):
        where = experiment if number % 2 else "0"
        run = await house.run(where, *NAMES)
        past.paths[run] = {f"{where}/{run}/artifacts/{name}" for name in NAMES}
        stays = where == "0" and number % 12 in {0, 4}
        if number == 4:
            await house.register(name, f"runs:/{run}/model", run_id=run)
            past.kept.add(run)
        else:
            (past.alive if stays else past.doomed).add(run)
        if where == "0" and run not in past.alive:
            await house.delete_run(run)
    for _ in range(4):
        model = await house.model(experiment)
        past.paths[model] = {f"{experiment}/models/{model}/artifacts/MLmodel"}
        past.models.add(model)
    await house.delete_experiment(experiment)
    past.experiments.add(experiment)


def begun(database: str, root: str, environ: Mapping[str, str], folder: Path):
    command = [sys.executable, "-m", "riverrun", "gc", "--backend-store-uri", database]
    with (folder / "gc.log").open("ab") as log:
        return subprocess.Popen(
            [*command, "--artifacts-destination", root],
            cwd=folder,
            env={**os.environ, **environ},
            stdout=log,
            stderr=log,
        )


async def kill_at_work(house: House, gc: "subprocess.Popen[bytes]", random: Random) -> bool:
    """Whether it had not come to its end by itself."""
    before = await stages(house)
    try:
        while gc.poll() is None and await stages(house) == before:
            pass
        await asyncio.sleep(random.uniform(*LIVES_S))
        return gc.poll() is None
    finally:
        gc.kill()
        gc.wait()


async def parts_of_nobody(house: House) -> list[str]:
    """Tables with rows of runs or logged models that do not exist."""

    async def work(tx: Tx) -> list[str]:
        return [
            table
            for kind in (RUN, MODEL)
            for table in kind.parts
            if await tx.one(_rows_of_nobody(kind, table))
        ]

    return await house.engine.read(work)


def _rows_of_nobody(kind: Kind, table: str) -> str:
    return (
        f"SELECT 1 FROM {table} AS p LEFT JOIN {kind.table} AS o ON o.{kind.key} = p.{kind.key} "
        f"WHERE o.{kind.key} IS NULL LIMIT 1"
    )


async def expect_consistent(house: House, past: Past) -> int:
    """How many were caught in the midst of their removal."""
    runs = await stages(house)
    sql = "SELECT model_id, lifecycle_stage FROM logged_models"
    rows = await house.engine.read(lambda tx: tx.fetch(sql))
    found = runs | {MODEL.public_id(key): stage for key, stage in rows}
    files = set(await house.files())
    for name, paths in past.paths.items():
        stage = found.get(name)
        if stage is None:  # Its files went first.
            assert not files & paths, name
        elif stage != REMOVING:
            assert files >= paths, name
    assert {runs[run] for run in past.alive} == {"active"}
    assert {runs[run] for run in past.kept} == {"deleted"}
    assert await parts_of_nobody(house) == []
    return sum(stage == REMOVING for stage in found.values())


async def expect_finished(house: House, past: Past) -> None:
    left = past.alive | past.kept
    assert set(await stages(house)) == left
    assert set(await house.files()) == {path for run in left for path in past.paths[run]}
    experiments = await house.engine.read(
        lambda tx: removal.experiments(tx, retention_tag="", after=-1, limit=1_000)
    )
    assert [each.experiment_id for each in experiments] == [0]
    assert await parts_of_nobody(house) == []


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(3600 if SOAK else 120)
@pytest.mark.parametrize("where", ["local", "s3"])
def test_what_stays_is_whole_after_every_kill(
    database: str, where: str, request: pytest.FixtureRequest, tmp_path: Path
):
    seed = secrets.token_hex(8) if SOAK else "riverrun"
    sys.stdout.write(f"seed {seed}\n")
    random = Random(seed)
    root, environ = str(tmp_path / "artifacts"), dict[str, str]()
    if where == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        root, environ = f"s3://{server.new_bucket()}/kept", dict(server.environ)

    async def story(engine: Engine) -> None:
        store = open_s3(root, environ) if environ else LocalStore(Path(root), fsync=False)
        house, past = await house_on(engine, store), Past()
        at_work = caught = 0
        for kill in range(KILLS):
            await add(house, past, f"experiment {kill}")
            at_work += await kill_at_work(house, begun(database, root, environ, tmp_path), random)
            caught += await expect_consistent(house, past)
        last = begun(database, root, environ, tmp_path)
        assert await asyncio.to_thread(last.wait) == 0
        await expect_finished(house, past)
        assert at_work
        sys.stdout.write(f"{KILLS} kills, {at_work} at work, {caught} caught in the midst\n")

    play(database, story)
    log = (tmp_path / "gc.log").read_text()
    assert "Traceback" not in log
    assert "Error" not in log
