"""`riverrun auth` beside a running server, on databases of every kind."""

import base64
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.api.protocol import unique
from tests.cli.test_commands import riverrun
from tests.fixtures.databases import Databases, on_sqlite
from tests.fixtures.server import Server, serving

from riverrun.store.migrate import HEAD

pytestmark = pytest.mark.slow

PASSWORD = "quite a long one"
WARNING = (
    "Warning: --password shows in lists of processes and in the shell's history; "
    "--password-file, --password-stdin or none of them does not.\n"
)
EFFECT_S_MAX = 2
"""What a command changes counts within a second at the server beside it."""


@dataclass(frozen=True)
class Beside:
    server: Server

    def auth(self, *arguments: str, given: str | None = None) -> tuple[int, str, str]:
        """Exit code, output and complaint."""
        done = subprocess.run(
            [sys.executable, "-m", "riverrun", "auth", *arguments],
            cwd=self.server.folder,
            env={**os.environ, "MLFLOW_BACKEND_STORE_URI": self.server.database},
            input=given,
            stdin=None if given is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def must(self, *arguments: str, given: str | None = None) -> str:
        code, output, complaint = self.auth(*arguments, given=given)
        assert code == 0, complaint
        return output

    def listed(self, *arguments: str) -> Any:
        return json.loads(self.must(*arguments, "--json"))

    def user(self) -> str:
        name = unique("user")
        self.must("create-user", "--username", name, "--password-stdin", given=f"{PASSWORD}\n")
        return name

    def status(self, authorization: str, path: str = "experiments/get?experiment_id=0") -> int:
        headers = {"Authorization": authorization}
        return self.server.request("GET", f"/api/2.0/mlflow/{path}", None, headers).status

    def soon(self, authorization: str, path: str, status: int) -> None:
        """The server answers so, at once or in a moment."""
        deadline = time.monotonic() + EFFECT_S_MAX
        while (found := self.status(authorization, path)) != status:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)


