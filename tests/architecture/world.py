"""What the calls of tests/architecture/test_access.py are about: an experiment with a run, a logged
model, files, a registered model with a version, and a webhook; and the requests for each route.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import msgspec
from tests.fixtures.people import Asker, Reply

from riverrun.api.route import Route, Source

SECRET = b"secret"
"""Is in everything that a world holds, and in nothing that a request makes."""
_NUMBERS = count(1)

OVERRIDES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/mlflow/experiments/create"): {"name": "*new"},
    ("POST", "/mlflow/experiments/update"): {"new_name": "*new"},
    ("POST", "/mlflow/registered-models/create"): {"name": "*new"},
    ("POST", "/mlflow/registered-models/rename"): {"new_name": "*new"},
    ("POST", "/mlflow/webhooks"): {"name": "*new"},
    ("POST", "/mlflow/runs/log-batch"): {
        "metrics": [{"key": "new", "value": 1, "timestamp": 1}],
        "tags": [{"key": "new", "value": "1"}],
    },
    ("POST", "/mlflow/runs/log-inputs"): {
        "datasets": [
            {"dataset": {"name": "new", "digest": "1", "source_type": "x", "source": "y"}}
        ],
    },
    ("GET", "/mlflow/artifacts/list"): {"path": "secret"},
    ("GET", "/mlflow-artifacts/artifacts"): {"path": "+folder"},
    ("GET", "/model-versions/get-artifact"): {"path": "secret.txt"},
    ("PATCH", "/mlflow/logged-models/{model_id}/tags"): {"tags": [{"key": "new", "value": "1"}]},
    ("POST", "/mlflow/logged-models/{model_id}/params"): {"params": [{"key": "new", "value": "1"}]},
    ("POST", "/mlflow/logged-models"): {"tags": [{"key": "new", "value": "1"}]},
    ("POST", "/mlflow/registered-models/alias"): {"alias": "new"},
    ("POST", "/mlflow/users/create"): {"username": "*new"},
    ("POST", "/mlflow/users/permissions/grant"): {"username": "nobody"},
    ("POST", "/mlflow/experiments/permissions/create"): {"username": "nobody"},
    ("POST", "/mlflow/registered-models/permissions/create"): {"username": "nobody"},
    ("POST", "/mlflow/roles/create"): {"name": "*new"},
    ("PATCH", "/mlflow/roles/update"): {"name": "*new"},
    ("GET", "/runs/{run_id}/artifacts.zip"): {"path": "secret"},
    ("GET", "/logged-models/{model_id}/artifacts.zip"): {"path": "secret"},
    ("POST", "/mlflow/roles/assign"): {"username": "nobody"},
    ("POST", "/mlflow/roles/permissions/add"): {"resource_pattern": "new*"},
    ("POST", "/setup"): {"token": "x", "username": "*new", "password": "long enough for all"},
    ("POST", "/service-accounts"): {"name": "*new"},
    ("POST", "/mlflow/workspaces"): {"name": "*new"},
}
"""What a request has beside what its message requires; `*new` is a name that nothing has."""

_RESTORES = {
    "/mlflow/experiments/restore": "/api/2.0/mlflow/experiments/delete",
    "/mlflow/runs/restore": "/api/2.0/mlflow/runs/delete",
}


@dataclass(frozen=True, slots=True)
class World:
    """Made by the admin whose token this is; `known` is what requests may name."""

    asker: Asker
    token: str
    known: Mapping[str, Any]

    async def request(
        self, route: Route, token: str | None, *, path: str = "", headers: Any = None
    ) -> Reply:
        """The route's request about this world; at another of its paths, if one is given."""
        fields = fields_for(route, self.known)
        target = path_for(path or route.paths[0], {**self.known, **in_path(route, self.known)})
        query = None if route.source is Source.JSON else fields
        message = fields if route.source is Source.JSON else None
        body = b"new file" if route.source is Source.FILE else b""
        return await self.asker.ask(
            route.method,
            target,
            token=token,
            query=query,
            message=message,
            body=body,
            headers=headers,
        )

    async def prepare(self, route: Route) -> None:
        """What is to be restored was deleted before."""
        path = _RESTORES.get(route.path)
        if path is not None:
            fields = {name: self.known[name] for name in ("experiment_id", "run_id")}
            fields = {name: fields[name] for name in route.message.required}
            await self.made("POST", path, fields)

    async def made(self, method: str, path: str, message: Mapping[str, Any]) -> Any:
        reply = await self.asker.ask(method, path, token=self.token, message=message)
        assert reply.status == 200, (path, reply)
        return reply.json

    async def uploaded(self, path: str) -> None:
        path = f"/api/2.0/mlflow-artifacts/artifacts/{path}"
        reply = await self.asker.ask("PUT", path, token=self.token, body=b"the secret of the file")
        assert reply.status == 200, reply


