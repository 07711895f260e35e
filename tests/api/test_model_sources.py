"""Where a model version may come from, and which files it gives: its run's or its logged model's,
and no others. What hostile sources are tried with is in tests/hostile/test_model_sources.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from tests.api.protocol import NO_RUN, accepted, not_found, refused, unique
from tests.api.registry import (
    NO_LOGGED_MODEL,
    PROMPT,
    S3,
    artifact_uri,
    ask_for_version,
    create_logged_model,
    create_model,
    create_version,
    delete_version,
    download_uri,
    get_artifact,
    read_model,
    read_version,
    rename,
    search_versions,
    send,
    set_alias,
    transition,
    upload,
)
from tests.fixtures.databases import Databases
from tests.fixtures.server import Server, serving


@dataclass(frozen=True)
class Origins:
    """Two runs and two logged models, each with a file `model/MLmodel`. The first run made the
    first logged model.
    """

    run: str
    run_uri: str
    other_run: str
    other_run_uri: str
    model_id: str
    model_uri: str
    other_model_id: str
    other_model_uri: str


@pytest.fixture(scope="module")
def origins(server: Server) -> Origins:
    experiment = server.create_experiment(unique("origins"))
    runs = [server.create_run(experiment) for _ in range(2)]
    uris = [artifact_uri(server, run) for run in runs]
    first = create_logged_model(server, experiment, source_run_id=runs[0])
    second = create_logged_model(server, experiment)
    models = [(each["model_id"], each["artifact_uri"]) for each in (first, second)]
    for uri in (*uris, models[0][1], models[1][1]):
        upload(server, uri, "model/MLmodel", f"of {uri}".encode())
    return Origins(runs[0], uris[0], runs[1], uris[1], *models[0], *models[1])


def refuse(server: Server, name: str, source: str, **fields: Any) -> str:
    """The message; and nothing may have changed."""
    before = read_model(server, name)
    found = accepted(search_versions(server, f"name = '{name}'"))
    message = refused(ask_for_version(server, name, source, **fields))
    assert read_model(server, name) == before
    assert accepted(search_versions(server, f"name = '{name}'")) == found
    return message


def location(server: Server, name: str, version: str) -> str:
    return accepted(download_uri(server, name, version))["artifact_uri"]


# Of a run ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "/", "/model", "//model", "/model/sub folder"])
def test_the_files_of_the_run_that_is_named(
    server: Server, registered_model: str, origins: Origins, below: str
):
    source = f"{origins.run_uri}{below}"
    version = create_version(server, registered_model, source, run_id=origins.run)
    assert (version["source"], version["run_id"]) == (source, origins.run)
    assert location(server, registered_model, "1") == source


def test_not_the_files_of_another_run(server: Server, registered_model: str, origins: Origins):
    for source in (
        origins.other_run_uri,
        f"{origins.other_run_uri}/model",
        origins.run_uri.rpartition("/")[0],
        f"{origins.run_uri}s/model",
        origins.model_uri,
        "mlflow-artifacts:/x",
    ):
        message = refuse(server, registered_model, source, run_id=origins.run)
        assert message == (
            f"Invalid model version source: '{source}'. The run_id request parameter must identify "
            "the resource that contains the source."
        )


@pytest.mark.parametrize("run_id", [None, "", NO_RUN, "nope", "../..", "A" * 32])
def test_files_of_the_server_need_a_run_that_is_there(
    server: Server, registered_model: str, origins: Origins, run_id: str | None
):
    refuse(server, registered_model, f"{origins.run_uri}/model", run_id=run_id)
    refuse(server, registered_model, f"runs:/{origins.run}/model", run_id=run_id)


def test_a_runs_uri_of_the_run_that_is_named(
    server: Server, registered_model: str, origins: Origins
):
    source = f"runs:/{origins.run}/model"
    create_version(server, registered_model, source, run_id=origins.run)
    assert location(server, registered_model, "1") == source
    refuse(server, registered_model, source, run_id=origins.other_run)
    refuse(server, registered_model, f"runs://x/{origins.run}/model", run_id=origins.run)
    refuse(server, registered_model, f"runs:/{origins.run}/../{NO_RUN}", run_id=origins.run)


def test_a_local_path_of_a_run_that_keeps_its_files_there(server: Server, registered_model: str):
    """They are on the client's machine: it alone will read them."""
    message = {"name": unique("local"), "artifact_location": "/data/mine"}
    experiment = accepted(server.post("experiments/create", message))["experiment_id"]
    run = server.create_run(experiment)
    root = f"/data/mine/{run}/artifacts"
    assert artifact_uri(server, run) == root
    for source in (root, f"{root}/model", f"file://{root}/model", f"file:{root}/model"):
        version = create_version(server, registered_model, source, run_id=run)
        assert location(server, registered_model, version["version"]) == source
        refused(get_artifact(server, registered_model, version["version"], "MLmodel"))
    for source in (
        "/data/mine",
        "/data/mine/other/artifacts",
        f"{root}x",
        f"{root}/../../other",
        f"{root}/%2e%2e/x",
        f"file:{root[1:]}",
        root[1:],
        f"//host{root}",
        f"file://host{root}",
        "/etc",
        "C:\\data\\mine",
        ".",
        "~",
    ):
        refuse(server, registered_model, source, run_id=run)
        refuse(server, registered_model, source)


