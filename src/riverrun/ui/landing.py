"""The page at `/`: what this is, and the two lines that point a client at it."""

import hashlib
import html
import re
from base64 import b64encode

from starlette.types import Receive, Scope, Send

from riverrun import __version__
from riverrun.plain import Plain

HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
STYLE = """
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 4rem auto; padding: 0 1rem }
pre { overflow-x: auto; padding: 1rem; border: 1px solid; border-radius: .5rem }
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Riverrun</title>
<style>{style}</style>
</head>
<body>
<h1>Riverrun</h1>
<p>An experiment tracking server that speaks the MLflow protocol, version {version}.</p>
<p>Point a client at it, in the shell or in Python:</p>
<pre>export MLFLOW_TRACKING_URI={url}
mlflow.set_tracking_uri("{url}")</pre>
<p>The API is described in <a href="{url}/api/riverrun/v1/openapi.json">OpenAPI</a>.</p>
</body>
</html>
"""


class LandingPage:
    """Answers with the address under which the browser reached this server, behind proxies too."""

    def __init__(self, *, prefix: str = "") -> None:
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = landing_page(tracking_url(scope, prefix=self._prefix))
        await page(scope, receive, send)


def landing_page(url: str) -> Plain:
    text = PAGE.format(style=STYLE, version=__version__, url=html.escape(url))
    headers = (
        (b"content-security-policy", style_policy(form_action=b"'none'")),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    )
    return Plain(200, text, content_type="text/html; charset=utf-8", headers=headers)


def style_policy(*, form_action: bytes) -> bytes:
    """A page with this policy has its style, and nothing else that a browser would load or run."""
    style_hash = b64encode(hashlib.sha256(STYLE.encode()).digest())
    return (
        b"default-src 'none'; style-src 'sha256-" + style_hash + b"';"
        b" base-uri 'none'; form-action " + form_action
    )


def tracking_url(scope: Scope, *, prefix: str) -> str:
    """Scheme, host and path of this server as the caller sees them.

    The line is made to be pasted into a shell, so a Host header with anything unusual in it is
    replaced by the socket's own address.
    """
    given = dict[bytes, bytes](scope["headers"]).get(b"host", b"").decode("latin-1")
    host = given if HOST.fullmatch(given) else own_host(scope)
    return f"{scope['scheme']}://{host}{scope.get('root_path', '')}{prefix}"


def own_host(scope: Scope) -> str:
    host, port = scope.get("server") or ("127.0.0.1", 5000)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
