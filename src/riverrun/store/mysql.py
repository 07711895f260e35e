"""MySQL and MariaDB, by asyncmy.

Sessions are REPEATABLE READ, so that a read is one snapshot; what writes asks for READ COMMITTED,
so that after a row was locked everything about it is seen as it is now. The SQL mode makes strings
and `||` what they are elsewhere, and errors out of what would be cut.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import asyncmy
from asyncmy.constants.CLIENT import FOUND_ROWS
from asyncmy.errors import Error

from riverrun.errors import InvalidState, RequestTooLarge, TemporarilyUnavailable, TrackingError
from riverrun.store.dialects import MysqlDialect
from riverrun.store.engine import Row
from riverrun.store.rows import in_batches
from riverrun.store.session import Failure, Mode, Session
from riverrun.store.urls import DatabaseUrl

LOCK_S_MAX = 10
SILENCE_S_MAX = 35
"""A server that says nothing for so long is given up."""
CACHED_STATEMENTS = 128
"""Prepared on each connection; the server keeps some kilobytes for each value of each. Unprepared
ones would have every value in their text: for the bytes of a large batch that costs more than all
else.
"""
FRAME_BYTES, BIND_BYTES = 32, 16
"""What a statement and each value in it take besides the values themselves, at most."""
SORTED_BYTES_MAX = 32_000
"""Of a text in an order; the longest tag may have as many. What lies beyond counts as equal."""
SORT_BUFFER_BYTES = 8 * 1024 * 1024
"""A server refuses to sort with less than fifteen of the longest keys, of a dozen such texts."""
SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,PIPES_AS_CONCAT,ANSI_QUOTES', "
    f"SESSION innodb_lock_wait_timeout = {LOCK_S_MAX}, "
    f"SESSION max_sort_length = {SORTED_BYTES_MAX}, "
    f"SESSION sort_buffer_size = {SORT_BUFFER_BYTES}, "
    "SESSION sql_notes = 0"  # The driver would ask for every note.
)
SNAPSHOTS = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"

DUPLICATE = 1062
NOBODY_THERE = 2003
IN_THE_WAY = frozenset({1020, 1205, 1213})
"""The record changed, a lock was not given in time, a deadlock."""
LOST = frozenset({1053, 1290, 1836, 1927, 2006, 2013, 2055, 4031})
"""The server stops, may only be read (after a failover), or closed the connection."""
UNAVAILABLE = frozenset({3, 28, 1021, 1037, 1040, 1041, 1114, 1135, 1203, 1226, 3024})
"""Disk or memory or connections at an end."""


@lru_cache(maxsize=4096)
def marked(sql: str) -> str:
    """The statement as the driver has it: %s in the place of question marks."""
    return sql.replace("%", "%%").replace("?", "%s")


class MysqlSession(Session):
    """`packet_bytes_max` is the server's limit for a statement; over it, it hangs up."""

    def __init__(self, connection: asyncmy.Connection, packet_bytes_max: int) -> None:
        self._connection = connection
        self._packet_bytes_max = packet_bytes_max

    @property
    def is_open(self) -> bool:
        return cast("bool", self._connection.connected)

    async def begin(self, mode: Mode) -> None:
        if mode is Mode.READ:
            await self.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", ())
        else:
            await self.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", ())
            await self.execute("START TRANSACTION", ())

    async def commit(self) -> None:
        await self._connection.commit()

    async def rollback(self) -> None:
        await self._connection.rollback()

    async def fetch(self, sql: str, binds: Sequence[object]) -> list[Row]:
        async with self._connection.cursor() as cursor:
            await cursor.execute(marked(sql), tuple(binds))
            rows: Sequence[Row] = await cursor.fetchall()
            return list(rows)

    async def execute(self, sql: str, binds: Sequence[object]) -> int:
        if _characters(binds) * 4 > self._packet_bytes_max // 2:
            self._check_length(binds)
        async with self._connection.cursor() as cursor:
            return await cursor.execute(marked(sql), tuple(binds))

    async def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        for statement, binds in in_batches(sql, rows):
            await self.execute(statement, binds)

    async def close(self) -> None:
        self._connection.close()

    def _check_length(self, binds: Sequence[object]) -> None:
        length = FRAME_BYTES + sum(
            BIND_BYTES + len(bind.encode() if isinstance(bind, str) else bind)
            for bind in binds
            if isinstance(bind, str | bytes)
        )
        if length > self._packet_bytes_max:
            raise RequestTooLarge(
                f"The database takes statements of at most {self._packet_bytes_max:,} bytes "
                f"(its max_allowed_packet); this write needs one of {length:,}."
            )


