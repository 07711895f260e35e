"""The ASGI application: middleware in one list, and the way from a request to a row of the route
table.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from riverrun.api.call import Answer, Call, Services
from riverrun.api.route import Route, Source
from riverrun.asgi.routes import Found, RouteTable
from riverrun.auth.levels import Action, Level
from riverrun.auth.viewer import (
    DEFAULT_WORKSPACE,
    WORKSPACE_HEADER,
    Asking,
    Undecided,
    Viewer,
    everybody,
)
from riverrun.errors import (
    FeatureDisabled,
    InternalError,
    InvalidParameterValue,
    NoSuchResource,
    PermissionDenied,
    RequestTooLarge,
    TemporarilyUnavailable,
    TooManyRequests,
    TrackingError,
    Unauthenticated,
)
from riverrun.obs.logs import REQUEST_ID, Log
from riverrun.wire.codec import Reader, encode, with_path
from riverrun.wire.errors import ErrorEnvelope, envelope_of, status_of

log = Log("riverrun.app")

JSON = (b"content-type", b"application/json")
CHALLENGE = (b"www-authenticate", b'Basic realm="mlflow"')
NO_CONTENT = 204
NOT_MODIFIED = 304
DECISIONS_MAX = 16
"""How often one request may ask what its viewer may do; most ask about one experiment or model."""


class ClientGoneError(Exception):
    """The client left before its request was complete; nobody waits for an answer."""


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """What happens once before the first request and once after the last."""

    start: Callable[[], Awaitable[Services]]
    stop: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Page:
    """An application at a fixed path that is no API, and what access control asks for there."""

    app: ASGIApp
    action: Action
    methods: tuple[str, ...] = ("GET", "HEAD")


class Application:
    """Requests to routes and pages."""

    def __init__(
        self,
        routes: tuple[Route, ...],
        lifecycle: Lifecycle,
        *,
        pages: Mapping[str, Page],
        prefix: str,
        request_bytes_max: int,
    ) -> None:
        self._table = RouteTable(routes, prefix=prefix)
        self._readers = {route.message: Reader(route.message) for route in routes}
        self._lifecycle = lifecycle
        self._pages = {**pages, **{prefix + path: page for path, page in pages.items()}}
        self._request_bytes_max = request_bytes_max
        self._services: Services | None = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "lifespan":
            return self._live(receive, send)
        if page := self._pages.get(scope["path"]):
            return self._show(page, scope, receive, send)
        return self._respond(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            self._services = await self._lifecycle.start()
        except TrackingError as error:
            await send({"type": "lifespan.startup.failed", "message": error.message})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._lifecycle.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _show(self, page: Page, scope: Scope, receive: Receive, send: Send) -> None:
        if page.action.level is not Level.PUBLIC:
            headers = dict(scope["headers"])
            headers.pop(WORKSPACE_HEADER, None)  # Pages are the same in all of them.
            try:
                await self._viewer(page.action, headers, scope)
            except TrackingError as error:
                await _send_error(error, send)
                return
        await _page(page, scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The only place where an error becomes an answer."""
        try:
            found = self._table.find(scope["method"], scope["path"])
            if isinstance(found, str):
                await _send_unknown(found, send)
                return
            answer = await self._answer(found, scope, receive)
            if isinstance(answer, Answer):
                await _send_answer(answer, scope["method"], receive, send)
            elif found.route.status == NO_CONTENT:
                await _send_body(NO_CONTENT, b"", (), send)
            else:
                body = answer if isinstance(answer, bytes) else encode(answer)
                await _send_body(found.route.status, body, (JSON,), send)
        except ClientGoneError:
            pass
        except TrackingError as error:
            await _send_error(error, send)
        except Exception as error:  # noqa: BLE001 - The error boundary.
            log.error("unexpected error", error=error, path=scope["path"])
            await _send_error(
                InternalError("An unexpected error; the server's log has it by request id."), send
            )

    async def _answer(self, found: Found, scope: Scope, receive: Receive) -> object:
        route, rest, values = found
        headers: dict[bytes, bytes] = dict(scope["headers"])
        viewer = await self._viewer(route.action, headers, scope)
        reader = self._readers[route.message]
        if route.source is Source.JSON:
            _require_json(scope["method"], headers)
            message = reader.body(await self._body(headers, receive))
        elif scope["query_string"] or route.source is Source.FILE:
            message = reader.query(scope["query_string"])
        else:
            message = reader.body(await self._body(headers, receive))
        path = _decoded(scope["raw_path"])[-len(rest) :] if rest else ""
        if values:
            _decoded(scope["raw_path"])
            message = with_path(message, values)
        call = Call(self._running, viewer, path, headers, partial(_chunks, receive))
        if viewer.is_free:
            return await route.endpoint(call, message)
        return await _decided(route, call, message)

    @property
    def _running(self) -> Services:
        if self._services is None:
            raise TemporarilyUnavailable("The server is starting; try again in a second.")
        return self._services

    async def _viewer(self, action: Action, headers: Mapping[bytes, bytes], scope: Scope) -> Viewer:
        asking = Asking(headers, scope.get("client"), REQUEST_ID.get())
        if action.level is Level.PUBLIC:
            return await everybody(asking)
        services = self._running
        if not services.workspaces.are_enabled:
            _refuse_workspace(headers)
        viewer = await services.authenticate(asking)
        if viewer.user_id is not None and len(headers) < len(scope["headers"]):
            _refuse_two_logins(scope)
        try:
            viewer.check_scope(action)
        except PermissionDenied as error:
            services.audit.denied(action, error.message, by=viewer)
            raise
        return viewer

    async def _body(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        length = headers.get(b"content-length", b"")
        if length.isdigit() and (len(length) > 18 or int(length) > self._request_bytes_max):
            raise self._too_large()
        message = await receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            return body
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._request_bytes_max:
                raise self._too_large()
        return b"".join(parts)

    def _too_large(self) -> RequestTooLarge:
        return RequestTooLarge(
            f"The request body is larger than {self._request_bytes_max} bytes, the limit of this "
            "server (--request-bytes-max)."
        )


async def _decided(route: Route, call: Call, message: object) -> object:
    """The endpoint, again whenever something that it asked was decided in the meantime: nothing is
    written before all is decided, and no body is read.

    What is missing and what is out of sight are the same to all but admins.
    """
    try:
        for _ in range(DECISIONS_MAX):
            try:
                return await route.endpoint(call, message)
            except Undecided as undecided:
                await call.services.permissions.decide(call.viewer, undecided.resources)
        return await route.endpoint(call, message)  # What is undecided now is denied.
    except (PermissionDenied, NoSuchResource) as error:
        if call.viewer.all_powerful:
            raise
        call.services.audit.denied(route.action, error.message, by=call.viewer)
        raise PermissionDenied(
            f"Permission denied: {route.action.level.name} on this {route.action.resource} was not "
            "granted to you, or there is none."
        ) from error


async def _page(page: Page, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["method"] not in page.methods:
        await _send_unknown(", ".join(page.methods), send)
        return
    await page.app(scope, receive, _without_body(send) if scope["method"] == "HEAD" else send)


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head


def _refuse_two_logins(scope: Scope) -> None:
    """A proxy in front of the server may have judged the other one."""
    if [name for name, _ in scope["headers"]].count(b"authorization") > 1:
        raise Unauthenticated("The header Authorization was sent twice: expected it once.")


def _refuse_workspace(headers: Mapping[bytes, bytes]) -> None:
    workspace = headers.get(WORKSPACE_HEADER, b"")
    if workspace and workspace != DEFAULT_WORKSPACE.encode():
        raise FeatureDisabled(
            "Workspace APIs are not available: workspaces are not enabled on this server"
        )


def _require_json(method: str, headers: Mapping[bytes, bytes]) -> None:
    if method not in {"POST", "PUT"}:
        return
    media_type = headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower()
    if media_type != b"application/json":
        raise InvalidParameterValue(
            "Bad Request. Content-Type must be one of ['application/json']."
        )


def _decoded(raw_path: bytes) -> str:
    """The path as it was sent: decoded once, and strictly."""
    try:
        return unquote(raw_path.decode("ascii"), errors="strict")
    except UnicodeDecodeError:
        raise InvalidParameterValue("Invalid path: it is not valid UTF-8.") from None


async def _chunks(receive: Receive) -> AsyncGenerator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        more = message.get("more_body", False)
        if body := message.get("body", b""):
            yield body


async def _send_body(
    status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...], send: Send
) -> None:
    # Of a 304 it would be the length of what is not sent (RFC 9110, section 8.6), of a 204 none.
    has_none = status in {NO_CONTENT, NOT_MODIFIED}
    length = () if has_none else ((b"content-length", b"%d" % len(body)),)
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body})


