"""How a server with access control starts: its first admin, its file basic_auth.ini, its log."""

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.cli.test_commands import riverrun
from tests.fixtures.databases import Databases
from tests.fixtures.server import Answered, Server, serving

from riverrun.auth.passwords import DEFAULTS

PASSWORD = "quite a long one"
ANOTHER = "another, as long"
NAMES = "MLFLOW_AUTH_ADMIN_PASSWORD or MLFLOW_ADMIN_PASSWORD"
FILES = "MLFLOW_AUTH_ADMIN_PASSWORD_FILE or MLFLOW_ADMIN_PASSWORD_FILE"
KNOWN = "is a password that everybody knows from a guide: choose another one."


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


def status(
    server: Server, name: str = "admin", password: str = PASSWORD, *, prefix: str = ""
) -> int:
    path = f"{prefix}/api/2.0/mlflow/experiments/get?experiment_id=0"
    return server.request("GET", path, None, basic(name, password)).status


def refusal(folder: Path, *options: str, **variables: str) -> str:
    """The sentence with which the server does not start; nothing is made then."""
    before = sorted(folder.rglob("*"))
    done = riverrun("server", "--auth", *options, cwd=folder, **variables)
    assert (done.returncode, done.stdout) == (1, "")
    assert sorted(folder.rglob("*")) == before
    [line] = done.stderr.splitlines()
    return line.removeprefix("Error: ")


def ini(folder: Path, text: str) -> Path:
    """Where guides put it."""
    path = folder / "mlflow/auth/basic_auth.ini"
    path.parent.mkdir(parents=True)
    path.write_text(f"[mlflow]\n{text}\n")
    return path


def event(server: Server, name: str) -> Mapping[str, Any]:
    found = [json.loads(line) for line in server.log.splitlines()]
    return next(each for each in found if each["event"] == name)


# Passwords that are none


@pytest.mark.parametrize("name", ["MLFLOW_ADMIN_PASSWORD", "MLFLOW_AUTH_ADMIN_PASSWORD"])
def test_a_default_password_stops_the_start_and_the_variable_is_named(name: str, tmp_path: Path):
    for password in ("password1234", "admin_password", "Admin_Password_change_in_production "):
        assert refusal(tmp_path, **{name: password}) == f"{NAMES} {KNOWN}"


def test_the_password_of_cve_2026_2635_is_refused():
    assert {"password1234", "admin_password", "admin_password_change_in_production"} <= DEFAULTS


def test_a_password_is_refused_wherever_it_stands(tmp_path: Path):
    file = tmp_path / "password"
    file.write_text("password1234\n")
    assert refusal(tmp_path, MLFLOW_ADMIN_PASSWORD_FILE=str(file)) == f"{FILES} {KNOWN}"
    file.write_text("short\n")
    assert refusal(tmp_path, MLFLOW_AUTH_ADMIN_PASSWORD_FILE=str(file)) == (
        f"{FILES} has 5 characters; a password has 12 to 1024."
    )
    assert refusal(tmp_path, MLFLOW_ADMIN_PASSWORD="short") == (
        f"{NAMES} has 5 characters; a password has 12 to 1024."
    )
    assert refusal(
        tmp_path, MLFLOW_ADMIN_PASSWORD=PASSWORD, MLFLOW_ADMIN_PASSWORD_FILE=str(file)
    ) == ("MLFLOW_ADMIN_PASSWORD and MLFLOW_ADMIN_PASSWORD_FILE exclude each other.")
    assert refusal(tmp_path, MLFLOW_ADMIN_PASSWORD_FILE="none") == (
        "MLFLOW_ADMIN_PASSWORD_FILE none cannot be read: FileNotFoundError."
    )
    file.write_text("\n")
    assert refusal(tmp_path, MLFLOW_ADMIN_PASSWORD_FILE=str(file)) == (
        f"MLFLOW_ADMIN_PASSWORD_FILE {file} is empty."
    )
    long = refusal(tmp_path, MLFLOW_ADMIN_PASSWORD="x" * 1025)
    assert long == f"{NAMES} has 1025 characters; a password has 12 to 1024."
    own = {"MLFLOW_ADMIN_USERNAME": "The-Whole-Team", "MLFLOW_ADMIN_PASSWORD": "the-whole-team"}
    assert refusal(tmp_path, **own) == f"{NAMES} is the admin's name: choose another one."
    ini(tmp_path, "admin_password = password1234")
    assert refusal(tmp_path) == f"admin_password in mlflow/auth/basic_auth.ini {KNOWN}"


