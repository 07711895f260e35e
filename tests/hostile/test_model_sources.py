"""Sources of model versions are where MLflow was broken into most: attacks that became known, and
every way to write them. A refused source changes nothing, and no version gives a file that is not
its run's or its logged model's.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from tests.api.protocol import accepted, refused, unique
from tests.api.registry import (
    PROMPT,
    artifact_uri,
    ask_for_version,
    create_logged_model,
    create_model,
    create_version,
    download_uri,
    get_artifact,
    read_model,
    set_version_tag,
    update_version,
    upload,
)
from tests.hostile.target import Target, status_of

SECRET = b"nobody else's"
UP = ("..", "%2e%2e", "%2E%2e", ".%2e", "%252e%252e", "%25252e%25252e", "..%00", "..\x01")
SLASHES = ("/", "%2f", "%2F", "%252f", "\\", "%5c", "%255c", "/./", "//")


@dataclass(frozen=True)
class Prey:
    """A run and a logged model of the attacker, and what belongs to somebody else."""

    run: str
    run_uri: str
    model_id: str
    model_uri: str
    others: tuple[str, ...]
    """Folders, as URIs, in which the file `secret` is."""

    @property
    def experiment(self) -> str:
        return self.run_uri.split("/")[1]


@pytest.fixture(scope="module")
def prey(target: Target) -> Prey:
    mine, theirs = (target.create_experiment(unique(who)) for who in ("mine", "theirs"))
    run, neighbour = target.create_run(mine), target.create_run(mine)
    logged = create_logged_model(target, mine)
    others = (
        artifact_uri(target, neighbour),
        artifact_uri(target, target.create_run(theirs)),
        create_logged_model(target, mine)["artifact_uri"],
        create_logged_model(target, theirs)["artifact_uri"],
    )
    for uri in others:
        upload(target, uri, "secret", SECRET)
    found = Prey(run, artifact_uri(target, run), logged["model_id"], logged["artifact_uri"], others)
    for uri in (found.run_uri, found.model_uri):
        upload(target, uri, "model/MLmodel", b"mine")
    return found


@pytest.fixture
def name(target: Target) -> str:
    return create_model(target)


def claims(prey: Prey) -> list[dict[str, Any]]:
    """What an attacker may say besides the source."""
    return [
        {},
        {"run_id": prey.run},
        {"model_id": prey.model_id},
        {"run_id": prey.run, "model_id": prey.model_id},
    ]


def refuse(target: Target, name: str, prey: Prey, source: str, **fields: Any) -> None:
    """Whatever the attacker says besides, and nothing changes."""
    before = read_model(target, name)
    for claim in claims(prey):
        refused(ask_for_version(target, name, source, **{**claim, **fields}))
    assert read_model(target, name) == before


def below(uri: str) -> str:
    """The path in the server's store."""
    return uri.removeprefix("mlflow-artifacts:/")


# Attacks that became known -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "/",
        "/etc",
        "/etc/passwd",
        "//etc/passwd",
        "///etc/passwd",
        "etc/passwd",
        ".",
        "..",
        "./mlartifacts",
        "../../../../etc",
        "~/.ssh",
        "C:\\Windows",
        "\\\\host\\share",
        "\\etc\\passwd",
        "file:/etc",
        "file:///etc/passwd",
        "file://localhost/etc/passwd",
        "file://host/etc/passwd",
        "file:////etc/passwd",
        "file:etc/passwd",
        "file:///%65tc/passwd",
        "file%3a///etc/passwd",
        "file:",
        "file://",
        "FILE:///etc/passwd",
        "fIlE:///etc/passwd",
        " file:///etc/passwd",
        "\tfile:///etc/passwd",
        "file\n:///etc/passwd",
        "file:///etc/passwd ",
        "local:///etc/passwd#",
    ],
)
def test_cve_2023_1177_a_source_that_is_a_file_of_the_server(
    target: Target, name: str, prey: Prey, source: str
):
    refuse(target, name, prey, source)


