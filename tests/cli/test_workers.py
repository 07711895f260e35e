"""Several processes behind one port."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fixtures.databases import postgres
from tests.fixtures.server import Server, free_port, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgres() as server:
        yield server.new_database()


def workers_of(server: Server) -> set[int]:
    text = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
    return {int(pid) for pid in text.split()}


def wait_for(server: Server, count: int, *, besides: frozenset[int] = frozenset()) -> set[int]:
    deadline = time.monotonic() + 20
    while len(found := workers_of(server) - besides) != count:
        assert time.monotonic() < deadline, server.log
        time.sleep(0.02)
    return found


def two(url: str) -> tuple[str, ...]:
    return "--backend-store-uri", url, "--workers", "2"


def test_workers_serve_one_port_and_a_dead_one_is_replaced(tmp_path: Path, url: str):
    with serving(tmp_path, *two(url)) as server:
        first = wait_for(server, 2)
        run_id = server.create_run()
        os.kill(min(first), signal.SIGKILL)
        wait_for(server, 1, besides=frozenset(first))
        assert {server.get_run(run_id)["info"]["run_id"] for _ in range(20)} == {run_id}
        assert "worker died" in server.log
        assert server.stop() == 0
    assert not [pid for pid in first if Path(f"/proc/{pid}").exists()]


def test_a_server_that_cannot_start_says_so_once(tmp_path: Path):
    server = Server(tmp_path, free_port(), two("postgresql://u:p@127.0.0.1:1/db"))
    server.spawn()
    assert server.process
    assert server.process.wait(20) == 1
    assert server.log.count("cannot be reached") == 1


def test_more_workers_than_connections_are_refused(tmp_path: Path, url: str):
    server = Server(tmp_path, free_port(), ("--backend-store-uri", url, "--workers", "4"))
    server.spawn()
    assert server.process
    assert server.process.wait(20) == 1
    assert "give a --pool-size of at least 8" in server.log
