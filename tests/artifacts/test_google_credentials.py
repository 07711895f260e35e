"""Which Google credentials are chosen, and the sentence for those that cannot be used."""

import json
from pathlib import Path
from typing import Any

import pytest

from riverrun.artifacts.google_credentials import GoogleCredentials, find_google_credentials
from riverrun.errors import InvalidState

KEY = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0LXNlY3JldA==\n-----END PRIVATE KEY-----\n"
ACCOUNT = {
    "type": "service_account",
    "project_id": "of-the-key",
    "private_key": KEY,
    "client_email": "robot@project.iam.gserviceaccount.com",
}
LOGIN = {
    "type": "authorized_user",
    "client_id": "id",
    "client_secret": "hush-hush",
    "refresh_token": "hush-token",
}
VARIABLES = {
    "GOOGLE_APPLICATION_CREDENTIALS_TYPE": "service_account",
    "GOOGLE_APPLICATION_CREDENTIALS_PROJECT_ID": "of-the-variables",
    "GOOGLE_APPLICATION_CREDENTIALS_PRIVATE_KEY_ID": "id",
    "GOOGLE_APPLICATION_CREDENTIALS_PRIVATE_KEY": KEY.strip().replace("\n", "\\n"),
    "GOOGLE_APPLICATION_CREDENTIALS_CLIENT_EMAIL": "single@project.iam.gserviceaccount.com",
}
MACHINE = GoogleCredentials(
    "metadata_server", "the account of this machine (metadata server), as no other is set up"
)


