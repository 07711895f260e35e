"""The schema's version: checked at each start with two statements, changed when it is not today's.

`steps` and with it SQLAlchemy and Alembic are imported only when there is something to change.
"""

import sqlite3
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path

from riverrun.errors import InvalidState
from riverrun.obs.logs import Log
from riverrun.store.session import SchemaSession
from riverrun.store.urls import DatabaseUrl

HEAD = "0008"
"""The newest step in `migrations/versions`; a test holds it to that."""
VERSION_TABLE = "riverrun_schema_version"
"""Not Alembic's default name: other tools keep theirs in the same database under that one."""
UPSTREAM_TABLE = "alembic_version"

_SELECT_VERSION = f"SELECT version_num FROM {VERSION_TABLE}"

log = Log("riverrun.migrate")


# SQLite ------------------------------------------------------------------------------------------


def ensure(path: Path, *, upgrade: bool = True) -> None:
    """Brings a SQLite file to today's schema in one transaction, creating it if need be.

    Raises InvalidState for a database that is not ours, that a newer release has changed, or that
    would have to change though it must not; and sqlite3.Error.
    """
    if not path.exists():
        _allow(upgrade, "")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        found = _version_of_file(connection)
        if found == HEAD:
            return
        _allow(upgrade, found)
        from riverrun.store.steps import statements  # noqa: PLC0415 - See above.

        connection.execute("BEGIN IMMEDIATE")
        found = _version_of_file(connection)
        if found == HEAD:
            return  # By somebody else, while this one waited.
        for statement in statements("sqlite", since=found, version_table=VERSION_TABLE):
            connection.execute(statement)
        connection.execute("COMMIT")
    log.info("schema upgraded", since=found, version=HEAD)


def version(path: Path) -> str:
    """The version of a SQLite file's schema, empty when it has none yet. Raises as `ensure`, and
    InvalidState when there is no file.
    """
    if not path.exists():
        raise InvalidState(f"The database {path} does not exist: `riverrun db upgrade` makes it.")
    with closing(sqlite3.connect(path)) as connection:
        return _version_of_file(connection)


def _version_of_file(connection: sqlite3.Connection) -> str:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    versions: list[str] = []
    if VERSION_TABLE in tables:
        versions = [version for (version,) in connection.execute(_SELECT_VERSION)]
    return _known(tables, versions)


# Servers -----------------------------------------------------------------------------------------


async def ensure_networked(url: DatabaseUrl, *, upgrade: bool = True) -> None:
    """Brings a server's database to today's schema, creating it if need be. Of many that come at
    once, one does it and the others wait.

    Raises InvalidState as `ensure`, and for what the account may not do; TemporarilyUnavailable
    when the server cannot be had.
    """
    async with _opened(url, may_create=upgrade) as session:
        found = await _version_of(session)
        if found == HEAD:
            return
        _allow(upgrade, found)
        async with session.alone() as dialect:
            found = await _version_of(session)
            if found == HEAD:
                return  # By somebody else, while this one waited.
            from riverrun.store.steps import statements  # noqa: PLC0415 - See above.

            for statement in statements(dialect, since=found, version_table=VERSION_TABLE):
                await session.execute(statement)
            if dialect == "postgresql":
                from riverrun.store.distribute import distribute_new  # noqa: PLC0415 - See above.

                await distribute_new(session)
    log.info("schema upgraded", since=found, version=HEAD)


async def version_networked(url: DatabaseUrl) -> str:
    """The version of the database's schema, empty when it has none yet; raises as
    `ensure_networked`.
    """
    async with _opened(url, may_create=False) as session:
        return await _version_of(session)


async def tables_networked(url: DatabaseUrl) -> set[str]:
    """Of a database that need not be ours. Raises as `ensure_networked`."""
    async with _opened(url, may_create=False) as session:
        return await session.tables()


def _opened(url: DatabaseUrl, *, may_create: bool) -> AbstractAsyncContextManager[SchemaSession]:
    if url.kind == "postgresql":
        from riverrun.store import postgres_schema  # noqa: PLC0415 - With its driver.

        return postgres_schema.opened(url, may_create=may_create)
    from riverrun.store import mysql_schema  # noqa: PLC0415 - With its driver.

    return mysql_schema.opened(url, may_create=may_create)


async def _version_of(session: SchemaSession) -> str:
    tables = await session.tables()
    versions = await session.fetch_texts(_SELECT_VERSION) if VERSION_TABLE in tables else []
    return _known(tables, versions)


# Judgements --------------------------------------------------------------------------------------


def _known(tables: Collection[str], versions: Collection[str]) -> str:
    """The version if it is one that this release can use or upgrade, empty for none.

    Raises InvalidState for a database that is not ours, or that a newer release has changed.
    """
    found = next(iter(versions), "")
    if found > HEAD:
        raise InvalidState(
            f"The database has the schema {found} of a newer Riverrun; this one knows {HEAD}. "
            "Upgrade Riverrun, or restore the backup from before its upgrade."
        )
    if VERSION_TABLE in tables or not tables:
        return found
    if UPSTREAM_TABLE in tables and "experiments" in tables:
        raise InvalidState(
            "The database holds the schema of an MLflow server. Riverrun keeps its own beside it: "
            "give another --backend-store-uri; bringing the data over comes with `riverrun import`."
        )
    raise InvalidState(
        "The database holds tables of something else. Give a --backend-store-uri of its own."
    )


def _allow(upgrade: bool, found: str) -> None:  # noqa: FBT001 - What is allowed is its subject.
    if not upgrade:
        raise InvalidState(
            f"The database has {_described(found)}, this release needs {HEAD}, and this server may "
            "not change it: run `riverrun db upgrade`, or start without --no-upgrade."
        )


def require_head(found: str) -> None:
    """Raises InvalidState for a schema of another version than this release's."""
    if found != HEAD:
        raise InvalidState(
            f"The database has {_described(found)}, this release needs {HEAD}: run "
            "`riverrun db upgrade`."
        )


def _described(found: str) -> str:
    return f"the schema {found}" if found else "no schema yet"
