"""Does a page take longer among a hundred or a thousand times as much? Riverrun only."""

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import msgspec

from loadgen import API, Client, Extent, measure
from scenarios import Stage, Task, expect, repeat, search
from seed import SEEDS, Seed, at_once, create_experiment, create_runs, fingerprint, running
from servers import KINDS, Kind
from shapes import NARROW, SEARCHES

DURATION_S = 2

Figures = dict[str, dict[str, float]]
"""Median latencies in milliseconds, one client: by size, by what was asked."""


@dataclass(frozen=True, slots=True)
class Growing:
    """Data that is stored at several sizes, and what is asked of it."""

    name: str
    unit: str
    sizes: tuple[int, ...]
    begin: Callable[[Client], Awaitable[str]]
    """Makes what holds the data and answers with its id."""
    fill: Callable[[Client, str, range], Awaitable[None]]
    tasks: Callable[[Stage, str, int], Awaitable[dict[str, Task]]]


async def growth(kinds: list[Kind], work: Path) -> Figures:
    return await _measure(RUNS, work) if KINDS["riverrun"] in kinds else {}


async def registry_growth(kinds: list[Kind], work: Path) -> Figures:
    return await _measure(VERSIONS, work) if KINDS["riverrun"] in kinds else {}


async def _measure(what: Growing, work: Path) -> Figures:
    found: Figures = {}
    for size in what.sizes:
        source = await _seeded(what, size)
        folder = work / f"{what.name}-{size}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        found[str(size)] = await _latencies(what, folder, size)
        shutil.rmtree(folder)
    return found


async def _latencies(what: Growing, folder: Path, size: int) -> dict[str, float]:
    note = (folder / "note").read_text()
    found: dict[str, float] = {}
    async with running(KINDS["riverrun"], folder) as (server, client):
        stage = Stage(server, client, 1, Seed(experiments={str(size): note}))
        for name, task in (await what.tasks(stage, note, size)).items():
            measurement = await measure(server, task.operation, Extent(DURATION_S))
            found[name] = measurement.p50_ms
    return found


async def _seeded(what: Growing, size: int) -> Path:
    """Each size goes on from the last, and is kept apart."""
    kind = KINDS["riverrun"]
    root = SEEDS / f"{what.name}-{fingerprint(kind)}"
    done = root / str(size)
    if done.exists():
        return done
    for outdated in SEEDS.glob(f"{what.name}-*"):
        if outdated != root:
            shutil.rmtree(outdated)
    smaller = [each for each in what.sizes if each < size]
    folder = root / "growing"
    shutil.rmtree(folder, ignore_errors=True)
    if smaller:
        shutil.copytree(await _seeded(what, smaller[-1]), folder)
    print(f"seeding {size:,} {what.unit} for {what.name} (once)", flush=True)
    note = folder / "note"
    async with running(kind, folder) as (_, client):
        if not smaller:
            note.write_text(await what.begin(client))
        start = smaller[-1] if smaller else 0
        await what.fill(client, note.read_text(), range(start, size))
    return folder.rename(done)


# Runs of one experiment --------------------------------------------------------------------------


async def _begin_runs(client: Client) -> str:
    return await create_experiment(client, "growth")


async def _fill_runs(client: Client, experiment: str, indices: range) -> None:
    await create_runs(client, experiment, indices, NARROW)


async def _searches(stage: Stage, _experiment: str, size: int) -> dict[str, Task]:
    return {way.name: await search(way, size)(stage) for way in SEARCHES}


RUNS = Growing("growth", "runs", (5_000, 50_000, 500_000), _begin_runs, _fill_runs, _searches)


# Versions of one model ---------------------------------------------------------------------------


async def _begin_versions(client: Client) -> str:
    await client.post("/registered-models/create", {"name": "growth"})
    return "growth"


async def _fill_versions(client: Client, model: str, indices: range) -> None:
    """One in ten versions is archived, one in a thousand in Staging, the rest in None."""

    async def create(own: Client, index: int) -> None:
        tags = [{"key": "team", "value": f"team-{index % 13}"}, {"key": "n", "value": str(index)}]
        body = {"name": model, "source": f"s3://models/{model}/{index}", "tags": tags}
        made = await own.post("/model-versions/create", body)
        if index % 10 == 0:
            stage = "Staging" if index % 1000 == 0 else "Archived"
            body = {"name": model, "version": made["model_version"]["version"], "stage": stage}
            await own.post("/model-versions/transition-stage", body)

    await at_once(client, indices, create)


async def _version_tasks(stage: Stage, model: str, _size: int) -> dict[str, Task]:
    """Every page is full at every size, so that only the number of versions differs."""
    address, named = stage.server.address, f"name = '{model}'"
    body = msgspec.json.encode({"name": model})
    tasks = {
        "get-latest-versions": address.post(f"{API}/registered-models/get-latest-versions", body),
        "registered-models/get": address.get(f"{API}/registered-models/get?name={model}"),
        "registered-models/search": address.get(f"{API}/registered-models/search"),
    }
    for title, filter_string, order, size in (
        ("versions, the last updated first", named, "last_updated_timestamp DESC", 50),
        ("versions, the highest number first", named, "version_number DESC", 50),
        ("versions with a tag", f"{named} and tags.team = 'team-3'", "version_number DESC", 5),
    ):
        path = f"{API}/model-versions/search?max_results={size}"
        path += f"&filter={quote(filter_string)}&order_by={quote(order)}"
        found = len((await stage.client.get(path))["model_versions"])
        expect(found == size, f"{found} versions: {title}")
        tasks[title] = address.get(path)
    return {title: Task(repeat(request)) for title, request in tasks.items()}


VERSIONS = Growing(
    "registry-growth",
    "versions",
    (100, 100_000),
    _begin_versions,
    _fill_versions,
    _version_tasks,
)