def test_a_name_that_no_login_can_carry_is_refused(tmp_path: Path):
    for name in ("a:b", "x" * 256):
        sentence = refusal(tmp_path, MLFLOW_ADMIN_USERNAME=name, MLFLOW_ADMIN_PASSWORD=PASSWORD)
        assert sentence.startswith("MLFLOW_ADMIN_USERNAME: ")


# basic_auth.ini


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "authorization_function = our.plugin:authenticate",
            (
                "{file}: authorization_function 'our.plugin:authenticate' is not supported; "
                "mlflow.server.auth:authenticate_request_basic_auth is."
            ),
        ),
        (
            "default_permission = ALL",
            (
                "{file}: default_permission 'ALL': expected one of READ, USE, EDIT, MANAGE, "
                "NO_PERMISSIONS."
            ),
        ),
        ("[other", "{file} is no file with a section [mlflow]."),
    ],
)
def test_a_file_that_asks_for_something_else_stops_the_start(
    text: str, sentence: str, tmp_path: Path
):
    file = ini(tmp_path, text)
    expected = sentence.format(file="mlflow/auth/basic_auth.ini")
    assert refusal(tmp_path) == expected
    moved = file.rename(tmp_path / "my.ini")
    assert refusal(tmp_path, MLFLOW_AUTH_CONFIG_PATH=str(moved)) == sentence.format(file=moved)


def test_a_missing_file_that_is_named_stops_the_start(tmp_path: Path):
    assert refusal(tmp_path, MLFLOW_AUTH_CONFIG_PATH="none.ini") == (
        "none.ini cannot be read: FileNotFoundError."
    )


def test_the_file_of_guide_c_works_with_a_password_of_ones_own(tmp_path: Path):
    """Its own passwords are known; the variable comes before them."""
    ini(
        tmp_path,
        "default_permission = NO_PERMISSIONS\ndatabase_uri = sqlite:///mlflow/auth/basic_auth.db\n"
        "admin_username = admin\nadmin_password = admin_password\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth",
    )
    environ = {"MLFLOW_ADMIN_USERNAME": "chief", "MLFLOW_ADMIN_PASSWORD": PASSWORD}
    with serving(tmp_path, "--app-name", "basic-auth", environ=environ) as server:
        assert status(server, "chief") == 200
        assert status(server, "admin", "admin_password") == 401
        told = event(server, "access control on")
        assert (told["default_permission"], told["admin"]) == ("NO_PERMISSIONS", NAMES)
        assert event(
            server, "database_uri in basic_auth.ini has no users: they live in the backend store"
        )
        assert not (tmp_path / "mlflow/auth/basic_auth.db").exists()
        assert PASSWORD not in server.log
        assert "admin_password " not in server.log


def test_the_file_alone_makes_the_admin(tmp_path: Path):
    file = ini(tmp_path, f"admin_username = root\nadmin_password = {PASSWORD} %(x)s")
    with serving(tmp_path, "--auth") as server:
        assert status(server, "root", f"{PASSWORD} %(x)s") == 200
        told = event(server, "access control on")
        where = f"admin_password in {file.relative_to(tmp_path)}"
        assert (told["default_permission"], told["admin"]) == ("READ", where)


