"""Which Google credentials the server uses: the first that is set up, and a sentence that says so.

The order is the one that Google's libraries have, with two forms that people use besides: a
service account in single variables, and the login of `gcloud auth login`.
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, cast

from riverrun.errors import InvalidState

FILE_VARIABLE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
PROJECT_VARIABLES: Final = ("GCP_PROJECT", "GOOGLE_CLOUD_PROJECT")
KEY_FILE_BYTES_MAX: Final = 1024 * 1024
# What a login of each type cannot do without. Others are passed on to whoever knows them.
NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "service_account": ("client_email", "private_key"),
    "authorized_user": ("client_id", "client_secret", "refresh_token"),
}
PEM: Final = re.compile(
    r"\s*-----BEGIN ((?:RSA )?PRIVATE KEY)-----\s+(.+?)\s+-----END \1-----\s*", re.DOTALL
)


class InvalidGoogleCredentials(InvalidState):
    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"Invalid Google credentials in {where}: {reason}")


@dataclass(frozen=True, slots=True)
class GoogleCredentials:
    """`told` is for the start log and holds no secret.

    `kind` is the type that the key file names ("service_account", "authorized_user",
    "external_account", ...), or "metadata_server" when there is no key at all: the machine's own
    account then, which only Google's network can tell. `info` is what such a key file holds, for
    keys in variables too; `path` is the file, where there is one. `project` is where a bucket is
    made, "" when nothing says.
    """

    kind: str
    told: str
    project: str = ""
    path: Path | None = None
    info: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)


MACHINE: Final = GoogleCredentials(
    "metadata_server", "the account of this machine (metadata server), as no other is set up"
)


def find_google_credentials(environ: Mapping[str, str]) -> GoogleCredentials:
    """The first of: the file that GOOGLE_APPLICATION_CREDENTIALS names, a service account in single
    variables, the application-default file, the login of gcloud's active account, the metadata
    server. Nothing is called to find out.

    Raises InvalidState, in one sentence for an operator, for what is set up and cannot be used.
    """
    gcloud = Gcloud(environ)
    found = next((each for each in _candidates(environ, gcloud) if each), MACHINE)
    project = _first(environ, PROJECT_VARIABLES) or found.project or gcloud.project
    return replace(found, project=project)


class Gcloud:
    """What the command `gcloud` keeps in its folder."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        home = environ.get("HOME", "")
        default = str(Path(home) / ".config" / "gcloud") if home else ""
        given = environ.get("CLOUDSDK_CONFIG", "") or default
        self.folder = Path(given) if given else None

    @property
    def account(self) -> str:
        return self._environ.get("CLOUDSDK_CORE_ACCOUNT", "") or self._core("account")

    @property
    def project(self) -> str:
        return self._environ.get("CLOUDSDK_CORE_PROJECT", "") or self._core("project")

    def file(self, *parts: str) -> Path | None:
        """The file of that name below the folder, if it is there."""
        if self.folder is None:
            return None
        path = self.folder.joinpath(*parts)
        return path if path.is_file() else None

    def _core(self, name: str) -> str:
        """A value of the active configuration; "" too when the file cannot be read, since nobody
        told us to use it.
        """
        configuration = self._environ.get("CLOUDSDK_ACTIVE_CONFIG_NAME", "") or self._active()
        path = self.file("configurations", f"config_{configuration}")
        if path is None:
            return ""
        parser = ConfigParser(interpolation=None)
        try:
            parser.read_string(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, ConfigError):
            return ""
        return parser.get("core", name, fallback="").strip()

    def _active(self) -> str:
        path = self.file("active_config")
        try:
            return path.read_text("utf-8").strip() if path else "default"
        except (OSError, UnicodeDecodeError):
            return "default"