def test_cve_2023_1177_the_second_half_reading_through_a_version(
    target: Target, name: str, prey: Prey
):
    create_version(target, name, f"{prey.run_uri}/model", run_id=prey.run)
    for path in ("/etc/passwd", "file:///etc/passwd", "../../../../../../../etc/passwd"):
        refused(get_artifact(target, name, 1, path))


def test_cve_2023_6730_a_doubly_encoded_traversal(target: Target, name: str, prey: Prey):
    refuse(target, name, prey, f"{prey.run_uri}/%252e%252e/%252e%252e")
    create_version(target, name, prey.run_uri, run_id=prey.run)
    for path in ("%252e%252e%252fsecret", "%2e%2e/secret"):
        refused(get_artifact(target, name, 1, path))


@pytest.mark.parametrize(
    "query", ["?/../../etc", "?a=/../../etc", "?a=%2e%2e/etc", "?a=%252e%252e/etc"]
)
def test_cve_2023_6909_a_traversal_in_the_query(target: Target, name: str, prey: Prey, query: str):
    for root in ("s3://bucket/x", prey.run_uri, "http://host", f"models:/{prey.model_id}"):
        refuse(target, name, prey, f"{root}{query}")


def test_cve_2023_6974_a_source_that_makes_the_server_call_a_host(
    target: Target, name: str, prey: Prey
):
    for source in (
        "http://169.254.169.254/latest/meta-data",
        "https://localhost/x",
        "ftp://127.0.0.1/x",
        "sftp://127.0.0.1/x",
        "hdfs://127.0.0.1/x",
        "mlflow-artifacts://127.0.0.1/x",
    ):
        refuse(target, name, prey, source)


@pytest.mark.parametrize("path", ["../secret", "../../secret", "/secret", "a/../../secret"])
def test_cve_2023_6977_a_traversal_below_a_source(target: Target, name: str, prey: Prey, path: str):
    create_version(target, name, f"{prey.run_uri}/model", run_id=prey.run)
    create_version(target, name, f"runs:/{prey.run}/model", run_id=prey.run)
    create_version(target, name, f"models:/{prey.model_id}", model_id=prey.model_id)
    create_version(target, name, f"models:/{name}/2")
    for version in (1, 2, 3, 4):
        refused(get_artifact(target, name, version, path))


@pytest.mark.parametrize("fragment", ["#", "#/../../etc", "%23/../../etc", "%23", "%2523", "#x"])
def test_cve_2024_1483_a_fragment_hides_the_rest(
    target: Target, name: str, prey: Prey, fragment: str
):
    for root in ("http://", "s3://bucket/x", prey.run_uri, f"runs:/{prey.run}/", "file:///"):
        refuse(target, name, prey, f"{root}{fragment}")


def test_cve_2024_2928_a_fragment_that_climbs(target: Target, name: str, prey: Prey):
    refuse(target, name, prey, f"mlflow-artifacts:/{prey.experiment}#/../../../../etc/")


def test_cve_2024_3848_a_fragment_after_a_source_that_is_fine(
    target: Target, name: str, prey: Prey
):
    for source in (prey.run_uri, prey.model_uri, f"models:/{prey.model_id}"):
        refuse(target, name, prey, f"{source}#/../../../../../../etc/")
        refuse(target, name, prey, f"{source}%23%2f..%2f..%2f..")


def test_cve_2024_6838_texts_are_bounded(target: Target, name: str, prey: Prey):
    long = "x" * 200_000
    refuse(target, name, prey, f"s3://bucket/{long}")
    refuse(target, name, prey, "s3://bucket/x", description=long)
    refuse(target, name, prey, "s3://bucket/x", run_link=long)
    refuse(target, name, prey, "s3://bucket/x", tags=[{"key": "k", "value": long}])
    refused(ask_for_version(target, name, "s3://bucket/x", run_id=long))
    refused(ask_for_version(target, name, "s3://bucket/x", model_id=long))
    refused(ask_for_version(target, long))


