"""A database on a server: a pool of connections, transactions on the event loop, group commit.

Works that say which run they are about share transactions. While one group commits the next one
works, and only one works at a time, so that no two groups of a process wait for each other in a
circle; those of several processes do not since each takes its runs in their order. All other works
have a connection of their own. What a transaction could not do because another was in its way, or
because its connection was lost before the commit, is done again.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar, cast

from riverrun.errors import InternalError, TemporarilyUnavailable, TrackingError
from riverrun.obs.logs import Log
from riverrun.store.engine import ConflictError, Work
from riverrun.store.networked_tx import GroupTx, NetworkedTx
from riverrun.store.pool import Pool, PoolRules
from riverrun.store.session import Driver, Failure, Mode, Session
from riverrun.store.ticks import Ticks

T = TypeVar("T")

GROUP_MAX = 64
"""Works in one transaction: a bound on how long the first of them waits for the last."""
QUEUE_MAX = 10_000
"""Works waiting to be grouped; beyond it the server says 503 at once."""
TRIES = 8
"""Of a transaction that others were in the way of, or whose connection was lost."""
PAUSE_S = 0.01
"""Before the second try; twice as long before each that follows."""
CONNECTIONS_PER_GROUP = 3

log = Log("riverrun.database")


class _Job:
    """A unit of work with a key, and who waits for it."""

    __slots__ = ("error", "future", "key", "result", "work")

    def __init__(self, work: Work[Any], key: bytes) -> None:
        self.work = work
        self.key = key
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.result: Any = None
        self.error: BaseException | None = None


class NetworkedEngine:
    """Created on the event loop that uses it. `close` waits for the writes that were accepted."""

    def __init__(self, driver: Driver, rules: PoolRules) -> None:
        self._driver = driver
        self.pool = Pool(driver.connect, rules)
        self._sequence = Ticks(0)
        self._queue: deque[_Job] = deque()
        self._groups: set[asyncio.Task[None]] = set()
        self._groups_max = max(1, rules.size // CONNECTIONS_PER_GROUP)
        self._is_working = False
        """Whether one of the groups has statements before it; the others commit."""
        self._is_closed = False

    async def read(self, work: Work[T]) -> T:
        return await self._repeated(work, Mode.READ)

    async def glance(self, work: Work[T]) -> T:
        mode = Mode.GLANCE if self._driver.keeps_sessions else Mode.READ
        return await self._repeated(work, mode)

    async def write(self, work: Work[T], *, key: bytes = b"") -> T:
        if self._is_closed:
            raise TemporarilyUnavailable("The server is stopping; try again in a second.")
        if not key:
            return await self._repeated(work, Mode.WRITE)
        if len(self._queue) >= QUEUE_MAX:
            raise TemporarilyUnavailable("The database has too much to do; try again in a second.")
        job = _Job(work, key)
        self._queue.append(job)
        self._begin_group()
        return await job.future

    async def trouble(self) -> str | None:
        """Why no work can be done; None when all is well."""
        try:
            await self.glance(lambda tx: tx.one("SELECT 1"))
        except TrackingError as error:
            return error.message
        return None

    async def close(self) -> None:
        """Lets the accepted work finish, then closes every connection."""
        self._is_closed = True
        while self._groups:
            await asyncio.gather(*self._groups, return_exceptions=True)
        await self.pool.close()

    # Transactions --------------------------------------------------------------------------------

    async def _repeated(
        self, work: Callable[[NetworkedTx], Awaitable[T]], mode: Mode, *, begins: bool = True
    ) -> T:
        """Runs the work in a transaction, again where that is safe and may help."""
        has_met_conflict = False
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(PAUSE_S * 2 ** (attempt - 1) * (0.5 + random.random()))  # noqa: S311 - Only spreads the tries.
            try:
                return await self._transaction(work, mode, begins=begins)
            except ConflictError:
                if has_met_conflict:
                    raise
                has_met_conflict = True
            except _RepeatError as error:
                if attempt == TRIES - 1:
                    raise TemporarilyUnavailable(error.sentence, retry_after_s=2) from error
        raise AssertionError("Every try returns or raises.")

    async def _transaction(
        self, work: Callable[[NetworkedTx], Awaitable[T]], mode: Mode, *, begins: bool = True
    ) -> T:
        """One try. Raises _RepeatError when nothing was changed and another try may help,
        ConflictError, and TrackingError. Work that `begins` not does so itself.
        """
        session = await self.pool.acquire()
        tx = NetworkedTx(session, self._driver.dialect, self._sequence)
        try:
            if mode is not Mode.GLANCE and (begins or not self._driver.keeps_sessions):
                await tx.begin(mode)
            result = await work(tx)
            await tx.commit()
        except BaseException as error:
            failure = await self._given_up(session, error)
            if failure is not None:
                is_over = tx.is_committing and mode is Mode.WRITE
                raise self._translated(error, failure, is_committing=is_over) from error
            raise
        else:
            return result
        finally:
            await self.pool.release(session)

    async def _given_up(self, session: Session, error: BaseException) -> Failure | None:
        """Leaves the session as if nothing had been, or closed."""
        failure = self._driver.failure(error)
        if failure is Failure.LOST or (failure is not None and not session.is_open):
            await session.close()
            await self.pool.clear()
            return Failure.LOST
        if not isinstance(error, Exception):  # Interrupted, perhaps in the middle of a statement.
            await session.close()
            return None
        try:
            await session.rollback()
        except BaseException as again:
            await session.close()
            if self._driver.failure(again) is not None:
                return failure and Failure.LOST
            raise
        return failure

    def _translated(
        self, error: BaseException, failure: Failure, *, is_committing: bool
    ) -> Exception:
        """The driver's words go to the log, never to a client."""
        match failure:
            case Failure.CONFLICT:
                return ConflictError()
            case Failure.IN_THE_WAY:
                return _RepeatError("Other writes to the same rows go on and on; try again.")
            case Failure.LOST if is_committing:
                log.error("connection lost in a commit", reason=_brief(error))
                return TemporarilyUnavailable(_LOST_COMMITTING, retry_after_s=2)
            case Failure.LOST:
                log.warning("connection lost", reason=_brief(error))
                return _RepeatError("The connection to the database is lost; try again.")
            case Failure.UNAVAILABLE:
                log.error("database unavailable", reason=_brief(error))
                return TemporarilyUnavailable(
                    "The database cannot do it now; nothing was changed.", retry_after_s=2
                )
            case Failure.REFUSED:
                log.error("database error", reason=_brief(error))
                return InternalError("The database refused a statement; the server's log says why.")

    # Group commit --------------------------------------------------------------------------------

    def _begin_group(self) -> None:
        if self._queue and not self._is_working and len(self._groups) < self._groups_max:
            self._is_working = True
            self._groups.add(asyncio.create_task(self._write_group()))

    async def _write_group(self) -> None:
        # Not before this task runs: what arrives in one turn of the event loop goes together.
        group = [self._queue.popleft() for _ in range(min(len(self._queue), GROUP_MAX))]
        group.sort(key=attrgetter("key"))
        is_working = True

        def work_is_done() -> None:
            nonlocal is_working
            if is_working:
                is_working = self._is_working = False
                self._begin_group()

        try:
            await self._commit(group, work_is_done)
            for job in group:
                _deliver(job)
        except BaseException:  # This task was cancelled.
            for job in (*group, *self._queue):
                job.future.cancel()
            self._queue.clear()
            raise
        finally:
            self._groups.remove(cast("asyncio.Task[None]", asyncio.current_task()))
            work_is_done()
            self._begin_group()

    async def _commit(self, group: list[_Job], work_is_done: Callable[[], None]) -> None:
        """Commits the group as one; if one of it fails after it wrote, all are run one by one."""
        if len(group) > 1 and await self._commit_together(group, work_is_done):
            return

        async def alone(tx: NetworkedTx, job: _Job) -> None:
            group = GroupTx(tx, [])
            job.result = await job.work(group)
            await group.finish()
            work_is_done()

        for job in group:
            try:
                await self._repeated(partial(alone, job=job), Mode.WRITE, begins=False)
            except BaseException as error:  # noqa: BLE001 - It belongs to whoever waits.
                job.error = error

    async def _commit_together(self, group: list[_Job], work_is_done: Callable[[], None]) -> bool:
        """Whether each of the group has its result or its error."""

        async def work(tx: NetworkedTx) -> None:
            keys = [] if tx.is_distributed else [job.key for job in group]
            await _run_all(GroupTx(tx, list(dict.fromkeys(keys))), group)
            work_is_done()

        try:
            await self._transaction(work, Mode.WRITE, begins=False)
        except TemporarilyUnavailable as error:
            for job in group:
                job.error = error
        except Exception:  # noqa: BLE001 - Whose it is shows when each runs alone.
            for job in group:
                job.error = None
            return False
        return True


async def _run_all(group: GroupTx, works: Sequence[_Job]) -> None:
    """Raises _HalfDoneError when one fails after it wrote; one that failed before fails alone."""
    last_key = b""
    for job in works:
        await group.next_work(on_same_rows=job.key == last_key)
        last_key = job.key
        try:
            job.result = await job.work(group)
        except TrackingError as error:
            if group.has_written:
                raise _HalfDoneError from error
            job.error = error
    await group.finish()


def _deliver(job: _Job) -> None:
    if job.future.done():
        return  # The client went away.
    if job.error is None:
        job.future.set_result(job.result)
    else:
        job.future.set_exception(job.error)


class _RepeatError(Exception):
    """Nothing was changed, and another try may help."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class _HalfDoneError(Exception):
    """A unit of work of several failed after it wrote."""


_LOST_COMMITTING = (
    "The connection to the database was lost while it committed; the write may have been made. "
    "Try it again."
)


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]
