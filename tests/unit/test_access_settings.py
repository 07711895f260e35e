"""What access control begins with, from variables, files and basic_auth.ini."""

from pathlib import Path

import pytest

from riverrun.auth.levels import Level
from riverrun.auth.passwords import DEFAULTS
from riverrun.settings import Settings
from riverrun.settings_access import AccessRules, access_rules
from riverrun.settings_values import SettingsError

PASSWORD = "quite a long one"
VARIABLES = ("MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_ADMIN_PASSWORD")


def rules(**variables: str) -> AccessRules:
    return access_rules(Settings.load({"auth": True}, variables))


def ini(folder: Path, *lines: str) -> str:
    path = folder / "basic_auth.ini"
    path.write_text("\n".join(["[mlflow]", *lines]))
    return str(path)


@pytest.mark.parametrize("place", ["variable", "file", "ini"])
@pytest.mark.parametrize("password", sorted(DEFAULTS))
def test_no_default_password_is_accepted_anywhere(password: str, place: str, tmp_path: Path):
    for given in (password, password.upper()):
        (tmp_path / "password").write_text(f" {given}\n")
        cases = {
            "variable": [{name: given} for name in VARIABLES],
            "file": [{f"{name}_FILE": str(tmp_path / "password")} for name in VARIABLES],
            "ini": [{"MLFLOW_AUTH_CONFIG_PATH": ini(tmp_path, f"admin_password = {given}")}],
        }
        for variables in cases[place]:
            with pytest.raises(SettingsError, match="everybody knows") as error:
                rules(**variables)
            named = "admin_password in " if place == "ini" else next(iter(variables))
            assert named in str(error.value)


def test_what_is_not_said_has_upstreams_default():
    assert rules() == AccessRules(
        admin_username="admin",
        admin_password=None,
        admin_from="",
        default=Level.READ,
        upstream_database=None,
        grants_default_workspace=False,
    )


def test_an_option_beats_a_variable_and_a_variable_beats_the_file(tmp_path: Path):
    path = ini(
        tmp_path,
        "admin_username = from-file",
        f"admin_password = {PASSWORD} of the file",
        "default_permission = edit",
        "database_uri = sqlite:///basic_auth.db",
        "grant_default_workspace_access = true",
        "auth_cache_ttl_seconds = 60",
    )
    found = rules(MLFLOW_AUTH_CONFIG_PATH=path)
    assert found == AccessRules(
        admin_username="from-file",
        admin_password=f"{PASSWORD} of the file",
        admin_from=f"admin_password in {path}",
        default=Level.EDIT,
        upstream_database="sqlite:///basic_auth.db",
        grants_default_workspace=True,
    )
    variables = {
        "MLFLOW_AUTH_CONFIG_PATH": path,
        "MLFLOW_ADMIN_USERNAME": "root",
        "MLFLOW_ADMIN_PASSWORD": PASSWORD,
        "RIVERRUN_DEFAULT_PERMISSION": "MANAGE",
    }
    found = rules(**variables)
    assert (found.admin_username, found.admin_password) == ("root", PASSWORD)
    assert found.default is Level.MANAGE
    options = {"auth": True, "default_permission": "no_permissions"}
    assert access_rules(Settings.load(options, variables)).default is Level.PUBLIC


def test_an_empty_line_of_the_file_says_nothing(tmp_path: Path):
    keys = (
        "default_permission",
        "database_uri",
        "admin_username",
        "admin_password",
        "authorization_function",
    )
    path = ini(tmp_path, *(f"{key} =" for key in keys))
    assert rules(MLFLOW_AUTH_CONFIG_PATH=path) == rules()


def test_names_and_passwords_come_from_files(tmp_path: Path):
    (tmp_path / "name").write_text("r\u00f6\u00f6t\n", "utf-8")
    (tmp_path / "password").write_text(f"{PASSWORD}\r\n")
    found = rules(
        MLFLOW_ADMIN_USERNAME_FILE=str(tmp_path / "name"),
        MLFLOW_AUTH_ADMIN_PASSWORD_FILE=str(tmp_path / "password"),
    )
    assert (found.admin_username, found.admin_password) == ("r\u00f6\u00f6t", PASSWORD)
    assert PASSWORD not in repr(found)


def test_a_file_that_is_no_text_is_one_sentence(tmp_path: Path):
    (tmp_path / "password").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"password cannot be read: UnicodeDecodeError\."):
        rules(MLFLOW_ADMIN_PASSWORD_FILE=str(tmp_path / "password"))
    with pytest.raises(SettingsError, match=r"password cannot be read: UnicodeDecodeError\."):
        rules(MLFLOW_AUTH_CONFIG_PATH=str(tmp_path / "password"))
