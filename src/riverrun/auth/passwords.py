"""Passwords as they are kept: argon2id, and what upstream's servers kept (RFC 9106; Werkzeug).

A check takes some 20 ms and 19 MiB, without the interpreter's lock: callers run it in a thread.
"""

import base64
import hashlib
import hmac
import os

MEMORY_KIB = 19 * 1024
ITERATIONS = 2
LANES = 1
"""The least that OWASP's cheat sheet asks for: more only helps those who send wrong passwords."""
LENGTH_MIN = 12
LENGTH_MAX = 1024
"""Characters (protocol: at least 12); more than a person types, less than a waste of time."""
_PREFIX = f"$argon2id$v=19$m={MEMORY_KIB},t={ITERATIONS},p={LANES}$"
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
        "secure_password",
        "secure_password_123",
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
    """Whether this is the password; a hash of a kind that is not known is nobody's."""
    try:
        if stored.startswith("$argon2id$"):
            return _verifies_argon2(password, stored)
        method, salt, digest = stored.split("$")
        found = _werkzeug_digest(password.encode(), salt.encode(), method.split(":"))
        return hmac.compare_digest(found.hex(), digest)
    except ValueError:
        return False


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
        case ["scrypt", n, r, p]:
            return hashlib.scrypt(
                password, salt=salt, n=int(n), r=int(r), p=int(p), maxmem=_SCRYPT_BYTES_MAX
            )
        case ["scrypt"]:
            return hashlib.scrypt(password, salt=salt, n=2**15, r=8, p=1, maxmem=_SCRYPT_BYTES_MAX)
        case ["pbkdf2", digest, iterations]:
            return hashlib.pbkdf2_hmac(digest, password, salt, int(iterations))
        case _:
            raise ValueError(method)


def random_secret() -> str:
    """256 bits that nobody guesses, as text for URLs and headers."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