async def new_world(asker: Asker, token: str, owner: str, *, people: bool) -> World:
    """Names end in the owner's, so that grants by pattern reach them. With `people` there are a
    user, a role and a service account to do something to, too.
    """
    number = next(_NUMBERS)
    name = f"secret {number} of {owner}"
    made = World(asker, token, {}).made
    uploaded = World(asker, token, {}).uploaded
    api = "/api/2.0/mlflow"
    secret = [{"key": "secret", "value": "secret"}]
    message: dict[str, Any] = {"name": name, "tags": secret}
    experiment_id = (await made("POST", f"{api}/experiments/create", message))["experiment_id"]
    message = {"experiment_id": experiment_id, "run_name": "secret", "tags": secret}
    run = (await made("POST", f"{api}/runs/create", message))["run"]["info"]
    run_id, files = run["run_id"], path_of(run["artifact_uri"])
    metric = {"key": "secret", "value": 1, "timestamp": 1}
    await made("POST", f"{api}/runs/log-batch", {"run_id": run_id, "metrics": [metric]})
    dataset = {"name": "secret", "digest": "1", "source_type": "x", "source": "y"}
    inputs = {"run_id": run_id, "datasets": [{"dataset": dataset}]}
    await made("POST", f"{api}/runs/log-inputs", inputs)
    message = {"experiment_id": experiment_id, "name": "secret", "tags": secret}
    model = (await made("POST", f"{api}/logged-models", message))["model"]["info"]
    await made("POST", f"{api}/registered-models/create", {"name": name, "tags": secret})
    source = f"runs:/{run_id}/secret"
    version = {"name": name, "source": source, "run_id": run_id, "tags": secret}
    await made("POST", f"{api}/model-versions/create", version)
    alias = {"name": name, "alias": "secret", "version": "1"}
    await made("POST", f"{api}/registered-models/alias", alias)
    events = [{"entity": "RUN", "action": "FINISHED"}]
    url = "https://127.0.0.1:9/secret"
    webhook = {"name": f"secret-{number}", "url": url, "events": events}
    webhook_id = (await made("POST", f"{api}/webhooks", webhook))["webhook"]["webhook_id"]
    await uploaded(f"{files}/secret/secret.txt")
    await uploaded(f"{path_of(model['artifact_uri'])}/secret/secret.txt")
    known = {
        "new": f"new-{number}",
        "experiment_id": experiment_id,
        "experiment_ids": [experiment_id],
        "experiment_name": name,
        "run_id": run_id,
        "run_ids": [run_id],
        "model_id": model["model_id"],
        "name": name,
        "tag_key": "secret",
        "webhook_id": webhook_id,
        "url": "https://127.0.0.1:9/",
        "events": events,
        "status": "LOGGED_MODEL_READY",
        "metric_key": "secret",
        "version": "1",
        "stage": "Production",
        "alias": "secret",
        "source": source,
        "value": 1,
        "timestamp": 1,
        "max_results": 1_000,
        "num_parts": 1,
        "upload_id": "x",
        "parts": [],
        "models": [],
        "path": "secret/secret.txt",
        "artifact_file_path": "secret/secret.txt",
        "model_json": json.dumps(
            {"artifact_path": "", "flavors": {}, "utc_time_created": "", "run_id": run_id}
        ),
        "folder": f"{files}/secret",
        "*": f"{files}/secret/secret.txt",
    }
    if people:
        known.update(await _people(asker, token, number, known))
    return World(asker, token, known)


