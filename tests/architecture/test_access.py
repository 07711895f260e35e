"""Every route and page, asked by everybody, is held against `access_table.txt`."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from tests.architecture.world import SECRET, World, new_world
from tests.fixtures.people import HOUR_MS, Asker, Reply, add_person, add_token, asking, grant
from tests.store.engines import opened

from riverrun.api.route import Route
from riverrun.api.routes import routes
from riverrun.auth.credentials import token_hash
from riverrun.auth.levels import Level
from riverrun.auth.permissions import Permission
from riverrun.auth.viewer import Asking, everybody
from riverrun.settings import Settings
from riverrun.store.access import api_tokens
from riverrun.store.engine import Engine, Tx
from riverrun.wiring import Server, build, pages_of

PREFIXES = ("", "/team/mlflow")
TABLE = Path(__file__).with_name("access_table.txt")
LEAST = {
    "known": 0,
    "off": 0,
    "shown": 0,
    "READ": 1,
    "USE": 2,
    "EDIT": 3,
    "MANAGE": 4,
    "admin": 5,
    "self": 5,
    "own": 5,
}
"""Which of these roles may make a call, by what the table says: `self` and `own` of others'."""
ROLES = {"nobody": 0, "reader": 1, "user": 2, "editor": 3, "manager": 4, "admin": 5}
STRANGERS = ("anonymous", "unknown", "expired", "revoked")
"""Who is not let in; the tokens were an admin's."""
NOT_HERE = {
    "/mlflow-artifacts/mpu/create/*": 501,
    "/mlflow-artifacts/mpu/complete/*": 501,
    "/mlflow-artifacts/mpu/abort/*": 501,
    "/mlflow-artifacts/presigned/*": 501,
    "/mlflow/artifacts/presigned-upload-url": 400,
    "/mlflow/artifacts/presigned-download-url": 400,
}
"""What a store on disk cannot do; whoever may ask for it is told so."""

ELSEWHERE = {"x-mlflow-workspace": "elsewhere"}

Line = tuple[str, str]
"""A method, and a path without a prefix."""


@dataclass(frozen=True, slots=True)
class Stage:
    """An application that runs, with a token for everybody."""

    asker: Asker
    tokens: Mapping[str, str | None]
    database: Path
    files: Path

    async def world(self, owner: str, *, people: bool = False) -> World:
        admin = self.tokens["admin"]
        assert admin is not None
        return await new_world(self.asker, admin, owner, people=people)


def lines_of_table() -> list[list[str]]:
    lines = TABLE.read_text().splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


TABLED = {(method, path): least for least, method, path in lines_of_table()}


WITH_AUTH = Settings(auth=True)
PAGES = sorted({path or "/" for path in pages_of(WITH_AUTH, Server(WITH_AUTH))})


def tabled(route: Route) -> str:
    return TABLED[route.method, route.paths[0]]


async def people(engine: Engine) -> dict[str, str | None]:
    """Everybody's token. What the roles are granted is granted by the names of what is theirs."""
    tokens: dict[str, str | None] = {"anonymous": None, "unknown": "riverrun_pat_unknown"}
    for name, level in ROLES.items():
        person = await add_person(engine, name, is_admin=name == "admin")
        tokens[name] = person.token
        if 1 <= level <= 4:
            for kind in ("experiment", "registered_model"):
                await grant(engine, person.user_id, kind, f"* of {name}", Permission(level))
        if name == "admin":
            tokens["expired"] = await add_token(engine, person.user_id, expires_in_ms=-HOUR_MS)
            tokens["revoked"] = revoked = await add_token(engine, person.user_id)
            await engine.write(partial(revoke, token=revoked))
    return tokens


async def revoke(tx: Tx, *, token: str) -> None:
    found = await api_tokens.find_by_hash(tx, token_hash(token))
    assert found is not None
    await api_tokens.delete(tx, found.token_id)


@asynccontextmanager
async def staged(folder: Path, prefix: str) -> AsyncGenerator[Stage]:
    database, files = folder / "mlflow.db", folder / "artifacts"
    async with opened(f"sqlite:///{database}") as engine:
        tokens = await people(engine)
    settings = Settings(
        backend_store_uri=f"sqlite:///{database}",
        artifacts_destination=str(files),
        webhook_allow_private_ips=True,
        auth=True,
        default_permission="NO_PERMISSIONS",
        static_prefix=prefix,
        access_log="off",
    )
    async with asking(build(settings), prefix=prefix) as asker:
        yield Stage(asker, tokens, database, files)


def state_of(stage: Stage) -> dict[str, object]:
    """All that is stored, but for what notes who asked and what was asked before."""
    unheeded = {"audit_log", "api_tokens", "run_documents", "epochs", "webhook_deliveries"}
    with closing(sqlite3.connect(f"file:{stage.database}?mode=ro", uri=True)) as connection:
        names = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if name not in unheeded
        ]
        rows = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in names}
    files = {str(path): path.stat().st_size for path in stage.files.rglob("*") if path.is_file()}
    return {**rows, "files": files}


