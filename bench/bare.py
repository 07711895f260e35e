"""How near Riverrun comes to loops that do nothing but write the same rows to PostgreSQL."""

import asyncio
import random
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import servers
from databases import Postgresql
from loadgen import Extent, measure
from plan import Figures, Plan
from riverrun.store.points import encode_log
from scenarios import Stage, log_batch_1000
from seed import Seed, create_experiment, create_run, running
from servers import KINDS
from shapes import BASE_MS

CLIENTS = 8
KEYS = list(range(1, 11))
STEPS = range(100)
POINTS = len(KEYS) * len(STEPS)
VARIANTS = 16

LOG = "INSERT INTO metric_log (run_id, seq, payload) VALUES ($1, $2, $3)"
LOG_AND_LATEST = f"""
WITH logged AS ({LOG})
INSERT INTO latest_metrics
  (run_id, experiment_id, key_id, value, is_nan, timestamp, step, min_value, max_value)
SELECT $1, $4, key_id, value, 0, $2, $2, value, value
FROM unnest($5::integer[], $6::double precision[]) AS arrived (key_id, value)
ON CONFLICT (run_id, key_id) DO UPDATE SET
  value = excluded.value, timestamp = excluded.timestamp, step = excluded.step,
  min_value = least(latest_metrics.min_value, excluded.min_value),
  max_value = greatest(latest_metrics.max_value, excluded.max_value)
"""


async def bare(plan: Plan, work: Path) -> Figures:
    """Metrics a second: log-batch of 1000 by 8 clients, and 8 connections that write such rows."""
    if KINDS["riverrun"] not in plan.kinds:
        return {}
    database = plan.database
    assert isinstance(database, Postgresql), "the loops are written for asyncpg"
    await database.create("bare")
    kind = database.attach(KINDS["riverrun"], "bare")
    rates: defaultdict[str, list[float]] = defaultdict(list)
    async with running(kind, work / "bare") as (server, client):
        stage = Stage(server, client, CLIENTS, Seed())
        experiment = await create_experiment(client, "bare")
        runs = [await create_run(client, experiment, f"run-{n}") for n in range(CLIENTS)]
        for _ in range(plan.rounds):
            servers.wait_until_quiet([server], timeout_s=10)
            task = await log_batch_1000(stage)
            measured = await measure(server, task.operation, Extent(plan.duration_s, CLIENTS))
            rates["riverrun"].append(measured.rate)
            for name, runs_at_once, experiment_id in (
                ("one", runs[:1], None),
                ("eight", runs, None),
                ("eight_and_latest", runs, int(experiment)),
            ):
                servers.wait_until_quiet([server], timeout_s=10)
                loops = [_Loop(database, bytes.fromhex(run), experiment_id) for run in runs_at_once]
                done = await asyncio.gather(*(each.rate(plan.duration_s) for each in loops))
                rates[name].append(sum(done))
    await database.drop("bare")
    return {name: {"metrics": statistics.median(each) * POINTS} for name, each in rates.items()}


@dataclass(frozen=True, slots=True)
class _Loop:
    """One connection that writes batches of one run, each in a transaction of its own."""

    database: Postgresql
    run_id: bytes
    experiment_id: int | None
    """Only if the latest values are written, too."""

    async def rate(self, duration_s: float) -> float:
        """Batches a second."""
        batches = [_batch(variant) for variant in range(VARIANTS)]
        connection = await self.database.connect("bare")
        statement = await connection.prepare(LOG if self.experiment_id is None else LOG_AND_LATEST)
        first_seq, done = time.time_ns() // 1000, 0
        start = time.perf_counter()
        while time.perf_counter() < start + duration_s:
            payload, latest = batches[done % VARIANTS]
            more = () if self.experiment_id is None else (self.experiment_id, KEYS, latest)
            await statement.fetch(self.run_id, first_seq + done, payload, *more)
            done += 1
        wall = time.perf_counter() - start
        await connection.close()
        return done / wall


def _batch(variant: int) -> tuple[bytes, list[float]]:
    """10 keys x 100 steps, as log-batch of 1000 packs them, and each key's last value."""
    draw = random.Random(variant).random
    values = [round(draw(), 6) for _ in range(POINTS)]
    payload = encode_log(
        [key for _ in STEPS for key in KEYS],
        [step for step in STEPS for _ in KEYS],
        [BASE_MS + variant] * POINTS,
        values,
    )
    return payload, values[-len(KEYS) :]
