"""Databases of every origin: made, upgraded, left alone with one sentence."""

import re
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import URL, NullPool, create_engine

from riverrun.errors import InternalError, InvalidState, TemporarilyUnavailable
from riverrun.store import migrate, sqlite
from riverrun.store.migrate import HEAD, VERSION_TABLE
from riverrun.store.schema import metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

STEPS = Path(migrate.__file__).parent / "migrations" / "versions"
INTERRUPTED = Path(__file__).parent / "interrupted_upgrade.py"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "riverrun.db"


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def shape(path: Path) -> dict[str, list[str]]:
    """Each table with its columns and keys, and each index; the order of columns is no matter, nor
    are defaults: a step that adds a column needs one for the rows that are there.
    """
    with closing(sqlite3.connect(path)) as connection:
        rows: Sequence[tuple[str, str, str | None]] = connection.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE name != ? AND tbl_name != ?",
            (VERSION_TABLE, VERSION_TABLE),
        ).fetchall()
        shapes: dict[str, list[str]] = {}
        for kind, name, sql in rows:
            shapes[name] = [sql or ""]
            if kind == "table":
                columns = connection.execute(
                    'SELECT name, type, "notnull", pk FROM pragma_table_info(?)', (name,)
                )
                keys = connection.execute(
                    "SELECT l.origin, group_concat(i.name) FROM pragma_index_list(?) AS l "
                    "JOIN pragma_index_info(l.name) AS i GROUP BY l.name",
                    (name,),
                )
                options = str(sql).rpartition(")")[2].strip()
                shapes[name] = [options, *sorted(map(str, [*columns, *keys]))]
    return shapes


