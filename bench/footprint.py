"""What a server costs beside its answers: starting and disk. SQLite only."""

import shutil
import sqlite3
import statistics
import time
from contextlib import closing
from pathlib import Path

import processes
import servers
from loadgen import Client, Extent, measure
from plan import Figures, Plan
from seed import create_experiment, create_run, running, seeded
from servers import EMPTY, Kind
from shapes import point

STARTS = 5
STARTS_EMPTY = 3
POINTS_DISK = 1_000_000
POINTS_DISK_PEERS = 200_000
"""A fifth, as they take that much longer; the result is for a million."""
KEYS = 10
STEPS_A_CALL = 100


async def cold_start(plan: Plan, work: Path) -> Figures:
    """From spawn to the first 200 on /health, and the CPU time of all processes until then."""
    found: Figures = {}
    for kind in plan.kinds:
        source, _ = await seeded(kind, plan.database)
        folder = _clean(work / kind.name)
        shutil.copytree(source, folder, dirs_exist_ok=True)
        existing = [_start_once(kind, folder) for _ in range(STARTS)]
        empty = [_start_once(kind, _clean(folder)) for _ in range(STARTS_EMPTY)]
        found[kind.name] = _medians(existing, "") | _medians(empty, "empty_")
    return found


async def disk(plan: Plan, work: Path) -> Figures:
    """Bytes per million points, ten series a run, after compaction: pages in use, and files."""
    found: Figures = {}
    for kind in plan.kinds:
        folder = _clean(work / kind.name)
        points = POINTS_DISK if kind.name == "riverrun" else POINTS_DISK_PEERS
        async with running(kind, folder) as (server, client):
            await _log_points(client, points)
            servers.wait_until_quiet([server], timeout_s=180, window_s=10, share_max=0.05)
        million = points / 1_000_000
        found[kind.name] = {
            "used_bytes": _used_bytes(folder / kind.file) / million,
            "file_bytes": sum(each.stat().st_size for each in folder.glob("*.db*")) / million,
        }
    return found


async def ceiling(_plan: Plan, work: Path) -> Figures:
    """How many calls the generator itself can make, against a server that does nothing."""
    async with running(EMPTY, _clean(work / EMPTY.name)) as (server, _):
        request = server.address.get("/health")

        async def operation(client: Client) -> None:
            await client.exchange(request)

        rates = {
            f"clients_{clients}": (await measure(server, operation, Extent(2, clients))).rate
            for clients in (1, 8, 32)
        }
    return {"generator": rates}


def _start_once(kind: Kind, folder: Path) -> tuple[float, float]:
    server = servers.start(kind, folder, poll_s=0.004)
    wall = time.monotonic() - server.started_at
    cpu = processes.cpu_s(server.pid)
    servers.stop(server)
    return wall, cpu


def _medians(starts: list[tuple[float, float]], prefix: str) -> dict[str, float]:
    walls, cpus = zip(*starts, strict=True)
    return {
        f"{prefix}wall_s": statistics.median(walls),
        f"{prefix}cpu_s": statistics.median(cpus),
    }


async def _log_points(client: Client, points: int) -> None:
    """Ten runs of ten series each, ended when they are full."""
    experiment = await create_experiment(client, "disk")
    for run in range(10):
        run_id = await create_run(client, experiment, f"disk-{run}")
        for start in range(0, points // 10 // KEYS, STEPS_A_CALL):
            body = {"run_id": run_id, "metrics": _metrics(run, start)}
            await client.post("/runs/log-batch", body)
        await client.post("/runs/update", {"run_id": run_id, "status": "FINISHED"})


def _metrics(run: int, start: int) -> list[dict[str, object]]:
    metrics = list[dict[str, object]]()
    for key in range(KEYS):
        for index in range(start, start + STEPS_A_CALL):
            _, timestamp, value = point(index + 1_000_000 * (run * KEYS + key))
            at = {"timestamp": timestamp, "step": index}
            metrics.append({"key": f"metric-{key}", "value": value, **at})
    return metrics


def _used_bytes(database: Path) -> int:
    with closing(sqlite3.connect(database)) as opened:
        pages, free, size = (
            opened.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


def _clean(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
