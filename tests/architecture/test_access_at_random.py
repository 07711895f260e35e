"""What `levels` says of random grants is what the answers to random requests do."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.architecture.test_access import TABLED
from tests.architecture.world import SECRET, World, new_world
from tests.fixtures.application import started
from tests.fixtures.people import Asker, Person, add_person, grant
from tests.store.engines import opened

from riverrun.api.call import Services
from riverrun.api.route import Route
from riverrun.api.routes import routes
from riverrun.auth.levels import Level
from riverrun.auth.permissions import Permission
from riverrun.auth.viewer import EXPERIMENT, REGISTERED_MODEL, Asking, Resource, Rights
from riverrun.settings import Settings
from riverrun.store.engine import Engine
from riverrun.wiring import Server

REQUESTS = 700
OWNERS = ("red", "green", "blue", "red_green")
PATTERNS = ("*", "* of red", "* of *green", "secret * of blue", "*_green", "*e*", "nothing*")
NAMED_IN_PATH = "/model-versions/get-artifact"
"""Its version is a run's, so that it asks for two things."""


def askable() -> list[Route]:
    """Routes that ask for a level on one experiment or one registered model."""
    return [
        route
        for route in routes()
        if TABLED[route.method, route.paths[0]] in Level.__members__
        and route.action.resource != "access"
        and route.path != NAMED_IN_PATH
    ]


def resource_of(route: Route, world: World) -> Resource:
    if route.action.resource == "registered_model":
        return Resource(REGISTERED_MODEL, world.known["name"])
    return Resource(EXPERIMENT, int(world.known["experiment_id"]))


def changes_access(route: Route) -> bool:
    """It takes away what the next request would ask about, or gives it another name."""
    return route.action.level == Level.MANAGE or route.path == "/mlflow/experiments/update"


async def people(engine: Engine, chance: random.Random) -> list[Person]:
    found = [await add_person(engine, f"person {number}") for number in range(8)]
    for person in found:
        patterns = chance.sample(PATTERNS, chance.choice([0, 1, 2, 4]))
        for pattern in patterns:
            for kind in chance.sample(["experiment", "registered_model", "prompt"], 2):
                await grant(engine, person.user_id, kind, pattern, chance.choice(list(Permission)))
        for experiment_id in chance.sample(range(1, len(OWNERS) + 1), chance.choice([0, 1, 2])):
            permission = chance.choice(list(Permission))
            await grant(engine, person.user_id, "experiment", str(experiment_id), permission)
    return found


async def level_of(services: Services, person: Person, resource: Resource) -> Level:
    """As `levels` has it, of one who just came."""
    headers = {b"authorization": f"Bearer {person.token}".encode()}
    viewer = replace(await services.authenticate(Asking(headers, None)), rights=Rights())
    await services.permissions.decide(viewer, [resource])
    return max(level for level in Level if viewer.rights.suffices(level, resource))


@pytest.mark.parametrize("default", ["NO_PERMISSIONS", "READ", "EDIT"])
def test_what_the_grants_come_to_is_what_the_answers_do(default: str, tmp_path: Path):
    chance = random.Random(default)

    async def story() -> None:
        database = f"sqlite:///{tmp_path}/mlflow.db"
        async with opened(database) as engine:
            admin = await add_person(engine, "admin", is_admin=True)
            asking_people = await people(engine, chance)
        settings = Settings(
            backend_store_uri=database,
            artifacts_destination=str(tmp_path / "artifacts"),
            webhook_allow_private_ips=True,
            auth=True,
            default_permission=default,
        )
        server = Server(settings)
        services = await server.start()
        try:
            asker = Asker(await started(services))
            worlds = [await new_world(asker, admin.token, each, people=False) for each in OWNERS]
            await compare(services, asking_people, worlds, chance)
        finally:
            await server.stop()

    asyncio.run(story())


async def compare(
    services: Services, everybody: Sequence[Person], worlds: Sequence[World], chance: random.Random
) -> None:
    answered: set[tuple[Level, bool]] = set()
    for _ in range(REQUESTS):
        person, world, route = (
            chance.choice(everybody),
            chance.choice(worlds),
            chance.choice(askable()),
        )
        least = Level[TABLED[route.method, route.paths[0]]]
        may = await level_of(services, person, resource_of(route, world)) >= least
        if may and changes_access(route):
            continue
        reply = await world.request(route, person.token, path=chance.choice(route.paths))
        said = (person, route.method, route.path, world.known["name"], reply)
        assert (reply.status == 403) == (not may), said
        assert may or SECRET not in reply.body, said
        answered.add((least, may))
    assert {(Level.READ, True), (Level.READ, False), (Level.EDIT, True), (Level.EDIT, False)} <= (
        answered
    )
    assert (Level.MANAGE, False) in answered