def version(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()[0]


def test_all_steps_together_make_the_schema(path: Path, tmp_path: Path):
    migrate.ensure(path)
    fresh = tmp_path / "fresh.db"
    engine = create_engine(URL.create("sqlite", database=str(fresh)), poolclass=NullPool)
    metadata.create_all(engine)
    assert shape(path) == shape(fresh)


def test_head_is_the_newest_step():
    steps = sorted(step.name[:4] for step in STEPS.glob("[0-9]*.py"))
    assert steps == [f"{n:04}" for n in range(1, len(steps) + 1)]
    assert steps[-1] == HEAD


def test_steps_follow_each_other():
    for step in sorted(STEPS.glob("[0-9]*.py")):
        text = step.read_text()
        number = int(step.name[:4])
        before = f'"{number - 1:04}"' if number > 1 else "None"
        assert f'revision = "{number:04}"\ndown_revision = {before}\n' in text, step.name


def test_a_step_does_not_know_todays_schema():
    for step in STEPS.glob("[0-9]*.py"):
        assert "riverrun" not in re.findall(
            r"^(?:from|import) (\w+)", step.read_text(), re.MULTILINE
        )


def test_a_second_start_changes_nothing(path: Path):
    migrate.ensure(path)
    before = path.read_bytes()
    migrate.ensure(path)
    assert path.read_bytes() == before
    assert version(path) == HEAD


def test_a_current_database_is_opened_without_the_migration_libraries(path: Path):
    migrate.ensure(path)
    code = (
        "import sys; from pathlib import Path; from riverrun.store import sqlite; "
        "sqlite.upgrade(Path(sys.argv[1])); "
        "print(sorted({'sqlalchemy', 'alembic'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_an_older_schema_is_brought_up_to_date(path: Path, tmp_path: Path):
    """A database of the first release, made as that one made it."""
    whole = tmp_path / "whole.db"
    migrate.ensure(whole)
    first = STEPS.joinpath("0001_tracking.py").read_text()
    tables = re.findall(r'op\.create_table\(\s*"(\w+)"', first)
    with closing(sqlite3.connect(whole)) as connection:
        rows = connection.execute(
            "SELECT tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC"
        ).fetchall()
    execute(path, *(sql for table, sql in rows if table in {*tables, VERSION_TABLE}))
    execute(path, f"INSERT INTO {VERSION_TABLE} VALUES ('0001')")
    execute(path, "INSERT INTO key_names (name) VALUES ('kept')")
    migrate.ensure(path)
    assert shape(path) == shape(whole)
    assert version(path) == HEAD
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM key_names").fetchall() == [("kept",)]


def test_two_upgrades_at_once_make_one_schema(path: Path):
    errors: list[BaseException] = []

    def ensure() -> None:
        try:
            migrate.ensure(path)
        except BaseException as error:  # noqa: BLE001 - Shown below.
            errors.append(error)

    threads = [threading.Thread(target=ensure) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert version(path) == HEAD


@pytest.mark.slow
def test_an_interrupted_upgrade_leaves_nothing_half_made(tmp_path: Path):
    """Killed before each of its statements in turn: all or nothing, and the next start does it."""
    subprocess.run([sys.executable, str(INTERRUPTED), str(tmp_path)], check=True)
    killed = sorted(tmp_path.glob("killed-*.db"), key=lambda path: path.stat().st_mtime_ns)
    assert len(killed) > len(metadata.tables)
    whole = shape(tmp_path / "whole.db")
    for path in killed[:-1]:
        assert shape(path) == {}, path
    assert shape(killed[-1]) == whole
    for path in killed[:: len(killed) // 6]:
        migrate.ensure(path)
        assert shape(path) == whole
        assert version(path) == HEAD


def test_a_server_that_may_not_upgrade_says_what_to_do(path: Path):
    with pytest.raises(InvalidState) as error:
        migrate.ensure(path, upgrade=False)
    assert error.value.message == (
        f"The database has no schema yet, this release needs {HEAD}, and this server may not "
        "change it: run `riverrun db upgrade`, or start without --no-upgrade."
    )
    assert not path.exists()
    migrate.ensure(path)
    migrate.ensure(path, upgrade=False)
    execute(path, f"UPDATE {VERSION_TABLE} SET version_num = '0001'")
    before = path.read_bytes()
    with pytest.raises(InvalidState) as error:
        migrate.ensure(path, upgrade=False)
    assert error.value.message.startswith("The database has the schema 0001, this release needs ")
    assert path.read_bytes() == before


# Not ours ----------------------------------------------------------------------------------------


def test_the_database_of_an_mlflow_server_is_refused(path: Path):
    execute(
        path,
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
        "INSERT INTO alembic_version VALUES ('2d6e25af4d3e')",
        "CREATE TABLE experiments (experiment_id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(256))",
        "CREATE TABLE runs (run_uuid VARCHAR(32) NOT NULL PRIMARY KEY)",
    )
    before = path.read_bytes()
    with pytest.raises(InvalidState) as error:
        sqlite.upgrade(path)
    assert error.value.message == (
        "The database holds the schema of an MLflow server. Riverrun keeps its own beside it: "
        "give another --backend-store-uri; bringing the data over comes with `riverrun import`."
    )
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE alembic_version (version_num VARCHAR(32))",
        "CREATE TABLE customers (id INTEGER PRIMARY KEY)",
        "CREATE VIEW everything AS SELECT 1",
    ],
)
def test_the_database_of_something_else_is_refused(path: Path, statement: str):
    execute(path, statement)
    before = path.read_bytes()
    with pytest.raises(InvalidState) as error:
        sqlite.upgrade(path)
    assert error.value.message == (
        "The database holds tables of something else. Give a --backend-store-uri of its own."
    )
    assert path.read_bytes() == before


def test_the_database_of_a_newer_release_is_refused(path: Path):
    migrate.ensure(path)
    execute(path, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    before = path.read_bytes()
    with pytest.raises(InvalidState) as error:
        sqlite.upgrade(path)
    assert error.value.message == (
        f"The database has the schema 9999 of a newer Riverrun; this one knows {HEAD}. Upgrade "
        "Riverrun, or restore the backup from before its upgrade."
    )
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(path: Path):
    path.write_bytes(b"run,loss\n1,0.5\n" * 1_000)
    before = path.read_bytes()
    with pytest.raises(InternalError) as error:
        sqlite.upgrade(path)
    assert error.value.message == "The database file is no SQLite database."
    assert path.read_bytes() == before


def test_a_damaged_database_is_refused(path: Path):
    migrate.ensure(path)
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    with pytest.raises(InternalError) as error:
        sqlite.upgrade(path)
    assert "malformed" not in error.value.message  # The driver's word for it goes to the log.


def test_an_empty_file_becomes_a_database(path: Path):
    path.touch()
    sqlite.upgrade(path)
    assert version(path) == HEAD


def test_a_folder_is_refused(path: Path):
    path.mkdir()
    with pytest.raises(TemporarilyUnavailable) as error:
        sqlite.upgrade(path)
    assert error.value.message == "The database file cannot be opened."
