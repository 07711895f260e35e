"""Every route asks who the viewer is: one without grants gets nothing, whatever the route."""

import asyncio
import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import msgspec
import pytest
from starlette.types import ASGIApp, Message
from tests.fixtures.application import started

from riverrun.api.routes import Route, Source, routes
from riverrun.auth.levels import Level
from riverrun.auth.viewer import DEFAULT_WORKSPACE, Asking, Viewer, everybody
from riverrun.errors import PermissionDenied
from riverrun.settings import Settings
from riverrun.wiring import Server

Reply = tuple[int, bytes]

MAY_BE_EMPTY = {
    ("POST", "/mlflow/experiments/search"),
    ("GET", "/mlflow/experiments/search"),
    ("POST", "/mlflow/experiments/search-datasets"),
    ("POST", "/mlflow/runs/search"),
    ("POST", "/mlflow/logged-models/search"),
    ("GET", "/mlflow/registered-models/search"),
    ("GET", "/mlflow/model-versions/search"),
}
"""Searches whose answer leaves out what the viewer may not see."""
EVERYBODYS = {
    ("POST", "/mlflow/experiments/create"),
    ("POST", "/mlflow/registered-models/create"),
}
"""What all who are known may do."""


async def nobody(asking: Asking) -> Viewer:
    """A user to whom nobody granted anything, where the default is nothing, too."""
    del asking
    return Viewer("mallory", DEFAULT_WORKSPACE, all_powerful=False, user_id=1_000_000)


@dataclass(frozen=True, slots=True)
class World:
    """One application for the owner of everything, and one on the same data for nobody."""

    owner: ASGIApp
    nobody: ASGIApp
    known: dict[str, Any]


@asynccontextmanager
async def world(folder: Path):
    settings = Settings(
        backend_store_uri=f"sqlite:///{folder}/mlflow.db",
        artifacts_destination=str(folder / "artifacts"),
        webhook_allow_private_ips=True,
    )
    server = Server(settings)
    services = await server.start()
    try:
        owner = await started(services)
        viewer = await started(replace(services, authenticate=nobody))
        yield World(owner, viewer, await something(owner))
    finally:
        await server.stop()


async def ask(app: ASGIApp, route: Route, fields: dict[str, Any], *, path: str = "") -> Reply:
    sent: list[Message] = []
    target = path or route.paths[0]
    as_json = route.source is Source.JSON
    body = b"file" if route.source is Source.FILE else b""
    if as_json:
        body = json.dumps(fields).encode()

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": route.method,
        "path": target,
        "raw_path": target.encode(),
        "query_string": b"" if as_json else urlencode(fields, doseq=True).encode(),
        "headers": [(b"content-type", b"application/json")],
    }
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(each.get("body", b"") for each in sent[1:])


def route_of(method: str, path: str) -> Route:
    return next(each for each in routes() if (each.method, each.path) == (method, path))


async def something(app: ASGIApp) -> dict[str, Any]:
    """An experiment with a model, and a run with a metric, a tag and a file."""
    create = route_of("POST", "/mlflow/experiments/create")
    _, body = await ask(app, create, {"name": "private"})
    experiment_id = json.loads(body)["experiment_id"]
    create = route_of("POST", "/mlflow/runs/create")
    _, body = await ask(app, create, {"experiment_id": experiment_id})
    run_id = json.loads(body)["run"]["info"]["run_id"]
    log = route_of("POST", "/mlflow/runs/log-batch")
    batch = {
        "run_id": run_id,
        "metrics": [{"key": "secret", "value": 1, "timestamp": 1}],
        "tags": [{"key": "secret", "value": "x"}],
    }
    assert await ask(app, log, batch) == (200, b"{}")
    create = route_of("POST", "/mlflow/logged-models")
    model = {"experiment_id": experiment_id, "tags": [{"key": "secret", "value": "x"}]}
    _, body = await ask(app, create, model)
    model_id = json.loads(body)["model"]["info"]["model_id"]
    register = route_of("POST", "/mlflow/registered-models/create")
    assert (await ask(app, register, {"name": "secret"}))[0] == 200
    create = route_of("POST", "/mlflow/model-versions/create")
    version = {"name": "secret", "source": f"runs:/{run_id}/secret", "run_id": run_id}
    assert (await ask(app, create, version))[0] == 200
    create = route_of("POST", "/mlflow/webhooks")
    events = [{"entity": "RUN", "action": "FINISHED"}]
    webhook = {"name": "secret", "url": "https://127.0.0.1:9/private", "events": events}
    _, body = await ask(app, create, webhook)
    webhook_id = json.loads(body)["webhook"]["webhook_id"]
    put = route_of("PUT", "/mlflow-artifacts/artifacts/*")
    file = f"/api/2.0/mlflow-artifacts/artifacts/{experiment_id}/{run_id}/artifacts/secret"
    assert await ask(app, put, {}, path=file) == (200, b"{}")
    return {
        "experiment_id": experiment_id,
        "experiment_ids": [experiment_id],
        "experiment_name": "private",
        "run_id": run_id,
        "run_ids": [run_id],
        "model_id": model_id,
        "tag_key": "secret",
        "webhook_id": webhook_id,
        "url": "https://127.0.0.1:9/",
        "events": events,
        "status": "LOGGED_MODEL_READY",
        "metric_key": "secret",
        "key": "secret",
        "name": "new",
        "new_name": "newer",
        "version": "1",
        "stage": "Production",
        "alias": "secret",
        "source": f"runs:/{run_id}/secret",
        "value": 1,
        "timestamp": 1,
        "max_results": 10,
        "num_parts": 1,
        "parts": [],
        "models": [],
        "path": "secret",
        "artifact_file_path": "secret",
        "model_json": json.dumps(
            {"artifact_path": "", "flavors": {}, "utc_time_created": "", "run_id": run_id}
        ),
        "*": f"{experiment_id}/{run_id}/artifacts/secret",
    }