def test_cve_2025_11201_a_source_that_climbs_out_of_its_run(target: Target, name: str, prey: Prey):
    for source in (
        f"{prey.run_uri}/../../../../..",
        f"mlflow-artifacts:/../{below(prey.run_uri)}",
        f"mlflow-artifacts:/{prey.experiment}/../../x",
        f"runs:/{prey.run}/../../../../etc",
        f"models:/{prey.model_id}/../../..",
    ):
        refuse(target, name, prey, source)


def test_cve_2026_2033_a_folder_of_another_run(target: Target, name: str, prey: Prey):
    for uri in prey.others:
        for source in (uri, f"{uri}/secret", uri.replace(":/", ":///"), uri.replace(":/", ":")):
            refuse(target, name, prey, source)


def test_cve_2026_2614_a_tag_changes_no_validation(target: Target, name: str, prey: Prey):
    prompt = create_model(target, tags=PROMPT)
    for source in ("file:///etc/passwd", "/etc", *prey.others, "s3://bucket/x", "http://host/x"):
        for value in ("true", "True", "TRUE", "1", "false", ""):
            tags = [{"key": PROMPT[0]["key"], "value": value}]
            if not source.startswith("s3:") or value.lower() == "true":
                refuse(target, name, prey, source, tags=tags)
                refuse(target, prompt, prey, source, tags=tags)


def test_cve_2026_2614_a_tag_that_comes_later_opens_nothing(target: Target, name: str, prey: Prey):
    create_version(target, name, "dummy-source", tags=PROMPT, run_id=prey.run)
    accepted(set_version_tag(target, name, "1", PROMPT[0]["key"], "false"))
    refused(get_artifact(target, name, 1, "secret"))
    refuse(target, name, prey, f"models:/{name}/1/../..")
    accepted(update_version(target, name, "1", source=prey.others[0]))
    assert accepted(download_uri(target, name, 1)) == {"artifact_uri": "dummy-source"}


# Every way to write them -------------------------------------------------------------------------


@pytest.mark.parametrize("slash", SLASHES)
@pytest.mark.parametrize("up", UP)
def test_a_way_up_is_refused_however_it_is_written(
    target: Target, name: str, prey: Prey, up: str, slash: str
):
    other = below(prey.others[0]).split("/", 1)[1]
    for source in (
        f"{prey.run_uri}/{up}{slash}{up}{slash}{other}",
        f"{prey.run_uri}{slash}{up}{slash}{up}",
        f"runs:/{prey.run}/{up}{slash}{up}",
        f"{prey.model_uri}/{up}{slash}{up}",
        f"s3://bucket/a{slash}{up}{slash}b",
        f"/data{slash}{up}{slash}etc",
        f"file:///data{slash}{up}{slash}etc",
    ):
        refuse(target, name, prey, source)


@pytest.mark.parametrize(
    "trick",
    ["#", "%23", ";x", "%3b", "%253b", "\x00", "%00", "%2500", "\x7f", "%0a", "\n", "\ud800", " "],
    ids=ascii,
)
def test_what_cuts_a_source_short_is_refused(target: Target, name: str, prey: Prey, trick: str):
    for root in (prey.run_uri, prey.model_uri, f"runs:/{prey.run}/x", "s3://bucket/x", "/data/x"):
        refuse(target, name, prey, f"{root}{trick}")


@pytest.mark.parametrize("path", ["s3:/./x", "s3://bucket/./x", "s3://bucket/a/./b", "dbfs:x/y"])
def test_a_path_that_is_not_absolute_and_plain(target: Target, name: str, prey: Prey, path: str):
    refuse(target, name, prey, path)


def test_a_source_that_is_encoded_too_often(target: Target, name: str, prey: Prey):
    dots = ".."
    for _ in range(12):
        dots = quote(dots.replace(".", "%2e"), safe="")
    refuse(target, name, prey, f"{prey.run_uri}/{dots}/secret")
    refuse(target, name, prey, f"s3://bucket/{dots}/x")


