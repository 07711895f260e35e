"""Every route, asked in one workspace for what lies in another: it is as if it were not there."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.architecture.world import World, new_world
from tests.fixtures.people import Asker, Reply, add_person, asking
from tests.store.engines import opened

from riverrun.api.route import Route
from riverrun.api.routes import routes
from riverrun.auth.levels import Level
from riverrun.auth.permissions import Permission
from riverrun.entities.workspaces import Workspace
from riverrun.settings import Settings
from riverrun.store import workspaces
from riverrun.store.access import roles
from riverrun.store.access.roles import What
from riverrun.store.change import Change
from riverrun.store.engine import Tx
from riverrun.wiring import build

HERE, THERE = {"x-mlflow-workspace": "team-a"}, {"x-mlflow-workspace": "team-b"}
MAKES = frozenset({"/mlflow/experiments/create", "/mlflow/registered-models/create"})
"""What these make has ids of its own."""
WALKED = tuple(
    route
    for route in routes()
    if route.action.level is not Level.PUBLIC
    and route.action.resource not in {"access", "audit", "workspace", "server"}
    and route.path not in MAKES
    and (route.method, route.path) != ("POST", "/mlflow/webhooks")
)
"""Those that are about what lies in a workspace; users and roles are the server's."""


REFUSED: Mapping[str, set[int]] = {"everybody": set(), "admin": set(), "manager": {403}}


class InWorkspace(Asker):
    """Whose requests are about team-a, if they name no other workspace."""

    async def ask(self, method: str, path: str, **given: Any) -> Reply:
        headers: Mapping[str, str] = given.pop("headers", None) or HERE
        return await super().ask(method, path, headers=headers, **given)


@asynccontextmanager
async def staged(folder: Path, *, auth: bool) -> AsyncGenerator[tuple[InWorkspace, dict[str, str]]]:
    """An application with the workspaces team-a and team-b, and tokens for an admin and for one who
    manages team-b.
    """
    database = f"sqlite:///{folder}/mlflow.db"
    async with opened(database) as engine:
        admin = await add_person(engine, "admin", is_admin=True)
        manager = await add_person(engine, "manager")
        await engine.write(lambda tx: manage_b(tx, manager.user_id))
    settings = Settings(
        backend_store_uri=database,
        artifacts_destination=str(folder / "artifacts"),
        webhook_allow_private_ips=True,
        auth=auth,
        workspaces=True,
        access_log="off",
    )
    app = build(settings)
    async with asking(app):
        yield InWorkspace(app), {"admin": admin.token, "manager": manager.token}


async def manage_b(tx: Tx, user_id: int) -> None:
    for name in ("team-a", "team-b"):
        await workspaces.insert(tx, Workspace(name), Change("", 1))
    role = await roles.own(tx, user_id, "team-b")
    what = What("workspace", "*", is_glob=True)
    await roles.insert_grant(tx, role, what, Permission.MANAGE)


async def asked_elsewhere(
    asker: Asker, token: str | None, known: Mapping[str, Any]
) -> dict[tuple[str, str], tuple[int, bytes]]:
    """What a request for each route answers in team-b."""
    found: dict[tuple[str, str], tuple[int, bytes]] = {}
    for route in WALKED:
        for path in route.paths:
            reply = await World(asker, "", known).request(route, token, path=path, headers=THERE)
            found[route.method, path] = (reply.status, reply.body)
    return found


@pytest.mark.parametrize("who", ["everybody", "admin", "manager"])
def test_what_lies_in_another_workspace_is_as_if_it_were_not_there(who: str, tmp_path: Path):
    auth = who != "everybody"

    async def walk() -> None:
        async with staged(made(tmp_path / "full"), auth=auth) as (asker, tokens):
            world = await new_world(asker, tokens["admin"], "team-a", people=False)
            answers = await asked_elsewhere(asker, tokens.get(who), world.known)
            for route in WALKED:  # All of it is still there.
                if route.method == "GET" and not is_of_clouds(route):
                    reply = await world.request(route, tokens["admin"])
                    assert reply.status == 200, (route.path, reply)
        async with staged(made(tmp_path / "empty"), auth=auth) as (asker, tokens):
            expected = await asked_elsewhere(asker, tokens.get(who), world.known)
        assert answers == expected
        assert {status for status, _ in answers.values()} == {200, 404, *REFUSED[who]}

    asyncio.run(walk())


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def is_of_clouds(route: Route) -> bool:
    return "presigned" in route.path
