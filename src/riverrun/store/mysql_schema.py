"""The schema of a MySQL or MariaDB database. Each statement of a step lasts as soon as it is done;
so one that was interrupted begins its step again, and what is there already is left as it is.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import asyncmy
from asyncmy.errors import Error

from riverrun.errors import InvalidState, TemporarilyUnavailable, TrackingError
from riverrun.store import mysql
from riverrun.store.urls import DatabaseUrl

if TYPE_CHECKING:
    from riverrun.store.ddl import DialectName

UPGRADE_S_MAX = 3600
"""For one statement of a step: it may build an index of a large table."""
TURN_S_MAX = 600
"""How long to wait for another's upgrade."""
TABLE_S_MAX = 30
"""How long to wait for a table that others use: meanwhile nobody else gets at it."""

MISSING_DATABASE = 1049
LOCK_WAIT_TIMEOUT = 1205
DONE_ALREADY = frozenset({1050, 1060, 1061, 1091})
"""The table, the column, the index is there; what is to be dropped is not."""

_TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
_LOCK = f"SELECT GET_LOCK(SHA1(CONCAT('riverrun upgrade ', DATABASE())), {TURN_S_MAX})"
_UNLOCK = "SELECT RELEASE_LOCK(SHA1(CONCAT('riverrun upgrade ', DATABASE())))"
_COLLATIONS = (
    "SELECT collation_name FROM information_schema.collations "
    "WHERE collation_name IN ('utf8mb4_nopad_bin', 'utf8mb4_0900_bin')"
)


class MysqlSchema:
    def __init__(self, connection: asyncmy.Connection) -> None:
        self._connection = connection

    async def tables(self) -> set[str]:
        return set(await self.fetch_texts(_TABLES))

    async def fetch_texts(self, sql: str) -> list[str]:
        async with self._connection.cursor() as cursor:
            await cursor.execute(sql)
            return [str(row[0]) for row in await cursor.fetchall()]

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator["DialectName"]:
        if await self.fetch_texts(_LOCK) != ["1"]:
            raise _in_use()
        await self.execute(f"SET SESSION lock_wait_timeout = {TABLE_S_MAX}")
        yield await self._dialect()
        await self.fetch_texts(_UNLOCK)  # After an error the end of the connection does it.

    async def _dialect(self) -> "DialectName":
        """By the collation that the tables are to have."""
        collations = await self.fetch_texts(_COLLATIONS)
        if not collations:
            raise InvalidState(
                "The database server is too old: Riverrun needs MySQL 8.0.17 or MariaDB 10.6, or "
                "newer."
            )
        return "mariadb" if "utf8mb4_nopad_bin" in collations else "mysql"

    async def execute(self, statement: str) -> None:
        try:
            await self._connection.query(statement)
        except Error as error:
            if mysql.error_number(error) not in DONE_ALREADY:
                raise


@asynccontextmanager
async def opened(url: DatabaseUrl, *, may_create: bool) -> AsyncGenerator[MysqlSchema]:
    """Raises InvalidState or TemporarilyUnavailable, for what happens within, too."""
    connection = await _connected(url, may_create=may_create)
    try:
        yield MysqlSchema(connection)
        await connection.ensure_closed()
    except (Error, OSError, EOFError) as error:
        if mysql.error_number(error) == LOCK_WAIT_TIMEOUT:
            raise _in_use() from error
        raise mysql.explained(error, url) from error
    finally:
        connection.close()


async def _connected(url: DatabaseUrl, *, may_create: bool) -> asyncmy.Connection:
    try:
        return await mysql.connect(url, silence_s=UPGRADE_S_MAX)
    except TrackingError as error:
        if not may_create or mysql.error_number(error.__cause__ or error) != MISSING_DATABASE:
            raise
    await _create(url)
    return await mysql.connect(url, silence_s=UPGRADE_S_MAX)


async def _create(url: DatabaseUrl) -> None:
    name = url.database.replace("`", "``")
    connection = await mysql.connect(replace(url, database=""))
    try:
        await connection.query(f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4")
    except Error as error:
        raise InvalidState(
            f"The database {url.database!r} does not exist on {url.shown}, and cannot be created "
            f"from here: let an administrator create it and grant the user {url.user!r} all rights "
            "on it."
        ) from error
    finally:
        connection.close()


def _in_use() -> TrackingError:
    return TemporarilyUnavailable(
        "The database's tables are in use for too long, by an upgrade, a backup or a long query: "
        "try again after its end."
    )
