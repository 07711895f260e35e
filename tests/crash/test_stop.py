"""How a server stops, and who else may have its database open."""

import http.client
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.crash import inspection
from tests.crash.refusals import refusal
from tests.crash.writers import Call, Client, post
from tests.fixtures.server import Server, free_port, serving

pytestmark = pytest.mark.slow


class Stubborn(threading.Thread):
    """Sets one tag after the other until a call is not answered."""

    def __init__(self, server: Server, run_id: str, key: str) -> None:
        super().__init__(daemon=True)
        self.client = Client(server.port)
        self.run_id = run_id
        self.key = key
        self.acknowledged = 0

    def run(self) -> None:
        while self.client.try_once(self.call(self.acknowledged + 1)) is not None:
            self.acknowledged += 1
        self.client.close()

    def call(self, number: int) -> Call:
        return post("runs/set-tag", run_id=self.run_id, key=self.key, value=str(number))


def test_sigterm_loses_nothing_that_was_acknowledged(tmp_path: Path):
    with serving(tmp_path) as server:
        run_id = server.create_run()
        threads = [Stubborn(server, run_id, f"thread-{n}") for n in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        assert server.stop() == 0
        with pytest.raises(ConnectionRefusedError):
            server.request("GET", "/health")
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        assert "Traceback" not in server.log
        begun = time.monotonic()
        server.start()
        assert time.monotonic() - begun < 5
        tags = inspection.contents(server, run_id).tags
        for thread in threads:
            assert thread.acknowledged > 5
            # What was carried out as the server stopped may have lost its answer.
            assert int(tags[thread.key]) - thread.acknowledged in {0, 1}
        assert server.stop() == 0


def test_a_stop_leaves_one_whole_file(tmp_path: Path):
    """A copy of it is a backup: nothing is left in a write-ahead log."""
    with serving(tmp_path) as server:
        run_id = server.create_run()
        server.stop()
    assert {path.name for path in tmp_path.glob("mlflow.db*")} == {"mlflow.db", "mlflow.db.lock"}
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        assert connection.execute("SELECT hex(run_id) FROM runs").fetchall() == [(run_id.upper(),)]


def test_a_second_server_on_the_same_file_is_refused_and_the_first_goes_on(tmp_path: Path):
    with serving(tmp_path) as server:
        run_id = server.create_run()
        code, log = refusal(Server(tmp_path, free_port()))
        assert code == 1
        assert log.splitlines()[-1] == (
            f"Error: Another server has the database {tmp_path}/mlflow.db open. One SQLite file "
            "serves one server; stop the other one, or give each a --backend-store-uri of its own."
        )
        assert server.post("runs/set-tag", tag(run_id, "still", "here")).status == 200
        server.kill()
        server.start()
        assert inspection.contents(server, run_id).tags["still"] == "here"


def tag(run_id: str, key: str, value: str) -> dict[str, str]:
    return {"run_id": run_id, "key": key, "value": value}


def test_another_process_may_write_briefly(tmp_path: Path):
    """As the other commands do beside a running server."""
    with serving(tmp_path) as server:
        run_id = server.create_run()
        thread = Stubborn(server, run_id, "counter")
        thread.start()
        path = tmp_path / "mlflow.db"
        with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as other:
            for n in range(20):
                other.execute("BEGIN IMMEDIATE")
                other.execute("INSERT INTO key_names (name) VALUES (?)", (f"other {n}",))
                time.sleep(0.02)
                other.execute("COMMIT")
                time.sleep(0.02)
        assert thread.is_alive()
        assert thread.acknowledged > 10
        assert server.stop() == 0
        thread.join(10)
        with closing(sqlite3.connect(path)) as connection:
            sql = "SELECT count(*) FROM key_names WHERE name LIKE 'other %'"
            assert connection.execute(sql).fetchone() == (20,)


def test_another_process_that_holds_on_makes_writes_fail_for_now(tmp_path: Path):
    with serving(tmp_path) as server:
        run_id = server.create_run()
        with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            begun = time.monotonic()
            answer = server.post("runs/set-tag", tag(run_id, "a", "1"))
            assert 5 < time.monotonic() - begun < 15
            assert answer.status == 503
            assert answer.error_code == "TEMPORARILY_UNAVAILABLE"
            assert answer.json["message"] == (
                "Another process holds the database; try again in a second."
            )
            assert int(answer.headers["retry-after"]) > 0
            assert server.get_run(run_id)["info"]["run_id"] == run_id
            other.execute("ROLLBACK")
        assert server.post("runs/set-tag", tag(run_id, "a", "1")).status == 200


def test_a_writer_that_waits_for_another_process_is_answered_when_it_is_done(tmp_path: Path):
    with serving(tmp_path) as server:
        run_id = server.create_run()
        other = sqlite3.connect(
            tmp_path / "mlflow.db", isolation_level=None, check_same_thread=False
        )
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(1.5, other.execute, ["COMMIT"])
        timer.start()
        begun = time.monotonic()
        assert server.post("runs/set-tag", tag(run_id, "a", "1")).status == 200
        assert 1 < time.monotonic() - begun < 5
        timer.join()
        other.close()


def test_a_server_killed_while_it_starts_starts_again(tmp_path: Path):
    """Also the very first start, which makes the schema."""
    server = Server(tmp_path, free_port())
    for delay_s in (0.4, 0.6, 0.75, 0.9):
        server.spawn()
        time.sleep(delay_s)
        server.kill()
    try:
        server.start()
        server.create_run()
    finally:
        server.kill()
    assert inspection.integrity(tmp_path / "mlflow.db") == "ok"


def test_idle_connections_end_with_the_server(tmp_path: Path):
    with serving(tmp_path) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("GET", "/health")
        connection.getresponse().read()
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 5
        connection.close()