def basic(name: str, password: str = PASSWORD) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.fixture(scope="module")
def beside(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Generator[Beside]:
    environ = {"MLFLOW_ADMIN_PASSWORD": PASSWORD, "RIVERRUN_DEFAULT_PERMISSION": "NO_PERMISSIONS"}
    folder = tmp_path_factory.mktemp("server")
    database = databases.new_database()
    with serving(folder, "--auth", database=database, environ=environ) as server:
        yield Beside(server)


EXPERIMENT = "experiments/get?experiment_id=0"


def test_a_user_lives(beside: Beside):
    name = unique("user")
    made = beside.must("create-user", "--username", name, "--password-stdin", given=PASSWORD)
    assert made == f"User {name} is made.\n"
    assert beside.status(basic(name)) == 403
    beside.must("update-user", "--username", name, "--admin")
    beside.soon(basic(name), EXPERIMENT, 200)
    assert {"username": name, "is_admin": True, "groups": []}.items() <= next(
        each for each in beside.listed("list-users") if each["username"] == name
    ).items()
    beside.must("update-user", "--username", name, "--no-admin")
    beside.soon(basic(name), EXPERIMENT, 403)
    changed = "another, as long"
    beside.must("update-user", "--username", name, "--password-stdin", given=f"{changed}\r\n")
    beside.soon(basic(name), EXPERIMENT, 401)
    assert beside.status(basic(name, changed)) == 403
    beside.must("delete-user", "--username", name)
    beside.soon(basic(name, changed), EXPERIMENT, 401)
    assert name not in beside.must("list-users")


def test_a_command_is_audited_as_one(beside: Beside):
    name = beside.user()
    path = f"/api/riverrun/v1/audit?action=user.create&resource={name.replace(' ', '%20')}"
    headers = {"Authorization": basic("admin")}
    [entry] = beside.server.request("GET", path, None, headers).json["entries"]
    assert (entry["actor"], entry["address"], entry["detail"]) == ("", "riverrun auth", "no admin")


def test_who_is_locked_out_gets_in(beside: Beside, tmp_path: Path):
    name = beside.user()
    (tmp_path / "password").write_text("from a file, ünïcode\nand more\n")
    file = str(tmp_path / "password")
    done = beside.must("reset-admin", "--username", name, "--password-file", file)
    assert done == f"User {name} has the new password, and is an admin.\n"
    beside.soon(basic(name, "from a file, ünïcode"), EXPERIMENT, 200)
    beside.must("delete-user", "--username", name)


def test_a_token_lives(beside: Beside):
    name = beside.user()
    made = ("create-token", "--username", name, "--name", "ci", "--expires-in", "90d")
    code, output, told = beside.auth(*made)
    assert (code, told) == (0, "This is the only time that the token is shown.\n")
    token = output.strip()
    assert token.startswith("riverrun_pat_")
    assert beside.status(f"Bearer {token}") == 403
    [listed] = beside.listed("list-tokens", "--username", name)
    assert (listed["username"], listed["name"], listed["scopes"]) == (name, "ci", ["write"])
    assert listed["expiry_time"] - listed["creation_time"] == 90 * 86_400_000
    assert token.endswith(listed["hint"])
    shown = beside.must("list-tokens", "--username", name)
    assert token not in shown
    assert shown.splitlines()[0].split("  ")[0] == "ID"
    beside.must("revoke-token", str(listed["token_id"]))
    beside.soon(f"Bearer {token}", EXPERIMENT, 401)
    assert beside.listed("list-tokens", "--username", name) == []


def test_a_user_has_what_is_granted_until_it_is_revoked(beside: Beside):
    name = beside.user()
    given = ("--username", name, "--experiment", "0")
    told = beside.must("grant", *given, "--permission", "read")
    assert told == f"The user {name} has READ on experiment 0.\n"
    beside.soon(basic(name), EXPERIMENT, 200)
    beside.must("grant", *given, "--permission", "DENY")
    beside.soon(basic(name), EXPERIMENT, 403)
    beside.must("grant", *given, "--permission", "MANAGE")
    beside.soon(basic(name), EXPERIMENT, 200)
    beside.must("revoke", *given)
    beside.soon(basic(name), EXPERIMENT, 403)
    assert beside.auth("revoke", *given)[0] == 1


def test_a_group_has_what_is_granted_and_its_members_have_it(beside: Beside):
    name, group = beside.user(), unique("group")
    beside.must("groups", "create", group, "--description", "all of us")
    beside.must("groups", "add", group, name)
    given = ("--group", group, "--experiment", "Def*")
    for word in ("MANAGE", "READ"):  # The second one replaces the first.
        beside.must("grant", *given, "--permission", word)
    beside.soon(basic(name), EXPERIMENT, 200)
    found = {each["name"]: each for each in beside.listed("groups", "list")}
    assert found[group]["members"] == [name]
    assert [each["permission"] for each in found[group]["permissions"]] == ["READ"]
    shown = [" ".join(line.split()) for line in beside.must("groups", "list").splitlines()]
    assert f"{group} {name} READ on experiment Def*" in shown
    [user] = [each for each in beside.listed("list-users") if each["username"] == name]
    assert user["groups"] == [group]
    beside.must("groups", "remove", group, name)
    beside.soon(basic(name), EXPERIMENT, 403)
    beside.must("groups", "add", group, name)
    beside.soon(basic(name), EXPERIMENT, 200)
    beside.must("revoke", *given)
    beside.soon(basic(name), EXPERIMENT, 403)
    assert beside.auth("revoke", *given)[2].startswith(f"Error: The group {group} was granted ")
    beside.must("groups", "delete", group)
    assert group not in beside.must("groups", "list")


@on_sqlite
def test_guide_c_works_word_for_word(beside: Beside):
    server = beside.server

    def run(line: str) -> tuple[int, str, str]:
        uri = {"MLFLOW_BACKEND_STORE_URI": server.database}
        done = riverrun(*line.split()[1:], cwd=server.folder, **uri)
        return done.returncode, done.stdout, done.stderr

    john = "mlflow server auth create-user --username john --password secure_password"
    assert run(john) == (0, "User john is made.\n", WARNING)
    assert run("mlflow server auth update-user --username john --admin") == (
        0,
        "User john is changed.\n",
        "",
    )
    code, output, _ = run("mlflow server auth list-users")
    assert code == 0
    assert [line.split() for line in output.splitlines()][:2] == [
        ["USERNAME", "ADMIN", "GROUPS"],
        ["admin", "yes"],
    ]
    assert ["john", "yes"] in [line.split() for line in output.splitlines()]
    beside.soon(basic("john", "secure_password"), EXPERIMENT, 200)
    code, _, complaint = run(john.replace("secure_password", "admin_password"))
    assert code == 1
    assert "everybody knows" in complaint
    beside.must("delete-user", "--username", "john")


@on_sqlite
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("create-user --username x --password short", "Password must be at least 12 characters."),
        ("create-user --username admin --password-stdin", "User (username=admin) already exists."),
        ("delete-user --username nobody", "User with username=nobody not found"),
        (
            "update-user --username admin --no-admin",
            "User 'admin' is the last admin: make another one admin first.",
        ),
        (
            "delete-user --username admin",
            "User 'admin' is the last admin: make another one admin first.",
        ),
        ("create-token --username nobody", "User with username=nobody not found"),
        ("revoke-token 99", "You have no token with the id 99."),
        ("revoke-token x", "You have no token with the id x."),
        ("groups delete nobodys", "There is no group nobodys in the workspace default."),
        ("list-users --backend-store-uri ./mlruns", "file stores are not supported"),
        ("reset-admin --username x --password-file /none", "cannot be read (No such file or "),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments: str, sentence: str, beside: Beside):
    code, output, complaint = beside.auth(*arguments.split(), given=PASSWORD)
    assert (code, output) == (1, "")
    assert sentence in complaint.removeprefix(WARNING)
    assert complaint.removeprefix(WARNING).count("\n") == 1
    assert "Traceback" not in complaint


