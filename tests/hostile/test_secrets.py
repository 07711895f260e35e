"""Passwords, tokens and what is made of them stand in no log, no answer, no audit entry."""

import base64
import json
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.fixtures.databases import Databases
from tests.fixtures.server import Answered, Server, free_port, serving

ADMIN = "Admin-Secret-8w7q6e5r"
WRONG = "Wrong-Secret-1a2s3d4f"
NEW = "Newer-Secret-5t6y7u8i"
SHORT = "Tiny-5r"
QUERY = "Query-Secret-9o8i7u6y"
STRANGE = 'Strange-Secret"\\\u20ac\u00e9-4r5t'
LOUD = ("--log-level", "debug", "--log-format", "json", "--access-log", "all")
OWN = "/api/riverrun/v1/"
TWO = "/api/2.0/mlflow/"


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@dataclass
class Listener:
    """Asks a server, and remembers all that it said."""

    server: Server
    heard: list[bytes] = field(default_factory=list[bytes])
    secrets: set[str] = field(default_factory=set[str])

    def ask(
        self, method: str, path: str, authorization: str = "", message: object = None
    ) -> Answered:
        headers: Mapping[str, str] = {"Content-Type": "application/json"}
        if authorization:
            self.secrets |= {authorization, authorization.partition(" ")[2]}
            headers = {**headers, "Authorization": authorization}
        body = message if isinstance(message, bytes) else json.dumps(message or {}).encode()
        answer = self.server.request(method, path, body, headers)
        assert answer.status < 500, answer.body
        self.heard += [answer.body, repr(answer.headers).encode()]
        return answer

    def token(self, authorization: str) -> str:
        """A new one; its answer alone may have it."""
        answer = self.ask(
            "POST", f"{OWN}tokens", authorization, {"name": "ci", "scopes": ["admin"]}
        )
        assert answer.status == 200, answer.body
        self.heard[-2] = json.dumps(answer.json["info"]).encode()
        self.secrets.add(answer.json["token"])
        return answer.json["token"]


@contextmanager
def listening(folder: Path, database: str) -> Generator[Listener]:
    environ = {"MLFLOW_ADMIN_USERNAME": "root", "MLFLOW_ADMIN_PASSWORD": ADMIN}
    with serving(folder, "--auth", *LOUD, database=database, environ=environ) as server:
        yield Listener(server, secrets={ADMIN, WRONG, NEW, SHORT, QUERY, STRANGE})


def live(one: Listener) -> None:
    """Everything that one can do with a password or a token, rightly and wrongly."""
    root, get = basic("root", ADMIN), f"{TWO}experiments/get?experiment_id=0"
    for authorization in (root, basic("root", WRONG), basic("nobody", WRONG), basic("root", "")):
        one.ask("GET", get, authorization)
    for authorization in (
        f"Bearer {WRONG}",
        f"Bearer riverrun_pat_{WRONG}",
        basic(WRONG, ""),
        f"Basic {WRONG}!",
        f"Digest {WRONG}",
        WRONG,
    ):
        assert one.ask("GET", get, authorization).status == 401
    token = one.token(root)
    bearer = f"Bearer {token}"
    assert one.ask("GET", get, bearer).status == 200
    one.ask("GET", f"{OWN}tokens", bearer)
    one.ask("GET", f"{get}&token={QUERY}&access_token={QUERY}", bearer)
    one.ask("POST", f"{OWN}tokens", bearer, {"name": "a", "scopes": ["no such"]})
    users(one, root)
    listed = one.ask("GET", f"{OWN}tokens", root).json["tokens"]
    one.ask("DELETE", f"{OWN}tokens/{listed[0]['token_id']}", root)
    assert one.ask("GET", get, bearer).status == 401
    one.ask("GET", f"{OWN}audit?max_results=1000", root)
    one.ask("GET", f"{OWN}audit?format=jsonl", root)


