"""What the header Authorization says: a name and a password, or a token (RFC 7617, RFC 6750)."""

import base64
import hashlib
from dataclasses import dataclass, field

from riverrun.auth.passwords import random_secret

TOKEN_PREFIX = "riverrun_pat_"  # noqa: S105 - So that scanners find tokens that leak.
LENGTH_MAX = 8192
"""Bytes of a header that anybody looks into."""
USERNAME_LENGTH_MAX = 255
"""Characters; nobody has a longer name."""


@dataclass(frozen=True, slots=True)
class Password:
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """`username` is given where a client that knows only passwords sends the token as one."""

    token: str = field(repr=False)
    username: str | None = None


def parsed(header: bytes) -> Password | Token | None:
    """None for what cannot be read, and for other schemes."""
    if len(header) > LENGTH_MAX:
        return None
    scheme, _, given = header.decode("latin-1").partition(" ")
    given = given.strip()
    if scheme.lower() == "bearer" and given:
        return Token(given)
    return _parsed_basic(given) if scheme.lower() == "basic" else None


def _parsed_basic(given: str) -> Password | Token | None:
    try:
        decoded = base64.b64decode(given, validate=True).decode()
    except ValueError:  # Of base64, of letters that are not in it, of UTF-8.
        return None
    username, colon, password = decoded.partition(":")
    if not colon or not 0 < len(username) <= USERNAME_LENGTH_MAX or "\0" in username:
        return None
    if password.startswith(TOKEN_PREFIX):
        return Token(password, username)
    return Password(username, password)


def new_token() -> str:
    return TOKEN_PREFIX + random_secret()


def token_hash(token: str) -> bytes:
    """What is kept of a token: it is random and long, so one SHA-256 hides it."""
    return hashlib.sha256(token.encode()).digest()
