"""Runs that somebody watches: one query for all who do, and none when nobody does."""

import asyncio
from collections.abc import Mapping

from riverrun.errors import TemporarilyUnavailable, TrackingError
from riverrun.obs.logs import Log
from riverrun.store import runs
from riverrun.store.engine import Engine

PAUSE_S = 0.5
"""Between two queries."""
WATCHED_MAX = 10_000
"""Runs watched in one process, each counted for each who does: they are asked for in one query."""

log = Log("riverrun.watch")

Versions = Mapping[bytes, int]


class RunWatch:
    """The versions of runs, which every write raises, whichever replica makes it."""

    def __init__(self, engine: Engine, *, pause_s: float = PAUSE_S) -> None:
        self._engine = engine
        self._pause_s = pause_s
        self._watchers: dict[asyncio.Future[Versions], Versions] = {}
        """What each of them knows."""
        self._asking: asyncio.Task[None] | None = None
        self._next_at = 0.0

    async def changed(self, known: Versions, timeout_s: float) -> Versions:
        """Waits until one of these runs has another version than the one known; the versions of
        those that do, 0 for a run that is gone. Empty when the time is up.

        Raises TemporarilyUnavailable when too many runs are watched.
        """
        if sum(map(len, self._watchers.values())) + len(known) > WATCHED_MAX:
            raise TemporarilyUnavailable("Too many runs are being watched; try again later.")
        future: asyncio.Future[Versions] = asyncio.get_running_loop().create_future()
        self._watchers[future] = known
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return {}
        finally:
            del self._watchers[future]

    async def _ask(self) -> None:
        """Goes on as long as somebody watches."""
        loop = asyncio.get_running_loop()
        while self._watchers:
            await asyncio.sleep(self._next_at - loop.time())
            self._next_at = loop.time() + self._pause_s
            watchers = dict(self._watchers)
            run_ids = sorted({run_id for known in watchers.values() for run_id in known})
            if not run_ids:
                continue
            try:
                found = await self._engine.read(lambda tx, ids=run_ids: runs.versions(tx, ids))
            except TrackingError as error:
                log.warning("watched runs not read", reason=error.message)
                continue
            for future, known in watchers.items():
                changed = _differences(known, found)
                if changed and not future.done():
                    future.set_result(changed)


def _differences(known: Versions, found: Versions) -> Versions:
    now = {run_id: found.get(run_id, 0) for run_id in known}
    return {run_id: version for run_id, version in now.items() if version != known[run_id]}
