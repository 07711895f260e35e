"""What the servers under test keep their rows in: SQLite, or a database server beside them.

A database server has the durability of its defaults and memory for a machine of 24 GiB. Its data
stays in .bench, so that what was seeded once is there for the next run; a free port of loopback is
its own only while it runs.
"""

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import asyncmy
import asyncpg

from servers import ROOT, Kind, ServerFailed, Store, free_port

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 120
"""A checkpoint comes first."""
ROWS_A_STATEMENT = 1000
PROGRAMS = (*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path("/usr/sbin"))
"""Where distributions put database servers, beside the PATH."""

Row = tuple[Any, ...]
Insert = Callable[[str, Sequence[str], Iterable[Row]], Awaitable[None]]
"""Stores rows in a table, given its name and those of the columns."""


class Sqlite:
    """A file in the folder of each server, which it makes itself; so there is nothing to do."""

    name = "sqlite"
    title = "SQLite"
    seeds = ROOT / ".bench" / name / "seed"
    command: Sequence[str] = ()

    async def start(self) -> None:
        self.seeds.mkdir(parents=True, exist_ok=True)

    async def stop(self) -> None: ...

    async def create(self, name: str) -> None: ...

    async def drop(self, name: str) -> None: ...

    def attach(self, kind: Kind, name: str) -> Kind:  # noqa: ARG002  It has no names.
        return kind

    @asynccontextmanager
    async def inserting(self, kind: Kind, folder: Path) -> AsyncGenerator[Insert]:
        with closing(sqlite3.connect(folder / kind.file)) as connection, connection:

            async def insert(table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
                marks = ", ".join("?" * len(columns))
                sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
                connection.executemany(sql, rows)

            yield insert

    async def analyze(self, name: str) -> None: ...


class DatabaseServer(ABC):
    """One for the whole bench; every server under test has a database of its own on it."""

    name: ClassVar[str]
    title: ClassVar[str]
    account: ClassVar[str]
    """Who runs it when we are root, whom database servers refuse to serve."""
    user: ClassVar[str]
    """Its administrator, without a password."""
    stop_signal = signal.SIGTERM

    def __init__(self) -> None:
        self.home = ROOT / ".bench" / self.name
        self.seeds = self.home / "seed"
        self.data = self.home / "data"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def command(self) -> Sequence[str]: ...

    @property
    @abstractmethod
    def _installing(self) -> Sequence[str]:
        """Fills the data folder."""

    @abstractmethod
    async def _execute(self, sql: str, database: str = "") -> None: ...

    @abstractmethod
    def inserting(self, kind: Kind, folder: Path) -> AbstractAsyncContextManager[Insert]:
        """For what the kind has in the folder, or in the database that it is attached to."""

    async def start(self) -> None:
        if not self.seeds.exists():
            self._install()
        self._process = self._spawn(self.command)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not await self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                await self.stop()
                raise ServerFailed(f"{self.title} did not start: {self._log.read_text()[-600:]}")
            await asyncio.sleep(0.1)

    async def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self.stop_signal)
            self._process.wait(STOP_TIMEOUT_S)

    async def create(self, name: str) -> None:
        """A new, empty database in the place of the old one."""
        await self.drop(name)
        await self._execute(f"CREATE DATABASE {_identifier(name)}")

    async def drop(self, name: str) -> None:
        await self._execute(f"DROP DATABASE IF EXISTS {_identifier(name)}")

    @abstractmethod
    async def analyze(self, name: str) -> None:
        """Do now what the server would do by and by after so many new rows."""

    def attach(self, kind: Kind, name: str) -> Kind:
        """The kind as it is run on the database of that name."""
        assert self._process is not None, "it was not started"
        database = _identifier(name)
        uri = f"{kind.schemes[self.name]}://{self.user}@127.0.0.1:{self.port}/{database}"
        return replace(kind, store=Store(database, uri, self._process.pid))

    @property
    def _log(self) -> Path:
        return self.home / "log"

    def _install(self) -> None:
        """The folder of seeds, made last, says that all went well."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.data.mkdir(parents=True)
        if os.geteuid() == 0:
            shutil.chown(self.data, self.account, self.account)
        if self._spawn(self._installing).wait() != 0:
            raise ServerFailed(f"{self.title} was not set up: {self._log.read_text()[-600:]}")
        self.seeds.mkdir()

    def _spawn(self, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        account = self.account if os.geteuid() == 0 else None
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [_installed(command[0]), *command[1:]],
                cwd=self.data,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=account,
                group=account,
                extra_groups=None if account is None else [],
            )

    async def _is_ready(self) -> bool:
        try:
            await self._execute("SELECT 1")
        except (OSError, asyncpg.CannotConnectNowError, asyncmy.errors.OperationalError):
            return False
        return True


class Postgresql(DatabaseServer):
    name = "postgresql"
    title = "PostgreSQL"
    account = "postgres"
    user = "postgres"
    stop_signal = signal.SIGINT  # SIGTERM would wait for its clients to leave.

    @property
    def command(self) -> Sequence[str]:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "shared_buffers": "6GB",
            "effective_cache_size": "16GB",
            "maintenance_work_mem": "512MB",
            "max_wal_size": "8GB",
            "checkpoint_timeout": "15min",
            "random_page_cost": 1.1,
        }
        return ["postgres", "-D", str(self.data), *_options(settings)]

    @property
    def _installing(self) -> Sequence[str]:
        rules = {"auth": "trust", "username": self.user, "encoding": "UTF8", "locale": "C.UTF-8"}
        return ["initdb", "--pgdata", str(self.data), *_options(rules)]

    async def analyze(self, name: str) -> None:
        await self._execute("VACUUM (ANALYZE)", _identifier(name))

    @asynccontextmanager
    async def inserting(self, kind: Kind, folder: Path) -> AsyncGenerator[Insert]:  # noqa: ARG002
        assert kind.store is not None, "it has no database"
        connection = await self.connect(kind.store.name)

        async def insert(table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
            await connection.copy_records_to_table(table, records=rows, columns=list(columns))

        try:
            async with connection.transaction():
                yield insert
        finally:
            await connection.close()

    async def connect(self, database: str) -> asyncpg.Connection:
        return await asyncpg.connect(  # pyright: ignore[reportUnknownVariableType]
            host="127.0.0.1", port=self.port, user=self.user, database=database, ssl=False
        )

    async def _execute(self, sql: str, database: str = "") -> None:
        connection = await self.connect(database or "postgres")
        try:
            await connection.execute(sql, timeout=600)
        finally:
            await connection.close()


class Mariadb(DatabaseServer):
    name = "mariadb"
    title = "MariaDB"
    account = "mysql"
    user = "root"

    @property
    def command(self) -> Sequence[str]:
        settings = {
            "datadir": self.data,
            "port": self.port,
            "bind-address": "127.0.0.1",
            "socket": "socket",
            "max-connections": 200,
            "character-set-server": "utf8mb4",
            "innodb-flush-log-at-trx-commit": 1,
            "innodb-doublewrite": "ON",
            "innodb-buffer-pool-size": "6G",
            "innodb-log-file-size": "4G",
        }
        return ["mariadbd", "--no-defaults", "--skip-name-resolve", *_options(settings)]

    @property
    def _installing(self) -> Sequence[str]:
        rules = {"datadir": self.data, "auth-root-authentication-method": "normal"}
        return ["mariadb-install-db", "--no-defaults", "--skip-test-db", *_options(rules)]

    async def analyze(self, name: str) -> None:
        """InnoDB has its statistics within seconds."""

    @asynccontextmanager
    async def inserting(self, kind: Kind, folder: Path) -> AsyncGenerator[Insert]:  # noqa: ARG002
        assert kind.store is not None, "it has no database"
        connection = await self._connect(kind.store.name)

        async def insert(table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
            listed = ", ".join(f"`{column}`" for column in columns)
            marks = ", ".join(["%s"] * len(columns))
            sql = f"INSERT INTO {table} ({listed}) VALUES ({marks})"
            waiting = iter(rows)
            async with connection.cursor() as cursor:
                while part := list(islice(waiting, ROWS_A_STATEMENT)):
                    await cursor.executemany(sql, part)
            await connection.commit()

        try:
            yield insert
        finally:
            connection.close()

    async def _connect(self, database: str = "") -> asyncmy.Connection:
        return await asyncmy.connect(
            host="127.0.0.1",
            port=self.port,
            user=self.user,
            database=database or None,
            init_command="SET sql_notes = 0",  # The driver would print them.
        )

    async def _execute(self, sql: str, database: str = "") -> None:
        connection = await self._connect(database)
        try:
            async with connection.cursor() as cursor:
                await cursor.execute(sql)
        finally:
            connection.close()


Database = Sqlite | DatabaseServer
DATABASES: Mapping[str, Callable[[], Database]] = {
    each.name: each for each in (Sqlite, Postgresql, Mariadb)
}


def _installed(program: str) -> str:
    path = os.pathsep.join([os.environ["PATH"], *map(str, PROGRAMS)])
    found = shutil.which(program, path=path)
    if found is None:
        raise ServerFailed(f"{program} is not installed")
    return found


def _identifier(name: str) -> str:
    return name.replace("-", "_")


def _options(settings: Mapping[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in settings.items()]
