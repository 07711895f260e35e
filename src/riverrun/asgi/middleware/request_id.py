"""Every request has an id, the caller's or one of ours, which stands in its log lines."""

import itertools
import os
import re
from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from riverrun.obs.logs import REQUEST_ID

SANE = re.compile(rb"[A-Za-z0-9._:+/=@-]{1,128}")


class RequestId:
    """Reads and answers the header X-Request-ID.

    Our ids are a random word of this process and a number: unique and cheap, but no secret.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._word = os.urandom(6).hex()
        self._numbers = itertools.count(1)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self.app(scope, receive, send)
        header = self._sane_id(scope) or f"{self._word}-{next(self._numbers)}".encode()
        REQUEST_ID.set(header.decode())

        def send_with_id(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", header)]
            return send(message)

        return self.app(scope, receive, send_with_id)

    def _sane_id(self, scope: Scope) -> bytes | None:
        for name, value in scope["headers"]:
            if name == b"x-request-id" and SANE.fullmatch(value):
                return value
        return None
