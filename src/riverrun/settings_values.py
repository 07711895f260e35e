"""Texts into values: what a setting may be, and the sentence for what it may not be."""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import unquote, urlsplit

T_co = TypeVar("T_co", covariant=True)


class SettingsError(Exception):
    """One sentence for the operator; the server does not start."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[T_co]):
    """How a text becomes a value. `read` raises ValueError whose text says what was expected."""

    expects: str
    read: Callable[[str], T_co]


def text_value(given: str) -> str:
    if "\0" in given or "\n" in given:
        raise ValueError("expected one line of text")
    return given


def pattern_value(given: str) -> str:
    try:
        re.compile(given)
    except re.error as error:
        raise ValueError(f"expected a regular expression ({error})") from None
    return text_value(given)


def flag_value(given: str) -> bool:
    if given.lower() in {"true", "1", "yes", "on"}:
        return True
    if given.lower() in {"false", "0", "no", "off"}:
        return False
    raise ValueError("expected true or false")


def whole(smallest: int, largest: int) -> Kind[int]:
    expects = f"a whole number from {smallest} to {largest}"

    def read(given: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,19}", given) or not smallest <= int(given) <= largest:
            raise ValueError(f"expected {expects}")
        return int(given)

    return Kind(expects, read)


def choice(*values: str) -> Kind[str]:
    """One of `values` in any case; the answer is spelled as listed."""
    expects = ("one of " if len(values) > 1 else "") + ", ".join(values)
    spelled = {value.lower(): value for value in values}

    def read(given: str) -> str:
        if given.lower() not in spelled:
            raise ValueError(f"expected {expects}")
        return spelled[given.lower()]

    return Kind(expects, read)


def list_value(given: str) -> tuple[str, ...]:
    return tuple(part for part in (part.strip() for part in text_value(given).split(",")) if part)


def addresses_value(given: str) -> tuple[str, ...]:
    for each in list_value(given):
        try:
            if each != "*":
                ip_network(each, strict=False)
        except ValueError:
            raise ValueError("expected IP addresses, networks such as 10.0.0.0/8, or *") from None
    return list_value(given)


def schemes_value(given: str) -> tuple[str, ...]:
    schemes = tuple(dict.fromkeys(list_value(given.lower())))
    if not schemes or not set(schemes) <= {"http", "https"}:
        raise ValueError("expected https, http, or both with a comma between them")
    return schemes


def fernet_key_value(given: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}=", given):
        raise ValueError("expected 32 bytes in URL-safe base64: 44 characters, the last one '='")
    return given


def command_value(given: str) -> tuple[str, ...]:
    """Words as a shell splits them; nothing else of a shell works."""
    try:
        return tuple(shlex.split(text_value(given)))
    except ValueError:
        raise ValueError("expected a command in one line, with quotation marks in pairs") from None


def prefix_value(given: str) -> str:
    if not re.fullmatch(r"(?:/(?!\.\.?(?:/|$))[A-Za-z0-9._~-]+)+", given):
        raise ValueError("expected a path such as /mlflow, without braces or a slash at the end")
    return given


def log_level_value(given: str) -> str:
    names = {"trace": "debug", "warn": "warning", "fatal": "critical", "notset": "debug"}
    return LOG_LEVELS.read(names.get(given.lower(), given))


def sqlite_path(uri: str) -> Path:
    """The file of `sqlite:///relative.db` or `sqlite:////absolute.db`.

    Raises ValueError, with the way out, for every other URI.
    """
    scheme, colon, rest = uri.partition(":")
    dialect = scheme.split("+")[0].lower()
    if not colon or dialect == "file" or not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9+_.-]*", scheme):
        raise ValueError(
            "file stores are not supported; give a database such as sqlite:///mlflow.db"
        )
    if dialect == "mssql":
        raise ValueError("Microsoft SQL Server is not supported; give sqlite:///mlflow.db")
    if dialect != "sqlite":
        raise ValueError("expected a database: sqlite:///mlflow.db, postgresql://… or mysql://…")
    if "?" in rest:
        raise ValueError("parameters after '?' are not supported for SQLite; leave them out")
    if rest in {"", "//", "///"} or rest.lower() == "///:memory:":
        raise ValueError("a database in memory is lost with the process; give a file")
    if not rest.startswith("///") or rest.endswith("/"):
        raise ValueError("expected sqlite:///relative.db or sqlite:////absolute.db")
    return Path(rest[3:])


def root_value(given: str) -> str:
    """A place for artifacts: a local path as given, a place in a cloud without a slash at its end.

    Raises ValueError for what the server cannot use.
    """
    scheme = root_scheme(given)
    if scheme in OBJECT_STORES:
        return cloud_value(given)
    if scheme in {"", "file"}:
        local_path(given)
    elif scheme != "mlflow-artifacts":
        raise ValueError(f"expected a local path, or {CLOUD_EXAMPLES}")
    return text_value(given)


def destination_value(given: str) -> str:
    scheme = root_scheme(given)
    if scheme == "mlflow-artifacts":
        raise ValueError(
            "the server would send its own artifacts to itself; give a local path or a bucket"
        )
    return "memory://" if scheme == "memory" else root_value(given)


def cloud_value(given: str) -> str:
    """A bucket or a container, or a folder in one, without a slash at its end."""
    found = CLOUD.fullmatch(text_value(given))
    if found is None or found[1].lower() not in OBJECT_STORES:
        raise ValueError(f"expected {CLOUD_EXAMPLES}")
    folder = folder_value(found[3])
    return "/".join(filter(None, (f"{found[1].lower()}://{found[2]}", folder)))


def clouds_value(given: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cloud_value(each) for each in list_value(given)))


def folder_value(given: str) -> str:
    """A relative path without slashes at its ends; "" is none."""
    folder = text_value(given).strip("/")
    if not set(folder.split("/")).isdisjoint({".", ".."}) or "//" in folder:
        raise ValueError("expected a folder without empty segments, '.' and '..'")
    if re.search(r"[?#;\\]", folder):
        raise ValueError("expected a folder without '?', '#', ';' and backslashes")
    return folder


def root_scheme(uri: str) -> str:
    """The scheme in lower case, empty for a plain path."""
    found = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]+):", uri)
    return found[1].lower() if found else ""


def local_path(uri: str) -> Path:
    """The absolute path of a plain path or a `file:` URI.

    Raises ValueError for a URI of another host.
    """
    if root_scheme(uri) != "file":
        return Path(uri).absolute()
    parts = urlsplit(uri)
    if parts.netloc not in {"", "localhost"} or not parts.path:
        raise ValueError("expected file:///absolute/path")
    return Path(unquote(parts.path)).absolute()


def without_password(given: str) -> str:
    """Leaves only the scheme of a URI that may carry a login, in front or in a parameter."""
    scheme, found, rest = given.partition("://")
    return f"{scheme}://…" if found and re.search(r"[@?]|^[^/]+:", rest) else given


OBJECT_STORES = frozenset({"s3", "gs", "wasb", "wasbs", "abfs", "abfss", "az"})
CLOUD_EXAMPLES = (
    "s3://bucket, gs://bucket, wasbs://container@account.blob.core.windows.net (abfss, az), "
    "each with or without a folder behind it"
)
CLOUD = re.compile(r"([A-Za-z][A-Za-z0-9]+)://([A-Za-z0-9.$_@-]+)((?:/(?!/+[^/]).*)?)")

TEXT = Kind("text", text_value)
PATTERN = Kind("a regular expression", pattern_value)
FLAG = Kind("true or false", flag_value)
LIST = Kind("a list with commas", list_value)
SCHEMES = Kind("https, http, or both", schemes_value)
FERNET_KEY = Kind("32 bytes in URL-safe base64", fernet_key_value)
COMMAND = Kind("a command", command_value)
ADDRESSES = Kind("a list of addresses or networks", addresses_value)
LOG_LEVELS = choice("debug", "info", "warning", "error", "critical")
LOG_LEVEL = Kind(LOG_LEVELS.expects, log_level_value)
ROOT = Kind("a path or URI", root_value)
DESTINATION = Kind("a path or URI", destination_value)
CLOUD_URI = Kind("the URI of a bucket", cloud_value)
CLOUD_URIS = Kind("URIs of buckets with commas", clouds_value)
FOLDER = Kind("a relative path", folder_value)
PREFIX = Kind("a path such as /mlflow", prefix_value)
