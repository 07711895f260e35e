"""What a client says of itself in the header Authorization, and strangers put into it."""

import base64

import pytest

from riverrun.auth.credentials import (
    LENGTH_MAX,
    TOKEN_PREFIX,
    USERNAME_LENGTH_MAX,
    Password,
    Token,
    new_token,
    parsed,
    token_hash,
)


def basic(credentials: bytes) -> bytes:
    return b"Basic " + base64.b64encode(credentials)


@pytest.mark.parametrize("scheme", [b"Basic", b"basic", b"BASIC"])
def test_a_name_and_a_password(scheme: bytes):
    header = scheme + b" " + base64.b64encode(b"ada:pass:word")
    assert parsed(header) == Password("ada", "pass:word")


def test_a_token():
    token = f"{TOKEN_PREFIX}abc"
    assert parsed(f"Bearer {token}".encode()) == Token(token)
    assert parsed(f"bearer   {token} ".encode()) == Token(token)
    assert parsed(basic(f"ada:{token}".encode())) == Token(token, "ada")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b" ",
        b"Basic",
        b"Basic ",
        b"Basic !!!",
        b"Basic YWRh",  # Without a colon.
        b"Basic OnBhc3N3b3Jk",  # Without a name.
        b"Basic YWRh\xc3\xa9",
        b"Basic \xff\xfe",
        b"Bearer",
        b"Bearer  ",
        b"Digest username=ada",
        b"\x00\x00",
        basic(b"\xff\xfe:password"),
        basic(b"a\x00da:password"),
        basic(b"a" * (USERNAME_LENGTH_MAX + 1) + b":password"),
        b"Bearer " + b"a" * LENGTH_MAX,
        basic(b"ada:" + b"a" * LENGTH_MAX),
    ],
)
def test_what_cannot_be_read_is_nobody(header: bytes):
    assert parsed(header) is None


def test_what_is_too_long_is_not_cut_to_what_fits():
    header = b"Bearer " + b"a" * LENGTH_MAX
    assert parsed(header[:LENGTH_MAX]) is not None
    assert parsed(header) is None


def test_an_empty_password_is_one_that_nobody_has():
    assert parsed(basic(b"ada:")) == Password("ada", "")


def test_the_case_of_names_counts():
    assert parsed(basic(b"Ada:x")) != parsed(basic(b"ada:x"))


def test_names_are_utf8():
    assert parsed(basic("zo\xe9:p\xe4ssw\xf6rd".encode())) == Password("zo\xe9", "p\xe4ssw\xf6rd")


def test_neither_passwords_nor_tokens_are_shown_by_accident():
    assert "secret" not in repr(Password("ada", "secret"))
    assert "secret" not in repr(Token("secret"))


def test_tokens_are_long_and_never_the_same():
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(each.startswith(TOKEN_PREFIX) and len(each) >= 55 for each in tokens)
    assert len({token_hash(each) for each in tokens}) == 100
