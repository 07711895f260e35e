"""What services need of a database: transactions, given as units of work.

A unit of work is an async function of a transaction. The engine decides where it runs: on SQLite to
its end on a thread of the engine's own (nothing in it ever really waits), on a networked database
on the event loop. So rules are written once. A unit of work may be run more than once: it must
change nothing but the database.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, LiteralString, Protocol, TypeVar

from riverrun.store.dialects import Dialect

T = TypeVar("T")
Row = tuple[Any, ...]


class ConflictError(Exception):
    """A unique constraint refused a row: somebody else was first."""


class Reader(Protocol):
    """What a search needs of a transaction."""

    @property
    def dialect(self) -> Dialect: ...

    async def fetch(self, sql: str, binds: Sequence[object] = ()) -> list[Row]: ...


class Tx(Reader, Protocol):
    """A transaction. Statements use `?`; binds are int, float, str, bytes or None."""

    async def one(self, sql: str, binds: Sequence[object] = ()) -> Row | None: ...

    async def take(
        self, table: LiteralString, key: LiteralString, value: bytes, columns: LiteralString
    ) -> Row | None:
        """The columns of the row with this value of its key, held to the transaction's end, so that
        no two changes of it see each other half done.
        """
        ...

    async def execute(self, sql: str, binds: Sequence[object] = ()) -> int:
        """The number of rows changed. Raises ConflictError."""
        ...

    async def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """May wait until somebody asks about the table, or the work is over. Raises ConflictError
        then.
        """
        ...

    def next_seq(self) -> int:
        """Microseconds since the epoch, larger at each call: the order of what is appended."""
        ...


Work = Callable[[Tx], Awaitable[T]]


class Engine(Protocol):
    """Raises TemporarilyUnavailable when the database cannot take the work now; nothing was changed
    then.
    """

    async def read(self, work: Work[T]) -> T:
        """Runs `work` in a read transaction: one snapshot."""
        ...

    async def glance(self, work: Work[T]) -> T:
        """For a few look-ups by primary key, as cheap as they can be had: on a server, each
        statement may see a moment of its own.
        """
        ...

    async def write(self, work: Work[T], *, key: bytes = b"") -> T:
        """Runs `work` in a write transaction and returns after its commit.

        `key` is the id of the run or logged model whose rows the work takes, if it takes no other
        row: works with keys may share a transaction, in the order of their keys.
        """
        ...

    async def trouble(self) -> str | None:
        """Why no work can be done, in a sentence for an operator; None when all is well."""
        ...

    async def close(self) -> None: ...
