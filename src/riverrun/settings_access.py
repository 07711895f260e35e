"""Who may enter, and what they may do when nobody granted it."""

from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from riverrun.auth.levels import Level
from riverrun.auth.passwords import LENGTH_MAX, LENGTH_MIN, is_default
from riverrun.auth.permissions import Permission
from riverrun.errors import InvalidParameterValue
from riverrun.settings_artifacts import ArtifactSettings
from riverrun.settings_field import setting
from riverrun.settings_values import FLAG, TEXT, SettingsError, choice, whole

PERMISSIONS = ("READ", "USE", "EDIT", "MANAGE", "NO_PERMISSIONS")
CONFIG_FILE = Path("mlflow/auth/basic_auth.ini")
"""Where guides put it; read when MLFLOW_AUTH_CONFIG_PATH names no other."""
OUR_FUNCTION = "mlflow.server.auth:authenticate_request_basic_auth"
USERNAME = "admin"
PASSWORD_VARIABLES = ("MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_ADMIN_PASSWORD")
FILE_VARIABLES = tuple(f"{name}_FILE" for name in PASSWORD_VARIABLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSettings(ArtifactSettings):
    app_name: str | None = setting(
        choice("basic-auth"), None, "basic-auth is the same as --auth.", "--app-name"
    )
    auth: bool = setting(
        FLAG,
        False,
        "Let in only users and tokens that are known, to what they were granted.",
        "--auth RIVERRUN_AUTH",
    )
    auth_config_path: str | None = setting(
        TEXT,
        None,
        "File basic_auth.ini of an MLflow server; mlflow/auth/basic_auth.ini when there is one.",
        "MLFLOW_AUTH_CONFIG_PATH",
    )
    admin_username: str | None = setting(
        TEXT,
        None,
        "Name of the first admin; admin unless you say otherwise.",
        "MLFLOW_AUTH_ADMIN_USERNAME MLFLOW_ADMIN_USERNAME",
    )
    admin_username_file: str | None = setting(
        TEXT,
        None,
        "File with the name of the first admin.",
        "MLFLOW_AUTH_ADMIN_USERNAME_FILE MLFLOW_ADMIN_USERNAME_FILE",
    )
    admin_password: str | None = setting(
        TEXT,
        None,
        "Password of the first admin; another one, at a later start, replaces it.",
        " ".join(PASSWORD_VARIABLES),
        secret=True,
    )
    admin_password_file: str | None = setting(
        TEXT,
        None,
        "File with the password of the first admin.",
        " ".join(FILE_VARIABLES),
    )
    default_permission: str | None = setting(
        choice(*PERMISSIONS),
        None,
        "What every user may do with what nobody granted; NO_PERMISSIONS makes all private. READ"
        " unless basic_auth.ini says otherwise.",
        "--default-permission RIVERRUN_DEFAULT_PERMISSION",
    )
    workspaces: bool = setting(
        FLAG,
        False,
        "Keep what belongs to different teams apart, in workspaces that requests name.",
        "--enable-workspaces MLFLOW_ENABLE_WORKSPACES",
    )
    requests_per_second: int = setting(
        whole(0, 1_000_000),
        0,
        "Requests a second that one token or user may send; 0 for any number.",
        "--requests-per-second RIVERRUN_REQUESTS_PER_SECOND",
    )
    secret_key: str | None = setting(
        TEXT,
        None,
        "Key that signs cookies; by default one that is made once and kept in the database.",
        "MLFLOW_FLASK_SERVER_SECRET_KEY",
        secret=True,
    )

    def __post_init__(self) -> None:
        ArtifactSettings.__post_init__(self)  # A class with slots has no super() here.
        for name, value, file in (
            ("MLFLOW_ADMIN_USERNAME", self.admin_username, self.admin_username_file),
            ("MLFLOW_ADMIN_PASSWORD", self.admin_password, self.admin_password_file),
        ):
            if value and file:
                raise SettingsError(f"{name} and {name}_FILE exclude each other.")

    @property
    def has_access_control(self) -> bool:
        return self.auth or self.app_name is not None


def access_doubts(settings: AccessSettings, host: str, *, has_tls: bool) -> dict[str, bool]:
    """What an operator should know, and whether it applies."""
    is_open, reaches_others = not settings.has_access_control, _reaches_others(host)
    names_admin = settings.admin_password or settings.admin_password_file
    return {
        f"--host {host} without --auth: whoever reaches this server may read, change and delete"
        " everything.": reaches_others and is_open,
        f"--host {host} without TLS: passwords and tokens cross the network readable, unless a"
        " proxy in front of this server has https.": reaches_others and not is_open and not has_tls,
        "MLFLOW_ADMIN_PASSWORD has no effect without --auth: nobody is asked for a password.": (
            bool(names_admin) and is_open
        ),
    }


def _reaches_others(host: str) -> bool:
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


@dataclass(frozen=True, slots=True)
class AccessRules:
    """What access control begins with; `upstream_database` may hold an MLflow server's users."""

    admin_username: str
    admin_password: str | None = field(repr=False)
    admin_from: str
    """Where the password stands; empty when there is none."""
    default: Level
    upstream_database: str | None
    grants_default_workspace: bool


def access_rules(settings: AccessSettings) -> AccessRules:
    """From the settings and basic_auth.ini. Raises SettingsError for a name or a password that
    nobody may have, and for a file that asks for another way to log in.
    """
    file = _config_file(settings)
    given = _read(file) if file else {}
    function = given.get("authorization_function") or OUR_FUNCTION
    if function != OUR_FUNCTION:
        raise SettingsError(
            f"{file}: authorization_function {function!r} is not supported; {OUR_FUNCTION} is."
        )
    level = settings.default_permission or (given.get("default_permission") or "READ").upper()
    if level not in PERMISSIONS:
        raise SettingsError(
            f"{file}: default_permission {level!r}: expected one of {', '.join(PERMISSIONS)}."
        )
    admin = _username(settings, given)
    admin_from, password = _password(settings, given, f"admin_password in {file}")
    if password:
        _check_password(password, admin_from, username=admin)
    return AccessRules(
        admin_username=admin,
        admin_password=password,
        admin_from=admin_from,
        default=Level(Permission[level]),
        upstream_database=given.get("database_uri") or None,
        grants_default_workspace=given.get("grant_default_workspace_access", "").lower() == "true",
    )


def _username(settings: AccessSettings, given: Mapping[str, str]) -> str:
    from riverrun.services.access.account_names import (  # noqa: PLC0415 - Only with access control.
        check_username,
    )

    username = (
        settings.admin_username
        or _content("MLFLOW_ADMIN_USERNAME", settings.admin_username_file)
        or given.get("admin_username")
        or USERNAME
    )
    try:
        return check_username(username)
    except InvalidParameterValue as error:
        raise SettingsError(f"MLFLOW_ADMIN_USERNAME: {error.message}") from None


def _password(
    settings: AccessSettings, given: Mapping[str, str], in_file: str
) -> tuple[str, str | None]:
    """Where it stands, and the password itself."""
    found = {
        " or ".join(PASSWORD_VARIABLES): settings.admin_password,
        " or ".join(FILE_VARIABLES): _content(
            "MLFLOW_ADMIN_PASSWORD", settings.admin_password_file
        ),
        in_file: given.get("admin_password"),
    }
    return next(((place, password) for place, password in found.items() if password), ("", None))


def _check_password(password: str, place: str, *, username: str) -> None:
    if is_default(password):
        raise SettingsError(
            f"{place} is a password that everybody knows from a guide: choose another one."
        )
    if password.casefold() == username.casefold():
        raise SettingsError(f"{place} is the admin's name: choose another one.")
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        raise SettingsError(
            f"{place} has {len(password)} characters; a password has {LENGTH_MIN} to {LENGTH_MAX}."
        )


def _config_file(settings: AccessSettings) -> Path | None:
    if settings.auth_config_path:
        return Path(settings.auth_config_path)
    return CONFIG_FILE if CONFIG_FILE.is_file() else None


def _read(file: Path) -> dict[str, str]:
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(file.read_text("utf-8"))
        return {key: value.strip() for key, value in parser["mlflow"].items()}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} cannot be read: {type(error).__name__}.") from None
    except (ConfigParserError, KeyError):
        raise SettingsError(f"{file} is no file with a section [mlflow].") from None


def _content(name: str, file: str | None) -> str | None:
    """None when there is no such file to read."""
    if not file:
        return None
    try:
        content = Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}_FILE {file} cannot be read: {type(error).__name__}.") from None
    if not content:
        raise SettingsError(f"{name}_FILE {file} is empty.")
    return content
