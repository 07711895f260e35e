"""Connections to real servers: where URLs lead, passwords that change, TLS."""

import asyncio
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from asyncpg.exceptions import InternalClientError
from tests.fixtures.authority import Authority
from tests.fixtures.daemon import folder_of, running
from tests.fixtures.databases import (
    PASSWORD,
    USER,
    DatabaseServer,
    MariadbServer,
    PostgresServer,
    need,
)

from riverrun.errors import InvalidState, TemporarilyUnavailable
from riverrun.store import postgres
from riverrun.store.databases import driver_of
from riverrun.store.urls import DatabaseUrl, Defaults, parse

pytestmark = pytest.mark.slow

HOST = "localhost"
"""The name in the certificates."""


@pytest.fixture(params=["postgres_server", "mariadb_server"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    return request.getfixturevalue(request.param)


def answer(url: DatabaseUrl, question: str = "SELECT 'here'") -> str:
    """The last column of the first row."""

    async def ask() -> str:
        session = await driver_of(url).connect()
        try:
            return str((await session.fetch(question, ()))[0][-1])
        finally:
            await session.close()

    async def ask_and_let_go() -> str:
        try:
            return await ask()
        finally:
            # What a driver closed without waiting for it is closed by the loop.
            await asyncio.sleep(0.05)

    return asyncio.run(ask_and_let_go())


def without_login(server: DatabaseServer) -> str:
    return server.new_database().partition("@")[2]


def test_a_bare_password_is_understood_where_it_can_mean_one_thing(server: DatabaseServer):
    place = without_login(server)
    bare = PASSWORD.replace("%25", "%2525")
    assert answer(parse(f"{server.scheme}://{quote(USER)}:{bare}@{place}")) == "here"


def test_unix_sockets_lead_to_the_same_database(server: DatabaseServer):
    login, _, place = server.new_database().partition("@")
    port, database = place.partition(":")[2].split("/")
    if isinstance(server, PostgresServer):
        uri = f"{login}@/{database}?host={server.folder}&port={port}"
    else:
        uri = f"{login}@/{database}?unix_socket={server.folder}/socket"
    assert answer(parse(uri)) == "here"


def test_a_password_that_was_rotated_is_read_for_the_next_connection(
    server: DatabaseServer, tmp_path: Path
):
    place, file = without_login(server), tmp_path / "password"
    is_postgres = isinstance(server, PostgresServer)
    user = "rotating" if is_postgres else "rotating@'%'"
    url = parse(f"{server.scheme}://rotating@{place}", Defaults(password_file=str(file)))
    identified = "LOGIN PASSWORD" if is_postgres else "IDENTIFIED BY"
    server.execute(f"CREATE USER {user} {identified} 'erstes €'")
    if not is_postgres:
        server.execute(f"GRANT ALL ON *.* TO {user}")
    file.write_text("erstes €\n", encoding="utf-8")
    assert answer(url) == "here"
    server.execute(f"ALTER USER {user} {identified} 'second'")
    with pytest.raises(InvalidState) as error:
        answer(url)
    assert "refuses the user 'rotating'" in error.value.message
    assert "erstes" not in error.value.message
    file.write_text("second\n")
    assert answer(url) == "here"


def test_a_server_that_goes_away_while_it_is_met_is_an_outage(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
):
    async def cut_off(connection: object) -> tuple[bool, bool]:
        raise InternalClientError("cannot switch to state 15; another operation is in progress")

    monkeypatch.setattr(postgres, "_nature", cut_off)
    driver = driver_of(parse(postgres_server.new_database()))
    with pytest.raises(TemporarilyUnavailable, match="cannot be reached"):
        asyncio.run(driver.connect())


def test_a_command_that_fails_is_an_outage_and_no_crash(server: DatabaseServer):
    uri = f"{server.scheme}://{quote(USER)}@{without_login(server)}"
    with pytest.raises(TemporarilyUnavailable) as error:
        answer(parse(uri, Defaults(password_command=("false",))))
    assert error.value.message == (
        "There is no password for the database: its command ended with code 1."
    )


# TLS


class TlsPostgresServer(PostgresServer):
    @property
    def command(self) -> Sequence[str]:
        pair = (
            f"--ssl_cert_file={self.folder}/{HOST}.crt",
            f"--ssl_key_file={self.folder}/{HOST}.key",
        )
        return [*super().command, "--ssl=on", *pair]


class TlsMariadbServer(MariadbServer):
    @property
    def command(self) -> Sequence[str]:
        files = {"ssl-cert": f"{HOST}.crt", "ssl-key": f"{HOST}.key"}
        return [*super().command, *in_folder(self, files)]


def in_folder(server: DatabaseServer, files: Mapping[str, str]) -> list[str]:
    return [f"--{name}={server.folder / file}" for name, file in files.items()]


@contextmanager
def certified(server: DatabaseServer) -> Generator[DatabaseServer]:
    """Running, with a certificate of an authority whose file is in its folder."""
    folder = server.folder
    Authority(folder, "stranger")
    for file in Authority(folder, "authority").issue(HOST):
        shutil.chown(file, folder.owner(), folder.group())
        Path(file).chmod(0o600)
    with running(server):
        yield server


@pytest.fixture(scope="module")
def tls_postgres() -> Iterator[DatabaseServer]:
    need("PostgreSQL", "initdb", "postgres", "psql")
    with (
        folder_of("postgres", durable=False) as folder,
        certified(TlsPostgresServer(folder, durable=False)) as server,
    ):
        yield server


@pytest.fixture(scope="module")
def tls_mariadb() -> Iterator[DatabaseServer]:
    need("MariaDB", "mariadb-install-db", "mariadbd", "mariadb")
    with (
        folder_of("mysql", durable=False) as folder,
        certified(TlsMariadbServer(folder, durable=False)) as server,
    ):
        yield server


def is_encrypted(server: DatabaseServer, parameters: str, *, host: str = HOST) -> bool:
    uri = server.new_database().replace("127.0.0.1", host)
    parameters = parameters.replace("FOLDER", str(server.folder))
    question = (
        "SELECT CASE WHEN ssl THEN 'yes' ELSE '' END FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        if server.scheme == "postgresql"
        else "SHOW STATUS LIKE 'Ssl_cipher'"
    )
    return bool(answer(parse(f"{uri}?{parameters}"), question))


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("", True),
        ("sslmode=disable", False),
        ("sslmode=allow", False),
        ("sslmode=require", True),
        ("sslrootcert=FOLDER/authority.pem", True),
        ("sslmode=verify-full&sslrootcert=FOLDER/authority.pem", True),
    ],
)
def test_postgresql_is_reached_as_the_mode_says(
    parameters: str, expected: object, tls_postgres: DatabaseServer
):
    assert is_encrypted(tls_postgres, parameters) is expected


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("", False),
        ("ssl_mode=REQUIRED", True),
        ("ssl_ca=FOLDER/authority.pem", True),
        ("ssl-mode=VERIFY_IDENTITY&ssl-ca=FOLDER/authority.pem", True),
    ],
)
def test_mariadb_is_reached_as_the_mode_says(
    parameters: str, expected: object, tls_mariadb: DatabaseServer
):
    assert is_encrypted(tls_mariadb, parameters) is expected


