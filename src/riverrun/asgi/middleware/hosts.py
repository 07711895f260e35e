"""What keeps foreign web pages away from a server that a browser can reach.

DNS rebinding gives a page of the attacker's our address under his name: the Host header must be one
of ours. Cross-site requests carry the page's Origin: what changes state must come from ours. The
rest is CORS for origins that the operator allows, and headers that stop sniffing and framing.
"""

import re
from collections.abc import Awaitable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from ipaddress import IPv4Address, IPv6Address, ip_network

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from riverrun.obs.health import PROBE_PATHS
from riverrun.plain import Plain

Headers = list[tuple[bytes, bytes]]

CACHE_SIZE_MAX = 1024
HEADER_BYTES_MAX = 300
NOBODY = b"(sent twice or too long)"
STATE_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
DEFAULT_SUFFIXES = (".internal", ".local", ".svc", ".cluster.local")
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
DEFAULT_PORTS = {"http": "80", "https": "443"}

AUTHORITY = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_.-]{1,254}?)\.?(?::([0-9]{1,5}))?")
LABELS = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
LAST_LABEL_IS_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
ADDRESS_PATTERN = re.compile(r"(?=.*[0-9])[0-9.*?]+")
NEAR = tuple(
    ip_network(each)
    for each in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)


@dataclass(frozen=True, slots=True)
class Authority:
    """A Host header taken apart: `name` in lower case without the root's dot, IPv6 in brackets."""

    name: str
    port: str
    address: IPv4Address | IPv6Address | None


def parse_authority(text: str) -> Authority | None:
    """None for what no honest client sends: logins, odd spellings of addresses, broken labels.

    `0x7f.1` or `2130706433` are addresses to a browser and names to us: nobody needs them.
    """
    found = AUTHORITY.fullmatch(text.lower())
    if found is None:
        return None
    name, port = found[1], found[2] or ""
    try:
        if name.startswith("["):
            address = IPv6Address(name[1:-1])
            return Authority(f"[{address}]", port, address)
        if LAST_LABEL_IS_NUMBER.fullmatch(name):
            return Authority(name, port, IPv4Address(name))
    except ValueError:
        return None
    return Authority(name, port, None) if LABELS.fullmatch(name) else None


def is_near(host: Authority, *, extra: tuple[str, ...]) -> bool:
    """The default list: our own networks, names that only they resolve, and `extra` patterns.

    An address in the Host header is safe from rebinding anyway, since no name was resolved; 0.0.0.0
    is what many write for "this machine".
    """
    if host.address is not None:
        address = getattr(host.address, "ipv4_mapped", None) or host.address
        return address.is_unspecified or any(address in each for each in NEAR)
    inside = "." not in host.name or host.name.endswith(DEFAULT_SUFFIXES)
    return inside or matches_any(host, patterns=extra)


def matches_any(host: Authority, *, patterns: tuple[str, ...]) -> bool:
    return any(matches(host, pattern.lower().rstrip(".")) for pattern in patterns)


def matches(host: Authority, pattern: str) -> bool:
    """A pattern without a port stands for every port; `10.*` means addresses, not `10.evil.com`."""
    if pattern.count(":") > 1 and not pattern.startswith("["):
        pattern = f"[{pattern}]"
    name, _, port = pattern.rpartition(":") if has_port(pattern) else (pattern, "", "*")
    if ADDRESS_PATTERN.fullmatch(name) and host.address is None:
        return False
    return glob(host.name, pattern=name) and glob(host.port, pattern=port)


def glob(text: str, *, pattern: str) -> bool:
    """`*` and `?` only: brackets are IPv6 here, not fnmatch's sets of characters."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def has_port(pattern: str) -> bool:
    return ":" in pattern and not pattern.endswith("]")


@dataclass(frozen=True, slots=True)
class HostRule:
    """Which Host headers are let in. `allowed` replaces the default list; `*` in it lets all in."""

    allowed: tuple[str, ...] | None = None
    platform: tuple[str, ...] = ()

    def refusal(self, header: str) -> str | None:
        """Why the host is kept out, in words for the operator; None lets it in."""
        if self.allowed is not None and "*" in self.allowed:
            return None
        host = parse_authority(header)
        if host is not None and self._lets_in(host):
            return None
        return (
            f"Host {printable(header)} is not allowed (possible DNS rebinding). To let it in, name"
            " it in the server's option --allowed-hosts (or MLFLOW_SERVER_ALLOWED_HOSTS), such as"
            f" --allowed-hosts '{printable(header)},localhost:*'"
        )

    def _lets_in(self, host: Authority) -> bool:
        if self.allowed is None:
            return is_near(host, extra=self.platform)
        return matches_any(host, patterns=self.allowed)


@dataclass(frozen=True, slots=True)
class OriginRule:
    """Which web origins may call: the server's own, localhost, and `allowed` with wildcards."""

    allowed: tuple[str, ...] = ()

    @property
    def lets_all_in(self) -> bool:
        return "*" in self.allowed

    def lets_in(self, origin: str) -> bool:
        """`null`, which sandboxed frames and files send, is let in only when it is listed."""
        if self.lets_all_in:
            return True
        if is_local_origin(origin):
            return True
        return any(glob(origin, pattern=normal_origin(each)) for each in self.allowed)