def assert_denied(reply: Reply, line: Line) -> None:
    if TABLED.get(line) == "own":
        assert (reply.status, reply.json["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST"), line
        return
    assert reply.status == 403, (line, reply)
    assert reply.json["error_code"] == "PERMISSION_DENIED", line
    assert SECRET not in reply.body, line


def assert_not_let_in(reply: Reply, line: Line) -> None:
    assert reply.status == 401, (line, reply)
    assert reply.json["error_code"] == "UNAUTHENTICATED", line
    assert reply.headers["www-authenticate"] == 'Basic realm="mlflow"', line
    assert SECRET not in reply.body, line


def assert_answered(reply: Reply, line: Line) -> None:
    expected = NOT_HERE.get(re.sub("^(/ajax-api|/api)/[0-9.]+", "", line[1]), 200)
    if expected == 200:
        assert 200 <= reply.status < 300, (line, reply)
    else:
        assert reply.status == expected, (line, reply)


async def denials(stage: Stage, who: str, world: World) -> None:
    """Each route and page that this one may not have, at each of its paths."""
    token = stage.tokens[who]
    check = assert_not_let_in if who in STRANGERS else assert_denied
    for route in routes():
        if tabled(route) != "off" and not may(who, tabled(route)):
            for path in route.paths:
                check(await world.request(route, token, path=path), (route.method, path))
    for path in PAGES:
        if not may(who, TABLED["GET", path]):
            check(await stage.asker.ask("GET", path, token=token), ("GET", path))


async def answers(stage: Stage, who: str, shared: World) -> None:
    """Each route and page that this one may have."""
    token = stage.tokens[who]
    for route in routes():
        least, line = tabled(route), (route.method, route.paths[0])
        if least == "closed":
            assert (await shared.request(route, token)).status == 403, line
        elif least == "off":
            reply = await shared.request(route, token)
            assert reply.status in {404, 503}, line
        elif may(who, least):
            changes = route.method != "GET" and least not in {"public", "known", "shown"}
            is_about_people = route.action.resource == "access"
            world = await stage.world(who, people=is_about_people) if changes else shared
            await world.prepare(route)
            reply = await world.request(route, token)
            assert_answered(reply, line)
            if least == "shown":
                assert (SECRET in reply.body) == (ROLES[who] >= Level.READ), (line, reply)
            elif least == "known" and who != "admin":
                assert SECRET not in reply.body, (line, reply)
    for path in PAGES:
        least = TABLED["GET", path]
        if may(who, least):
            status = 403 if least == "closed" else 200
            assert (await stage.asker.ask("GET", path, token=token)).status == status, path


def may(who: str, least: str) -> bool:
    return least in {"public", "closed"} or (who in ROLES and ROLES[who] >= LEAST[least])


def test_the_table_has_a_line_for_every_route_and_page_and_no_other():
    there = [(route.method, route.paths[0]) for route in routes()]
    assert {*there, *(("GET", path) for path in PAGES)} == set(TABLED)
    assert len(lines_of_table()) == len(TABLED)
    assert {least for least, *_ in lines_of_table()} <= {*LEAST, "public", "closed"}


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("who", [*STRANGERS, *ROLES])
def test_everybody_may_what_the_table_says_and_nothing_else(who: str, prefix: str, tmp_path: Path):
    async def walk() -> None:
        async with staged(tmp_path, prefix) as stage:
            world = await stage.world(who, people=True)
            before = state_of(stage)
            await denials(stage, who, world)
            assert state_of(stage) == before
            await answers(stage, who, world)

    asyncio.run(walk())


@pytest.mark.parametrize("prefix", PREFIXES)
def test_in_another_workspace_there_is_nothing_of_this_one(prefix: str, tmp_path: Path):
    async def walk() -> None:
        async with staged(tmp_path, prefix) as stage:
            for who in ("manager", "admin"):
                world = await stage.world(who, people=True)
                before = state_of(stage)
                for route in routes():
                    if tabled(route) not in {"public", "closed"}:
                        reply = await world.request(route, stage.tokens[who], headers=ELSEWHERE)
                        assert reply.status >= 400, (route.path, reply)
                        assert SECRET not in reply.body, route.path
                assert state_of(stage) == before

    asyncio.run(walk())


def test_everybody_sees_oneself_and_has_tokens_of_ones_own(tmp_path: Path):
    """What the table calls `self` and `own`."""

    async def walk() -> None:
        async with staged(tmp_path, "") as stage:
            me, users, own = "nobody", "/api/3.0/mlflow/users", "/api/riverrun/v1/tokens"
            token = stage.tokens[me]
            for path in ("/api/2.0/mlflow/users/get", f"{users}/roles/list"):
                reply = await stage.asker.ask("GET", path, token=token, query={"username": me})
                assert reply.status == 200, path
            path = f"{users}/permissions/list"
            reply = await stage.asker.ask("GET", path, token=token, query={"username": me})
            assert reply.status == 200
            made = await stage.asker.ask("POST", own, token=token, message={"name": "mine"})
            assert made.status == 200
            listed = await stage.asker.ask("GET", own, token=token)
            assert "mine" in {each["name"] for each in listed.json["tokens"]}
            one = f"{own}/{made.json['info']['token_id']}"
            assert (await stage.asker.ask("DELETE", one, token=token)).status == 200
            reply = await stage.asker.ask("GET", own, token=made.json["token"])
            assert reply.status == 401

    asyncio.run(walk())


def test_every_route_names_its_action():
    for route in routes():
        assert route.action.resource, route.path
        if route.method in {"PUT", "DELETE", "PATCH"}:
            assert route.action.level >= Level.EDIT, route.path


def test_a_routes_action_says_what_the_table_says():
    """It is what a token's scopes are held against, and what the audit log calls a denial."""
    for route in routes():
        least = tabled(route)
        if least in Level.__members__ and route.action.resource != "access":
            assert route.action.level == Level[least], route.path
        assert (route.action.level is Level.PUBLIC) == (least in {"public", "closed"}), route.path


def test_without_access_control_everybody_may_do_everything():
    viewer = asyncio.run(everybody(Asking({}, None)))
    viewer.require(Level.MANAGE, 1)
    viewer.require(Level.MANAGE, None)
