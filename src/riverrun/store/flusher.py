"""Making commits durable: one fsync of SQLite's write-ahead log for all that wait for it.

SQLite with synchronous=FULL does the fsync inside of COMMIT, and the next transaction waits for it.
With NORMAL it writes the log in COMMIT and leaves the fsync to us: the writer goes on while the
disk works, and a write is answered when an fsync that began after its commit has ended. What
recovery needs beyond that (the order of log, database file and a log begun anew) SQLite keeps with
NORMAL, too: https://www.sqlite.org/wal.html, section 3.2.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")

GROUPS_MAX = 64
"""Groups that one fsync answers: a bound on the work at its end."""


class Flusher(Generic[T]):
    """A thread that calls `answer` with each list of things, in order, once the log is on the disk.

    `answer` gets the error of an fsync that failed, then and ever after: no system tries the lost
    pages again, and what stands behind them in the log would be lost with them.
    The log must exist, and stay the same file: it does while any connection is open.
    """

    def __init__(self, log: Path, answer: Callable[[list[T], OSError | None], None]) -> None:
        self._log = os.open(log, os.O_RDWR | os.O_CLOEXEC)
        self._answer = answer
        self.failure: OSError | None = None
        self._waiting: SimpleQueue[list[T] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sqlite-flusher", daemon=True)
        self._thread.start()

    def put(self, committed: list[T]) -> None:
        self._waiting.put(committed)

    def close(self) -> None:
        """Returns when everything is answered."""
        self._waiting.put(None)
        self._thread.join()
        os.close(self._log)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        is_open = True
        while is_open:
            groups = [self._waiting.get()]
            groups += [
                self._waiting.get() for _ in range(min(self._waiting.qsize(), GROUPS_MAX - 1))
            ]
            is_open = groups[-1] is not None
            committed = [each for group in groups if group is not None for each in group]
            if committed:
                self._flush()
                self._answer(committed, self.failure)

    def _flush(self) -> None:
        try:
            fdatasync(self._log)
        except OSError as error:
            self.failure = self.failure or error


fdatasync = getattr(os, "fdatasync", os.fsync)
"""macOS has only the other one."""
