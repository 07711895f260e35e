"""Users of an MLflow server come along: its own releases make its database here."""

import base64
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.fixtures.environments import Environment
from tests.fixtures.server import Answered, Server, serving

pytestmark = pytest.mark.client

SERVERS = ("mlflow-2.22", "mlflow-3.17")
DEFAULT, FIRST = "experiments/get?experiment_id=0", "experiments/get?experiment_id=1"
CHURN = "registered-models/get?name=churn"


def basic(username: str, password: str) -> dict[str, str]:
    login = base64.b64encode(f"{username}:{password}".encode()).decode()
    return {"Authorization": f"Basic {login}", "Content-Type": "application/json"}


def asked(server: Server, username: str, path: str, password: str = "") -> Answered:
    login = basic(username, password or f"{username}'s long password")
    return server.request("GET", f"/api/2.0/mlflow/{path}", None, login)


def kinds_of_hashes(file: Path) -> dict[str, str]:
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT username, password_hash FROM users").fetchall()
    return {name: stored.strip("$").partition("$")[0] for name, stored in rows}


def imported(server: Server) -> dict[str, int]:
    """What the log says of it."""
    lines = (json.loads(line) for line in server.log.splitlines())
    [event] = [line for line in lines if line["event"] == "users imported"]
    return {name: event[name] for name in ("users", "roles", "grants")}


def shut_out(server: Server) -> list[str]:
    """Whom the log calls admins that cannot log in."""
    lines = (json.loads(line) for line in server.log.splitlines())
    return [line["username"] for line in lines if "reset-admin" in line["event"]]


def create(server: Server, kind: str, name: str) -> None:
    body, login = json.dumps({"name": name}).encode(), basic("boss", "the boss's password")
    assert server.request("POST", f"/api/2.0/mlflow/{kind}/create", body, login).status == 200


@pytest.mark.parametrize("client", SERVERS, indirect=True)
def test_users_log_in_with_their_passwords_and_have_what_they_had(
    client: Environment, tmp_path: Path
):
    source, home = tmp_path / "basic_auth.db", tmp_path / "home"
    home.mkdir()
    has_roles = client.run("upstream_users.py", str(source), url="", folder=tmp_path).told
    before = source.read_bytes()
    (tmp_path / "basic_auth.ini").write_text(
        "[mlflow]\ndefault_permission = NO_PERMISSIONS\nadmin_username = root\n"
        f"database_uri = sqlite:///{source}\n"
    )
    environ = {
        "MLFLOW_AUTH_CONFIG_PATH": str(tmp_path / "basic_auth.ini"),
        "MLFLOW_ADMIN_PASSWORD": "the root of all",
    }
    with serving(home, "--auth", environ=environ) as server:
        assert imported(server) == {
            "users": 4,
            "roles": int(has_roles),
            "grants": 5 if has_roles else 4,
        }
        assert shut_out(server) == ["old-boss"]
        create(server, "experiments", "not the one that had this number")
        create(server, "registered-models", "churn")
        found = {
            (name, what): asked(server, name, what).status
            for name in ("ada", "ben")
            for what in (DEFAULT, FIRST, CHURN)
        }
        bens = 200 if has_roles else 403
        assert found == {
            ("ada", DEFAULT): 200,
            ("ada", FIRST): 403,
            ("ada", CHURN): 200,
            ("ben", DEFAULT): bens,
            ("ben", FIRST): bens,
            ("ben", CHURN): 403,
        }
        assert asked(server, "ada", DEFAULT, "ada's wrong password").status == 401
        assert asked(server, "old-boss", DEFAULT, "password1234").status == 401
    assert source.read_bytes() == before
    assert kinds_of_hashes(home / "mlflow.db") == {
        "root": "argon2id",
        "boss": "argon2id",
        "ada": "argon2id",
        "ben": "argon2id",
        "old-boss": "scrypt:32768:8:1",
    }
    source.unlink()  # It was read once, and is not asked for any more.
    with serving(home, "--auth", environ=environ) as server:
        assert asked(server, "ada", DEFAULT).status == 200
        assert len(imported(server)) == 3  # The log has the line of the first start alone.
