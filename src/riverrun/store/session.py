"""What a driver is to the engine: connections to a database server, and what its errors mean."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from riverrun.store.dialects import Dialect
from riverrun.store.engine import Row

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from riverrun.store.ddl import DialectName


class Failure(Enum):
    """What a driver's error means for the transaction."""

    CONFLICT = "a unique constraint refused a row"
    IN_THE_WAY = "another transaction was in the way"
    LOST = "the connection is gone"
    UNAVAILABLE = "the server cannot do it now"
    REFUSED = "the statement is wrong, which is our fault"


class Mode(Enum):
    """How a unit of work meets the database."""

    WRITE = "a transaction that sees what others committed"
    READ = "a snapshot"
    GLANCE = "each statement by itself"


Waiting = Mapping[str, Sequence[Sequence[object]]]
"""Rows by the statement that writes them."""


class Session(Protocol):
    """A driver's connection, in our words. Errors are the driver's own."""

    is_distributed: bool = False
    """Whether it leads to many machines, of which each holds some runs: then a statement that holds
    rows names one run, and none writes to two tables.
    """

    @property
    def is_open(self) -> bool: ...

    async def begin(self, mode: Mode) -> None: ...

    async def commit(self) -> None: ...

    async def rollback(self) -> None: ...

    async def fetch(self, sql: str, binds: Sequence[object]) -> list[Row]: ...

    async def execute(self, sql: str, binds: Sequence[object]) -> int: ...

    async def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None: ...

    async def execute_at_once(self, waiting: Waiting) -> bool:  # noqa: ARG002 - Most cannot.
        """All of it as one statement; False, and nothing is done, where that cannot be."""
        return False

    async def close(self) -> None: ...


class Driver(Protocol):
    @property
    def dialect(self) -> Dialect: ...

    async def connect(self) -> Session:
        """Raises TemporarilyUnavailable or InvalidState, in one sentence for an operator."""
        ...

    @property
    def keeps_sessions(self) -> bool:
        """Whether a statement without a transaction goes where the last one went."""
        ...

    def failure(self, error: BaseException) -> Failure | None:
        """None for what is no error of the driver or of the connection."""
        ...


class SchemaSession(Protocol):
    """A connection to a server that sees to the schema. Errors are the driver's own; `opened` of
    each kind explains them.
    """

    async def tables(self) -> set[str]:
        """And views, but for those of the server's own extensions."""
        ...

    async def fetch_texts(self, sql: str) -> list[str]:
        """The first column."""
        ...

    def alone(self) -> "AbstractAsyncContextManager[DialectName]":
        """Until its end nobody else upgrades this database."""
        ...

    async def execute(self, statement: str) -> None:
        """One statement of a step."""
        ...
