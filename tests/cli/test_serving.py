"""The server process: sockets, signals, TLS."""

import http.client
import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from riverrun.asgi.server import open_sockets
from riverrun.settings_values import SettingsError

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "fixtures" / "serving.py"


@dataclass(frozen=True, slots=True)
class Process:
    process: "subprocess.Popen[str]"
    port: int

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def first_event(self) -> dict[str, object]:
        assert self.process.stderr
        return json.loads(self.process.stderr.readline())

    def get(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with closing(connection):
            connection.request("GET", path)
            return connection.getresponse().read().decode()

    def wait_until_it_serves(self) -> None:
        for _ in range(200):
            try:
                self.get("/")
            except ConnectionRefusedError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(self.end())

    def end(self) -> tuple[int, str, list[dict[str, object]]]:
        """Exit code, what the application told, and the log."""
        stdout, stderr = self.process.communicate(timeout=10)
        return self.process.returncode, stdout, [json.loads(line) for line in stderr.splitlines()]


Start = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def launch(
        *, graceful_shutdown_s: int = 10, certfile: str = "", serves: bool = True
    ) -> Process:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), "0", str(graceful_shutdown_s), certfile],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout
        found = Process(process, int(process.stdout.readline()))
        if serves:
            found.wait_until_it_serves()
        return found

    yield launch
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            assert pipe
            pipe.close()


def test_it_says_where_it_listens_and_ends_clean(start: Start):
    server = start()
    server.process.send_signal(signal.SIGTERM)
    code, told, log = server.end()
    assert (code, told) == (0, "closed\n")
    assert [line["event"] for line in log] == ["listening", "stopped"]
    assert log[0]["url"] == f"http://127.0.0.1:{server.port}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_flight_finish_and_new_ones_are_refused(start: Start, number: signal.Signals):
    server = start()
    with ThreadPoolExecutor(1) as thread:
        slow = thread.submit(server.get, "/slow")
        assert server.line() == "started"
        server.process.send_signal(number)
        time.sleep(0.25)
        with pytest.raises(ConnectionRefusedError):
            server.get("/")
        assert slow.result() == "done"
    code, told, _ = server.end()
    assert (code, told) == (0, "closed\n")


def test_idle_connections_do_not_delay_the_end(start: Start):
    server = start()
    with socket.create_connection(("127.0.0.1", server.port)) as idle:
        idle.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=3) == 0


def test_a_request_that_takes_too_long_is_cut_off_and_the_application_closes(start: Start):
    server = start(graceful_shutdown_s=1)
    with ThreadPoolExecutor(1) as thread:
        stuck = thread.submit(server.get, "/stuck")
        assert server.line() == "started"
        server.process.send_signal(signal.SIGTERM)
        code, told, _ = server.end()
        assert (code, told) == (0, "closed\n")
        assert stuck.exception() is not None or stuck.result() != "done"


def test_a_second_interrupt_ends_at_once(start: Start):
    server = start(graceful_shutdown_s=30)
    with ThreadPoolExecutor(1) as thread:
        stuck = thread.submit(server.get, "/stuck")
        assert server.line() == "started"
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        server.process.send_signal(signal.SIGINT)
        code, told, _ = server.end()
        assert (code, told) == (130, "")
        assert stuck.exception() is not None or stuck.result() != "done"


def test_answers_name_no_server_and_come_at_once(start: Start):
    server = start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    began = time.perf_counter()
    for _ in range(20):
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.read() == b"done"
        assert answer.getheader("server") is None
        assert answer.getheader("date")
    connection.close()
    # Without TCP_NODELAY each could take 40 ms.
    assert time.perf_counter() - began < 0.4


def test_the_sockets_are_tcp_without_delay():
    opened = open_sockets("localhost", 0)
    try:
        for each in opened:
            assert each.proto == socket.IPPROTO_TCP
            assert each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        for each in opened:
            each.close()


def refusal(host: str, port: int) -> str:
    with pytest.raises(SettingsError) as error:
        open_sockets(host, port)
    return str(error.value)


def test_a_port_in_use_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert refusal("127.0.0.1", port) == (
            f"--port {port}: another process listens on 127.0.0.1:{port};"
            " stop it or choose another."
        )


def test_a_host_that_is_none_is_one_sentence():
    assert refusal("no such host", 0) == (
        "--host no such host: there is no such address on this network."
    )


def test_a_certificate_that_cannot_be_used_ends_the_start(start: Start):
    server = start(certfile="/nowhere.pem", serves=False)
    assert server.process.wait(timeout=10) == 1
    assert server.process.stderr
    assert "--ssl-certfile /nowhere.pem: " in server.process.stderr.read()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_tls_is_served_and_plain_http_is_not(start: Start, tmp_path: Path):
    certificate = tmp_path / "both.pem"
    request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*request.split(), *names, *files], check=True, capture_output=True)
    both = (tmp_path / "key.pem").read_text() + (tmp_path / "cert.pem").read_text()
    certificate.write_text(both)
    server = start(certfile=str(certificate), serves=False)
    context = ssl.create_default_context(cafile=certificate)
    assert server.first_event()["url"] == f"https://127.0.0.1:{server.port}"
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=10)
    with closing(connection):
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"done"
    with pytest.raises((http.client.HTTPException, OSError)):
        server.get("/")