def test_upstreams_words_for_a_local_path_stay(server: Server, registered_model: str):
    message = refuse(server, registered_model, "/etc")
    begins = "Invalid model version source: '/etc'. To use a local path as a model version source,"
    assert message.startswith(begins)


def test_cloud_sources_are_taken_as_they_are(server: Server, registered_model: str):
    """With or without a run, which need not be one of this server's."""
    for number, (source, run_id) in enumerate(
        [
            (S3, None),
            ("s3://bucket/a b/ü", "not ours"),
            ("gs://bucket/x", ""),
            ("dbfs:/x/y", NO_RUN),
            ("wasbs://container@account.blob.core.windows.net/x", None),
        ],
        start=1,
    ):
        version = create_version(server, registered_model, source, run_id=run_id)
        assert (version["version"], version["source"]) == (str(number), source)
        assert version["run_id"] == (run_id or "")
        assert location(server, registered_model, version["version"]) == source
        refused(get_artifact(server, registered_model, number, "MLmodel"))


@pytest.mark.parametrize(
    "source",
    [
        "http://host/x",
        "https://host/x",
        "ftp://host/x",
        "sftp://host/x",
        "hdfs://host/x",
        "viewfs://host/x",
        "r2://bucket@host/x",
        "b2://bucket@host/x",
        "abfss://container@host/x",
        "mlflow-artifacts://host/x",
        "HTTP://host/x",
        "//host/x",
    ],
)
def test_sources_that_lead_to_a_host_are_refused(
    server: Server, registered_model: str, origins: Origins, source: str
):
    message = refuse(server, registered_model, source)
    assert "leads to a host" in message
    refuse(server, registered_model, source, run_id=origins.run)
    refuse(server, registered_model, source, model_id=origins.model_id)


# Of a logged model -------------------------------------------------------------------------------


def test_a_logged_model_by_its_uri_or_its_folder(
    server: Server, registered_model: str, origins: Origins
):
    for number, source in enumerate(
        [f"models:/{origins.model_id}", origins.model_uri, f"{origins.model_uri}/model"], start=1
    ):
        version = create_version(server, registered_model, source, model_id=origins.model_id)
        assert version["source"] == source
        assert (version["model_id"], version["run_id"]) == (origins.model_id, origins.run)
        expected = origins.model_uri if source.startswith("models:") else source
        assert location(server, registered_model, str(number)) == expected


def test_not_the_files_of_another_logged_model_or_of_its_run(
    server: Server, registered_model: str, origins: Origins
):
    for source in (
        f"models:/{origins.other_model_id}",
        "mlflow-artifacts:/",
        origins.other_model_uri,
        f"{origins.model_uri}s",
        origins.run_uri,
        f"runs:/{origins.run}/model",
        f"models:/{NO_LOGGED_MODEL}",
        "/etc",
    ):
        refuse(server, registered_model, source, model_id=origins.model_id)
        refuse(server, registered_model, source, model_id=origins.model_id, run_id=origins.run)


@pytest.mark.parametrize("model_id", [None, "", NO_LOGGED_MODEL, "m-nope", "../.."])
def test_a_logged_model_must_be_named_and_be_there(
    server: Server, registered_model: str, origins: Origins, model_id: str | None
):
    refuse(server, registered_model, f"models:/{origins.model_id}", model_id=model_id)
    refuse(server, registered_model, f"{origins.model_uri}/model", model_id=model_id)


def test_what_begins_like_a_logged_model_is_a_version(
    server: Server, registered_model: str, origins: Origins
):
    before = read_model(server, registered_model)
    for below in ("/1", "/model", "x/1"):
        source = f"models:/{origins.model_id}{below}"
        not_found(ask_for_version(server, registered_model, source, model_id=origins.model_id))
    assert read_model(server, registered_model) == before
    name = create_model(server, f"m-{unique('').strip()}".ljust(34, "0"))
    create_version(server, name)
    copy = create_version(server, registered_model, f"models:/{name}/1")
    assert location(server, registered_model, copy["version"]) == S3