def _characters(binds: Sequence[object]) -> int:
    """Of all texts and bytes to be sent; each may take up to four bytes."""
    return sum(len(bind) for bind in binds if isinstance(bind, str | bytes))


class MysqlDriver:
    dialect = MysqlDialect()
    keeps_sessions = True

    def __init__(self, url: DatabaseUrl) -> None:
        self._url = url

    async def connect(self) -> MysqlSession:
        connection = await connect(self._url)
        try:
            packet_bytes_max = await self._introduce(connection)
        except BaseException:
            connection.close()
            raise
        return MysqlSession(connection, packet_bytes_max)

    async def _introduce(self, connection: asyncmy.Connection) -> int:
        """The longest statement that the server takes."""
        try:
            async with connection.cursor() as cursor:
                await cursor.execute(SNAPSHOTS)
                await cursor.execute("SELECT @@max_allowed_packet")
                ((packet_bytes_max,),) = await cursor.fetchall()
        except (Error, OSError, TimeoutError) as error:
            raise explained(error, self._url) from error
        return packet_bytes_max

    def failure(self, error: BaseException) -> Failure | None:
        match error:
            case Error():
                return _failure_of(error_number(error))
            case OSError() | EOFError() | TimeoutError():
                return Failure.LOST
            case _:
                return None


async def connect(url: DatabaseUrl, *, silence_s: int = SILENCE_S_MAX) -> asyncmy.Connection:
    """Raises InvalidState or TemporarilyUnavailable, in one sentence for an operator."""
    password = (await url.current_password()).encode()
    try:
        connection = await asyncmy.connect(
            host=None if url.host.startswith("/") else url.host,
            unix_socket=url.host if url.host.startswith("/") else None,
            port=url.port,
            user=url.user,
            password_creator=lambda: password,  # It would send text as Latin-1.
            database=url.database or None,
            charset="utf8mb4",
            client_flag=FOUND_ROWS,  # Counts rows that are already as they should be, too.
            init_command=SESSION,
            binary_prefix=True,
            autocommit=True,
            connect_timeout=url.connect_timeout_s,
            read_timeout=silence_s,
            ssl=url.mysql_ssl(),
            program_name=url.application_name,
            stmt_cache_size=CACHED_STATEMENTS,
        )
    except (Error, OSError, TimeoutError) as error:
        raise explained(error, url) from error
    return connection


def explained(error: BaseException, url: DatabaseUrl) -> TrackingError:
    """What an operator should do about a connection that cannot be had."""
    match error_number(error):
        case 1045 | 1698 | 1251 | 2059:
            return InvalidState(
                f"The database server of {url.shown} refuses the user {url.user!r}: check the user "
                "name, the password and the server's rules for this host."
            )
        case 1049:
            return InvalidState(
                f"The database {url.database!r} does not exist on {url.shown}: create it, or give "
                "an account that may."
            )
        case 1044 | 1142 | 1227:
            return InvalidState(
                f"The user {url.user!r} lacks rights on {url.shown}: it needs all rights on the "
                "database."
            )
        case code:
            return TemporarilyUnavailable(
                f"The database server of {url.shown} cannot be reached: {_reason(error, code)}."
            )


def _failure_of(code: int) -> Failure:
    if code == DUPLICATE:
        return Failure.CONFLICT
    if code in IN_THE_WAY:
        return Failure.IN_THE_WAY
    if code in LOST:
        return Failure.LOST
    return Failure.UNAVAILABLE if code in UNAVAILABLE else Failure.REFUSED


def error_number(error: BaseException) -> int:
    """MySQL's number of the error; 0 for others."""
    first = error.args[0] if error.args else 0
    return first if isinstance(error, Error) and isinstance(first, int) else 0


def _reason(error: BaseException, code: int) -> str:
    """Never the driver's whole text: it may repeat what a client sent."""
    match error.__cause__ or error:
        case TimeoutError():
            return "it does not answer in time"
        case OSError(strerror=str() as reason):
            return reason
        case _ if code == NOBODY_THERE:
            return "nobody answers at that address, or it is unknown"
        case _:
            return f"error {code}"