def _candidates(environ: Mapping[str, str], gcloud: Gcloud) -> Iterator[GoogleCredentials | None]:
    if named := environ.get(FILE_VARIABLE, "").strip():
        yield from_file(Path(named), FILE_VARIABLE)
    yield from_variables(environ)
    if path := gcloud.file("application_default_credentials.json"):
        yield from_file(path, "gcloud's application-default login")
    account = gcloud.account
    # The name comes from a file and becomes a part of a path.
    is_name = account not in {"", ".", ".."} and "/" not in account
    if is_name and (path := gcloud.file("legacy_credentials", account, "adc.json")):
        yield from_file(path, "gcloud's active account")


def from_file(path: Path, origin: str) -> GoogleCredentials:
    """A key file as Google hands it out; `origin` says who named it. Raises InvalidState."""
    where = f"'{path}' ({origin})"
    try:
        with path.open("rb") as file:
            content = file.read(KEY_FILE_BYTES_MAX)
    except FileNotFoundError:
        raise InvalidGoogleCredentials(where, "there is no such file") from None
    except OSError:
        raise InvalidGoogleCredentials(where, "expected a file that the server may read") from None
    try:
        parsed: object = json.loads(content)
    except ValueError:  # Also of bytes that are not UTF-8.
        raise InvalidGoogleCredentials(where, "expected JSON") from None
    if not isinstance(parsed, dict):
        raise InvalidGoogleCredentials(where, "expected a JSON object")
    return _checked(cast("dict[str, object]", parsed), where, path)


def from_variables(environ: Mapping[str, str]) -> GoogleCredentials | None:
    r"""A service account in GOOGLE_APPLICATION_CREDENTIALS_TYPE, ..._PRIVATE_KEY, ..._CLIENT_EMAIL
    and so on, named as the fields of a key file; None when neither a key nor an address is given.

    A literal `\n` in the key is a line break, and quotation marks around a value do not count:
    `docker run --env-file` keeps both as they stand. Raises InvalidState.
    """
    prefix = f"{FILE_VARIABLE}_"
    info: dict[str, object] = {
        name.removeprefix(prefix).lower(): _unquoted(value)
        for name, value in environ.items()
        if name.startswith(prefix) and _unquoted(value)
    }
    if not info.keys() & {"private_key", "client_email"}:
        return None
    if "private_key" in info:
        info["private_key"] = str(info["private_key"]).replace("\\n", "\n")
    info.setdefault("type", "service_account")
    where = f"the variables {prefix}..."
    if info["type"] != "service_account":
        raise InvalidGoogleCredentials(where, "expected the type service_account")
    return _checked(info, where, None)


def _checked(info: dict[str, object], where: str, path: Path | None) -> GoogleCredentials:
    kind = info.get("type")
    if not isinstance(kind, str) or not kind:
        raise InvalidGoogleCredentials(where, "expected a field `type`, as in a key file of Google")
    missing = [name for name in NEEDED.get(kind, ()) if not _text(info, name).strip()]
    if missing:
        raise InvalidGoogleCredentials(where, f"{' and '.join(missing)} missing")
    if kind == "service_account" and not _is_key(_text(info, "private_key")):
        raise InvalidGoogleCredentials(
            where, "private_key is no key in PEM form (-----BEGIN PRIVATE KEY----- ...)"
        )
    who = {
        "service_account": f"the service account {_text(info, 'client_email')}",
        "authorized_user": f"the login of {_text(info, 'account') or 'a user'}",
    }.get(kind, f"a key of type {kind[:50]}")
    project = _text(info, "project_id") or _text(info, "quota_project_id")
    return GoogleCredentials(kind, f"{who}, from {where}", project, path, info)


def _is_key(text: str) -> bool:
    """Whether it has the form of a key; whether it is one, only its use tells."""
    found = PEM.fullmatch(text)
    try:
        return found is not None and bool(b64decode("".join(found[2].split()), validate=True))
    except ValueError:
        return False


def _text(info: Mapping[str, object], name: str) -> str:
    value = info.get(name)
    return value if isinstance(value, str) else ""


def _unquoted(value: str) -> str:
    value = value.strip()
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1].strip() if is_quoted else value


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := _unquoted(environ.get(name, "")))), "")
