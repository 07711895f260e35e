"""CPU time and memory of a process and all its descendants, from /proc (Linux only)."""

import os
import re
import threading
import time
from collections import defaultdict
from pathlib import Path

PROC = Path("/proc")
SAMPLE_EVERY_S = 0.25
SAMPLE_SHARE_MAX = 0.02
"""Of one core: adding up the memory of fifteen processes costs something."""


def tree(pid: int) -> list[int]:
    children: defaultdict[int, list[int]] = defaultdict(list)
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            children[int(fields[1])].append(int(folder.name))
    found, waiting = list[int](), [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += children[found[-1]]
    return found


def cpu_s(pid: int) -> float:
    """User and system time of the tree, and of its children that ended; resolution 10 ms."""
    ticks = sum(sum(map(int, _stat(each)[11:15])) for each in tree(pid))
    return ticks / os.sysconf("SC_CLK_TCK")


def pss_bytes(pid: int) -> int:
    """Resident memory of the tree, with shared pages counted once."""
    return 1024 * sum(_field(each, "smaps_rollup", "Pss") for each in tree(pid))


def session(pid: int) -> list[int]:
    """What still runs under a session's leader, also when its own parent has ended."""
    numbers = (int(folder.name) for folder in PROC.iterdir() if folder.name.isdigit())
    return [each for each in numbers if _is_running_in(each, pid)]


def _is_running_in(pid: int, session: int) -> bool:
    fields = _stat(pid)
    return bool(fields) and fields[0] != "Z" and int(fields[3]) == session


def count(pid: int) -> int:
    return len(tree(pid))


class MemoryWatch:
    """Samples one tree at a time, that of the server being measured, and keeps each one's peak."""

    def __init__(self) -> None:
        self.peaks: dict[int, int] = {}
        self._pid = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def look_at(self, pid: int) -> None:
        self._pid = pid

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _sample(self) -> None:
        pause = SAMPLE_EVERY_S
        while not self._stopped.wait(pause):
            pid, start = self._pid, time.thread_time()
            if pid:
                self.peaks[pid] = max(self.peaks.get(pid, 0), pss_bytes(pid))
            pause = max(SAMPLE_EVERY_S, (time.thread_time() - start) / SAMPLE_SHARE_MAX)


def _stat(pid: int) -> list[str]:
    """The fields after the command's name, which may hold spaces and brackets; none if it ended."""
    text = _read(pid, "stat")
    return text.rpartition(")")[2].split() if text else []


def _field(pid: int, file: str, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+)", _read(pid, file), re.MULTILINE)
    return int(match[1]) if match else 0


def _read(pid: int, file: str) -> str:
    try:
        return (PROC / str(pid) / file).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