@on_sqlite
@pytest.mark.parametrize(
    "arguments",
    [
        "create-user",
        "create-user --username x",
        "create-user --username x --password-stdin --password-file y",
        "update-user --username admin",
        "create-token --username admin --scope everything",
        "create-token --username admin --expires-in soon",
        "grant --permission READ --experiment 0",
        "grant --username a --group b --permission READ --experiment 0",
        "grant --username a --permission READ",
        "grant --username a --permission READ --experiment 0 --model m",
        "grant --username a --permission SUPERB --experiment 0",
        "revoke --username a --whole-workspace --prompt p",
    ],
)
def test_what_is_not_said_well_is_a_usage_error(arguments: str, beside: Beside):
    code, output, complaint = beside.auth(*arguments.split())
    assert (code, output) == (2, "")
    assert complaint.startswith("Usage: ")


@on_sqlite
def test_a_terminal_is_asked_twice_and_shows_nothing(beside: Beside):
    name = unique("user")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "riverrun", "auth", "create-user", "--username", name]
    process = subprocess.Popen(
        command,
        cwd=beside.server.folder,
        env={**os.environ, "MLFLOW_BACKEND_STORE_URI": beside.server.database},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
        text=True,
    )
    os.close(theirs)
    shown = b""
    for prompt in (f"Password for {name}: ", "The password again: "):
        while prompt.encode() not in shown:
            shown += os.read(ours, 1024)
        os.write(ours, f"{PASSWORD}\n".encode())
    output, _ = process.communicate(timeout=30)
    assert output == f"User {name} is made.\n"
    assert PASSWORD.encode() not in shown
    assert beside.status(basic(name)) == 403


def test_no_command_makes_a_database(tmp_path: Path):
    def said(*arguments: str, **variables: str) -> str:
        done = riverrun(*arguments, cwd=tmp_path, **variables)
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr

    unset = (
        "Error: MLFLOW_BACKEND_STORE_URI is not set, and there is no mlflow.db here: set it, or "
        "give --backend-store-uri, as the server has it.\n"
    )
    assert said("auth", "list-users") == unset
    assert said("server", "auth", "list-users") == unset
    assert said("gc") == unset
    missing = (
        "Error: The database x.db does not exist: give MLFLOW_BACKEND_STORE_URI or "
        "--backend-store-uri as the server has it, or make it by `riverrun db upgrade`.\n"
    )
    assert said("auth", "list-users", "--backend-store-uri", "sqlite:///x.db") == missing
    assert said("auth", "list-users", MLFLOW_BACKEND_STORE_URI="sqlite:///x.db") == missing
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "x.db").touch()
    empty = (
        f"Error: The database has no schema yet, this release needs {HEAD}: run `riverrun db "
        "upgrade`.\n"
    )
    assert said("auth", "list-users", MLFLOW_BACKEND_STORE_URI="sqlite:///x.db") == empty
    assert [path.name for path in tmp_path.iterdir()] == ["x.db"]
    assert (tmp_path / "x.db").stat().st_size == 0


def test_an_empty_database_of_a_server_stays_empty(databases: Databases, tmp_path: Path):
    url = databases.new_database()
    done = riverrun("auth", "list-users", cwd=tmp_path, MLFLOW_BACKEND_STORE_URI=url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not exist" in done.stderr or "has no schema yet" in done.stderr
    again = riverrun("db", "current", url, cwd=tmp_path)
    assert again.stdout in {"none\n", ""}
