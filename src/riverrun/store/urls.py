"""Database URLs as users write them: SQLAlchemy's, with or without a driver, and libpq's.

A password that is not percent-encoded is understood where the URL has one reading only. No error
repeats a part of the URL that may belong to a password.
"""

import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, unquote

from riverrun.store.credentials import Password, Tls, TlsMode

if TYPE_CHECKING:
    import ssl

DatabaseKind = Literal["postgresql", "mysql"]

CONNECT_S = 10
CONNECT_S_MAX = 300
APPLICATION_NAME_MAX = 63
"""PostgreSQL cuts longer ones."""


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A database on a server. `host` that begins with a slash is the folder of a Unix socket, or on
    MySQL the socket itself.
    """

    kind: DatabaseKind
    host: str
    port: int
    user: str
    database: str
    password: Password = field(default_factory=Password)
    tls: Tls = field(default_factory=Tls)
    connect_timeout_s: int = CONNECT_S
    application_name: str = "riverrun"

    @property
    def shown(self) -> str:
        """The URL for messages and logs: without the password and most parameters."""
        user, database = quote(self.user, safe=""), quote(self.database, safe="")
        if self.host.startswith("/"):
            socket = "host" if self.kind == "postgresql" else "unix_socket"
            where = quote(self.host, safe="/:")
            return f"{self.kind}://{user}@:{self.port}/{database}?{socket}={where}"
        host = f"[{self.host}]" if ":" in self.host else quote(self.host, safe="")
        return f"{self.kind}://{user}@{host}:{self.port}/{database}"

    async def current_password(self) -> str:
        """For a new connection. Raises TemporarilyUnavailable when there is none."""
        return await self.password.current()

    def postgres_ssl(self) -> "ssl.SSLContext | Literal['allow', 'prefer', False]":
        """For asyncpg. Raises TemporarilyUnavailable when a certificate is of no use."""
        match self.tls.mode:
            case "disable":
                return False
            case "allow" | "prefer":
                return self.tls.mode
            case _:
                return self.tls.context()

    def mysql_ssl(self) -> "ssl.SSLContext | None":
        """For asyncmy. Raises TemporarilyUnavailable when a certificate is of no use."""
        return None if self.tls.mode == "disable" else self.tls.context()


@dataclass(frozen=True, slots=True)
class Defaults:
    """What settings say of a database where its URL says nothing."""

    postgres_password: str = field(default="", repr=False)
    password_file: str = ""
    password_command: tuple[str, ...] = field(default=(), repr=False)
    mysql_root_certificate: str = ""
    mysql_certificate: str = ""
    mysql_key: str = ""


def kind_of(uri: str) -> DatabaseKind | None:
    """The kind of server that the scheme names, with or without a driver; None for all else."""
    scheme, found, _ = uri.partition("://")
    return _KINDS.get(scheme.partition("+")[0].lower()) if found else None


def parse(uri: str, defaults: Defaults = Defaults()) -> DatabaseUrl:
    """Raises ValueError whose text says what was expected, and repeats no secret."""
    kind = kind_of(uri)
    if kind is None:
        raise ValueError(f"expected {_FORMS['postgresql']} or {_FORMS['mysql']}")
    found = _WITHOUT_LOGIN.fullmatch(uri) or _WITH_LOGIN.fullmatch(uri)
    if found is None:
        raise ValueError(
            f"expected {_FORMS[kind]}; in user and password write %40 for @, %3A for :, %2F for /,"
            " %3F for ?, %23 for # and %25 for %"
        )
    told = {name: _decoded(text) for name, text in found.groupdict("").items() if name != "query"}
    told.update(_parameters_of(kind, found.groupdict("")["query"]))
    if "," in told["others"] + told["host"]:
        raise ValueError("expected one host; give the address that leads to the primary server")
    if not told["database"]:
        raise ValueError(f"the name of the database is missing, expected {_FORMS[kind]}")
    if told.get("charset", "utf8mb4").lower() != "utf8mb4":
        raise ValueError("charset can only be utf8mb4, which holds every character")
    host = told.get("unix_socket") or told["host"].strip("[]") or "localhost"
    return DatabaseUrl(
        kind,
        host=host,
        port=_number(told, "port", 65_535, _PORTS[kind]),
        user=told["user"] or _own_account(kind),
        database=told["database"],
        password=_password_of(kind, told["password"], defaults),
        tls=Tls() if host.startswith("/") else _tls_of(kind, told, defaults),
        connect_timeout_s=_number(told, "connect_timeout", CONNECT_S_MAX, CONNECT_S),
        application_name=_application_name(told),
    )


def _parameters_of(kind: DatabaseKind, query: str) -> dict[str, str]:
    """What stands after the question mark; MySQL's parameters may have hyphens in their names."""
    told: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, _, text = part.partition("=")
        name = name.replace("-", "_")
        if name not in _PARAMETERS[kind]:
            # Beside a bare @, this may be the rest of a password.
            unknown = f"parameter {name!r}" if "@" not in query else "a parameter"
            known = ", ".join(_PARAMETERS[kind])
            raise ValueError(f"{unknown} after '?' is not supported; these are: {known}")
        if name in told:
            raise ValueError(f"parameter {name!r} is given twice, expected it once")
        told[name] = _decoded(text)
    return {name: text for name, text in told.items() if text}