def written(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


class Home:
    """A home folder with what gcloud keeps in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gcloud = folder / ".config" / "gcloud"

    def file(self, content: object = ACCOUNT, name: str = "key.json") -> dict[str, str]:
        return {"GOOGLE_APPLICATION_CREDENTIALS": str(written(self.folder / name, content))}

    def application_default(self, content: object = LOGIN) -> Path:
        return written(self.gcloud / "application_default_credentials.json", content)

    def login(self, account: str = "me@example.com", *, configuration: str = "default") -> Path:
        lines = f"[core]\naccount = {account}\nproject = of-gcloud\n"
        written(self.gcloud / "active_config", configuration)
        written(self.gcloud / "configurations" / f"config_{configuration}", lines)
        return written(self.gcloud / "legacy_credentials" / account / "adc.json", LOGIN)

    def find(self, **environ: str) -> GoogleCredentials:
        return find_google_credentials({"HOME": str(self.folder), **environ})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_the_order_is_file_variables_application_default_login_machine(home: Home):
    assert home.find() == MACHINE
    login = home.login()
    found = home.find()
    assert (found.kind, found.path) == ("authorized_user", login)
    assert found.told == f"the login of a user, from '{login}' (gcloud's active account)"
    default = home.application_default()
    assert home.find().path == default
    found = home.find(**VARIABLES)
    assert found.told == (
        "the service account single@project.iam.gserviceaccount.com, "
        "from the variables GOOGLE_APPLICATION_CREDENTIALS_..."
    )
    named = home.file()
    found = home.find(**VARIABLES, **named)
    path = named["GOOGLE_APPLICATION_CREDENTIALS"]
    assert (found.kind, found.path) == ("service_account", Path(path))
    assert found.told == (
        "the service account robot@project.iam.gserviceaccount.com, "
        f"from '{path}' (GOOGLE_APPLICATION_CREDENTIALS)"
    )


def test_a_key_in_a_variable_has_its_line_breaks_again(home: Home):
    found = home.find(**VARIABLES)
    assert found.info == {
        "type": "service_account",
        "project_id": "of-the-variables",
        "private_key_id": "id",
        "private_key": KEY.strip(),
        "client_email": "single@project.iam.gserviceaccount.com",
    }


def test_quotation_marks_that_docker_leaves_around_a_value_do_not_count(home: Home):
    quoted = {name: f'"{value}"' for name, value in VARIABLES.items()}
    assert home.find(**quoted) == home.find(**VARIABLES)


def test_variables_need_no_type(home: Home):
    without = {name: value for name, value in VARIABLES.items() if not name.endswith("_TYPE")}
    assert home.find(**without) == home.find(**VARIABLES)


def test_variables_without_key_and_address_say_nothing(home: Home):
    assert home.find(GOOGLE_APPLICATION_CREDENTIALS_TYPE="service_account") == MACHINE


@pytest.mark.parametrize("name", ["PRIVATE_KEY", "CLIENT_EMAIL"])
def test_half_a_service_account_in_variables_is_refused(home: Home, name: str):
    half = {each: value for each, value in VARIABLES.items() if not each.endswith(f"_{name}")}
    assert refusal(home, **half) == (
        "Invalid Google credentials in the variables GOOGLE_APPLICATION_CREDENTIALS_...: "
        f"{name.lower()} missing"
    )


@pytest.mark.parametrize(
    "key",
    [
        "TU_PRIVATE_KEY_AQUI",
        "-----BEGIN PRIVATE KEY-----\\nTU_PRIVATE_KEY_AQUI\\n-----END PRIVATE KEY-----",
        KEY.replace("END", "STOP"),
    ],
)
def test_a_placeholder_is_no_key(home: Home, key: str):
    message = refusal(home, **{**VARIABLES, "GOOGLE_APPLICATION_CREDENTIALS_PRIVATE_KEY": key})
    assert "private_key is no key in PEM form" in message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "expected JSON"),
        ("{", "expected JSON"),
        ("[]", "expected a JSON object"),
        ("{}", "expected a field `type`, as in a key file of Google"),
        ('{"type": 1}', "expected a field `type`, as in a key file of Google"),
        ({**ACCOUNT, "private_key": 1}, "private_key missing"),
        ({**LOGIN, "refresh_token": "", "client_id": None}, "client_id and refresh_token missing"),
    ],
)
def test_a_file_that_is_no_key_is_refused_in_one_sentence(home: Home, content: Any, reason: str):
    environ = home.file(content)
    path = environ["GOOGLE_APPLICATION_CREDENTIALS"]
    assert refusal(home, **environ) == (
        f"Invalid Google credentials in '{path}' (GOOGLE_APPLICATION_CREDENTIALS): {reason}"
    )


def test_a_file_that_is_not_there_is_refused_though_others_are(home: Home):
    home.application_default()
    assert refusal(home, GOOGLE_APPLICATION_CREDENTIALS="/missing/key.json") == (
        "Invalid Google credentials in '/missing/key.json' (GOOGLE_APPLICATION_CREDENTIALS): "
        "there is no such file"
    )
    folder = refusal(home, GOOGLE_APPLICATION_CREDENTIALS=str(home.folder))
    assert folder.endswith("expected a file that the server may read")


def test_a_type_that_we_do_not_know_is_passed_on(home: Home):
    found = home.find(**home.file({"type": "external_account", "audience": "x"}))
    assert (found.kind, found.info["audience"]) == ("external_account", "x")


def test_no_secret_is_shown(home: Home):
    for found in (
        home.find(**home.file()),
        home.find(**home.file(LOGIN)),
        home.find(**VARIABLES),
    ):
        for secret in ("hush", "PRIVATE KEY", "c2VjcmV0"):
            assert secret not in repr(found)
            assert secret not in found.told


def test_the_project_is_the_operators_then_the_keys_then_gclouds(home: Home):
    home.login()
    assert home.find().project == "of-gcloud"
    assert home.find(**home.file()).project == "of-the-key"
    assert home.find(**home.file(), GOOGLE_CLOUD_PROJECT="google's").project == "google's"
    both = {"GOOGLE_CLOUD_PROJECT": "google's", "GCP_PROJECT": "ours"}
    assert home.find(**home.file(), **both).project == "ours"
    assert home.find(**both).project == "ours"


def test_gcloud_s_folder_account_and_configuration_may_be_named(home: Home, tmp_path: Path):
    first = home.login("first@example.com", configuration="one")
    second = home.login("second@example.com", configuration="two")
    assert home.find().path == second
    assert home.find(CLOUDSDK_ACTIVE_CONFIG_NAME="one").path == first
    assert home.find(CLOUDSDK_CORE_ACCOUNT="first@example.com").path == first
    elsewhere = {"CLOUDSDK_CONFIG": str(home.gcloud), "HOME": str(tmp_path / "nobody")}
    assert find_google_credentials(elsewhere).path == second
    assert find_google_credentials({}) == MACHINE


@pytest.mark.parametrize("account", ["../../outside", "..", "."])
def test_an_account_s_name_leads_nowhere_else(home: Home, account: str):
    home.login()
    written(home.folder / "outside" / "adc.json", LOGIN)
    assert home.find(CLOUDSDK_CORE_ACCOUNT=account).kind == "metadata_server"


@pytest.mark.parametrize("lines", ["", "account = x", "[core", "\0"])
def test_a_configuration_that_cannot_be_read_says_nothing(home: Home, lines: str):
    home.login()
    written(home.gcloud / "configurations" / "config_default", lines)
    assert home.find() == MACHINE


def refusal(home: Home, **environ: str) -> str:
    with pytest.raises(InvalidState) as error:
        home.find(**environ)
    assert "hush" not in error.value.message
    return error.value.message
