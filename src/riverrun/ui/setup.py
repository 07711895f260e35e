"""The page `/setup`: a form for the first admin, without a script, for one who has the link."""

import html
from collections.abc import Callable
from typing import Protocol
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from riverrun.auth.viewer import Asking, Viewer, everybody
from riverrun.errors import InvalidParameterValue, RequestTooLarge, TrackingError
from riverrun.obs.logs import REQUEST_ID
from riverrun.plain import Plain
from riverrun.services.access.setup_link import FirstAdmin
from riverrun.ui.landing import STYLE, style_policy
from riverrun.wire.errors import status_of

FORM_BYTES_MAX = 16_384
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Riverrun: the first admin</title>
<style>{style}</style>
</head>
<body>
<h1>The first admin</h1>
{content}
</body>
</html>
"""
FORM = """<p>{said}</p>
<form method="post" action="setup" autocomplete="off">
<input type="hidden" name="token" value="{token}">
<p><label>Name<br><input name="username" value="{username}" required maxlength="255"></label></p>
<p><label>Password, 12 characters or more<br>
<input name="password" type="password" required minlength="12" maxlength="1024"
 autocomplete="new-password"></label></p>
<p><label>The password again<br>
<input name="again" type="password" required autocomplete="new-password"></label></p>
<p><button>Make the admin</button></p>
</form>
"""


class Setup(Protocol):
    """Both raise TrackingError."""

    async def check(self, token: str, *, viewer: Viewer) -> None: ...

    async def finish(self, first: FirstAdmin, *, viewer: Viewer) -> str: ...


class SetupPage:
    """`setup` is None as long as the server starts."""

    def __init__(self, setup: Callable[[], Setup | None]) -> None:
        self._setup = setup

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        setup = self._setup()
        if setup is None:
            await _page("<p>The server is starting.</p>", 503)(scope, receive, send)
            return
        asking = Asking(dict(scope["headers"]), scope.get("client"), REQUEST_ID.get())
        viewer = await everybody(asking)
        if scope["method"] == "POST":
            answer = await _posted(setup, receive, viewer)
        else:
            answer = await _shown(setup, scope, viewer)
        await answer(scope, receive, send)


async def _shown(setup: Setup, scope: Scope, viewer: Viewer) -> Plain:
    token = _field(scope["query_string"], "token")
    try:
        await setup.check(token, viewer=viewer)
    except TrackingError as error:
        return _refusal(error)
    return _form(token, "admin", "Choose a name and a password for the first admin.", 200)


async def _posted(setup: Setup, receive: Receive, viewer: Viewer) -> Plain:
    try:
        body = await _body(receive)
    except TrackingError as error:
        return _refusal(error)
    first = FirstAdmin(_field(body, "token"), _field(body, "username"), _field(body, "password"))
    try:
        await setup.check(first.token, viewer=viewer)
    except TrackingError as error:
        return _refusal(error)
    try:
        if first.password != _field(body, "again"):
            raise InvalidParameterValue("The two passwords are not the same.")
        name = await setup.finish(first, viewer=viewer)
    except TrackingError as error:
        return _form(first.token, first.username, error.message, status_of(error))
    return _page(f"<p>{html.escape(name)} is the first admin, and can log in now.</p>", 200)


def _form(token: str, username: str, said: str, status: int) -> Plain:
    form = FORM.format(
        token=html.escape(token), username=html.escape(username), said=html.escape(said)
    )
    return _page(form, status)


def _refusal(error: TrackingError) -> Plain:
    return _page(f"<p>{html.escape(error.message)}</p>", status_of(error))


def _page(content: str, status: int) -> Plain:
    headers = (
        (b"content-security-policy", style_policy(form_action=b"'self'")),
        # Without any referrer a browser would not say either where the form comes from.
        (b"referrer-policy", b"strict-origin"),
        (b"cache-control", b"no-store"),
    )
    text = PAGE.format(style=STYLE, content=content)
    return Plain(status, text, content_type="text/html; charset=utf-8", headers=headers)


def _field(encoded: bytes, name: str) -> str:
    """The first one of that name, empty for none. A broken one is none, too."""
    try:
        found = parse_qs(encoded.decode("latin-1"), keep_blank_values=True, max_num_fields=8)
    except ValueError:
        return ""
    return found.get(name, [""])[0]


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
        if sum(map(len, parts)) > FORM_BYTES_MAX:
            raise RequestTooLarge(f"The form is larger than {FORM_BYTES_MAX} bytes.")
    return b"".join(parts)
