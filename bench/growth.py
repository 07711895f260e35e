"""Does a search page take longer among a hundred times as many runs? Riverrun only."""

import shutil
from pathlib import Path

from loadgen import Extent, measure
from scenarios import Stage, search
from seed import SEEDS, Seed, create_experiment, create_runs, fingerprint, running
from servers import KINDS, Kind
from shapes import NARROW, SEARCHES

SIZES = (5_000, 50_000, 500_000)
DURATION_S = 2


async def growth(kinds: list[Kind], work: Path) -> dict[str, dict[str, float]]:
    """Median latency of each search at each size, in milliseconds, one client."""
    kind = KINDS["riverrun"]
    if kind not in kinds:
        return {}
    found: dict[str, dict[str, float]] = {}
    for size in SIZES:
        source = await _seeded(kind, size)
        folder = work / f"growth-{size}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        found[str(size)] = await _latencies(kind, folder, size)
        shutil.rmtree(folder)
    return found


async def _latencies(kind: Kind, folder: Path, size: int) -> dict[str, float]:
    experiment = (folder / "experiment").read_text()
    found: dict[str, float] = {}
    async with running(kind, folder) as (server, client):
        stage = Stage(server, client, 1, Seed(experiments={str(size): experiment}))
        for way in SEARCHES:
            task = await search(way, size)(stage)
            measurement = await measure(server, task.operation, Extent(DURATION_S))
            found[way.name] = measurement.p50_ms
    return found


async def _seeded(kind: Kind, size: int) -> Path:
    """Each size goes on from the last, and is kept apart."""
    root = SEEDS / f"growth-{fingerprint(kind)}"
    done = root / str(size)
    if done.exists():
        return done
    print(f"seeding {size:,} runs for growth (once)", flush=True)
    smaller = [each for each in SIZES if each < size]
    folder = root / "growing"
    shutil.rmtree(folder, ignore_errors=True)
    if smaller:
        shutil.copytree(await _seeded(kind, smaller[-1]), folder)
    note = folder / "experiment"
    async with running(kind, folder) as (_, client):
        if not smaller:
            note.write_text(await create_experiment(client, "growth"))
        start = smaller[-1] if smaller else 0
        await create_runs(client, note.read_text(), range(start, size), NARROW)
    return folder.rename(done)
