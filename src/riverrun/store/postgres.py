"""PostgreSQL, by asyncpg: directly, or behind a pooler that keeps no session.

Behind PgBouncer in transaction pooling, two statements outside a transaction may meet two servers,
and a named statement may be another client's. So there every statement has a transaction around it,
nothing is prepared under a name, and time-outs are set inside the transaction. A direct connection
is known by its server's process id, which a pooler makes up, and saves all of this.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import asyncpg
from asyncpg import exceptions

from riverrun.errors import InvalidState, TemporarilyUnavailable, TrackingError
from riverrun.store.dialects import PostgresDialect
from riverrun.store.engine import Row
from riverrun.store.rows import in_batches, in_one, with_rows
from riverrun.store.session import Failure, Mode, Session, Waiting
from riverrun.store.urls import DatabaseUrl

STATEMENT_S_MAX = 30
LOCK_S_MAX = 10
SILENCE_S_MAX = STATEMENT_S_MAX + 5
"""A server that says nothing for so long, though it ends longer statements itself, is given up."""
CACHED_STATEMENTS = 512
MERGED_PARTS_MAX, MERGED_BINDS_MAX = 16, 1_000
"""Of what a group writes in one statement: it is cached, and each is planned once."""
TIMEOUTS_MS = {
    "statement_timeout": STATEMENT_S_MAX * 1000,
    "lock_timeout": LOCK_S_MAX * 1000,
    "idle_in_transaction_session_timeout": STATEMENT_S_MAX * 1000,
}

_BEGIN = {
    Mode.WRITE: "BEGIN ISOLATION LEVEL READ COMMITTED",
    Mode.READ: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
}
# What we ask is over before compiling it would pay.
_SET_LOCAL = "; SET LOCAL jit = off" + "".join(
    f"; SET LOCAL {name} = {value}" for name, value in TIMEOUTS_MS.items()
)
_SET = "; ".join(f"SET {name} = {value}" for name, value in TIMEOUTS_MS.items()) + "; SET jit = off"
_NATURE = "SELECT pg_backend_pid(), EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citus')"
_NUMBER = re.compile(r"(\d+)$")


@lru_cache(maxsize=4096)
def numbered(sql: str) -> str:
    """The statement with $1, $2, … in the place of its question marks."""
    first, *rest = sql.split("?")
    return first + "".join(f"${number}{part}" for number, part in enumerate(rest, start=1))


class PostgresSession(Session):
    def __init__(
        self, connection: asyncpg.Connection, *, is_direct: bool, is_distributed: bool
    ) -> None:
        self._connection = connection
        self._is_direct = is_direct
        self.is_distributed = is_distributed

    @property
    def is_open(self) -> bool:
        return not self._connection.is_closed()

    async def begin(self, mode: Mode) -> None:
        begin = _BEGIN[mode]
        await self._connection.execute(begin if self._is_direct else begin + _SET_LOCAL)

    async def commit(self) -> None:
        await self._connection.execute("COMMIT")

    async def rollback(self) -> None:
        await self._connection.execute("ROLLBACK")

    async def fetch(self, sql: str, binds: Sequence[object]) -> list[Row]:
        rows = cast("list[Row]", await self._connection.fetch(numbered(sql), *binds))
        return list(map(tuple, rows))

    async def execute(self, sql: str, binds: Sequence[object]) -> int:
        status = await self._connection.execute(numbered(sql), *binds)
        found = _NUMBER.search(status)
        return int(found[1]) if found else 0

    async def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        if with_rows(sql, 1) is None:
            await self._connection.executemany(numbered(sql), rows)
            return
        for statement, binds in in_batches(sql, rows):
            await self._connection.fetch(numbered(statement), *binds)

    async def execute_at_once(self, waiting: Waiting) -> bool:
        if self.is_distributed:
            return False
        merged = in_one(waiting, parts_max=MERGED_PARTS_MAX, binds_max=MERGED_BINDS_MAX)
        if merged is None:
            return False
        await self._connection.fetch(numbered(merged[0]), *merged[1])
        return True

    async def close(self) -> None:
        self._connection.terminate()


class PostgresDriver:
    dialect = PostgresDialect()

    def __init__(self, url: DatabaseUrl) -> None:
        self._url = url
        self.is_direct = False
        """Whether the last connection led to a server and not to a pooler."""

    @property
    def keeps_sessions(self) -> bool:
        return self.is_direct

    async def connect(self) -> PostgresSession:
        cached = CACHED_STATEMENTS if self.is_direct else 0
        connection = await connect(self._url, cached_statements=cached)
        try:
            is_direct, is_distributed = await self._introduce(connection)
        except BaseException:
            connection.terminate()
            raise
        if is_direct != self.is_direct:
            self.is_direct = is_direct
            connection.terminate()
            return await self.connect()
        return PostgresSession(connection, is_direct=is_direct, is_distributed=is_distributed)

    async def _introduce(self, connection: asyncpg.Connection) -> tuple[bool, bool]:
        """Whether it leads to a server, which is then told how long things may take; and whether
        that distributes its tables.
        """
        try:
            is_direct, is_distributed = await _nature(connection)
            if is_direct:
                await connection.execute(_SET)
        except (
            exceptions.PostgresError,
            exceptions.InterfaceError,
            exceptions.InternalClientError,  # The server went away between two statements.
            OSError,
            TimeoutError,
        ) as error:
            raise explained(error, self._url) from error
        return is_direct, is_distributed

    def failure(self, error: BaseException) -> Failure | None:
        return next((failure for kinds, failure in _FAILURES if isinstance(error, kinds)), None)


_FAILURES: tuple[tuple[tuple[type[BaseException], ...], Failure], ...] = (
    ((exceptions.UniqueViolationError,), Failure.CONFLICT),
    (
        (
            exceptions.TransactionRollbackError,
            exceptions.LockNotAvailableError,
            exceptions.InvalidCachedStatementError,
            exceptions.OutdatedSchemaCacheError,
        ),
        Failure.IN_THE_WAY,
    ),
    (
        (
            exceptions.PostgresConnectionError,
            exceptions.AdminShutdownError,
            exceptions.CrashShutdownError,
            exceptions.CannotConnectNowError,
            exceptions.IdleInTransactionSessionTimeoutError,
            exceptions.ReadOnlySQLTransactionError,  # A standby, after a failover.
            exceptions.InternalClientError,
            OSError,
            TimeoutError,
        ),
        Failure.LOST,
    ),
    (
        (
            exceptions.QueryCanceledError,
            exceptions.InsufficientResourcesError,
            exceptions.PostgresSystemError,
            exceptions.OperatorInterventionError,
        ),
        Failure.UNAVAILABLE,
    ),
    ((exceptions.PostgresError, exceptions.InterfaceError), Failure.REFUSED),
)
"""The first that fits says what an error means."""


async def connect(url: DatabaseUrl, *, cached_statements: int = 0) -> asyncpg.Connection:
    """Raises InvalidState or TemporarilyUnavailable, in one sentence for an operator.

    Without cached statements it may lead through any pooler, in transactions.
    """
    try:
        return await asyncpg.connect(  # pyright: ignore[reportUnknownVariableType]
            host=url.host,
            port=url.port,
            user=url.user,
            password=await url.current_password(),
            database=url.database,
            ssl=url.postgres_ssl(),
            timeout=url.connect_timeout_s,
            command_timeout=SILENCE_S_MAX,
            statement_cache_size=cached_statements,
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=0,
            server_settings={"application_name": url.application_name},
        )
    except (exceptions.PostgresError, exceptions.InterfaceError, OSError, TimeoutError) as error:
        raise explained(error, url) from error


async def _nature(connection: asyncpg.Connection) -> tuple[bool, bool]:
    """Whether it leads to a server and not to a pooler, and whether that distributes its tables."""
    async with connection.transaction():
        row = cast("tuple[int, bool]", await connection.fetchrow(_NATURE))
    return row[0] == cast("int", connection.get_server_pid()), row[1]


def explained(error: BaseException, url: DatabaseUrl) -> TrackingError:
    """What an operator should do about a connection that cannot be had."""
    match error:
        case (
            exceptions.InvalidPasswordError() | exceptions.InvalidAuthorizationSpecificationError()
        ):
            return InvalidState(
                f"The database server of {url.shown} refuses the user {url.user!r}: check the user "
                "name, the password and the server's rules for this host."
            )
        case exceptions.InvalidCatalogNameError():
            return InvalidState(
                f"The database {url.database!r} does not exist on {url.shown}: create it, or give "
                "an account that may."
            )
        case exceptions.InsufficientPrivilegeError():
            return InvalidState(
                f"The user {url.user!r} lacks rights on {url.shown}: it must own the database, or "
                "have the rights CONNECT and CREATE."
            )
        case _:
            return TemporarilyUnavailable(
                f"The database server of {url.shown} cannot be reached: {_reason(error)}."
            )


def _reason(error: BaseException) -> str:
    """Never the driver's whole text: it may repeat what a client sent."""
    match error:
        case TimeoutError():
            return "it does not answer in time"
        case OSError(strerror=str() as reason):
            return reason
        case exceptions.TooManyConnectionsError():
            return "it has no connection left"
        case exceptions.CannotConnectNowError():
            return "it is starting or stopping"
        case _:
            return type(error).__name__
