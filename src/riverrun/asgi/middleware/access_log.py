"""One line for a request: what was asked, what was answered, how long it took."""

from collections.abc import Awaitable
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from riverrun.obs.logs import Log

log = Log("riverrun.access")

CLIENT_GONE = 499
"""nginx's number for a client that left before the answer began."""


class AccessLog:
    """Logs answers of 400 and above, or with `every` all of them.

    Errors only is the default: a line costs about as much as a small request, and the errors are
    what an operator looks for. Query strings are left out, because they may hold a token.
    """

    def __init__(self, app: ASGIApp, *, every: bool) -> None:
        self.app = app
        self.least_status = 0 if every else 400

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started, status = perf_counter(), CLIENT_GONE

        def send_and_note(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        try:
            return await self.app(scope, receive, send_and_note)
        finally:
            if status >= self.least_status:
                self._write(scope, status, took_ms=(perf_counter() - started) * 1000)

    def _write(self, scope: Scope, status: int, *, took_ms: float) -> None:
        client = scope.get("client")
        write = log.warning if status >= 500 else log.info
        write(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=status,
            ms=round(took_ms, 2),
            client=client[0] if client else "",
        )
