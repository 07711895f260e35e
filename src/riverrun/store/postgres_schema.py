"""The schema of a PostgreSQL database: all steps in one transaction, under an advisory lock of that
transaction, so that it works through a pooler, too.
"""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import asyncpg
from asyncpg import exceptions

from riverrun.errors import InvalidState, TemporarilyUnavailable, TrackingError
from riverrun.store import postgres
from riverrun.store.urls import DatabaseUrl

if TYPE_CHECKING:
    from riverrun.store.ddl import DialectName

LOCK = 0x7269766572727573
"""Who holds this advisory lock of the database may upgrade it."""
UPGRADE_S_MAX = 3600
"""For one statement of a step: it may build an index of a large table."""
TURN_S_MAX = 600
"""How long to wait for another's upgrade."""
TABLE_S_MAX = 30
"""How long to wait for a table that others use: meanwhile nobody else gets at it."""

_TABLES = """
    SELECT relname FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
    AND NOT EXISTS (
        SELECT FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e'
    )
"""


class PostgresSchema:
    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def tables(self) -> set[str]:
        return set(await self.fetch_texts(_TABLES))

    async def fetch_texts(self, sql: str) -> list[str]:
        # Outside a transaction a pooler may send the halves of what the driver does to two servers.
        async with self._connection.transaction():
            rows = cast("list[tuple[str]]", await self._connection.fetch(sql))
        return [text for (text,) in rows]

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator["DialectName"]:
        # Each statement sees what others have committed, such as the upgrade that it waited for.
        async with self._connection.transaction(isolation="read_committed"):
            await self.execute("SET LOCAL statement_timeout = 0")
            await self.execute(f"SET LOCAL lock_timeout = '{TURN_S_MAX}s'")
            await self.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
            await self.execute(f"SET LOCAL lock_timeout = '{TABLE_S_MAX}s'")
            await self._require_unicode()
            yield "postgresql"

    async def _require_unicode(self) -> None:
        (encoding,) = await self.fetch_texts("SHOW server_encoding")
        if encoding != "UTF8":
            raise InvalidState(
                f"The database has the encoding {encoding}, which cannot hold every text: create "
                "it with ENCODING 'UTF8'."
            )

    async def execute(self, statement: str) -> None:
        await self._connection.execute(statement, timeout=UPGRADE_S_MAX)


@asynccontextmanager
async def opened(url: DatabaseUrl, *, may_create: bool) -> AsyncGenerator[PostgresSchema]:
    """Raises InvalidState or TemporarilyUnavailable, for what happens within, too."""
    connection = await _connected(url, may_create=may_create)
    try:
        yield PostgresSchema(connection)
    except (exceptions.PostgresError, exceptions.InterfaceError, OSError) as error:
        raise _explained(error, url) from error
    finally:
        connection.terminate()


async def _connected(url: DatabaseUrl, *, may_create: bool) -> asyncpg.Connection:
    try:
        return await postgres.connect(url)
    except TrackingError as error:
        if _is_unknown_to_pooler(error.__cause__):
            raise _missing(url) from error
        if not may_create or not isinstance(error.__cause__, exceptions.InvalidCatalogNameError):
            raise
    await _create(url)
    return await postgres.connect(url)


def _is_unknown_to_pooler(error: BaseException | None) -> bool:
    """PgBouncer has one code for everything."""
    return isinstance(error, exceptions.ProtocolViolationError) and bool(
        re.search("no such database|database .* does not exist", str(error))
    )


async def _create(url: DatabaseUrl) -> None:
    name = url.database.replace('"', '""')
    try:
        connection = await postgres.connect(replace(url, database="postgres"))
        try:
            await connection.execute(
                f"CREATE DATABASE \"{name}\" ENCODING 'UTF8' TEMPLATE template0"
            )
        finally:
            connection.terminate()
    except (exceptions.DuplicateDatabaseError, exceptions.UniqueViolationError):
        return  # Somebody else was faster.
    except (exceptions.PostgresError, TrackingError) as error:
        raise _missing(url) from error


def _missing(url: DatabaseUrl) -> TrackingError:
    return InvalidState(
        f"The database {url.database!r} does not exist on {url.shown}, and cannot be created from "
        f"here: let an administrator create it and give it to the user {url.user!r}; a pooler must "
        "know it, too."
    )


def _explained(error: BaseException, url: DatabaseUrl) -> TrackingError:
    match error:
        case exceptions.InsufficientPrivilegeError() | exceptions.InvalidSchemaNameError():
            return InvalidState(
                f"The user {url.user!r} may not create tables in the database {url.database!r}: "
                "let it own the database, or grant it CREATE and USAGE on its schema."
            )
        case exceptions.LockNotAvailableError():
            return TemporarilyUnavailable(
                "The database's tables are in use for too long, by an upgrade, a backup or a long "
                "query: nothing was changed; try again after its end."
            )
        case exceptions.ReadOnlySQLTransactionError():
            return InvalidState(
                f"The database {url.database!r} may only be read: give the address of its primary."
            )
        case _:
            return postgres.explained(error, url)