async def _people(
    asker: Asker, token: str, number: int, known: Mapping[str, Any]
) -> dict[str, Any]:
    """Somebody who was granted something directly and by a role, and has a token."""
    made = World(asker, token, {}).made
    username, service, roles = f"victim {number}", f"service {number}", "/api/3.0/mlflow/roles"
    experiment = {"resource_type": "experiment", "permission": "READ"}
    user = {"username": username, "password": "long enough for all"}
    await made("POST", "/api/2.0/mlflow/users/create", user)
    role = {"name": f"secret role {number}", "workspace": "default"}
    role_id = (await made("POST", f"{roles}/create", role))["role"]["id"]
    await made("POST", f"{roles}/assign", {"username": username, "role_id": role_id})
    pattern = {**experiment, "role_id": role_id, "resource_pattern": known["experiment_id"]}
    granted = await made("POST", f"{roles}/permissions/add", pattern)
    for kind, name in (("experiments", "experiment_id"), ("registered-models", "name")):
        direct = {name: known[name], "username": username, "permission": "READ"}
        await made("POST", f"/api/2.0/mlflow/{kind}/permissions/create", direct)
    own = "/api/riverrun/v1"
    of_user = {"name": "secret token", "username": username}
    token_id = (await made("POST", f"{own}/tokens", of_user))["info"]["token_id"]
    await made("POST", f"{own}/service-accounts", {"name": service})
    return {
        "username": username,
        "password": "another one for them",
        "is_admin": True,
        "role_id": role_id,
        "role_permission_id": granted["role_permission"]["id"],
        "permission": "EDIT",
        "resource_type": "experiment",
        "resource_id": known["experiment_id"],
        "resource_pattern": known["experiment_id"],
        "workspace": "default",
        "workspace_name": "default",
        "token_id": token_id,
        "service": service,
    }


def in_path(route: Route, known: Mapping[str, Any]) -> dict[str, Any]:
    """What a route's path calls by a name that means something else elsewhere."""
    return {"name": known["service"]} if route.path.startswith("/service-accounts/") else {}


def path_of(artifact_uri: str) -> str:
    """Behind the artifact proxy."""
    return artifact_uri.removeprefix("mlflow-artifacts:/")


def path_for(path: str, known: Mapping[str, Any]) -> str:
    """The route's path with what there is in its open places."""
    parts = re.split(r"\{(\w+)(?::path)?\}", path)
    parts[1::2] = [str(known[name]) for name in parts[1::2]]
    return "".join(parts).replace("*", known["*"])


def fields_for(route: Route, known: Mapping[str, Any]) -> dict[str, Any]:
    """What the message needs, of what there is, without what the path says."""
    fields: dict[str, Any] = {}
    for field in msgspec.structs.fields(route.message):
        is_wanted = field.name in route.message.required or field.name.startswith(
            ("experiment", "max_", "run_id", "path", "key", "metric_key", "username")
        )
        is_in_path = "{" + field.name in route.path and field.name not in route.message.required
        if is_wanted and not is_in_path and _has(field.name, known):
            fields[field.name] = _given(field.name, str(field.type), route, known)
    overrides = OVERRIDES.get((route.method, route.path), {})
    named = {"*new": known["new"], "+folder": known["folder"]}
    for name, value in overrides.items():
        fields[name] = named.get(value, value) if isinstance(value, str) else value
    return fields


def _has(name: str, known: Mapping[str, Any]) -> bool:
    return name in known or name == "key"


def _given(name: str, kind: str, route: Route, known: Mapping[str, Any]) -> Any:
    if name == "key":
        return "secret" if "delete" in route.path else "new"
    value = known[name]
    if "str" in kind and "list" not in kind:
        return str(value)
    return value
