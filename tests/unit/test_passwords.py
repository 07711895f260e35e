"""Hashes of passwords: ours, upstream's, and what else may stand in their place."""

import hashlib
from time import monotonic

import pytest

from riverrun.auth import passwords

PASSWORD = "pässword with 24 letters"


def scrypt(method: str, **cost: int) -> str:
    digest = hashlib.scrypt(PASSWORD.encode(), salt=b"salt", maxmem=2**28, **cost)
    return f"{method}$salt${digest.hex()}"


def pbkdf2(digest: str, iterations: int) -> str:
    found = hashlib.pbkdf2_hmac(digest, PASSWORD.encode(), b"salt", iterations)
    return f"pbkdf2:{digest}:{iterations}$salt${found.hex()}"


def test_a_password_is_known_by_its_hash_and_no_other_one_is():
    stored = passwords.hashed(PASSWORD)
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.is_current(stored)
    assert passwords.verifies(PASSWORD, stored)
    for other in ("", PASSWORD[:-1], PASSWORD + " ", PASSWORD.upper(), "\0", "\ud800"):
        assert not passwords.verifies(other, stored)
    assert passwords.hashed(PASSWORD) != stored


@pytest.mark.parametrize(
    "stored",
    [
        scrypt("scrypt:32768:8:1", n=2**15, r=8, p=1),
        scrypt("scrypt", n=2**15, r=8, p=1),
        scrypt("scrypt:16384:8:2", n=2**14, r=8, p=2),
        pbkdf2("sha256", 260_000),
        pbkdf2("sha512", 1000),
    ],
)
def test_upstreams_hashes_are_understood_and_to_be_replaced(stored: str):
    assert passwords.verifies(PASSWORD, stored)
    assert not passwords.verifies("another", stored)
    assert not passwords.is_current(stored)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "$",
        "$$",
        "plain$$" + PASSWORD,
        "md5$salt$" + "a" * 32,
        "scrypt:0:8:1$a$b",
        "scrypt:3:8:1$a$b",
        "scrypt:-1:8:1$a$b",
        "scrypt:99999999999999999999:8:1$a$b",
        "scrypt:32768:8:99999$a$b",
        "scrypt:32768:99999:1$a$b",
        "pbkdf2:nope:1000$a$b",
        "pbkdf2:sha256:0$a$b",
        "pbkdf2:sha256:-5$a$b",
        "pbkdf2:sha256:2000000000$a$b",
        "pbkdf2:sha256:99999999999999999999$a$b",
        "pbkdf2:sha256:10$a$é",
        "$argon2id$",
        "$argon2id$v=19$m=1,t=1,p=1$a$b",
        "$argon2id$v=19$m=4194304,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA",
        "$argon2id$v=19$m=19456,t=99999999,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA",
        "$argon2i$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA",
        "$2b$12$abcdefghijklmnopqrstuv",
    ],
)
def test_what_is_no_hash_or_would_take_too_long_is_nobodys(stored: str):
    started = monotonic()
    assert not passwords.verifies(PASSWORD, stored)
    assert monotonic() - started < 1


def test_nobodys_hash_is_one_and_takes_as_long():
    assert passwords.is_current(passwords.NOBODYS)
    assert not passwords.verifies("", passwords.NOBODYS)
