"""`riverrun db` on databases of every kind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.fixtures.databases import Databases, DatabaseServer

from riverrun.store.migrate import HEAD

STEPS = int(HEAD)


def db(*arguments: str) -> tuple[int, str, str]:
    """Exit code, output and complaint."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-m", "riverrun", "db", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("database_kind", ["sqlite", "postgresql", "mariadb"], indirect=True)
def test_a_database_is_made_and_looked_at(databases: Databases):
    missing = databases.new_database()
    if isinstance(databases, DatabaseServer):
        databases.execute("DROP DATABASE " + missing.rpartition("/")[2])
    for command in ("check", "current", "history"):
        code, output, complaint = db(command, missing)
        assert (code, output) == (1, "")
        assert complaint.startswith("Error: The database ")
        assert " does not exist" in complaint
        assert complaint.count("\n") == 1
    ready = (0, "The database has this release's schema.\n", "")
    assert db("upgrade", missing) == ready
    assert db("upgrade", missing) == ready
    assert db("check", missing) == ready
    assert db("current", missing) == (0, f"{HEAD}\n", "")
    code, output, complaint = db("history", missing)
    lines = output.splitlines()
    assert (code, len(lines), complaint) == (0, STEPS, "")
    assert lines[0] == "0001  done   Experiments, runs and what is logged to them."


def test_an_empty_database_is_not_ready(tmp_path: Path):
    path = tmp_path / "empty.db"
    path.touch()
    url = f"sqlite:///{path}"
    assert db("check", url) == (
        1,
        "",
        (
            f"Error: The database has no schema yet, this release needs {HEAD}: run `riverrun db "
            "upgrade`.\n"
        ),
    )
    assert db("current", url) == (0, "none\n", "")
    assert db("history", url)[1].count("to do") == STEPS
    assert path.read_bytes() == b""
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("command", ["upgrade", "check", "current", "history"])
def test_a_database_that_cannot_be_used_is_told_without_its_password(command: str):
    code, output, complaint = db(command, "mssql://somebody:secret@h/d")
    assert (code, output) == (1, "")
    assert complaint == (
        "Error: --backend-store-uri (or MLFLOW_BACKEND_STORE_URI) cannot be 'mssql://…': Microsoft"
        " SQL Server is not supported; give sqlite:///mlflow.db.\n"
    )
    code, output, complaint = db(command, "postgresql://somebody:secret@127.0.0.1:1/d")
    assert (code, output) == (1, "")
    assert complaint.startswith(
        "Error: The database server of postgresql://somebody@127.0.0.1:1/d cannot be reached: "
    )
    assert complaint.count("\n") == 1
