"""The servers under test: how each is installed, started, awaited and stopped."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import processes
from client import Address

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".envs"
START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 30


class ServerFailed(Exception):
    """A server did not start or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Store:
    """A database on a database server, and the process of that."""

    name: str
    uri: str
    pid: int


@dataclass(frozen=True, slots=True)
class Kind:
    """One server and the way it is run, in its data folder as working directory."""

    name: str
    title: str
    seed: str
    """Kinds with the same value share one seeded database."""
    file: str
    """What it keeps its rows in, if that is SQLite."""
    command: Callable[[int, Path, str], list[str]]
    """From its port, its data folder and its database's URI, which is empty for SQLite."""
    schemes: Mapping[str, str]
    """How the URIs begin, by the databases that it can use."""
    store: Store | None = None
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    settle_s: float = 1.0
    """Upstream goes on importing for about half a minute after its first answer."""


def riverrun_command(port: int, folder: Path, uri: str) -> list[str]:
    return [
        *(str(ROOT / ".venv/bin/riverrun"), "server", "--port", str(port)),
        *("--backend-store-uri", uri or f"sqlite:///{folder / 'riverrun.db'}"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]


def mlflow_command(port: int, _folder: Path, uri: str) -> list[str]:
    database = ("--backend-store-uri", uri) if uri else ()
    program = str(ENVIRONMENTS / "bench-mlflow/bin/mlflow")
    return [program, "server", "--port", str(port), *database]


def fasttrackml_command(port: int, _folder: Path, uri: str) -> list[str]:
    database = ("--database-uri", uri) if uri else ()
    program = str(ENVIRONMENTS / "bench-fasttrackml/bin/fml")
    return [program, "server", "-a", f"127.0.0.1:{port}", *database]


def empty_command(port: int, _folder: Path, _uri: str) -> list[str]:
    return [sys.executable, str(ROOT / "bench/empty_server.py"), str(port)]


# Only loopback is spoken to, so upstream's usage reports are off.
MLFLOW_VARIABLES = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
UVLOOP = {"PYTHONPATH": str(ENVIRONMENTS / "bench-uvloop")}
RIVERRUN_SCHEMES = {"sqlite": "sqlite", "postgresql": "postgresql", "mariadb": "mysql"}
MLFLOW_SCHEMES = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg2",
    "mariadb": "mysql+pymysql",
}
FASTTRACKML_SCHEMES = {"sqlite": "sqlite", "postgresql": "postgres"}
KINDS = {
    kind.name: kind
    for kind in (
        Kind("riverrun", "Riverrun", "riverrun", "riverrun.db", riverrun_command, RIVERRUN_SCHEMES),
        Kind(
            "mlflow",
            "MLflow 3.17.2, defaults",
            "mlflow",
            "mlflow.db",
            mlflow_command,
            MLFLOW_SCHEMES,
            variables=MLFLOW_VARIABLES,
            settle_s=30,
        ),
        Kind(
            "mlflow-best",
            "MLflow 3.17.2, best",
            "mlflow",
            "mlflow.db",
            mlflow_command,
            MLFLOW_SCHEMES,
            variables=MLFLOW_VARIABLES | UVLOOP,
            settle_s=30,
        ),
        Kind(
            "fasttrackml",
            "FastTrackML 0.6.0",
            "fasttrackml",
            "fasttrackml.db",
            fasttrackml_command,
            FASTTRACKML_SCHEMES,
        ),
    )
}
EMPTY = Kind("empty", "Empty server", "", "", empty_command, {}, settle_s=0)


@dataclass(slots=True)
class Server:
    kind: Kind
    folder: Path
    address: Address
    process: subprocess.Popen[bytes]
    started_at: float

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def name(self) -> str:
        return self.kind.name

    @property
    def database_pid(self) -> int | None:
        """That of the database's server, if it has one."""
        return self.kind.store.pid if self.kind.store else None


