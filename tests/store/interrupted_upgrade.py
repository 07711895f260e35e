"""Makes databases in a folder, each killed at a later statement of its upgrade, until none is left.

Every upgrade runs in a process of its own, forked, so that the imports are paid for once.
"""

import os
import signal
import sys
from pathlib import Path

from riverrun.store import migrate


def upgrade(path: Path, *, killed_at: int) -> int:
    """The signal that ended it, or 0."""
    child = os.fork()
    if not child:
        statements = 0

        def count(_: object, event: str, called: object) -> None:
            nonlocal statements
            if event == "c_call" and getattr(called, "__name__", "") == "execute":
                statements += 1
                if statements > killed_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        migrate.ensure(path)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder: Path) -> None:
    migrate.ensure(folder / "whole.db")  # Imports what the children need.
    for number in range(1_000):
        if upgrade(folder / f"killed-{number}.db", killed_at=number) == 0:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