def normal_origin(origin: str) -> str:
    """Lower case, no slash at the end, no port that the scheme implies."""
    scheme, _, rest = origin.lower().rstrip("/").partition("://")
    return (
        f"{scheme}://{rest.removesuffix(':' + DEFAULT_PORTS.get(scheme, '-'))}" if rest else scheme
    )


def is_local_origin(origin: str) -> bool:
    scheme, _, rest = origin.partition("://")
    host = parse_authority(rest)
    return scheme in DEFAULT_PORTS and host is not None and host.name in LOCAL_NAMES


def printable(header: str) -> str:
    return re.sub(r"[^!-~]", "?", header[:HEADER_BYTES_MAX]) or "(empty)"


def sole(before: bytes | None, value: bytes) -> bytes:
    """A header that may come once: what came twice, or is too long, matches nothing."""
    return value if before is None and len(value) <= HEADER_BYTES_MAX else NOBODY


class HostCheck:
    """Refuses hosts and origins that are not ours, answers CORS, and adds protective headers.

    Sees the scheme that `ForwardedHeaders` sets, so it stands inside of it. Probes are let in under
    any host, with and without `prefix`: load balancers call by address.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: HostRule,
        origins: OriginRule,
        x_frame_options: str = "SAMEORIGIN",
        prefix: str = "",
    ) -> None:
        self.app = app
        self._origins = origins
        self._refusal = lru_cache(CACHE_SIZE_MAX)(hosts.refusal)
        self._lets_in = lru_cache(CACHE_SIZE_MAX)(origins.lets_in)
        self._exempt = frozenset({*PROBE_PATHS, *(prefix + path for path in PROBE_PATHS)})
        self._headers = protective_headers(x_frame_options)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self.app(scope, receive, send)
        host, origin = None, None
        for name, value in scope["headers"]:
            if name == b"host":
                host = sole(host, value)
            elif name == b"origin":
                origin = sole(origin, value)
        headers = self._headers
        answer: ASGIApp = self.app
        host_text = "" if host is None else host.decode("latin-1")
        if (reason := self._host_refusal(scope, host_text)) is not None:
            answer = Plain(403, reason)
        elif origin is not None:
            answer, cors = self._check_origin(scope, host_text, origin)
            headers = headers + cors
        return answer(scope, receive, partial(send_with, send, headers))

    def _host_refusal(self, scope: Scope, host: str) -> str | None:
        return None if scope["path"] in self._exempt else self._refusal(host)

    def _check_origin(self, scope: Scope, host: str, header: bytes) -> tuple[ASGIApp, Headers]:
        """What answers a browser's request, and with which CORS headers."""
        origin = normal_origin(header.decode("latin-1"))
        own = origin == normal_origin(f"{scope['scheme']}://{host}")
        allowed = own or self._lets_in(origin)
        if scope["method"] == "OPTIONS" and (wanted := preflight_headers(scope)) is not None:
            cors = [*cors_headers(header, every=self._origins.lets_all_in), *wanted]
            return (Plain(204, ""), cors) if allowed else (refused_origin(header), [])
        # Every path, and not only /api: a rule by path is one odd spelling away from a hole.
        if not allowed and scope["method"] in STATE_CHANGING:
            return refused_origin(header), []
        if own or not allowed:
            return self.app, []
        return self.app, cors_headers(header, every=self._origins.lets_all_in)


def refused_origin(header: bytes) -> Plain:
    shown = printable(header.decode("latin-1"))
    return Plain(
        403,
        f"Cross-origin request blocked: {shown} is not an origin of this server. Allow it with"
        " --cors-allowed-origins (or MLFLOW_SERVER_CORS_ALLOWED_ORIGINS); behind a proxy that ends"
        " TLS, name the proxy in --forwarded-allow-ips.",
    )


def protective_headers(x_frame_options: str) -> Headers:
    nosniff = (b"x-content-type-options", b"nosniff")
    if x_frame_options == "NONE":
        return [nosniff]
    return [nosniff, (b"x-frame-options", x_frame_options.encode())]


def cors_headers(origin: bytes, *, every: bool) -> Headers:
    """Credentials never go together with `*`."""
    if every:
        return [(b"access-control-allow-origin", b"*")]
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"vary", b"origin"),
    ]


def preflight_headers(scope: Scope) -> Headers | None:
    """None when the request is no preflight."""
    asked = dict[bytes, bytes](scope["headers"])
    if b"access-control-request-method" not in asked:
        return None
    headers = [
        (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        (b"access-control-max-age", b"600"),
    ]
    if wanted := asked.get(b"access-control-request-headers"):
        headers.append((b"access-control-allow-headers", wanted))
    return headers


def send_with(send: Send, headers: Headers, message: Message) -> Awaitable[None]:
    if message["type"] == "http.response.start":
        message["headers"] = [*message.get("headers", ()), *headers]
    return send(message)
