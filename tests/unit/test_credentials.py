import asyncio
import ssl
import sys
from pathlib import Path

import pytest
from tests.fixtures.authority import Authority

from riverrun.errors import TemporarilyUnavailable
from riverrun.store import passwords
from riverrun.store.credentials import Password, Tls, TlsMode


def current(password: Password) -> str:
    return asyncio.run(password.current())


def refusal(password: Password) -> str:
    with pytest.raises(TemporarilyUnavailable) as error:
        current(password)
    return error.value.message


# Passwords


def test_a_password_may_be_text_or_none():
    assert (current(Password("p")), current(Password())) == ("p", "")


def test_a_file_is_read_each_time(tmp_path: Path):
    password = Password(file=str(tmp_path / "password"))
    for text in ("first\n", "sécond", "third \r\nmore\n"):
        (tmp_path / "password").write_bytes(text.encode())
        assert current(password) == text.splitlines()[0]


def test_a_command_is_run_each_time_and_its_first_line_taken(tmp_path: Path):
    script = tmp_path / "token"
    script.write_text('#!/bin/sh\necho "$1 $$"\necho more\n')
    script.chmod(0o700)
    password = Password(command=(str(script), "it's; $HOME"))
    first, second = current(password), current(password)
    assert first.startswith("it's; $HOME ")
    assert first != second


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "its file has none"), (b"\nx", "its file has none"), (b"\xff\n", "it is not UTF-8")],
)
def test_a_file_without_a_password_is_no_password(content: bytes, reason: str, tmp_path: Path):
    (tmp_path / "password").write_bytes(content)
    sentence = refusal(Password(file=str(tmp_path / "password")))
    assert sentence == f"There is no password for the database: {reason}."


def test_a_missing_file_is_no_password(tmp_path: Path):
    sentence = refusal(Password(file=str(tmp_path / "none")))
    assert sentence == (
        "There is no password for the database: its file cannot be read"
        " (No such file or directory)."
    )


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 3", "its command ended with code 3"),
        ("echo s3cret; exit 1", "its command ended with code 1"),
        ("true", "its command printed none"),
        ("tr '\\0' x </dev/zero", "its command printed a line without an end"),
    ],
)
def test_a_command_that_fails_is_no_password(script: str, reason: str):
    sentence = refusal(Password(command=("sh", "-c", script)))
    assert sentence == f"There is no password for the database: {reason}."


def test_a_command_is_ended_whose_output_fills_the_pipe():
    """What is not read keeps the pipe open; a large pipe gives more at once than is read."""
    script = (
        "import fcntl, os\n"
        "fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)\n"
        "while True: os.write(1, b'x' * (1 << 20))"
    )
    endless = Password(command=(sys.executable, "-c", script))
    assert "a line without an end" in refusal(endless)


def test_a_command_that_is_not_there_is_no_password():
    assert "its command cannot be started (No such file" in refusal(Password(command=("/no/such",)))


def test_a_command_that_takes_too_long_is_killed_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(passwords, "COMMAND_S_MAX", 0.5)
    pid_file = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {pid_file}; wait"
    assert "took longer than 0.5 s" in refusal(Password(command=("sh", "-c", script)))
    child = Path(f"/proc/{int(pid_file.read_text())}/stat")
    assert not child.exists() or child.read_text().split()[2] == "Z"


# TLS


async def greeting(client: ssl.SSLContext, *, server: ssl.SSLContext, host: str) -> bytes:
    """What a TLS server says to a client that calls it by this name."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    async with await asyncio.start_server(greet, "127.0.0.1", 0, ssl=server) as listening:
        port = listening.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client, server_hostname=host
        )
        try:
            return await reader.read()
        finally:
            writer.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


def called(mode: TlsMode, root: str, host: str, authority: Authority) -> bytes:
    """What the server db.test says to a client that takes it for `host`."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*authority.issue("db.test"))
    return asyncio.run(greeting(Tls(mode, root).context(), server=server, host=host))


def test_a_mode_lets_pass_what_it_says(authority: Authority):
    root = str(authority.file)
    assert called("require", "", "other.test", authority) == b"hello"
    assert called("verify-ca", root, "other.test", authority) == b"hello"
    assert called("verify-full", root, "db.test", authority) == b"hello"


def test_a_mode_checks_what_it_says(authority: Authority, tmp_path: Path):
    stranger, root = str(Authority(tmp_path, "stranger").file), str(authority.file)
    with pytest.raises(ssl.SSLCertVerificationError):
        called("verify-ca", stranger, "db.test", authority)
    with pytest.raises(ssl.SSLCertVerificationError):
        called("verify-full", root, "other.test", authority)
    with pytest.raises(ssl.SSLCertVerificationError):
        called("verify-full", "", "db.test", authority)


def test_a_client_certificate_is_shown(authority: Authority):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*authority.issue("db.test"))
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(authority.file)
    client = Tls("require", "", *authority.issue("client")).context()
    assert asyncio.run(greeting(client, server=server, host="db.test")) == b"hello"


@pytest.mark.parametrize("name", ["root_certificate", "certificate"])
def test_a_missing_certificate_is_told_in_a_sentence(name: str):
    files = {name: "/no/such.pem"}
    with pytest.raises(TemporarilyUnavailable) as error:
        Tls("verify-full", **files).context()
    assert error.value.message == (
        "The certificates or the key for the connection to the database cannot be used: "
        "No such file or directory."
    )


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(authority: Authority):
    certificate, key = authority.issue("client", password=b"s3cret")
    with pytest.raises(TemporarilyUnavailable):
        Tls("require", "", certificate, key).context()