def test_files_elsewhere_of_a_logged_model_that_is_not_there(server: Server, registered_model: str):
    answer = ask_for_version(server, registered_model, S3, model_id=NO_LOGGED_MODEL)
    assert not_found(answer) == f"Logged model with ID '{NO_LOGGED_MODEL}' not found."


def test_a_deleted_logged_model_gives_nothing(
    server: Server, registered_model: str, experiment: str
):
    model_id = create_logged_model(server, experiment)["model_id"]
    accepted(send(server, "DELETE", f"logged-models/{model_id}", {}))
    refuse(server, registered_model, f"models:/{model_id}", model_id=model_id)


# Of another version ------------------------------------------------------------------------------


def test_a_copy_has_the_files_the_run_and_the_logged_model_of_the_original(
    server: Server, registered_model: str, origins: Origins
):
    name = create_model(server)
    uri = f"{origins.run_uri}/model"
    create_version(server, name, uri, run_id=origins.run)
    create_version(server, name, f"models:/{origins.model_id}", model_id=origins.model_id)
    create_version(server, name, f"runs:/{origins.run}/model", run_id=origins.run)
    for number, expected in (("1", uri), ("2", origins.model_uri)):
        original = read_version(server, name, number)
        copy = create_version(server, registered_model, f"models:/{name}/{number}")
        assert copy["source"] == f"models:/{name}/{number}"
        assert copy["run_id"] == original["run_id"]
        assert copy.get("model_id") == original.get("model_id")
        assert location(server, registered_model, copy["version"]) == expected
    again = create_version(server, name, f"models:/{registered_model}/2")
    assert location(server, name, again["version"]) == origins.model_uri


def test_a_copy_keeps_its_files_when_the_original_is_gone(server: Server, registered_model: str):
    name = create_model(server)
    create_version(server, name)
    create_version(server, registered_model, f"models:/{name}/1")
    accepted(delete_version(server, name, "1"))
    accepted(rename(server, name, unique("renamed")))
    assert location(server, registered_model, "1") == S3
    assert get_artifact(server, registered_model, 1, "x").status == 400


def test_a_copy_may_be_named_by_alias_or_stage_and_then_names_the_version(
    server: Server, registered_model: str
):
    name = create_model(server)
    for _ in range(3):
        create_version(server, name)
    accepted(set_alias(server, name, "best", "2"))
    accepted(transition(server, name, "1", "Production"))
    for given, number in (("@best", "2"), ("/Production", "1"), ("/latest", "3"), ("/3", "3")):
        copy = create_version(server, registered_model, f"models:/{name}{given}")
        assert copy["source"] == f"models:/{name}/{number}"


def test_what_a_copy_says_of_its_origin_must_be_so(
    server: Server, registered_model: str, origins: Origins
):
    name = create_model(server)
    create_version(server, name, f"models:/{origins.model_id}", model_id=origins.model_id)
    source = f"models:/{name}/1"
    for fields in (
        {"run_id": origins.other_run},
        {"model_id": origins.other_model_id},
        {"run_id": origins.run, "model_id": origins.other_model_id},
    ):
        refuse(server, registered_model, source, **fields)
    same = {"run_id": origins.run, "model_id": origins.model_id}
    version = create_version(server, registered_model, source, **same)
    assert (version["run_id"], version["model_id"]) == (origins.run, origins.model_id)


def test_a_copy_of_what_is_not_there(server: Server, registered_model: str):
    create_version(server, registered_model)
    accepted(delete_version(server, registered_model, "1"))
    before = read_model(server, registered_model)
    for source in ("models:/nope/1", f"models:/{registered_model}/1", "models:/nope@best"):
        not_found(ask_for_version(server, registered_model, source))
    assert read_model(server, registered_model) == before
    for source in (
        f"models:/{registered_model}@nope",
        f"models:/{registered_model}/Production",
        f"models:/{registered_model}/bogus",
        f"models:/{registered_model}",
        f"models:/{registered_model}/1/x",
        f"models:/{registered_model}/",
        "models:/",
        "models:",
    ):
        refuse(server, registered_model, source)


@pytest.mark.parametrize("authority", ["databricks", "profile@databricks", "localhost", "host:1"])
def test_a_copy_comes_from_this_registry(server: Server, registered_model: str, authority: str):
    create_version(server, registered_model)
    refuse(server, registered_model, f"models://{authority}/{registered_model}/1")


