"""Does a page take longer among a hundred or a thousand times as much? Riverrun only."""

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from urllib.parse import quote

import msgspec

import servers
from loadgen import API, Client, Extent, measure
from plan import Figures, Plan
from scenarios import Stage, Task, expect, repeat, search
from seed import Seed, at_once, create_experiment, create_runs, kept, running
from servers import KINDS, Kind
from shapes import NARROW, SEARCHES

DURATION_S = 2


@dataclass(frozen=True, slots=True)
class Growing:
    """Data that is stored at several sizes, and what is asked of it."""

    name: str
    sizes: tuple[int, ...]
    begin: Callable[[Client], Awaitable[str]]
    """Makes what holds the data and answers with its id."""
    fill: Callable[[Client, str, range], Awaitable[None]]
    tasks: Callable[[Stage, str, int], Awaitable[dict[str, Task]]]


async def growth(plan: Plan, work: Path) -> Figures:
    return await _measure(RUNS, plan, work)


async def growth_million(plan: Plan, work: Path) -> Figures:
    return await _measure(replace(RUNS, sizes=(10_000, 1_000_000)), plan, work)


async def registry_growth(plan: Plan, work: Path) -> Figures:
    return await _measure(VERSIONS, plan, work)


async def _measure(what: Growing, plan: Plan, work: Path) -> Figures:
    """By size, by what was asked: median latency in milliseconds, one client.

    In rounds, size after size in each, so that noise hits all alike; the medians of the rounds.
    """
    if KINDS["riverrun"] not in plan.kinds:
        return {}
    kept_by_size = {size: await _kept(what, size, plan) for size in what.sizes}
    rounds: dict[int, list[dict[str, float]]] = {size: [] for size in what.sizes}
    for _ in range(plan.rounds):
        for size, (source, seed) in kept_by_size.items():
            folder = work / source.name
            shutil.copytree(source, folder)
            kind = plan.database.attach(KINDS["riverrun"], source.name)
            rounds[size].append(await _latencies(what, kind, folder, seed))
            shutil.rmtree(folder)
    return {
        str(size): {name: median(each[name] for each in found) for name in found[0]}
        for size, found in rounds.items()
    }


async def _latencies(what: Growing, kind: Kind, folder: Path, seed: Seed) -> dict[str, float]:
    [(size, holder)] = seed.experiments.items()
    found: dict[str, float] = {}
    async with running(kind, folder) as (server, client):
        stage = Stage(server, client, 1, seed)
        for name, task in (await what.tasks(stage, holder, int(size))).items():
            measurement = await measure(server, task.operation, Extent(DURATION_S))
            found[name] = measurement.p50_ms
    return found


async def _kept(what: Growing, size: int, plan: Plan) -> tuple[Path, Seed]:
    """The seed's one experiment is what holds the data, or stands for it."""

    async def fill(kind: Kind, folder: Path) -> Seed:
        async with running(kind, folder) as (server, client):
            holder = await what.begin(client)
            await what.fill(client, holder, range(size))
            servers.wait_until_quiet([server], timeout_s=60)
        return Seed(experiments={str(size): holder})

    return await kept(f"{what.name}-{size}", KINDS["riverrun"], plan.database, fill)


# Runs of one experiment --------------------------------------------------------------------------


async def _begin_runs(client: Client) -> str:
    return await create_experiment(client, "growth")


async def _fill_runs(client: Client, experiment: str, indices: range) -> None:
    await create_runs(client, experiment, indices, NARROW)


async def _searches(stage: Stage, _experiment: str, size: int) -> dict[str, Task]:
    return {way.name: await search(way, size)(stage) for way in SEARCHES}


RUNS = Growing("growth", (5_000, 50_000, 500_000), _begin_runs, _fill_runs, _searches)


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
    (100, 100_000),
    _begin_versions,
    _fill_versions,
    _version_tasks,
)
