"""A database that tests fill row by row and ask without an event loop of their own."""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from tests.store.engines import opened

from riverrun.store import key_names
from riverrun.store.dialects import Dialect
from riverrun.store.engine import Engine, Row, Tx
from riverrun.store.schema import metadata

T = TypeVar("T")


class RememberingTx:
    """A transaction that remembers what was asked of it."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.asked: list[tuple[str, Sequence[object]]] = []

    @property
    def dialect(self) -> Dialect:
        return self._tx.dialect

    async def fetch(self, sql: str, binds: Sequence[object] = ()) -> list[Row]:
        self.asked.append((sql, binds))
        return await self._tx.fetch(sql, binds)

    async def one(self, sql: str, binds: Sequence[object] = ()) -> Row | None:
        rows = await self.fetch(sql, binds)
        return rows[0] if rows else None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)


class Tables:
    """Today's tables, empty at first."""

    def __init__(self, engine: Engine, runner: asyncio.Runner) -> None:
        self._engine = engine
        self._runner = runner

    def read(self, work: Callable[[Any], Awaitable[T]]) -> T:
        return self.watched(work)[0]

    def watched(self, work: Callable[[Any], Awaitable[T]]) -> tuple[T, RememberingTx]:
        """Also the transaction, which knows what was asked."""

        async def remembered(tx: Tx) -> tuple[T, RememberingTx]:
            remembering = RememberingTx(tx)
            return await work(remembering), remembering

        # Nobody writes meanwhile, and a glance spares the change of threads or the transaction.
        return self._runner.run(self._engine.glance(remembered))

    def write(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        return self._runner.run(self._engine.write(work))

    def fetch(self, sql: str, binds: Sequence[object] = ()) -> list[Row]:
        return self.read(lambda tx: tx.fetch(sql, binds))

    def insert(self, table: str, *rows: Sequence[object]) -> None:
        self.write(lambda tx: insert(tx, table, rows))

    def key(self, name: str) -> int:
        """The id of a name, which may be new."""
        return self.write(lambda tx: key_names.create(tx, [name]))[name]


async def insert(tx: Tx, table: str, rows: Sequence[Sequence[object]]) -> None:
    """Rows of different keys in the order of the schema's columns; they replace what is there."""
    columns = metadata.tables[table].columns
    names = tuple(f'"{column.name}"' for column in columns)  # One is a word of MySQL's.
    key = tuple(f'"{column.name}"' for column in columns if column.primary_key)
    upsert = tx.dialect.upsert(table, names, key=key)  # pyright: ignore[reportArgumentType]
    await tx.execute_many(upsert, rows)


@contextmanager
def tables_of(database: str) -> Generator[Tables]:
    """The tables of the database with this URL, which is empty."""
    with asyncio.Runner() as runner:
        opening = opened(database)
        engine = runner.run(opening.__aenter__())
        try:
            yield Tables(engine, runner)
        finally:
            runner.run(opening.__aexit__(None, None, None))
