"""Transactions on a connection: of one unit of work, and of a group that shares statements."""

from collections.abc import Sequence
from typing import LiteralString

from riverrun.store.dialects import Dialect
from riverrun.store.engine import Row
from riverrun.store.rows import table_of
from riverrun.store.session import Mode, Session, Waiting
from riverrun.store.ticks import Ticks


class NetworkedTx:
    """A transaction once it has begun, before that a statement after the other."""

    def __init__(self, session: Session, dialect: Dialect, sequence: Ticks) -> None:
        self._session = session
        self._sequence = sequence
        self.dialect = dialect
        self.is_begun = False
        self.is_committing = False

    @property
    def is_distributed(self) -> bool:
        return self._session.is_distributed

    async def begin(self, mode: Mode) -> None:
        if not self.is_begun:
            await self._session.begin(mode)
            self.is_begun = True

    async def commit(self) -> None:
        """Does nothing where there is no transaction, or no more."""
        if self.is_begun:
            self.is_committing = True
            await self._session.commit()
            self.is_begun = False

    async def fetch(self, sql: str, binds: Sequence[object] = ()) -> list[Row]:
        return await self._session.fetch(sql, binds)

    async def one(self, sql: str, binds: Sequence[object] = ()) -> Row | None:
        rows = await self._session.fetch(sql, binds)
        return rows[0] if rows else None

    async def take(
        self, table: LiteralString, key: LiteralString, value: bytes, columns: LiteralString
    ) -> Row | None:
        lock = self.dialect.for_update
        return await self.one(f"SELECT {columns} FROM {table} WHERE {key} = ?{lock}", (value,))

    async def execute(self, sql: str, binds: Sequence[object] = ()) -> int:
        return await self._session.execute(sql, binds)

    async def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        await self._session.execute_many(sql, rows)

    async def execute_all(self, waiting: Waiting) -> None:
        """No two of the rows are the same."""
        if not await self._session.execute_at_once(waiting):
            for sql, rows in waiting.items():
                await self._session.execute_many(sql, rows)

    async def execute_last(self, waiting: Waiting) -> None:
        """The same as all that is written: one statement needs no transaction around it."""
        if not self.is_begun:
            self.is_committing = True
            if await self._session.execute_at_once(waiting):
                return
            self.is_committing = False
            await self.begin(Mode.WRITE)
        await self.execute_all(waiting)

    def next_seq(self) -> int:
        return self._sequence.next()


class GroupTx:
    """The transaction of several works, each on rows of its own, in few statements.

    What they insert waits, so that all of it goes together, until the same work asks about the same
    table. The rows that they take are taken together, and what one of them has read no other reads
    again before somebody changes that table. The transaction begins when it is needed.
    """

    def __init__(self, tx: NetworkedTx, keys: Sequence[bytes]) -> None:
        """`keys` are those of the works, where rows can be taken together."""
        self._tx = tx
        self._keys = keys
        self._waiting: dict[str, list[Sequence[object]]] = {}
        """Rows by their statement."""
        self._of_this_work: dict[str, str] = {}
        """Its statements that wait, with their tables."""
        self._taken: dict[tuple[str, str], dict[bytes, Row | None]] = {}
        """By table and columns, the rows that no work has asked for yet."""
        self._read: dict[tuple[str, tuple[object, ...]], Row | None] = {}
        self.dialect = tx.dialect
        self.has_written = False

    async def next_work(self, *, on_same_rows: bool) -> None:
        """One statement may not change a row twice."""
        if on_same_rows:
            await self.flush()
            self._taken.clear()
            self._read.clear()
        self._of_this_work.clear()
        self.has_written = False

    async def fetch(self, sql: str, binds: Sequence[object] = ()) -> list[Row]:
        await self._before_reading(sql)
        return await self._tx.fetch(sql, binds)

    async def one(self, sql: str, binds: Sequence[object] = ()) -> Row | None:
        await self._before_reading(sql)
        asked = (sql, tuple(binds))
        if asked not in self._read:
            self._read[asked] = await self._tx.one(sql, binds)
        return self._read[asked]

    async def take(
        self, table: LiteralString, key: LiteralString, value: bytes, columns: LiteralString
    ) -> Row | None:
        await self._tx.begin(Mode.WRITE)
        await self._flush_for(table)
        taken = self._taken.get((table, columns))
        if taken is None and self._keys:
            # In the order of their keys, as the works are, so that no two groups wait in a circle.
            wanted = self.dialect.among(key, self._keys)
            rows = await self._tx.fetch(
                f"SELECT {key}, {columns} FROM {table} WHERE {wanted.text} "
                f"ORDER BY {key}{self.dialect.for_update}",
                wanted.binds,
            )
            found = {row[0]: row[1:] for row in rows}
            taken = self._taken[table, columns] = {each: found.get(each) for each in self._keys}
        if taken and value in taken:
            return taken.pop(value)
        return await self._tx.take(table, key, value, columns)

    async def execute(self, sql: str, binds: Sequence[object] = ()) -> int:
        await self._tx.begin(Mode.WRITE)
        await self._flush_for(sql)
        self._write(table_of(sql))
        return await self._tx.execute(sql, binds)

    async def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        if not rows:
            return
        if sql in self._of_this_work:
            await self.flush()
        table = self._of_this_work[sql] = table_of(sql)
        self._write(table)
        self._waiting.setdefault(sql, []).extend(rows)

    async def flush(self) -> None:
        self._of_this_work.clear()
        if self._waiting:
            waiting, self._waiting = self._waiting, {}
            await self._tx.begin(Mode.WRITE)
            await self._tx.execute_all(waiting)

    async def finish(self) -> None:
        """Writes what still waits."""
        if self._waiting:
            await self._tx.execute_last(self._waiting)

    def next_seq(self) -> int:
        return self._tx.next_seq()

    def _write(self, table: str) -> None:
        self.has_written = True
        for asked in [asked for asked in self._read if table in asked[0]]:
            del self._read[asked]

    async def _before_reading(self, sql: str) -> None:
        if sql.endswith(self.dialect.for_update):
            await self._tx.begin(Mode.WRITE)
        await self._flush_for(sql)

    async def _flush_for(self, sql: str) -> None:
        if any(table in sql for table in self._of_this_work.values()):
            await self.flush()