def test_whatever_a_version_is_made_of_it_never_gives_anothers_file(
    target: Target, name: str, prey: Prey
):
    """Sources that may be accepted or not: what counts is what can be read then."""
    other = prey.others[0]
    sources = [
        f"{prey.run_uri}?",
        f"{prey.run_uri}?x=/{below(other)}",
        f"{prey.run_uri}/%3f",
        f"{prey.run_uri}/%c0%ae%c0%ae/%c0%ae%c0%ae",
        f"{prey.run_uri}/...",
        f"{prey.run_uri}/\uff0e\uff0e/\uff0e\uff0e",
        f"{prey.run_uri}/\u2024\u2024/\u2024\u2024",
        f"{prey.run_uri}/%25",
        prey.run_uri.replace(":/", ":///"),
        prey.run_uri.replace(":/", "://"),
        prey.run_uri.replace(":/", "://localhost/"),
        prey.run_uri.replace("mlflow-artifacts", "MLFLOW-ARTIFACTS"),
        prey.run_uri.replace("/artifacts", "%2fartifacts"),
        f"runs:/{prey.run}",
        f"runs:/{prey.run}/?path=x",
        f"runs:/{prey.run}//",
        f"runs:///{prey.run}/model",
        f"runs:{prey.run}/model",
        f"s3:/{below(other)}",
        f"memory:/{below(other)}",
        f"dbfs:/{below(other)}",
        f"mlflow-artifacts:{below(other)}",
        f"x-mlflow-artifacts:/{below(other)}",
        f"s3://bucket/api/2.0/mlflow-artifacts/artifacts/{below(other)}",
        f"models:/{prey.model_id}/",
        f"models:///{prey.model_id}",
        f"models:{prey.model_id}",
        f"models:/{name}/1",
        f"models:/{name}/latest",
    ]
    for source in sources:
        for claim in claims(prey):
            answer = ask_for_version(target, name, source, **claim)
            assert answer.status in {200, 400, 404}, (source, answer.body)
            if answer.status == 200:
                version = answer.json["model_version"]["version"]
                assert_harmless(target, name, version, prey)


def assert_harmless(target: Target, name: str, version: str, prey: Prey) -> None:
    uri = accepted(download_uri(target, name, version))["artifact_uri"]
    assert not uri.lower().startswith(("/", "file:", *prey.others)), uri
    climb = "../" * 6
    for path in (
        "secret",
        f"{climb}{below(prey.others[0])}/secret",
        f"%2e%2e/%2e%2e/{below(prey.others[1])}/secret",
        f"/{below(prey.others[2])}/secret",
        f"{below(prey.others[3])}/secret",
        f"{climb}mlflow.db",
        ".",
        "/",
    ):
        answer = get_artifact(target, name, version, path)
        assert answer.status in {400, 404}, (uri, path, answer.body[:200])


@pytest.mark.parametrize("path", ["..%2fsecret", "%2e%2e/secret", "..%5csecret", "%00", "a%00b"])
def test_paths_as_they_stand_in_the_url_stay_below_the_source(
    target: Target, name: str, prey: Prey, path: str
):
    create_version(target, name, f"{prey.run_uri}/model", run_id=prey.run)
    query = f"name={quote(name)}&version=1&path={path}"
    raw = target.raw(f"GET /model-versions/get-artifact?{query} HTTP/1.1")
    assert status_of(raw) == 400
    assert SECRET not in raw


def test_the_first_of_two_paths_is_the_one_that_is_judged_and_read(
    target: Target, name: str, prey: Prey
):
    create_version(target, name, f"{prey.run_uri}/model", run_id=prey.run)
    query = f"/model-versions/get-artifact?name={quote(name)}&version=1&path=MLmodel&path=../secret"
    assert target.request("GET", query).body == b"mine"