def path_for(route: Route, known: dict[str, Any]) -> str:
    """The route's path with what there is in its open places."""
    parts = re.split(r"\{(\w+)(?::path)?\}", route.paths[0])
    parts[1::2] = [known[name] for name in parts[1::2]]
    return "".join(parts).replace("*", known["*"])


def fields_for(route: Route, known: dict[str, Any]) -> dict[str, Any]:
    """What the message needs, of what there is."""
    fields: dict[str, Any] = {}
    for field in msgspec.structs.fields(route.message):
        if field.name in known and (
            field.name in route.message.required
            or field.name.startswith(("experiment", "max_", "run_id"))
        ):
            is_text = "str" in str(field.type) and "list" not in str(field.type)
            value = known[field.name]
            fields[field.name] = str(value) if is_text else value
    return fields


async def answers(folder: Path, who: Literal["owner", "nobody"]) -> dict[tuple[str, str], Reply]:
    async with world(folder) as both:
        app = both.owner if who == "owner" else both.nobody
        found: dict[tuple[str, str], Reply] = {}
        for route in routes():
            path = path_for(route, both.known)
            reply = await ask(app, route, fields_for(route, both.known), path=path)
            found[route.method, route.path] = reply
        return found


def test_every_route_names_its_action():
    for route in routes():
        assert route.action.resource, route.path
        writes = route.method in {"PUT", "DELETE", "PATCH"}
        if writes:
            assert route.action.level >= Level.EDIT, route.path


def test_only_what_a_client_asks_before_it_logs_in_is_public():
    public = {route.path for route in routes() if route.action.level is Level.PUBLIC}
    assert public == {
        "/mlflow/server-info",
        "/mlflow/ui-telemetry",
        "/api/riverrun/v1/openapi.json",
    }


def test_a_viewer_without_grants_gets_nothing_from_any_route(tmp_path: Path):
    replies = asyncio.run(answers(tmp_path, "nobody"))
    for route in routes():
        status, body = replies[route.method, route.path]
        if route.action.level is Level.PUBLIC:
            assert status == 200, route.path
        elif (route.method, route.path) in MAY_BE_EMPTY:
            assert (status, body) == (200, b"{}"), (route.path, body)
        elif (route.method, route.path) in EVERYBODYS:
            assert status in {200, 400}, (route.path, body)
        else:
            assert status == 403, (route.method, route.path, status, body)
            assert json.loads(body)["error_code"] == "PERMISSION_DENIED"
            assert b"secret" not in body
            assert b"private" not in body


def test_the_owner_is_let_in_by_the_same_questions(tmp_path: Path):
    """So that a 403 above is about the viewer, and not about the question."""
    replies = asyncio.run(answers(tmp_path, "owner"))
    refused = {
        each: reply for each, reply in replies.items() if reply[0] in {401, 403} or reply[0] >= 500
    }
    # The multipart routes are for stores that are not local.
    assert {path for _, path in refused} <= {
        "/mlflow-artifacts/mpu/create/*",
        "/mlflow-artifacts/mpu/complete/*",
        "/mlflow-artifacts/mpu/abort/*",
        "/mlflow-artifacts/presigned/*",
    }
    assert {status for status, _ in refused.values()} <= {501}
    assert replies["GET", "/mlflow/runs/get"][0] == 200


def test_without_access_control_everybody_may_do_everything():
    viewer = asyncio.run(everybody(Asking({}, None)))
    viewer.require(Level.MANAGE, 1)
    viewer.require(Level.MANAGE, None)


@pytest.mark.parametrize("experiment_id", [0, 1, None])
@pytest.mark.parametrize("level", [level for level in Level if level > Level.PUBLIC])
def test_a_viewer_without_grants_has_no_level(level: Level, experiment_id: int | None):
    with pytest.raises(PermissionDenied, match=level.name):
        asyncio.run(nobody(Asking({}, None))).require(level, experiment_id)
