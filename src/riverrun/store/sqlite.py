"""SQLite: one writer thread with group commit, some reader threads, and a connection for glances.

Requests that arrive while a transaction is being committed join the next one; each is answered
after its commit and an fsync of the write-ahead log: an answered write survives a power cut.
"""

import asyncio
import fcntl
import os
import sqlite3
import threading
from collections.abc import Awaitable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, LiteralString, TypeVar

from riverrun.errors import (
    InternalError,
    InvalidState,
    TemporarilyUnavailable,
    TrackingError,
)
from riverrun.obs.logs import Log
from riverrun.store import migrate
from riverrun.store.dialects import SqliteDialect
from riverrun.store.engine import ConflictError, Row, Work
from riverrun.store.flusher import Flusher
from riverrun.store.rows import in_batches
from riverrun.store.ticks import Ticks

T = TypeVar("T")

GROUP_MAX = 256
"""Units of work in one commit: a bound on how long the first of them waits for the last."""
QUEUE_MAX = 10_000
"""Units of work waiting for the writer; beyond it the server says 503 at once."""
READERS = 3
BUSY_TIMEOUT_S = 10
"""How long the writer waits for another process's transaction, such as a command's, before it says
503.
"""
CACHE_KIB = {"writer": 16_384, "reader": 4_096}
WAL_PAGES = 4_000
"""Pages of 4 KiB in the write-ahead log before they are moved into the database file."""

_log = Log("riverrun.store")


class SqliteTx:
    """A transaction on one connection. Nothing in it waits; it is async for the sake of `Tx`."""

    dialect = SqliteDialect()

    def __init__(self, connection: sqlite3.Connection, sequence: Ticks) -> None:
        self._connection = connection
        self._sequence = sequence

    async def fetch(self, sql: str, binds: Sequence[object] = ()) -> list[Row]:
        return self._connection.execute(sql, binds).fetchall()  # pyright: ignore[reportArgumentType]

    async def one(self, sql: str, binds: Sequence[object] = ()) -> Row | None:
        return self._connection.execute(sql, binds).fetchone()  # pyright: ignore[reportArgumentType]

    async def take(
        self, table: LiteralString, key: LiteralString, value: bytes, columns: LiteralString
    ) -> Row | None:
        return await self.one(f"SELECT {columns} FROM {table} WHERE {key} = ?", (value,))

    async def execute(self, sql: str, binds: Sequence[object] = ()) -> int:
        try:
            return self._connection.execute(sql, binds).rowcount  # pyright: ignore[reportArgumentType]
        except sqlite3.IntegrityError as error:
            raise ConflictError from error

    async def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        # Not the driver's `executemany`: it hands the interpreter's lock over at every row, and
        # taking it back waits for the event loop.
        try:
            for statement, binds in in_batches(sql, rows):
                self._connection.execute(statement, binds)  # pyright: ignore[reportArgumentType]
        except sqlite3.IntegrityError as error:
            raise ConflictError from error

    def next_seq(self) -> int:
        return self._sequence.next()