@pytest.mark.parametrize("root", ["stranger.pem", "none.pem"])
def test_a_server_that_cannot_be_verified_is_not_talked_to(
    root: str, tls_postgres: DatabaseServer, tls_mariadb: DatabaseServer
):
    with pytest.raises(TemporarilyUnavailable):
        is_encrypted(tls_postgres, f"sslrootcert=FOLDER/{root}")
    with pytest.raises(TemporarilyUnavailable):
        is_encrypted(tls_mariadb, f"ssl_ca=FOLDER/{root}")


def test_a_server_of_another_name_is_not_talked_to(
    tls_postgres: DatabaseServer, tls_mariadb: DatabaseServer
):
    with pytest.raises(TemporarilyUnavailable):
        is_encrypted(
            tls_postgres,
            "sslmode=verify-full&sslrootcert=FOLDER/authority.pem",
            host="127.0.0.1",
        )
    with pytest.raises(TemporarilyUnavailable):
        is_encrypted(
            tls_mariadb,
            "ssl_mode=VERIFY_IDENTITY&ssl_ca=FOLDER/authority.pem",
            host="127.0.0.1",
        )


def test_a_server_without_tls_is_not_talked_to_in_the_open(server: DatabaseServer):
    """Not even by a driver that could go on without."""
    mode = "sslmode=require" if server.scheme == "postgresql" else "ssl_mode=REQUIRED"
    with pytest.raises(TemporarilyUnavailable):
        is_encrypted(server, mode, host="127.0.0.1")
