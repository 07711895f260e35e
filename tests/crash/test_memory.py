"""Memory under load: for seconds in `make test`, for minutes in `make soak`."""

import re
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.crash.test_kill import SOAK
from tests.crash.writers import BulkWriter, RunWriter, Uploader, Writer
from tests.fixtures.server import serving

DURATION_S = 120 if SOAK else 4
PSS_MIB_MAX = 150


def pss_mib(pid: int) -> float:
    """The process's share of the memory of the machine."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss: +(\d+) kB$", rollup, re.MULTILINE)
    assert found
    return int(found[1]) / 1024


@pytest.mark.soak
@pytest.mark.slow
def test_memory_stays_bounded_under_load(tmp_path: Path):
    stopping = threading.Event()
    with serving(tmp_path) as server:
        writers: list[Writer] = [
            BulkWriter("bulk", server.port, stopping, "memory"),
            Uploader("uploader", server.port, stopping, "memory"),
            *(RunWriter(f"writer{n}", server.port, stopping, "memory") for n in range(6)),
        ]
        for writer in writers:
            writer.start()
        measured: list[float] = []
        for _ in range(DURATION_S * 2):
            measured.append(pss_mib(server.pid))
            time.sleep(0.5)
        stopping.set()
        for writer in writers:
            writer.join(60)
            assert writer.error is None
    sys.stdout.write(f"PSS {measured[0]:.0f} MiB at first, {max(measured):.0f} at most\n")
    assert max(measured) < PSS_MIB_MAX
