"""Who called, how, and under which path, when a trusted proxy stands in between."""

import re
from collections.abc import Awaitable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

CACHE_SIZE_MAX = 1024
PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
WITH_PORT = re.compile(r"\[([0-9a-fA-F:.]+)\](?::[0-9]+)?|([0-9.]+):[0-9]+")


class ForwardedHeaders:
    """Honours X-Forwarded-For, -Proto and -Prefix of the proxies in `trusted`, and of nobody else.

    The client is the last address that no trusted proxy has; the scheme is the last one named.
    The prefix becomes `root_path`, from which pages build links; the path stays as it came.
    """

    def __init__(self, app: ASGIApp, *, trusted: tuple[str, ...]) -> None:
        self.app = app
        self._all = "*" in trusted
        self._networks = [ip_network(each, strict=False) for each in trusted if each != "*"]
        self._known: dict[str, bool] = {}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            client = scope["client"]
            if client and self._trusts(client[0]):
                self._apply(scope)
        return self.app(scope, receive, send)

    def _apply(self, scope: Scope) -> None:
        hops: list[str] = []
        for name, value in scope["headers"]:
            if not name.startswith(b"x-forwarded-"):
                continue
            if name == b"x-forwarded-for":
                hops += value.decode("latin-1").split(",")
            elif name == b"x-forwarded-proto":
                self._set_scheme(scope, value)
            elif name == b"x-forwarded-prefix":
                self._set_prefix(scope, value)
        if hops:
            self._set_client(scope, hops)

    def _set_client(self, scope: Scope, hops: list[str]) -> None:
        for hop in reversed(hops):
            address = as_address(hop.strip())
            if address is None:
                return  # What stands before a word that is no address was not written by a proxy.
            scope["client"] = (str(address), 0)
            if not self._trusts(str(address)):
                return

    def _set_scheme(self, scope: Scope, value: bytes) -> None:
        scheme = value.decode("latin-1").rpartition(",")[2].strip().lower()
        if scheme in {"http", "https"}:
            scope["scheme"] = scheme

    def _set_prefix(self, scope: Scope, value: bytes) -> None:
        prefix = value.decode("latin-1").strip().rstrip("/")
        if PREFIX.fullmatch(prefix) and "/.." not in prefix:
            scope["root_path"] = prefix

    def _trusts(self, host: str) -> bool:
        if (known := self._known.get(host)) is not None:
            return known
        address = as_address(host)
        trusted = self._all or any(
            address is not None and address in network for network in self._networks
        )
        if len(self._known) >= CACHE_SIZE_MAX:
            self._known.clear()
        self._known[host] = trusted
        return trusted


def as_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address with or without a port; IPv4 inside IPv6 comes out as IPv4."""
    if found := WITH_PORT.fullmatch(text):
        text = found[1] or found[2]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
