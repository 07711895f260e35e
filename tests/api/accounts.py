"""Requests by users with passwords, of a server with access control."""

import base64
import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.api.protocol import accepted, unique
from tests.fixtures.server import Answered, Server, serving

TWO = "/api/2.0/mlflow/"
THREE = "/api/3.0/mlflow/"
ADMIN_PASSWORD = "the admin's own password"
PASSWORD = "correct horse battery"


@dataclass(frozen=True, slots=True)
class Account:
    """One who asks a server, in a workspace if it has several."""

    server: Server
    name: str
    password: str
    workspace: str = ""

    def post(self, path: str, message: Mapping[str, Any], *, api: str = TWO) -> Answered:
        return self._send("POST", api + path, message)

    def patch(self, path: str, message: Mapping[str, Any], *, api: str = TWO) -> Answered:
        return self._send("PATCH", api + path, message)

    def delete(self, path: str, message: Mapping[str, Any], *, api: str = TWO) -> Answered:
        return self._send("DELETE", api + path, message)

    def get(self, path: str, *, api: str = TWO, **fields: object) -> Answered:
        return self._send("GET", f"{api}{path}?{urlencode(fields, doseq=True)}")

    def _send(self, method: str, target: str, message: Mapping[str, Any] | None = None) -> Answered:
        login = base64.b64encode(f"{self.name}:{self.password}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        if self.workspace:
            headers["X-MLFLOW-WORKSPACE"] = self.workspace
        body = None if message is None else json.dumps(message).encode()
        return self.server.request(method, target, body, headers)

    def create_experiment(self, name: str = "") -> str:
        message = {"name": name or unique("experiment")}
        return accepted(self.post("experiments/create", message))["experiment_id"]

    def inside(self, workspace: str) -> "Account":
        """The same one, who asks in this workspace."""
        return replace(self, workspace=workspace)

    def may_write(self, experiment: str) -> bool:
        """Whether a run can be made there."""
        status = self.post("runs/create", {"experiment_id": experiment}).status
        assert status in {200, 403}
        return status == 200

    def may_read(self, experiment: str) -> bool:
        status = self.get("experiments/get", experiment_id=experiment).status
        assert status in {200, 403}
        return status == 200

    def new_user(self, name: str = "", *, is_admin: bool = False) -> "Account":
        """Made by this one, who must be an admin."""
        name = name or unique("user")
        accepted(self.post("users/create", {"username": name, "password": PASSWORD}))
        if is_admin:
            accepted(self.patch("users/update-admin", {"username": name, "is_admin": True}))
        return Account(self.server, name, PASSWORD)

    def grant(self, user: "Account", resource_type: str, resource: str, word: str) -> Answered:
        message = {
            "username": user.name,
            "resource_type": resource_type,
            "resource_id": resource,
            "permission": word,
        }
        return self.post("users/permissions/grant", message, api=THREE)

    def revoke(self, user: "Account", resource_type: str, resource: str) -> Answered:
        message = {"username": user.name, "resource_type": resource_type, "resource_id": resource}
        return self.post("users/permissions/revoke", message, api=THREE)

    def new_role(self, name: str = "") -> int:
        message = {"name": name or unique("role"), "workspace": "default"}
        return accepted(self.post("roles/create", message, api=THREE))["role"]["id"]

    def assign(self, user: "Account", role: int) -> Answered:
        return self.post("roles/assign", {"username": user.name, "role_id": role}, api=THREE)

    def add(self, role: int, resource_type: str, pattern: str, word: str) -> Answered:
        """To what the role is granted."""
        message = {
            "role_id": role,
            "resource_type": resource_type,
            "resource_pattern": pattern,
            "permission": word,
        }
        return self.post("roles/permissions/add", message, api=THREE)


def denied(answer: Answered) -> None:
    assert (answer.status, answer.error_code) == (403, "PERMISSION_DENIED"), answer.body[:500]


@contextmanager
def guarded(folder: Path, *options: str, database: str = "") -> Generator[Account]:
    """The admin of a new server with access control."""
    environ = {"MLFLOW_ADMIN_USERNAME": "root", "MLFLOW_ADMIN_PASSWORD": ADMIN_PASSWORD}
    with serving(folder, "--auth", *options, database=database, environ=environ) as server:
        yield Account(server, "root", ADMIN_PASSWORD)