class _Job:
    """A unit of work, and who waits for it."""

    __slots__ = ("error", "future", "result", "work")

    def __init__(self, work: Work[Any], loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.future: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None


def _deliver(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue  # The client went away.
        if job.error is None:
            job.future.set_result(job.result)
        else:
            job.future.set_exception(job.error)


def run_now(awaitable: Awaitable[T]) -> T:
    """Drives a unit of work to its end; it awaits only its transaction, which never waits."""
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as end:
        return end.value
    raise AssertionError("A unit of work awaits something else than its transaction.")


def connect(path: Path, *, role: str) -> sqlite3.Connection:
    """A connection in autocommit mode; `role` is "writer" or "reader"."""
    connection = sqlite3.connect(
        path,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB[role]}")
    connection.execute("PRAGMA temp_store = MEMORY")
    if role == "writer":
        connection.execute("PRAGMA journal_mode = WAL")
        # The other half of full durability is `Flusher`.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    else:
        connection.execute("PRAGMA query_only = ON")
    SqliteTx.dialect.register(connection)
    return connection


class SqliteEngine:
    """Created on the event loop that uses it. `close` waits for the writes that were accepted."""

    @classmethod
    async def open(
        cls, path: Path, *, may_upgrade: bool = True, beside: bool = False
    ) -> "SqliteEngine":
        """Locks the file, brings its schema to today's if it may, and opens it. A command opens it
        `beside` a server, which may have the lock: what it writes must be in short transactions.

        Raises InvalidState when another server has it or it is not ours, TemporarilyUnavailable
        when its disk does not let us.
        """
        # A link to the file must not lead around its lock.
        path = await asyncio.to_thread(path.resolve)
        lock = None if beside else await asyncio.to_thread(_locked, path)
        try:
            await asyncio.to_thread(upgrade, path, may_change=may_upgrade)
            return cls(path, lock)
        except sqlite3.Error as error:
            _unlock(lock)
            raise _translated(error) from error
        except TrackingError:
            _unlock(lock)
            raise

    def __init__(self, path: Path, lock: int | None) -> None:
        self._path = path
        self._lock = lock
        self._writes: SimpleQueue[_Job | None] = SimpleQueue()
        self._reads: SimpleQueue[_Job | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._writer = connect(path, role="writer")
        self._sequence = Ticks(_last_seq(self._writer))
        self._glance_connection = connect(path, role="reader")
        self._glances = SqliteTx(self._glance_connection, self._sequence)
        readers = [connect(path, role="reader") for _ in range(READERS)]
        self._is_broken = self._is_closed = False
        self._flusher = self._new_flusher()
        self._threads = [
            threading.Thread(target=self._write_loop, name="sqlite-writer", daemon=True),
            *(
                threading.Thread(target=self._read_loop, args=(reader,), daemon=True)
                for reader in readers
            ),
        ]
        for thread in self._threads:
            thread.start()

    async def glance(self, work: Work[T]) -> T:
        try:
            self._glance_connection.execute("BEGIN")
            try:
                return run_now(work(self._glances))
            finally:
                self._glance_connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise _translated(error) from error

    async def read(self, work: Work[T]) -> T:
        return await self._queued(self._reads, work)

    async def write(self, work: Work[T], *, key: bytes = b"") -> T:  # noqa: ARG002 - All share.
        return await self._queued(self._writes, work)

    async def _queued(self, queue: "SimpleQueue[_Job | None]", work: Work[T]) -> T:
        if self._is_closed:
            raise TemporarilyUnavailable("The server is stopping; try again in a second.")
        if queue.qsize() >= QUEUE_MAX:
            raise TemporarilyUnavailable("The database has too much to do; try again in a second.")
        job = _Job(work, self._loop)
        queue.put(job)
        return await job.future

    async def close(self) -> None:
        """Lets the accepted work finish, then closes every connection."""
        self._is_closed = True
        self._writes.put(None)
        for _ in range(READERS):
            self._reads.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        await asyncio.to_thread(self._flusher.close)
        self._glance_connection.close()
        _unlock(self._lock)

    async def trouble(self) -> str | None:
        """Why no work can be done; None when all is well."""
        try:
            await self.glance(lambda tx: tx.one("SELECT 1"))
        except TrackingError as error:
            return error.message
        lives = self._threads[0].is_alive() and self._flusher.is_alive()
        return None if lives else "The writer has stopped."

    # Threads -------------------------------------------------------------------------------------

    def _read_loop(self, connection: sqlite3.Connection) -> None:
        tx = SqliteTx(connection, self._sequence)
        while (job := self._reads.get()) is not None:
            try:
                connection.execute("BEGIN")
                try:
                    job.result = run_now(job.work(tx))
                finally:
                    connection.execute("ROLLBACK")
            except BaseException as error:  # noqa: BLE001 - It belongs to whoever waits.
                job.error = _translated(error)
            self._post([job])
        connection.close()

    def _write_loop(self) -> None:
        while (job := self._writes.get()) is not None:
            group = [job]
            for _ in range(min(self._writes.qsize(), GROUP_MAX - 1)):
                following = self._writes.get()
                if following is None:
                    self._writes.put(None)
                    break
                group.append(following)
            self._commit(group)
            self._flusher.put(group)
        self._writer.close()

    def _commit(self, group: list[_Job]) -> None:
        """Commits the group as one; if one of it fails after it wrote, it fails alone: all are run
        again, one by one.
        """
        try:
            clean = self._attempt(group)
        except sqlite3.Error as error:
            self._give_up(group, error)
            return
        if clean:
            return
        for job in group:
            job.error = None
            try:
                self._attempt([job])
            except sqlite3.Error as error:
                self._give_up([job], error)

    def _attempt(self, group: list[_Job]) -> bool:
        """False when a unit of work of several failed half-way and everything was rolled back."""
        connection = self._sound_writer()
        tx = SqliteTx(connection, self._sequence)
        connection.execute("BEGIN IMMEDIATE")
        for job in group:
            before = connection.total_changes
            try:
                job.result = run_now(job.work(tx))
            except BaseException as error:
                if isinstance(error, sqlite3.Error) and _primary(error) in _UNAVAILABLE:
                    raise
                job.error = _translated(error)
                if connection.total_changes != before:
                    connection.execute("ROLLBACK")
                    return len(group) == 1
        connection.execute("COMMIT")
        return True

    def _give_up(self, group: list[_Job], error: sqlite3.Error) -> None:
        """The database itself failed: nothing of the group was written, and the next group gets a
        new connection.
        """
        _log.error(
            "write failed",
            reason=str(error),
            code=getattr(error, "sqlite_errorname", ""),
            works=len(group),
        )
        for job in group:
            job.error = _translated(error)
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except sqlite3.Error as again:
            _log.error("rollback failed", reason=str(again))
        self._is_broken = True

    def _sound_writer(self) -> sqlite3.Connection:
        """The writer's connection, made anew after a failure: one opened on a read-only file stays
        read-only.

        After an fsync of the log that failed, what it says must reach the database file before
        anything new is answered.
        """
        if self._is_broken:
            fresh = connect(self._path, role="writer")
            self._writer.close()
            self._writer = fresh
            self._is_broken = False
        if self._flusher.failure is not None:
            self._empty_log()
            failed, self._flusher = self._flusher, self._new_flusher()
            failed.close()
        return self._writer

    def _empty_log(self) -> None:
        is_busy, _, _ = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            error = sqlite3.OperationalError("Somebody reads what is in the log.")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error

    def _new_flusher(self) -> Flusher[_Job]:
        """The connections are open, so the log is there."""
        return Flusher(Path(f"{self._path}-wal"), self._answer)

    def _answer(self, jobs: list[_Job], error: OSError | None) -> None:
        """Called by the flusher, with jobs whose changes are on the disk or, after an error, may be
        lost.
        """
        if error is not None:
            _log.error("flush failed", reason=str(error), works=len(jobs))
            for job in jobs:
                job.error = job.error or TemporarilyUnavailable(_NOT_FLUSHED, retry_after_s=2)
        self._post(jobs)

    def _post(self, jobs: list[_Job]) -> None:
        try:
            self._loop.call_soon_threadsafe(_deliver, jobs)
        except RuntimeError:
            _log.warning("answer dropped: the event loop is closed", works=len(jobs))


def upgrade(path: Path, *, may_change: bool = True) -> None:
    """Brings the file to today's schema, creating it if need be.

    Raises InvalidState for a file that is not ours or a newer release's, or that would have to
    change but may not, and TemporarilyUnavailable when its disk does not let us.
    """
    try:
        migrate.ensure(path, upgrade=may_change)
    except sqlite3.Error as error:
        raise _translated(error) from error


def schema_version(path: Path) -> str:
    """Empty when the file has no schema yet. Raises as `upgrade`, and changes nothing."""
    try:
        return migrate.version(path)
    except sqlite3.Error as error:
        raise _translated(error) from error


def _locked(path: Path) -> int:
    """The descriptor that holds the lock; it goes with the process, also when that is killed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise TemporarilyUnavailable(
            f"The database {path} cannot be opened: {error.strerror}."
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if not isinstance(error, BlockingIOError):
            raise TemporarilyUnavailable(
                f"The database {path} cannot be locked: {error.strerror}."
            ) from None
        raise InvalidState(
            f"Another server has the database {path} open. One SQLite file serves one server; "
            "stop the other one, or give each a --backend-store-uri of its own."
        ) from None
    if path.exists() and not os.access(path, os.W_OK):
        os.close(lock)
        # SQLite would open it all the same, and refuse each write later.
        raise TemporarilyUnavailable(
            f"The database {path} cannot be opened: this user may not write it."
        )
    return lock


def _unlock(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def _last_seq(connection: sqlite3.Connection) -> int:
    return connection.execute(
        "SELECT max((SELECT coalesce(max(seq), 0) FROM metric_log), "
        "(SELECT coalesce(max(seq), 0) FROM registry_history))"
    ).fetchone()[0]


_NOT_FLUSHED = "The disk of the database answers with errors; the write may be lost. Try it again."

_UNAVAILABLE = {
    sqlite3.SQLITE_FULL: (
        "The disk of the database is full; nothing was written. Free some space and try again."
    ),
    sqlite3.SQLITE_READONLY: "The database is read-only; nothing was written.",
    sqlite3.SQLITE_IOERR: "The disk of the database answers with errors; nothing was written.",
    sqlite3.SQLITE_CANTOPEN: "The database file cannot be opened.",
    sqlite3.SQLITE_BUSY: "Another process holds the database; try again in a second.",
    sqlite3.SQLITE_LOCKED: "The database is locked; try again in a second.",
    sqlite3.SQLITE_NOMEM: "The server is out of memory.",
}


def _primary(error: sqlite3.Error) -> int:
    """SQLite's result code without its details."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _translated(error: BaseException) -> BaseException:
    """The driver's words go to the log, never to a client."""
    if not isinstance(error, sqlite3.Error):
        return error
    primary = _primary(error)
    if primary == sqlite3.SQLITE_NOTADB:
        return InternalError("The database file is no SQLite database.")
    if primary in _UNAVAILABLE:
        return TemporarilyUnavailable(_UNAVAILABLE[primary], retry_after_s=2)
    _log.error("database error", reason=str(error), code=getattr(error, "sqlite_errorname", ""))
    return InternalError("The database refused a statement; the server's log says why.")
