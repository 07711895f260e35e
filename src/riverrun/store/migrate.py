"""The schema's version: checked at each start with one statement, changed by Alembic when it is not
today's.

SQLAlchemy and Alembic are imported only when there is something to change.
"""

import logging
import sqlite3
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from riverrun.errors import InvalidState
from riverrun.obs.logs import Log

if TYPE_CHECKING:
    from sqlalchemy import Engine

HEAD = "0005"
"""The newest step in `migrations/versions`; a test holds it to that."""
VERSION_TABLE = "riverrun_schema_version"
"""Not Alembic's default name: other tools keep theirs in the same database under that one."""
UPSTREAM_TABLE = "alembic_version"

log = Log("riverrun.migrate")


class Standing(Enum):
    CURRENT = "current"
    OUTDATED = "outdated"


def standing(connection: sqlite3.Connection) -> Standing:
    """How the database's schema stands to this release.

    Raises InvalidState for a database that is not ours, or that a newer release has changed.
    """
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if VERSION_TABLE in tables:
        row = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()
        version = row[0] if row else ""
        if version > HEAD:
            raise InvalidState(
                f"The database has the schema {version} of a newer Riverrun; this one knows "
                f"{HEAD}. Upgrade Riverrun, or restore the backup from before its upgrade."
            )
        return Standing.CURRENT if version == HEAD else Standing.OUTDATED
    if UPSTREAM_TABLE in tables and "experiments" in tables:
        raise InvalidState(
            "The database holds the schema of an MLflow server. Riverrun keeps its own beside it: "
            "give another --backend-store-uri; bringing the data over comes with `riverrun import`."
        )
    if tables:
        raise InvalidState(
            "The database holds tables of something else. Give a --backend-store-uri of its own."
        )
    return Standing.OUTDATED


def ensure(path: Path) -> None:
    """Brings a SQLite file to today's schema, creating it if need be.

    Raises as `standing`, and sqlite3.Error.
    """
    connection = sqlite3.connect(path)
    try:
        if standing(connection) is Standing.CURRENT:
            return
    finally:
        connection.close()
    _upgrade(path)


def _upgrade(path: Path) -> None:
    """Runs the steps that are missing, all in one transaction."""
    logging.getLogger("alembic").setLevel(logging.WARNING)  # It tells of each of its plugins.
    # Half a second of imports that a start with a current schema does without.
    from alembic.config import Config  # noqa: PLC0415
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    script = ScriptDirectory.from_config(config)
    environment = EnvironmentContext(
        config,
        script,
        fn=lambda revision, _: script._upgrade_revs("head", revision),  # noqa: SLF001 # pyright: ignore[reportPrivateUsage, reportUnknownLambdaType, reportUnknownArgumentType]
    )
    try:
        with _engine(path).begin() as connection:
            environment.configure(connection=connection, version_table=VERSION_TABLE)
            environment.run_migrations()
    except DBAPIError as error:
        raise error.orig or error from error
    log.info("schema upgraded", version=HEAD)


def _engine(path: Path) -> "Engine":
    from sqlalchemy import URL, NullPool, create_engine, event  # noqa: PLC0415 - See `_upgrade`.

    engine = create_engine(URL.create("sqlite", database=str(path)), poolclass=NullPool)

    # Python's driver begins transactions by itself, and too late for DDL: begin them here.
    @event.listens_for(engine, "connect")
    def leave_transactions_alone(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: object) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # type: ignore[attr-defined]

    return engine
