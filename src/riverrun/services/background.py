"""Work that goes on beside the requests."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from riverrun.obs.logs import Log

RESTART_AFTER_S = 5
CANCEL_EVERY_S = 0.1

log = Log("riverrun.background")

Work = Callable[[], Coroutine[Any, Any, None]]


class Background:
    """Pieces of work, most of them endless; one that fails is logged and begins again."""

    def __init__(self, *works: Work, restart_after_s: float = RESTART_AFTER_S) -> None:
        self._works = works
        self._restart_after_s = restart_after_s
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        for work in self._works:
            self._begin(work, after_s=0)

    async def stop(self) -> None:
        # Again and again: up to Python 3.11 `wait_for`, which a driver calls, forgets that it was
        # cancelled when what it waits for comes at that moment.
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=CANCEL_EVERY_S)

    def _begin(self, work: Work, *, after_s: float) -> None:
        async def begun() -> None:
            await asyncio.sleep(after_s)
            await work()

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()):
                log.error("background work failed", error=error, work=work.__qualname__)
                self._begin(work, after_s=self._restart_after_s)

        task = asyncio.create_task(begun())
        self._tasks.add(task)
        task.add_done_callback(ended)