async def _send_answer(answer: Answer, method: str, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", answer.media_type.encode())]
    headers.extend(
        (name.encode(), value.encode("latin-1")) for name, value in answer.headers.items()
    )
    if isinstance(answer.body, bytes):
        await _send_body(answer.status, answer.body, tuple(headers), send)
        return
    if method == "HEAD":
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    start: Message = {
        "type": "http.response.start",
        "status": answer.status,
        "headers": headers,
    }
    gone = asyncio.create_task(_until_gone(receive))
    try:
        async with aclosing(answer.body) as parts:
            await _send_stream(start, parts, gone, send)
    finally:
        gone.cancel()


async def _until_gone(receive: Receive) -> None:
    """Ends when the client has left: the server drops what is sent to it, and says nothing.

    A server whose `receive` never waits must not hold the event loop, hence the sleep.
    """
    while (await receive())["type"] != "http.disconnect":  # noqa: ASYNC110 - There is no event.
        await asyncio.sleep(0)


async def _send_stream(
    start: Message, parts: AsyncGenerator[bytes], gone: "asyncio.Task[None]", send: Send
) -> None:
    """The first part is awaited before the head is sent: its error can still be an answer."""
    first = await anext(parts, b"")
    await send(start)
    await send({"type": "http.response.body", "body": first, "more_body": True})
    try:
        async for part in parts:
            if gone.done():
                return
            await send({"type": "http.response.body", "body": part, "more_body": True})
    except TrackingError as error:
        # That the connection ends before the body does is all that can still be said.
        log.warning("answer broken off", reason=error.message)
        return
    await send({"type": "http.response.body", "body": b""})


async def _send_error(error: TrackingError, send: Send) -> None:
    headers = (JSON,)
    if isinstance(error, TemporarilyUnavailable | TooManyRequests):
        headers = (JSON, (b"retry-after", b"%d" % error.retry_after_s))
    elif isinstance(error, Unauthenticated):
        headers = (JSON, CHALLENGE)
    await _send_body(status_of(error), encode(envelope_of(error)), headers, send)


async def _send_unknown(allowed: str, send: Send) -> None:
    """An unknown path is 404 with an empty body, which clients read as "endpoint not found" and
    fall back.
    """
    if not allowed:
        await _send_body(404, b"", (), send)
        return
    body = encode(ErrorEnvelope("BAD_REQUEST", f"Method not allowed. Use one of: {allowed}."))
    await _send_body(405, body, (JSON, (b"allow", allowed.encode())), send)
