"""Several servers on one database, all busy for minutes. No call may fail."""

import asyncio
import statistics
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import msgspec

import scenarios
import servers
from loadgen import API, Client, Extent, Measurement, measure
from plan import Figures, Plan
from scenarios import Prepare, Stage, Task, WrongAnswer, expect, repeat
from seed import Seed, create_experiment, create_runs
from servers import KINDS, Server
from shapes import NARROW, PAGE

REPLICAS = 3


async def best_runs(stage: Stage) -> Task:
    experiment = await create_experiment(stage.client, f"best-{uuid4().hex}")
    await create_runs(stage.client, experiment, range(PAGE), NARROW)
    body = {
        "experiment_ids": [experiment],
        "max_results": PAGE,
        "order_by": ["metrics.acc DESC"],
    }
    found = len((await stage.client.post("/runs/search", body))["runs"])
    expect(found == PAGE, f"{found} runs of {PAGE}")
    return Task(repeat(stage.server.address.post(API + "/runs/search", msgspec.json.encode(body))))


MIX: dict[str, tuple[Prepare, int]] = {
    "log-batch of 10 metrics + 5 tags": (scenarios.log_batch_15, 16),
    "log-metric": (scenarios.log_metric, 6),
    "create run": (scenarios.create_runs, 2),
    "get run with 100 params, 50 metrics, 10 tags": (scenarios.get_run, 4),
    "runs/search: 100 runs by metric": (best_runs, 4),
}
"""What is asked of each server, by how many clients: 32 in all."""


@dataclass(slots=True)
class Share:
    """Of the work: one sort of call to one server."""

    name: str
    stage: Stage
    task: Task


async def soak(plan: Plan, work: Path) -> Figures:
    """By sort of call, on all servers together: clients, calls a second, latencies, failures.

    What is asked of one server was prepared by its neighbour, and is checked there afterwards.
    """
    if KINDS["riverrun"] not in plan.kinds:
        return {}
    await plan.database.create("soak")
    kind = plan.database.attach(KINDS["riverrun"], "soak")
    replicas = list[Server]()
    try:
        for number in range(REPLICAS):
            replicas.append(servers.start(kind, work / f"soak-{number}"))
        shares = [
            share
            for replica, neighbour in zip(replicas, [*replicas[1:], replicas[0]], strict=True)
            for share in await _shares(replica, Client(0, neighbour.address))
        ]
        print(f"soak: {plan.soak_minutes:g} minutes", flush=True)
        measured = await asyncio.gather(*(_use(each, plan.soak_minutes * 60) for each in shares))
        wrong = [await _is_wrong(*each) for each in zip(shares, measured, strict=True)]
    finally:
        for replica in replicas:
            servers.stop(replica)
    await plan.database.drop("soak")
    found: Figures = {}
    for name, (_, clients) in MIX.items():
        own = [number for number, share in enumerate(shares) if share.name == name]
        found[name] = {
            "clients": clients * REPLICAS,
            "rate": sum(measured[number].rate for number in own),
            "p50_ms": statistics.median(measured[number].p50_ms for number in own),
            "p99_ms": max(measured[number].p99_ms for number in own),
            "calls": sum(measured[number].calls for number in own),
            "failed": sum(measured[number].failed for number in own),
            "wrong": sum(wrong[number] for number in own),
        }
    return found


async def _shares(replica: Server, neighbour: Client) -> list[Share]:
    found = list[Share]()
    for name, (prepare, clients) in MIX.items():
        stage = Stage(replica, neighbour, clients, Seed())
        found.append(Share(name, stage, await prepare(stage)))
    return found


async def _use(share: Share, duration_s: float) -> Measurement:
    extent = Extent(duration_s, share.stage.clients, warm_calls=0)
    measured = await measure(share.stage.server, share.task.operation, extent)
    for failure in measured.failures:
        print(f"soak: {share.name}: {failure}", flush=True)
    return measured


async def _is_wrong(share: Share, measured: Measurement) -> bool:
    """Whether something else is stored than was answered."""
    if share.task.verify is None:
        return False
    try:
        await share.task.verify(measured)
    except WrongAnswer as wrong:
        print(f"soak: {share.name}: {wrong}", flush=True)
        return True
    return False