def _decoded(text: str) -> str:
    try:
        plain = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("percent signs must stand before UTF-8 in hex; write %25 for %") from None
    if "\0" in plain:
        raise ValueError("expected no NUL characters")
    return plain


def _number(told: Mapping[str, str], name: str, largest: int, default: int) -> int:
    text = told.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 0 < int(text) <= largest:
        raise ValueError(f"{name} must be a whole number from 1 to {largest}")
    return int(text)


def _own_account(kind: DatabaseKind) -> str:
    """Databases' own clients take the name of the account that runs them, too."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise ValueError(f"the user is missing, expected {_FORMS[kind]}") from None


def _application_name(told: Mapping[str, str]) -> str:
    name = told.get("application_name", "riverrun")
    if not re.fullmatch(r"[ -~]+", name) or len(name) > APPLICATION_NAME_MAX:
        raise ValueError(
            f"application_name must be at most {APPLICATION_NAME_MAX} characters of ASCII"
        )
    return name


def _password_of(kind: DatabaseKind, given: str, defaults: Defaults) -> Password:
    if given:
        return Password(given)
    if defaults.password_file or defaults.password_command:
        return Password(file=defaults.password_file, command=defaults.password_command)
    return Password(defaults.postgres_password if kind == "postgresql" else "")


def _tls_of(kind: DatabaseKind, told: Mapping[str, str], defaults: Defaults) -> Tls:
    names, modes = _TLS_NAMES[kind], _TLS_MODES[kind]
    own = ("", "", "")
    if kind == "mysql":
        own = (defaults.mysql_root_certificate, defaults.mysql_certificate, defaults.mysql_key)
    root, certificate, key = (
        told.get(name) or file for name, file in zip(names[1:], own, strict=True)
    )
    mode = _tls_mode(told.get(names[0], ""), names[0], modes)
    if key and not certificate:
        raise ValueError(f"{names[3]} needs {names[2]}")
    if mode in {"disable", "allow", "prefer"} and (root or certificate):
        raise ValueError(f"{names[1]} and {names[2]} need a stricter {names[0]}")
    if mode is None and not root and not certificate:
        return Tls("prefer" if kind == "postgresql" else "disable")
    if root == "system":  # Anybody has a certificate that these sign: only the name tells.
        return Tls("verify-full", "", certificate, key)
    if root and mode in {None, "require"}:
        # As libpq has it: who names an authority wants it asked.
        checks_host = told.get("ssl_check_hostname", "").lower() in {"true", "1"}
        mode = "verify-full" if checks_host else "verify-ca"
    if mode == "verify-ca" and not root:
        raise ValueError(f"{names[0]} needs {names[1]}, or has to check the host's name, too")
    return Tls(mode or "require", root, certificate, key)


def _tls_mode(text: str, name: str, modes: Mapping[str, TlsMode]) -> TlsMode | None:
    for spelled, mode in modes.items():
        if spelled.lower() == text.lower():
            return mode
    if text:
        raise ValueError(f"{name} must be one of {', '.join(modes)}")
    return None


_KINDS: Mapping[str, DatabaseKind] = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
}
_PORTS: Mapping[DatabaseKind, int] = {"postgresql": 5432, "mysql": 3306}
_FORMS: Mapping[DatabaseKind, str] = {
    "postgresql": "postgresql://USER:PASSWORD@HOST:5432/DATABASE",
    "mysql": "mysql://USER:PASSWORD@HOST:3306/DATABASE",
}
_PARAMETERS: Mapping[DatabaseKind, tuple[str, ...]] = {
    "postgresql": (
        "host",
        "port",
        "user",
        "password",
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "connect_timeout",
        "application_name",
    ),
    "mysql": (
        "unix_socket",
        "user",
        "password",
        "ssl_mode",
        "ssl_ca",
        "ssl_cert",
        "ssl_key",
        "ssl_check_hostname",
        "charset",
        "connect_timeout",
    ),
}
_TLS_NAMES: Mapping[DatabaseKind, tuple[str, str, str, str]] = {
    "postgresql": ("sslmode", "sslrootcert", "sslcert", "sslkey"),
    "mysql": ("ssl_mode", "ssl_ca", "ssl_cert", "ssl_key"),
}
_TLS_MODES: Mapping[DatabaseKind, Mapping[str, TlsMode]] = {
    "postgresql": {
        "disable": "disable",
        "allow": "allow",
        "prefer": "prefer",
        "require": "require",
        "verify-ca": "verify-ca",
        "verify-full": "verify-full",
    },
    # The driver has no PREFERRED.
    "mysql": {
        "DISABLED": "disable",
        "REQUIRED": "require",
        "VERIFY_CA": "verify-ca",
        "VERIFY_IDENTITY": "verify-full",
    },
}

_PLACE = (
    r"(?P<host>\[[^\[\]/?#@]*\]|[^\[\]/?#@:,]*)(?::(?P<port>[0-9]*))?(?P<others>,[^/?#@]*)?"
    r"(?:/(?P<database>[^/?#@]*))?"
    r"(?:\?(?P<query>(?:[\w-]+=[^&#]*(?:&[\w-]+=[^&#]*)*)?))?"
)
_WITHOUT_LOGIN = re.compile(rf"[\w+-]+://(?P<user>)(?P<password>){_PLACE}")
_WITH_LOGIN = re.compile(rf"[\w+-]+://(?P<user>[^:/?#]*)(?::(?P<password>.*?))?@{_PLACE}")
"""The password ends at the first @ behind which the rest makes sense."""
