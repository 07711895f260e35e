"""Probes: alive, ready, version. None of them needs a login or a known host name."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from riverrun import __version__
from riverrun.plain import Plain

PROTOCOL_VERSION = "3.17.2"
"""The MLflow release whose protocol is spoken; clients decide by it what they may send."""

PROBE_PATHS = ("/health", "/livez", "/readyz", "/version")

# Proxies must not answer for us.
FRESH = ((b"cache-control", b"no-store"),)


@dataclass(frozen=True, slots=True)
class Readiness:
    """`ready` answers None, or the reason why requests should go elsewhere for now."""

    ready: Callable[[], Awaitable[str | None]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reason = await self.ready()
        answer = Plain(503, reason, headers=FRESH) if reason else Plain(200, "OK", headers=FRESH)
        await answer(scope, receive, send)


def probes(ready: Callable[[], Awaitable[str | None]]) -> Mapping[str, ASGIApp]:
    """The answer for each path of `PROBE_PATHS`."""
    alive = Plain(200, "OK", headers=FRESH)
    ours = (b"x-riverrun-version", __version__.encode())
    version = Plain(200, PROTOCOL_VERSION, headers=(*FRESH, ours))
    return {"/health": alive, "/livez": alive, "/readyz": Readiness(ready), "/version": version}
