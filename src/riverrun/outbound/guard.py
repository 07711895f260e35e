"""Which hosts a user may have the server call: by default public ones only, so that nobody reaches
through the server what only the server can reach (SSRF).

A name is looked up before every call, all its addresses must pass, and the connection goes to an
address that passed: a name that resolves to something else a moment later gains nothing.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

URL_LENGTH_MAX = 2_048
PORTS = {"http": 80, "https": 443}

_URL = re.compile(r"[!-\[\]-~]+")
"""Printable ASCII without spaces and backslashes, which programs read in different ways."""
_HOST = re.compile(r"(?=.{1,253}\.?$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\.?")

# IANA's registries of special addresses, and Azure's platform service, which has a public one.
_SPECIAL_IPV4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
_GLOBAL_IPV6 = IPv6Network("2000::/3")
_SPECIAL_IPV6 = tuple(
    IPv6Network(network)
    # Protocols and tunnels (Teredo), documentation, 6to4, documentation again.
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
_NAT64 = IPv6Network("64:ff9b::/96")


class RefusedError(Exception):
    """Such a URL is not called. The message is a sentence for who gave it."""


class UnreachableError(Exception):
    """The host was not reached, or gave no answer; later it may. The message says why."""


@dataclass(frozen=True, slots=True)
class Rules:
    """`schemes` are http and https, or one of them."""

    schemes: tuple[str, ...]
    allow_private: bool


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in its parts; `path` has the query, `host` no brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host, for a port. Raises OSError."""


def target_of(url: str, rules: Rules) -> Target:
    """Raises RefusedError for what is no URL that may be called, without any look-up."""
    if len(url) > URL_LENGTH_MAX:
        raise RefusedError(
            f"The URL is longer than {URL_LENGTH_MAX} characters: it has {len(url)}."
        )
    if not _URL.fullmatch(url):
        raise RefusedError(
            "The URL must consist of printable ASCII without spaces and backslashes; encode "
            "anything else in it."
        )
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise RefusedError(f"The URL {_shown(url)} cannot be read.") from None
    if parts.scheme not in rules.schemes:
        raise RefusedError(
            f"Invalid URL scheme: '{parts.scheme[:20]}'. Allowed schemes are: "
            f"{', '.join(rules.schemes)}."
        )
    if "@" in parts.netloc:
        raise RefusedError("The URL must not carry a login; sign deliveries with a secret instead.")
    _check_host(host)
    if port == 0:
        raise RefusedError("The URL's port cannot be 0.")
    path = parts.path or "/"
    return Target(
        scheme=parts.scheme,
        host=host,
        port=PORTS[parts.scheme] if port is None else port,
        path=f"{path}?{parts.query}" if parts.query else path,
    )


def _shown(url: str) -> str:
    """Without the path and the query, where tokens stand."""
    return repr(url.partition("?")[0][:60])


def _check_host(host: str) -> None:
    """Addresses must be written as everybody writes them: 127.1 and 0x7f000001 are 127.0.0.1, too,
    but only to some.
    """
    is_numeric = ":" in host or _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2])
    if is_numeric:
        try:
            ip_address(host)
        except ValueError:
            raise RefusedError(
                f"The host '{host[:60]}' is no IP address in its usual form."
            ) from None
    elif not _HOST.fullmatch(host):
        raise RefusedError(f"The URL must name a host. Got '{host[:60]}'.")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether everybody on the internet could reach it. What an IPv6 address embeds counts."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_IPV4)
    embedded = address.ipv4_mapped
    if address in _NAT64:
        embedded = IPv4Address(int(address) & 0xFFFFFFFF)
    if embedded is not None:
        return is_public(embedded)
    return address in _GLOBAL_IPV6 and not any(address in network for network in _SPECIAL_IPV6)


async def addresses_of(target: Target, rules: Rules, resolve: Resolve) -> list[str]:
    """The addresses that may be connected to.

    Raises RefusedError if one of them is not public and that is not allowed, UnreachableError if
    there are none.
    """
    try:
        addresses = list(dict.fromkeys(await resolve(target.host, target.port)))
    except (OSError, UnicodeError):
        addresses = []
    if not addresses:
        raise UnreachableError(f"The host '{target.host}' cannot be resolved.")
    if not rules.allow_private:
        for each in addresses:
            if not is_public(ip_address(each)):
                raise RefusedError(
                    f"'{target.host}' resolves to {each}, which is no public address. Private ones "
                    "are called only with MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS."
                )
    return addresses


async def resolve_with_system(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]
