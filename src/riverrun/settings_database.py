"""Where experiments, runs and models are kept, and how the server gets there."""

from dataclasses import dataclass
from pathlib import Path

from riverrun.settings_field import setting
from riverrun.settings_values import COMMAND, FLAG, TEXT, Kind, SettingsError, sqlite_path, whole
from riverrun.store.urls import DatabaseUrl, Defaults, kind_of, parse

CONNECTIONS_MIN = 2
"""One that writes, and one for everything else."""


def store_value(given: str) -> str:
    """Raises ValueError for what is no database that the server can use."""
    if kind_of(given):
        parse(given)
    else:
        sqlite_path(given)
    return given


STORE = Kind("a database URL", store_value)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    backend_store_uri: str = setting(
        STORE,
        "sqlite:///mlflow.db",
        "Database that keeps experiments, runs and models.",
        "--backend-store-uri MLFLOW_BACKEND_STORE_URI",
        in_repr=False,
    )
    upgrade: bool = setting(
        FLAG,
        True,
        "Create the database and bring its schema to this release's at the start; otherwise a"
        " database that is not ready stops the start.",
        "--upgrade RIVERRUN_UPGRADE",
    )
    database_password_file: str | None = setting(
        TEXT,
        None,
        "File whose first line is the password of a database URL that has none; read for every new"
        " connection.",
        "--database-password-file RIVERRUN_DATABASE_PASSWORD_FILE",
    )
    database_password_command: tuple[str, ...] = setting(
        COMMAND,
        (),
        "Command that prints the password of a database URL that has none; run, without a shell,"
        " for every new connection.",
        "--database-password-command RIVERRUN_DATABASE_PASSWORD_COMMAND",
        secret=True,
    )
    # The smallest managed databases allow 25 connections in all, for every server and its
    # successor while it is replaced.
    pool_size: int = setting(
        whole(1, 1000),
        6,
        "Connections to a database server, of all workers together.",
        "--pool-size MLFLOW_SQLALCHEMYSTORE_POOL_SIZE",
    )
    pool_max_overflow: int = setting(
        whole(0, 1000),
        0,
        "Connections beyond the pool size; the same as a larger pool.",
        "--pool-max-overflow MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW",
    )
    # MySQL closes what is idle for eight hours; and after a failover, load should come back.
    pool_recycle_s: int = setting(
        whole(-1, 604_800),
        1800,
        "Seconds after which a connection to a database server is replaced; -1 for never.",
        "--pool-recycle MLFLOW_SQLALCHEMYSTORE_POOL_RECYCLE",
    )
    database_wait_s: int = setting(
        whole(1, 300),
        10,
        "Seconds that a request waits for a free connection before it is answered with 503.",
        "--database-wait-s RIVERRUN_DATABASE_WAIT_S",
    )
    mysql_ssl_ca: str | None = setting(
        TEXT,
        None,
        "File with the authorities that sign a MySQL server's certificate; like ssl_ca in its URL.",
        "--mysql-ssl-ca MLFLOW_MYSQL_SSL_CA",
    )
    mysql_ssl_cert: str | None = setting(
        TEXT,
        None,
        "File with the client certificate for a MySQL server; like ssl_cert in its URL.",
        "--mysql-ssl-cert MLFLOW_MYSQL_SSL_CERT",
    )
    mysql_ssl_key: str | None = setting(
        TEXT,
        None,
        "File with the key of that certificate; like ssl_key in its URL.",
        "--mysql-ssl-key MLFLOW_MYSQL_SSL_KEY",
    )
    pgpassword: str | None = setting(
        TEXT,
        None,
        "Password of a PostgreSQL URL that has none, if no file and no command gives it.",
        "PGPASSWORD",
        secret=True,
    )

    def __post_init__(self) -> None:
        if self.database_password_file and self.database_password_command:
            raise SettingsError(
                "--database-password-file and --database-password-command exclude each other."
            )
        if self.database_connections < CONNECTIONS_MIN:
            raise SettingsError(f"--pool-size must be at least {CONNECTIONS_MIN}.")
        try:
            _ = self.database
        except ValueError as error:
            raise SettingsError(f"--backend-store-uri: {error}.") from None

    @property
    def database(self) -> Path | DatabaseUrl:
        """SQLite's file, or the database on a server."""
        if not kind_of(self.backend_store_uri):
            return sqlite_path(self.backend_store_uri)
        defaults = Defaults(
            postgres_password=self.pgpassword or "",
            password_file=self.database_password_file or "",
            password_command=self.database_password_command,
            mysql_root_certificate=self.mysql_ssl_ca or "",
            mysql_certificate=self.mysql_ssl_cert or "",
            mysql_key=self.mysql_ssl_key or "",
        )
        return parse(self.backend_store_uri, defaults)

    @property
    def database_shown(self) -> str:
        """For logs: nothing secret is in it."""
        database = self.database
        return database.shown if isinstance(database, DatabaseUrl) else self.backend_store_uri

    @property
    def database_connections(self) -> int:
        """To a database server, at most, of all workers together."""
        return self.pool_size + self.pool_max_overflow

    @property
    def has_idle_password_source(self) -> bool:
        """A file or a command is given, and not asked."""
        source = self.database_password_file or self.database_password_command
        database = self.database
        return bool(source) and not (
            isinstance(database, DatabaseUrl)
            and (database.password.file or database.password.command)
        )
