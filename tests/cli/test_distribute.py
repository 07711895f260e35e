"""`riverrun db distribute` says in one sentence what is in its way."""

from pathlib import Path

import pytest
from tests.cli.test_commands import riverrun
from tests.fixtures.databases import PostgresServer


@pytest.mark.parametrize("url", ["sqlite:///riverrun.db", "mysql://ada@127.0.0.1/riverrun"])
def test_only_postgresql_can_be_distributed(url: str, tmp_path: Path):
    done = riverrun("db", "distribute", url, cwd=tmp_path)
    sentence = "Error: Only a PostgreSQL database with Citus can be distributed.\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", sentence)
    assert list(tmp_path.iterdir()) == []


def test_the_schema_comes_first(postgres_server: PostgresServer, tmp_path: Path):
    done = riverrun("db", "distribute", postgres_server.new_database(), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: The database has no schema yet, this release needs ")
    assert done.stderr.endswith(": run `riverrun db upgrade`.\n")


def test_a_server_without_citus_is_left_alone(postgres_server: PostgresServer, tmp_path: Path):
    url = postgres_server.new_database()
    assert riverrun("db", "upgrade", url, cwd=tmp_path).returncode == 0
    done = riverrun("db", "distribute", url, "--shards", "4", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The database has no Citus: install it on every node")
    assert "Traceback" not in done.stderr