def prepare(kinds: list[Kind]) -> None:
    """Install the peers once, each into an environment of its own, exactly as pinned."""
    names = {kind.name for kind in kinds}
    if names & {"mlflow", "mlflow-best"}:
        install("bench-mlflow")
    if "mlflow-best" in names:
        _install_beside("bench-uvloop", python_of="bench-mlflow")
    if "fasttrackml" in names:
        install("bench-fasttrackml")


def start(kind: Kind, folder: Path, *, poll_s: float = 0.05) -> Server:
    """Start a server in `folder` on a free port and wait for its first answer."""
    server = spawn(kind, folder)
    try:
        _wait_until_healthy(server, poll_s)
    except BaseException:  # An interrupt, too, must leave no server behind.
        stop(server)
        raise
    return server


def _wait_until_healthy(server: Server, poll_s: float) -> None:
    while not is_healthy(server):
        late = time.monotonic() > server.started_at + START_TIMEOUT_S
        if late or server.process.poll() is not None:
            raise ServerFailed(f"{server.kind.title} did not start: {last_lines(server)}")
        time.sleep(poll_s)


def spawn(kind: Kind, folder: Path) -> Server:
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    uri = kind.store.uri if kind.store else ""
    with (folder / "server.log").open("ab") as log:
        started_at = time.monotonic()
        process = subprocess.Popen(
            kind.command(port, folder, uri),
            cwd=folder,
            env={**os.environ, **kind.variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return Server(kind, folder, Address(port), process, started_at)


def settle(servers: list[Server]) -> None:
    """Wait until each has had its time since the start, and none uses the processor any more."""
    for server in servers:
        time.sleep(max(0, server.started_at + server.kind.settle_s - time.monotonic()))
    wait_until_quiet(servers, timeout_s=60)


def wait_until_quiet(
    servers: list[Server], *, timeout_s: float, window_s: float = 0.3, share_max: float = 0.1
) -> None:
    """Background work of one server, or of its database, must not slow the next one down."""
    pids = {server.pid for server in servers}
    pids |= {server.database_pid for server in servers if server.database_pid is not None}
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        before = sum(map(processes.cpu_s, pids))
        time.sleep(window_s)
        used = sum(map(processes.cpu_s, pids)) - before
        if used / window_s <= share_max:
            return


def stop(server: Server) -> None:
    """Ask the server to end, and end what is left of its session two seconds later."""
    server.process.send_signal(signal.SIGTERM)
    try:
        server.process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()
    deadline = time.monotonic() + 2
    while (left := processes.session(server.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def is_healthy(server: Server) -> bool:
    url = f"http://{server.address.host}:{server.address.port}/health"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def last_lines(server: Server) -> str:
    log = server.folder / "server.log"
    return log.read_text(errors="replace")[-600:] if log.exists() else "no log"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def install(name: str) -> None:
    folder = ENVIRONMENTS / name
    if _is_current(name):
        return
    _uv("venv", "--quiet", "--clear", str(folder))
    _uv_install(name, "--python", str(folder / "bin/python"))


def _install_beside(name: str, *, python_of: str) -> None:
    folder = ENVIRONMENTS / name
    if _is_current(name):
        return
    shutil.rmtree(folder, ignore_errors=True)
    python = ENVIRONMENTS / python_of / "bin/python"
    _uv_install(name, "--python", str(python), "--target", str(folder))


def _uv_install(name: str, *options: str) -> None:
    pins = ROOT / "requirements" / f"{name}.txt"
    _uv("pip", "install", "--quiet", "--no-deps", "--require-hashes", *options, "-r", str(pins))
    shutil.copy(pins, ENVIRONMENTS / name / "pins.txt")


def _is_current(name: str) -> bool:
    installed = ENVIRONMENTS / name / "pins.txt"
    pins = ROOT / "requirements" / f"{name}.txt"
    return installed.exists() and installed.read_bytes() == pins.read_bytes()


def _uv(*arguments: str) -> None:
    subprocess.run([ROOT / ".venv/bin/uv", *arguments], check=True)