def test_without_access_control_the_file_is_not_looked_at(tmp_path: Path):
    ini(tmp_path, "admin_password = password1234")
    with serving(tmp_path) as server:
        assert status(server, "anybody", "anything") == 200
        assert server.request("GET", "/setup").status == 404
        answer = finish(server, "x")
        assert (answer.status, answer.error_code) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize("uri", ["mssql://x/y", "nonsense", "sqlite://", "sqlite:///none.db"])
def test_a_database_uri_that_leads_nowhere_is_ignored(uri: str, tmp_path: Path):
    ini(tmp_path, f"database_uri = {uri}\nadmin_password = {PASSWORD}")
    with serving(tmp_path, "--auth") as server:
        assert status(server) == 200


def test_a_database_that_is_out_of_reach_stops_the_start(tmp_path: Path):
    ini(tmp_path, "database_uri = postgresql://me:s3cret-s3cret@127.0.0.1:1/users")
    done = riverrun("server", "--auth", "-p", "0", cwd=tmp_path)
    assert done.returncode == 1
    *_, line = done.stderr.splitlines()
    assert line.startswith("Error: database_uri in basic_auth.ini: ")
    assert "s3cret" not in done.stderr


# A password that changes


def test_another_password_at_a_later_start_replaces_the_first(tmp_path: Path):
    environ = {"MLFLOW_ADMIN_PASSWORD": PASSWORD}
    with serving(tmp_path, "--auth", environ=environ) as server:
        assert status(server) == 200
        server.stop()
        server.environ = {"MLFLOW_ADMIN_PASSWORD": ANOTHER}
        server.start()
        assert (status(server, password=ANOTHER), status(server)) == (200, 401)
        server.stop()
        server.environ = {}
        server.start()
        assert status(server, password=ANOTHER) == 200
        assert [path.name for path in tmp_path.glob("*setup-link*")] == []
        *_, last = [line for line in server.log.splitlines() if "access control on" in line]
        assert json.loads(last)["admin"] == "known"
        assert ANOTHER not in server.log


@pytest.mark.parametrize("database_kind", ["postgresql", "mariadb"], indirect=True)
def test_the_password_of_a_running_replica_ends_with_the_start_of_another(
    databases: Databases, tmp_path: Path
):
    url = databases.new_database()
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    old, new = {"MLFLOW_ADMIN_PASSWORD": PASSWORD}, {"MLFLOW_ADMIN_PASSWORD": ANOTHER}
    with serving(first, "--auth", database=url, environ=old) as server:
        assert status(server) == 200
        with serving(second, "--auth", database=url, environ=new) as other:
            assert status(other, password=ANOTHER) == 200
            # It took more than a second to start.
            assert status(server) == 401
            assert status(server, password=ANOTHER) == 200


# The set-up link


def link(server: Server) -> tuple[Path, str]:
    """The file that the log names, and the path and query of the link in it."""
    file = re.search(r"nobody yet: (\S+) has the link", event(server, "access control on")["admin"])
    assert file is not None
    path = Path(file[1])
    page = path.read_text().strip()
    assert page.startswith(f"http://localhost:{server.port}/")
    return path, page.removeprefix(f"http://localhost:{server.port}")


def finish(server: Server, token: str, name: str = "ada", password: str = PASSWORD) -> Answered:
    message = {"token": token, "username": name, "password": password}
    return server.post("setup", message, prefix="/api/riverrun/v1/")


def submit(server: Server, page: str, **fields: str) -> Answered:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": server.url}
    return server.request("POST", page, urlencode(fields).encode(), headers)


