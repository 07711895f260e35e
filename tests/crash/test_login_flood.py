"""Wrong logins that do not end: memory stays, and who is known is served."""

import base64
import http.client
import itertools
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.api.accounts import guarded
from tests.api.protocol import accepted
from tests.crash.test_kill import SOAK
from tests.crash.test_memory import PSS_MIB_MAX, pss_mib

DURATION_S = 120 if SOAK else 4
FLOODERS = 40
LEAST_PER_S = 100
KNOWN_S_MAX = 0.5
"""How long nearly every request of one who is known may take beside it."""
PATH = "/api/2.0/mlflow/experiments/get?experiment_id=0"


class Flooder(threading.Thread):
    """Wrong passwords of ever other users with long names, wrong tokens, made-up proxies."""

    def __init__(self, number: int, port: int, stopping: threading.Event) -> None:
        super().__init__(daemon=True)
        self.answers = Counter[int]()
        self._number = number
        self._port = port
        self._stopping = stopping

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        for count in itertools.count():
            if self._stopping.is_set():
                break
            connection.request("GET", PATH, headers=self._headers(count))
            answer = connection.getresponse()
            answer.read()
            self.answers[answer.status] += 1
        connection.close()

    def _headers(self, count: int) -> dict[str, str]:
        unique = f"{self._number}-{count}"
        if count % 4 == 0:
            return {"Authorization": f"Bearer riverrun_pat_{unique}"}
        name = "root" if count % 4 == 1 else f"user {unique} {'x' * 200}"
        login = base64.b64encode(f"{name}:wrong {unique} {'y' * 900}".encode()).decode()
        proxied = {"X-Forwarded-For": f"203.0.113.{count % 250}"} if count % 4 == 2 else {}
        return {"Authorization": f"Basic {login}", **proxied}


@pytest.mark.soak
@pytest.mark.slow
def test_wrong_logins_cost_no_memory_and_keep_nobody_out(tmp_path: Path):
    stopping = threading.Event()
    with guarded(tmp_path) as admin:
        made = accepted(admin.post("tokens", {"name": "ci"}, api="/api/riverrun/v1/"))
        known = {"Authorization": f"Bearer {made['token']}"}
        port, pid = admin.server.port, admin.server.pid
        flooders = [Flooder(number, port, stopping) for number in range(FLOODERS)]
        for each in flooders:
            each.start()
        measured, took = [pss_mib(pid)], list[float]()
        end = time.monotonic() + DURATION_S
        while time.monotonic() < end:
            started = time.monotonic()
            assert admin.server.request("GET", PATH, headers=known).status == 200
            took.append(time.monotonic() - started)
            measured.append(pss_mib(pid))
            stopping.wait(0.1)
        stopping.set()
        for each in flooders:
            each.join(30)
        answers = sum((each.answers for each in flooders), Counter[int]())
        rate = answers.total() / DURATION_S
        most = sorted(took)[len(took) * 95 // 100]
        sys.stdout.write(
            f"{rate:.0f} wrong logins a second: PSS {measured[0]:.0f} MiB at first, "
            f"{max(measured):.0f} at most; {dict(answers)}; 19 of 20 requests of a known "
            f"token took at most {most:.3f} s\n"
        )
        assert set(answers) == {401, 429}
        assert rate > LEAST_PER_S
        assert max(measured) < PSS_MIB_MAX
        assert most < KNOWN_S_MAX
