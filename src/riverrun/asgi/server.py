"""Running the application under uvicorn: sockets, TLS, and a stop that loses nothing."""

import ctypes
import gc
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from riverrun.obs.logs import Log
from riverrun.settings_values import SettingsError

if TYPE_CHECKING:
    from uvicorn import Config

log = Log("riverrun.server")

BACKLOG = 2048
KEPT_BYTES = 16 * 1024 * 1024
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # From glibc's malloc.h.
FORCED_STOP = 130
"""The shell's code for a program that the user interrupted."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Files and choices as OpenSSL takes them.

    `client_certificates`: 0 not asked for, 1 checked when given, 2 required.
    """

    certfile: str
    keyfile: str | None = None
    password: str | None = None
    ca_certs: str | None = None
    client_certificates: int = 0
    ciphers: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How long connections idle and requests may finish after a signal, and the TLS, if any."""

    keep_alive_s: int
    graceful_shutdown_s: int
    tls: Tls | None = None


def open_sockets(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to every address of `host`, not yet listening.

    Raises SettingsError with one sentence when that cannot be.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        raise SettingsError(f"--host {host}: there is no such address on this network.") from None
    addresses = dict.fromkeys((family, address) for family, _, _, _, address in found)
    opened: list[socket.socket] = []
    for family, address in addresses:
        if port == 0 and opened:
            break  # A second address would get another free port.
        opened.append(open_socket(family, address))
    return opened


def open_socket(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    # Event loops set TCP_NODELAY only on sockets that say they are TCP, and without it an answer in
    # two pieces waits 40 ms for the client's acknowledgement. Accepted sockets inherit the option.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        # "::" means every network; "localhost" has an IPv4 socket of its own beside this one.
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
    try:
        opened.bind(address)
    except OSError as error:
        opened.close()
        raise SettingsError(why_not(address, error)) from None
    return opened


def why_not(address: tuple[object, ...], error: OSError) -> str:
    host, port = address[:2]
    if isinstance(error, PermissionError):
        return f"--port {port}: this user may not listen there; choose a port from 1024 on."
    if error.errno == 98:
        return (
            f"--port {port}: another process listens on {host}:{port}; stop it or choose another."
        )
    return f"--host {host}: cannot listen there ({os.strerror(error.errno or 0)})."


def url_of(opened: socket.socket, *, tls: bool) -> str:
    host, port = opened.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port}"


def serve(
    app: ASGIApp,
    sockets: Sequence[socket.socket],
    serving: Serving,
    *,
    on_ready: Callable[[], None] = lambda: None,
) -> NoReturn:
    """Serves until SIGTERM or SIGINT, then ends the process; calls `on_ready` when it begins.

    Raises SettingsError with the application's sentence when it refuses to start.
    After the signal new connections are refused, requests in flight finish (for at most
    `graceful_shutdown_s` seconds), then the application shuts down. A second SIGINT ends at once.
    """
    from uvicorn import Server  # noqa: PLC0415 - half of the start time; commands do without.

    class Announcing(Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            rest_the_collector()
            keep_freed_memory()
            for each in sockets or ():
                log.info("listening", url=url_of(each, tls=serving.tls is not None))
            on_ready()

    failures: list[str] = []
    server = Announcing(configuration(noting_failures(app, failures), serving))
    # uvicorn raises the signal again when all is done; these turn that into a clean exit.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        server.run(list(sockets))
    except SystemExit:
        if failures:
            raise SettingsError(failures[0]) from None
        raise
    finally:
        if server.force_exit:
            # The application did not shut down, and its threads must not keep the process alive.
            # What was acknowledged is on the disk.
            log.warning("stopped by force")
            sys.stderr.flush()
            os._exit(FORCED_STOP)
    sys.exit(0)


def rest_the_collector() -> None:
    """What is imported stays, so the garbage collector need not look at it again and again, and a
    batch of a thousand metrics is no reason to look at all: with Python's defaults every hundredth
    request waits 20 ms for it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)


def keep_freed_memory() -> None:
    """Large answers are made in large blocks. glibc gives such a block back to the system when it
    is freed, so each answer waits for all its pages anew: a fifth of the time that a page of a
    history takes. Up to KEPT_BYTES stay instead. Other C libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES // 2)
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def noting_failures(app: ASGIApp, failures: list[str]) -> ASGIApp:
    """Keeps the sentence with which the application refuses to start."""

    def noting(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        def note(message: Message) -> Awaitable[None]:
            if message["type"] == "lifespan.startup.failed":
                failures.append(message.pop("message", ""))
            return send(message)

        return app(scope, receive, note if scope["type"] == "lifespan" else send)

    return noting


def stop(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    log.info("stopped")
    sys.exit(0)


def configuration(app: ASGIApp, serving: Serving) -> "Config":
    """Raises SettingsError when the TLS files cannot be used."""
    from uvicorn import Config  # noqa: PLC0415 - see `serve`.

    from riverrun.asgi.protocol import BoundedProtocol  # noqa: PLC0415 - see `serve`.

    tls = serving.tls or Tls("")
    config = Config(
        app,  # pyright: ignore[reportArgumentType] - Starlette's types are wider than uvicorn's.
        interface="asgi3",
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        backlog=BACKLOG,
        timeout_keep_alive=serving.keep_alive_s,
        timeout_graceful_shutdown=serving.graceful_shutdown_s,
        ssl_certfile=tls.certfile or None,
        ssl_keyfile=tls.keyfile,
        ssl_keyfile_password=tls.password,
        ssl_ca_certs=tls.ca_certs,
        ssl_cert_reqs=tls.client_certificates,
        ssl_ciphers=tls.ciphers,
    )
    try:
        config.load()
    except (OSError, ValueError) as error:
        raise SettingsError(f"--ssl-certfile {tls.certfile}: {error}.") from None
    return config
