"""A bounded pool of database connections; who finds none free waits, but not for long."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from riverrun.errors import TemporarilyUnavailable
from riverrun.obs.logs import Log

log = Log("riverrun.pool")


class Pooled(Protocol):
    @property
    def is_open(self) -> bool: ...

    async def close(self) -> None:
        """Raises nothing, and does not wait for the other side."""
        ...


C = TypeVar("C", bound=Pooled)


@dataclass(frozen=True, slots=True)
class PoolRules:
    """`max_age_s` 0: a connection may grow as old as it likes."""

    size: int
    wait_s: float
    max_age_s: float = 0


@dataclass(slots=True)
class PoolCounts:
    """Of the process's life: who had to wait for a connection, and who waited in vain."""

    opened: int = 0
    waits: int = 0
    timeouts: int = 0


class Pool(Generic[C]):
    """Hands out the connection that was used last, so that the others may grow old."""

    def __init__(self, connect: Callable[[], Awaitable[C]], rules: PoolRules) -> None:
        self._connect = connect
        self._rules = rules
        self._permits = asyncio.Semaphore(rules.size)
        self._idle: deque[tuple[C, float]] = deque()
        """With the time when each was opened."""
        self._opened_at: dict[int, float] = {}
        self._is_closed = False
        self.in_use = 0
        self.counts = PoolCounts()

    @property
    def size(self) -> int:
        return self._rules.size

    async def acquire(self) -> C:
        """Raises TemporarilyUnavailable when none is free in time, and as `connect` does."""
        if self._permits.locked():
            self.counts.waits += 1
            try:
                async with asyncio.timeout(self._rules.wait_s):
                    await self._permits.acquire()
            except TimeoutError:
                self.counts.timeouts += 1
                raise TemporarilyUnavailable(
                    f"All {self._rules.size} connections to the database were busy for "
                    f"{self._rules.wait_s:g} s; try again in a second."
                ) from None
        else:
            await self._permits.acquire()
        try:
            connection = await self._found()
        except BaseException:
            self._permits.release()
            raise
        self.in_use += 1
        return connection

    async def release(self, connection: C) -> None:
        """Takes it back, or closes it if it is not what it was."""
        self.in_use -= 1
        opened_at = self._opened_at.get(id(connection), 0)
        try:
            if connection.is_open and not (self._is_closed or self._is_old(opened_at)):
                self._idle.append((connection, opened_at))
            else:
                await self._drop(connection)
        finally:
            self._permits.release()

    async def clear(self) -> None:
        """Closes what nobody uses: after a failure of one, the others are likely to be dead."""
        while self._idle:
            connection, _ = self._idle.pop()
            await self._drop(connection)

    async def close(self) -> None:
        """What is in use is closed when it comes back."""
        self._is_closed = True
        await self.clear()

    async def _found(self) -> C:
        while self._idle:
            connection, opened_at = self._idle.pop()
            if connection.is_open and not self._is_old(opened_at):
                return connection
            await self._drop(connection)
        connection = await self._connect()
        self.counts.opened += 1
        self._opened_at[id(connection)] = time.monotonic()
        return connection

    async def _drop(self, connection: C) -> None:
        self._opened_at.pop(id(connection), None)
        await connection.close()

    def _is_old(self, opened_at: float) -> bool:
        age = time.monotonic() - opened_at
        return 0 < self._rules.max_age_s < age