# Prompts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [S3, "/etc", "dummy-source/..", "dummy-source#", "x", "runs:/x"])
def test_a_prompt_has_no_files(server: Server, source: str, origins: Origins):
    prompt = create_model(server, tags=PROMPT)
    refuse(server, prompt, source, tags=PROMPT)
    refuse(server, prompt, f"{origins.run_uri}/model", tags=PROMPT, run_id=origins.run)


@pytest.mark.parametrize("source", ["dummy-source", "prompt-template"])
def test_a_models_version_has(server: Server, registered_model: str, source: str):
    refuse(server, registered_model, source)
    refuse(server, registered_model, source, tags=[{"key": PROMPT[0]["key"], "value": "false"}])


def test_a_prompt_is_no_source(server: Server, registered_model: str):
    prompt = create_model(server, tags=PROMPT)
    create_version(server, prompt, "dummy-source", tags=PROMPT)
    for source in (f"models:/{prompt}/1", f"models:/{prompt}/latest"):
        assert "Prompt versions cannot be used" in refuse(server, registered_model, source)


# Files -------------------------------------------------------------------------------------------


def test_a_version_gives_the_files_below_its_source(
    server: Server, registered_model: str, origins: Origins
):
    below: list[tuple[str, dict[str, str], str, str]] = [
        (origins.run_uri, {"run_id": origins.run}, "model/MLmodel", origins.run_uri),
        (f"{origins.run_uri}/model", {"run_id": origins.run}, "MLmodel", origins.run_uri),
        (f"runs:/{origins.run}/model", {"run_id": origins.run}, "MLmodel", origins.run_uri),
        (f"runs:/{origins.run}", {"run_id": origins.run}, "model/MLmodel", origins.run_uri),
        (f"runs:/{origins.run}/", {"run_id": origins.run}, "model/MLmodel", origins.run_uri),
        (
            f"models:/{origins.model_id}",
            {"model_id": origins.model_id},
            "model/MLmodel",
            origins.model_uri,
        ),
        (f"models:/{registered_model}/2", {}, "MLmodel", origins.run_uri),
        (f"models:/{registered_model}/3", {}, "MLmodel", origins.run_uri),
    ]
    for source, fields, path, uri in below:
        version = create_version(server, registered_model, source, **fields)["version"]
        answer = get_artifact(server, registered_model, version, path)
        assert (answer.status, answer.body) == (200, f"of {uri}".encode()), source
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"
        not_found(get_artifact(server, registered_model, version, "nope"))
        refused(get_artifact(server, registered_model, version, path.rpartition("/")[0] or "."))


def test_files_of_a_version_that_is_not_there(
    server: Server, registered_model: str, origins: Origins
):
    not_found(get_artifact(server, "nope", 1, "MLmodel"))
    not_found(get_artifact(server, registered_model, 1, "MLmodel"))
    create_version(server, registered_model, origins.run_uri, run_id=origins.run)
    refused(get_artifact(server, registered_model, "one", "model/MLmodel"))
    refused(get_artifact(server, registered_model, 1, ""))
    accepted(delete_version(server, registered_model, "1"))
    not_found(get_artifact(server, registered_model, 1, "model/MLmodel"))


# Settings ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def picky(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = (
        "--create-model-version-source-validation-regex",
        "^(s3://allowed/|http|mlflow-artifacts:)",
        "--allowed-host-addressed-artifact-schemes",
        "http",
    )
    folder = tmp_path_factory.mktemp("picky")
    with serving(folder, *options, database=databases.new_database()) as running:
        yield running


def test_a_pattern_is_asked_first(picky: Server):
    name = create_model(picky)
    create_version(picky, name, "s3://allowed/x")
    refuse(picky, name, "s3://other/x")
    refuse(picky, name, "xs3://allowed/x")
    refuse(picky, name, f"models:/{name}/1")
    refuse(picky, name, "dummy-source", tags=PROMPT)


def test_a_scheme_that_is_allowed_may_lead_to_a_host_but_not_into_the_store(picky: Server):
    name, run = create_model(picky), picky.create_run()
    uri = artifact_uri(picky, run)
    upload(picky, uri, "MLmodel", b"of the server")
    create_version(picky, name, "http://host/x")
    refused(get_artifact(picky, name, 1, "MLmodel"))
    below = uri.removeprefix("mlflow-artifacts:/")
    route = "api/2.0/mlflow-artifacts/artifacts"
    for source in (
        f"http://host/{route}/{below}",
        f"http://host/x/{route}/{below}",
        f"http://host/{quote(route, safe='')}/{below}",
        f"http://host/x/../{route}/{below}",
        f"http://host/{route}",
        f"{picky.url}/{route}/{below}",
        f"https://host/{route}/{below}",
    ):
        refuse(picky, name, source)
        refuse(picky, name, source, run_id=run)