def users(one: Listener, root: str) -> None:
    create, update = f"{TWO}users/create", f"{TWO}users/update-password"
    for password in (SHORT, NEW, NEW, STRANGE * 100, "", 5, None, [NEW], {"a": NEW}):
        message = {"username": "ada", "password": password}
        one.ask("POST", create, root, message)
        one.ask("PATCH", update, root, message)
    one.ask("POST", create, root, {"username": "bob", "password": STRANGE})
    assert one.ask("GET", f"{TWO}users/current", basic("bob", STRANGE)).status == 200
    for message in (
        {"username": "bob", "password": NEW, "current_password": WRONG},
        {"username": "bob", "password": NEW, "currentPassword": STRANGE},
        {"username": "bob", "password": NEW, "current_password": STRANGE},
        f'{{"username": "bob", "password": "{NEW}'.encode(),
        f'{{"password": "{NEW}", "password": "{NEW}", }}'.encode(),
    ):
        one.ask("PATCH", update, basic("bob", STRANGE), message)
    for name in ("bob", "ada", "root"):
        one.ask("GET", f"{TWO}users/get?username={name}", root)
    one.ask("GET", f"{TWO}users/list", root)


def spellings(secret: str) -> set[bytes]:
    """As it is, and as JSON and Python would write it."""
    return {secret.encode(), json.dumps(secret)[1:-1].encode(), repr(secret)[1:-1].encode()}


@pytest.mark.slow
def test_no_secret_is_told(tmp_path: Path, databases: Databases):
    url = databases.new_database()
    with listening(tmp_path, url) as one:
        live(one)
        assert one.server.stop() == 0
        log = one.server.log
    columns = "actor, action, resource_type, resource, address, request_id, detail"
    audit = databases.execute(f"SELECT {columns} FROM audit_log", url)
    hashes = databases.execute("SELECT password_hash FROM users", url)
    assert len(audit) > 15
    assert log.count('"level":"') > 30
    one.secrets |= {stored for (stored,) in hashes}
    assert len(hashes) >= 3
    secrets = {
        spelling for secret in one.secrets if len(secret) > 5 for spelling in spellings(secret)
    }
    for place, text in {
        "log": log.encode(),
        "audit": repr(audit).encode(),
        "answers": b"\n".join(one.heard),
    }.items():
        told = [secret for secret in secrets if secret in text]
        assert told == [], place
    for line in log.splitlines():
        assert "authorization" not in line.lower(), line


@pytest.mark.slow
def test_what_is_stored_of_secrets_is_not_them(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/mlflow.db"
    with listening(tmp_path, url) as one:
        live(one)
        assert one.server.stop() == 0
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("mlflow.db*"))
    assert b"$argon2id$" in stored
    for secret in (ADMIN, NEW, STRANGE, QUERY, *(each for each in one.secrets if "_pat_" in each)):
        assert secret.encode() not in stored


@pytest.mark.parametrize("password", [SHORT, "password1234", "Admin_Password"])
@pytest.mark.parametrize("place", ["variable", "file", "ini"])
def test_a_start_that_fails_for_its_password_does_not_say_it(
    place: str, password: str, tmp_path: Path
):
    file = tmp_path / "given"
    file.write_text(f"[mlflow]\nadmin_password = {password}\n" if place == "ini" else password)
    environ = {
        "variable": {"MLFLOW_ADMIN_PASSWORD": password},
        "file": {"MLFLOW_ADMIN_PASSWORD_FILE": str(file)},
        "ini": {"MLFLOW_AUTH_CONFIG_PATH": str(file)},
    }[place]
    server = Server(tmp_path, free_port(), ("--auth", *LOUD), environ)
    server.spawn()
    assert server.process is not None
    assert server.process.wait(20) != 0
    assert "password" in server.log.lower()
    assert password not in server.log
    assert "Traceback" not in server.log


def test_commands_do_not_repeat_a_password(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/mlflow.db"
    riverrun = [sys.executable, "-m", "riverrun"]
    subprocess.run([*riverrun, "db", "upgrade", url], check=True, capture_output=True)
    for password in (SHORT, NEW, "password1234"):
        command = ["auth", "create-user", "--username", "ada", "--password", password]
        done = subprocess.run(
            [*riverrun, *command, "--backend-store-uri", url], capture_output=True, check=False
        )
        assert done.returncode == (0 if password == NEW else 1), done.stderr
        assert password.encode() not in done.stdout + done.stderr