@pytest.mark.parametrize("prefix", ["", "/team/mlflow"])
def test_the_link_leads_to_a_page_that_makes_the_admin(prefix: str, tmp_path: Path):
    with serving(tmp_path, "--auth", "--static-prefix", prefix) as server:
        path, page = link(server)
        assert path == tmp_path / "mlflow.db.setup-link"
        assert path.stat().st_mode & 0o777 == 0o600
        target, _, token = page.partition("?token=")
        assert target == f"{prefix}/setup"
        assert token not in server.log
        shown = server.request("GET", page)
        assert shown.status == 200
        assert b'<form method="post" action="setup"' in shown.body
        assert b"<script" not in shown.body
        policy = shown.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert policy.endswith("base-uri 'none'; form-action 'self'")
        assert shown.headers["cache-control"] == "no-store"
        given = {"token": token, "username": "<ada>", "password": PASSWORD}
        assert submit(server, target, **given, again="mistyped").status == 400
        assert submit(server, target, **given, again="").status == 400
        short = submit(server, target, **{**given, "password": "short"}, again="short")
        assert short.status == 400
        assert b"at least 12 characters" in short.body
        assert b'value="&lt;ada&gt;"' in short.body
        assert b"short" not in short.body
        made = submit(server, target, **given, again=PASSWORD)
        assert made.status == 200
        assert b"&lt;ada&gt; is the first admin" in made.body
        assert not path.exists()
        assert status(server, "<ada>", prefix=prefix) == 200
        assert server.request("GET", page).status == 403
        assert submit(server, target, **given, again=PASSWORD).status == 403
        assert token not in server.log
        assert PASSWORD not in server.log


def test_the_api_makes_the_admin_once(databases: Databases, tmp_path: Path):
    database = databases.new_database()
    with serving(tmp_path, "--auth", database=database) as server:
        path, page = link(server)
        token = page.partition("?token=")[2]
        assert finish(server, token + "x").error_code == "PERMISSION_DENIED"
        assert finish(server, token, "ada", "password1234").status == 400
        assert finish(server, token, "a:b").status == 400
        assert server.post("setup", {}, prefix="/api/riverrun/v1/").status == 400
        made = finish(server, token)
        assert (made.status, made.json) == (200, {"username": "ada"})
        assert not path.exists()
        assert finish(server, token, "eve").error_code == "PERMISSION_DENIED"
        assert (status(server, "ada"), status(server, "eve")) == (200, 401)
        server.stop()
        server.start()
        assert (status(server, "ada"), path.exists()) == (200, False)


def test_without_a_link_the_page_shows_nothing(tmp_path: Path):
    with serving(tmp_path, "--auth", environ={"MLFLOW_ADMIN_PASSWORD": PASSWORD}) as server:
        for page in ("/setup", "/setup?token=", "/setup?token=x&token=y", "/setup?token=%ff%00"):
            answer = server.request("GET", page)
            assert answer.status == 403
            assert b"<form" not in answer.body
        assert server.request("HEAD", "/setup").status == 403
        assert submit(server, "/setup", token="x", username="a", password="b").status == 403
        assert server.request("POST", "/setup", b"x" * 100_000).status == 413
        refused = server.request("PUT", "/setup", b"")
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, POST")
        foreign = {"Origin": "https://evil.example.com"}
        assert server.request("POST", "/setup", b"", foreign).status == 403


def test_two_workers_leave_one_link_that_works(databases: Databases, tmp_path: Path):
    database = databases.new_database()
    with serving(tmp_path, "--auth", "--workers", "2", database=database) as server:
        _, page = link(server)
        assert {server.request("GET", page).status for _ in range(8)} == {200}
        assert finish(server, page.partition("?token=")[2]).status == 200
        assert {server.request("GET", page).status for _ in range(8)} == {403}


def test_the_key_of_cookies_is_made_once_and_needs_no_variable(
    databases: Databases, tmp_path: Path
):
    database = databases.new_database()
    environ = {"MLFLOW_ADMIN_PASSWORD": PASSWORD}
    keys: list[str] = []
    for _ in range(2):
        with serving(tmp_path, "--auth", database=database, environ=environ) as server:
            server.stop()
        sql = "SELECT value FROM server_keys WHERE name = 'signing_key';"
        [(key,)] = databases.execute(sql, database)
        keys.append(key)
    assert keys[0] == keys[1]
    assert len(keys[0]) == 43
