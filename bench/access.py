"""What access control costs: the same calls without it, with passwords and with tokens, beside
upstream's own; and a search by one who may see little.
"""

import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import msgspec

import servers
from client import Address
from loadgen import API, Client, Extent, measure
from plan import Figures, Plan
from scenarios import SCENARIOS, Stage, Task, expect, repeat
from seed import Seed, at_once
from servers import KINDS, Kind, Server

ADMIN, ADMIN_PASSWORD = "admin", "bench-admin-password-1"
USER, USER_PASSWORD = "user", "bench-user-password-1"
CLIENTS = 8
CALLS = ("log_metric", "get_run")
EXPERIMENTS = 10_000
VISIBLE = 10
SEARCHING = "searching"
SEARCH_S = 3
SHORTER = 3
"""Many short rounds: what is compared differs by less than a noisy machine does in seconds."""
PAGE = 1000
VARIABLES = {
    "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN_PASSWORD,
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "bench-secret-key",
}


@dataclass(frozen=True, slots=True)
class Guest:
    """A server, and how one who calls it logs in."""

    who: str
    server: Server
    address: Address


async def access(plan: Plan, work: Path) -> Figures:
    """By server and way to log in, calls a second; and the search's milliseconds."""
    if KINDS["riverrun"] not in plan.kinds:
        return {}
    found: dict[str, dict[str, list[float]]] = {}
    async with _guests(plan, work) as guests:
        for _ in range(plan.rounds * SHORTER):
            for guest in guests:
                rates = found.setdefault(guest.who, {call: [] for call in CALLS})
                for call in CALLS:
                    servers.wait_until_quiet([each.server for each in guests], timeout_s=10)
                    rates[call].append(await _rate(guest, call, plan.duration_s / SHORTER))
    figures = {
        who: {call: median(rounds) for call, rounds in rates.items()}
        for who, rates in found.items()
    }
    return {**figures, SEARCHING: await _searches(plan, work)}


@asynccontextmanager
async def _guests(plan: Plan, work: Path) -> AsyncGenerator[list[Guest]]:
    free = servers.start(KINDS["riverrun"], work / "free")
    guarded = servers.start(_guarded(KINDS["riverrun"], "--auth"), work / "guarded")
    running = [free, guarded]
    try:
        password = await _made_user(guarded)
        token = await _token(guarded)
        guests = [
            Guest("nobody logs in", free, free.address),
            Guest("riverrun, password", guarded, password),
            Guest("riverrun, token", guarded, token),
        ]
        if KINDS["mlflow-best"] in plan.kinds:
            kind = _guarded(KINDS["mlflow-best"], "--app-name", "basic-auth")
            upstream = servers.start(kind, work / "upstream")
            running.append(upstream)
            guests.append(Guest("upstream, password", upstream, await _made_user(upstream)))
        servers.settle(running)
        yield guests
    finally:
        for server in running:
            servers.stop(server)


def _guarded(kind: Kind, *options: str) -> Kind:
    def command(port: int, folder: Path, uri: str) -> list[str]:
        return [*kind.command(port, folder, uri), *options]

    return replace(kind, command=command, variables={**kind.variables, **VARIABLES})


async def _rate(guest: Guest, call: str, duration_s: float) -> float:
    scenario = next(each for each in SCENARIOS if each.name.startswith(call))
    server = replace(guest.server, address=guest.address)
    client = Client(0, guest.address)
    task = await scenario.prepare(Stage(server, client, CLIENTS, Seed()))
    measurement = await measure(server, task.operation, Extent(duration_s, CLIENTS))
    client.close()
    expect(not measurement.failed, f"{guest.who}: {measurement.failures}")
    return measurement.rate


async def _made_user(server: Server) -> Address:
    """The address of a plain user, for whom the admin made an account."""
    admin = Client(0, _as(server, ADMIN, ADMIN_PASSWORD))
    await admin.post("/users/create", {"username": USER, "password": USER_PASSWORD})
    admin.close()
    return _as(server, USER, USER_PASSWORD)


async def _token(server: Server) -> Address:
    user = Client(0, _as(server, USER, USER_PASSWORD))
    body = msgspec.json.encode({"name": "bench", "scopes": ["write"]})
    answer = await user.exchange(user.address.post("/api/riverrun/v1/tokens", body))
    user.close()
    token = msgspec.json.decode(answer.body)["token"]
    return replace(server.address, authorization=f"Bearer {token}")


def _as(server: Server, username: str, password: str) -> Address:
    given = base64.b64encode(f"{username}:{password}".encode()).decode()
    return replace(server.address, authorization=f"Basic {given}")


async def _searches(plan: Plan, work: Path) -> dict[str, float]:
    kind = _guarded(KINDS["riverrun"], "--auth", "--default-permission", "NO_PERMISSIONS")
    server = servers.start(kind, work / "private")
    try:
        user = await _made_user(server)
        admin = _as(server, ADMIN, ADMIN_PASSWORD)
        owner = Client(0, admin)

        async def create(client: Client, index: int) -> None:
            await client.post("/experiments/create", {"name": f"experiment-{index:05}"})

        await at_once(owner, range(EXPERIMENTS), create)
        for index in range(VISIBLE):
            grant = {
                "experiment_id": str(1 + index * (EXPERIMENTS // VISIBLE)),
                "username": USER,
                "permission": "READ",
            }
            await owner.post("/experiments/permissions/create", grant)
        by_admin, by_user = list[float](), list[float]()
        for _ in range(plan.rounds):
            by_admin.append(await _search_ms(server, admin, EXPERIMENTS + 1))
            by_user.append(await _search_ms(server, user, VISIBLE))
        owner.close()
    finally:
        servers.stop(server)
    return {
        "experiments": float(EXPERIMENTS),
        "admin_ms": median(by_admin),
        "viewer_ms": median(by_user),
    }


async def _search_ms(server: Server, address: Address, visible: int) -> float:
    """The page that a client asks for when nothing is said."""
    size = min(visible, PAGE)
    path = f"{API}/experiments/search?max_results={PAGE}"
    client = Client(0, address)
    found = (await client.get(path))["experiments"]
    client.close()
    expect(len(found) == size, f"{len(found)} experiments of {size}")
    own = replace(server, address=address)
    task = Task(repeat(address.get(path)))
    return (await measure(own, task.operation, Extent(SEARCH_S))).p50_ms
