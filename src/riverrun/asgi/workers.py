"""Several server processes on the same sockets, and a parent that does nothing but keep them."""

import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from riverrun.obs.logs import Log

log = Log("riverrun.workers")

RESTART_AFTER_S = 1


def become_worker(count: int) -> Callable[[], None]:
    """Returns in `count` processes, forked from this one, with what each calls when it serves.

    The others are begun when the first one serves; if it cannot, the program ends with its exit
    code. Later, a worker that dies is replaced. A signal to stop goes on to all of them. Call it
    before any thread or event loop is there.
    """
    first_ready, ready = os.pipe()
    parent = _Parent()
    if parent.fork():
        os.close(first_ready)
        return lambda: _tell(ready)
    os.close(ready)
    if not os.read(first_ready, 1):
        parent.end()
    for _ in range(count - 1):
        if parent.fork():
            return _nothing
    parent.keep()
    return _nothing  # In a worker that replaces another.


class _Parent:
    def __init__(self) -> None:
        self._workers: set[int] = set()
        self._is_stopping = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._pass_on)

    def fork(self) -> bool:
        """Whether this is the new worker."""
        worker = os.fork()
        if worker:
            self._workers.add(worker)
            return False
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return True

    def keep(self) -> None:
        """Returns in a worker that replaces another; in the parent, never."""
        while self._workers:
            worker, status = os.wait()
            self._workers.discard(worker)
            if self._is_stopping:
                continue
            log.error("worker died", pid=worker, exit_code=os.waitstatus_to_exitcode(status))
            time.sleep(RESTART_AFTER_S)
            if not self._is_stopping and self.fork():
                return
        sys.exit(0)

    def end(self) -> NoReturn:
        """After the first worker could not serve."""
        _, status = os.wait()
        sys.exit(0 if self._is_stopping else abs(os.waitstatus_to_exitcode(status)))

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._is_stopping = True
        for worker in self._workers:
            os.kill(worker, number)


def _tell(pipe: int) -> None:
    os.write(pipe, b".")
    os.close(pipe)


def _nothing() -> None:
    pass
