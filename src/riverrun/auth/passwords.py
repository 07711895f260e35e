"""Passwords as they are kept: argon2id, and what upstream's servers kept (RFC 9106; Werkzeug).

A check takes some 20 ms and 19 MiB, without the interpreter's lock: callers run it in a thread.
"""

import base64
import hashlib
import hmac
import os
import re

MEMORY_KIB = 19 * 1024
ITERATIONS = 2
LANES = 1
"""The least that OWASP's cheat sheet asks for: more only helps those who send wrong passwords."""
LENGTH_MIN = 12
LENGTH_MAX = 1024
"""Characters (protocol: at least 12); more than a person types, less than a waste of time."""
_PREFIX = f"$argon2id$v=19$m={MEMORY_KIB},t={ITERATIONS},p={LANES}$"
NOBODYS = f"{_PREFIX}{'A' * 22}${'A' * 43}"
"""A hash of no password that anybody knows, to spend the time of a check on."""
_ARGON2_COST = re.compile(r"\$argon2id\$v=19\$m=([0-9]{1,9}),t=([0-9]{1,9}),p=([0-9]{1,9})\$")
_ARGON2_COST_MAX = (256 * 1024, 16, 16)
_SCRYPT_LANES_MAX = 16
_PBKDF2_ITERATIONS_MAX = 5_000_000  # Werkzeug does a million.
_SCRYPT_BYTES_MAX = 132 * 1024 * 1024  # What Werkzeug allows itself.

DEFAULTS = frozenset(
    {
        "password1234",
        "admin_password",
        "admin_password_change_in_production",
        "change_me_in_production",
        "change_this_password",
        "changemechangeme",
        "password12345",
        "passwordpassword",
        "adminpassword",
        "admin1234567",
        "123456789012",
        "mlflow_password",
        "mlflowpassword",
        "mlflow_admin_password",
        "riverrun_password",
        "your_password_here",
        "your-password-here",
        "your_secure_password",
        "your-secure-password",
    }
)
"""Passwords that guides and configuration files are written with."""


def hashed(password: str) -> str:
    """As PHC string."""
    from cryptography.hazmat.primitives.kdf.argon2 import (  # noqa: PLC0415 - Loads slowly.
        Argon2id,
    )

    kdf = Argon2id(
        salt=os.urandom(16),
        length=32,
        iterations=ITERATIONS,
        lanes=LANES,
        memory_cost=MEMORY_KIB,
    )
    return kdf.derive_phc_encoded(password.encode())


def verifies(password: str, stored: str) -> bool:
    """Whether this is the password. A hash of a kind that is not known is nobody's, as is one that
    would take more time or memory than anybody's does.
    """
    try:
        if stored.startswith("$argon2id$"):
            return _is_modest(stored) and _verifies_argon2(password, stored)
        method, salt, digest = stored.split("$")
        found = _werkzeug_digest(password.encode(), salt.encode(), method.split(":"))
        return hmac.compare_digest(found.hex(), digest)
    except (ValueError, TypeError):
        return False


def _is_modest(argon2: str) -> bool:
    found = _ARGON2_COST.match(argon2)
    return found is not None and all(
        int(cost) <= most for cost, most in zip(found.groups(), _ARGON2_COST_MAX, strict=True)
    )


def is_current(stored: str) -> bool:
    """Whether `hashed` would make such a one today; others are replaced at the next login."""
    return stored.startswith(_PREFIX)


def is_default(password: str) -> bool:
    return password.strip().lower() in DEFAULTS


def _verifies_argon2(password: str, stored: str) -> bool:
    from cryptography.exceptions import InvalidKey  # noqa: PLC0415 - Loads slowly.
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id  # noqa: PLC0415 - Likewise.

    try:
        Argon2id.verify_phc_encoded(password.encode(), stored)
    except InvalidKey:
        return False
    return True


def _werkzeug_digest(password: bytes, salt: bytes, method: list[str]) -> bytes:
    """`scrypt:32768:8:1` and `pbkdf2:sha256:600000`. Raises ValueError for other methods."""
    match method:
        case ["scrypt", n, r, p] if int(p) <= _SCRYPT_LANES_MAX:
            return hashlib.scrypt(
                password, salt=salt, n=int(n), r=int(r), p=int(p), maxmem=_SCRYPT_BYTES_MAX
            )
        case ["scrypt"]:
            return hashlib.scrypt(password, salt=salt, n=2**15, r=8, p=1, maxmem=_SCRYPT_BYTES_MAX)
        case ["pbkdf2", digest, iterations] if int(iterations) <= _PBKDF2_ITERATIONS_MAX:
            return hashlib.pbkdf2_hmac(digest, password, salt, int(iterations))
        case _:
            raise ValueError(method)


def random_secret() -> str:
    """256 bits that nobody guesses, as text for URLs and headers."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
