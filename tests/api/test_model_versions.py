"""Model versions: numbers, stages, descriptions, tags, deletion, and which times change on what."""

import json
from typing import Any

import pytest
from tests.api.protocol import AJAX, START_MS, accepted, not_found, refused
from tests.api.registry import (
    API,
    IS_PROMPT,
    PROMPT,
    S3,
    artifact_uri,
    ask_for_version,
    create_logged_model,
    create_model,
    create_version,
    delete_model,
    delete_version,
    delete_version_tag,
    download_uri,
    get_by_alias,
    get_version,
    later,
    latest_versions,
    read_model,
    read_version,
    search_versions,
    send,
    set_alias,
    set_version_tag,
    transition,
    update_version,
)
from tests.fixtures.server import Server


def stage_of(server: Server, name: str, version: str) -> str:
    return read_version(server, name, version)["current_stage"]


def times(server: Server, name: str, *versions: str) -> list[int]:
    """When the model, and when each of these versions was last updated."""
    found = [read_model(server, name), *(read_version(server, name, each) for each in versions)]
    return [each["last_updated_timestamp"] for each in found]


@pytest.fixture
def three(server: Server, registered_model: str) -> str:
    """A model with the versions 1, 2 and 3."""
    for _ in range(3):
        create_version(server, registered_model)
    return registered_model


# Creation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", [API, AJAX])
def test_a_new_version_has_empty_texts_where_nothing_was_given(
    server: Server, registered_model: str, prefix: str
):
    message = {"name": registered_model, "source": S3}
    created = accepted(server.post("model-versions/create", message, prefix=prefix))
    at = created["model_version"]["creation_timestamp"]
    assert at > START_MS
    assert created == {
        "model_version": {
            "name": registered_model,
            "version": "1",
            "creation_timestamp": at,
            "last_updated_timestamp": at,
            "current_stage": "None",
            "description": "",
            "source": S3,
            "run_id": "",
            "status": "READY",
            "run_link": "",
        }
    }
    asked = {"name": registered_model, "version": "1"}
    assert accepted(server.get("model-versions/get", prefix=prefix, **asked)) == created


def test_a_new_version_keeps_what_was_given(server: Server, registered_model: str, run: str):
    source = f"{artifact_uri(server, run)}/model"
    tags = [{"key": "b", "value": "2"}, {"key": "a", "value": "0"}, {"key": "a", "value": "1"}]
    given = {"run_id": run, "run_link": "https://x/y", "description": "d"}
    version = create_version(server, registered_model, source, tags=tags, **given)
    at = version.pop("creation_timestamp")
    assert version == {
        "name": registered_model,
        "version": "1",
        "last_updated_timestamp": at,
        "current_stage": "None",
        "source": source,
        "status": "READY",
        "tags": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}],
        **given,
    }


def test_a_version_of_a_logged_model_belongs_to_the_models_run(
    server: Server, registered_model: str, experiment: str, run: str
):
    logged = create_logged_model(server, experiment, source_run_id=run)
    model_id = logged["model_id"]
    version = create_version(server, registered_model, f"models:/{model_id}", model_id=model_id)
    assert (version["model_id"], version["run_id"]) == (model_id, run)
    assert version["source"] == f"models:/{model_id}"
    uri = accepted(download_uri(server, registered_model, 1))
    assert uri == {"artifact_uri": logged["artifact_uri"]}


def test_a_logged_model_learns_of_its_versions_once(
    server: Server, registered_model: str, experiment: str
):
    model_id = create_logged_model(server, experiment)["model_id"]
    for _ in range(2):
        create_version(server, registered_model, f"models:/{model_id}", model_id=model_id)
    model = accepted(server.get(f"logged-models/{model_id}"))["model"]
    tag = {"key": "mlflow.modelVersions"}
    entries = ", ".join(f'{{"name": "{registered_model}", "version": {n}}}' for n in (1, 2))
    assert model["info"]["tags"] == [{**tag, "value": f"[{entries}]"}]


@pytest.mark.parametrize(
    "written",
    ["", "no json", "{}", "[1, null, [], {}]", "[" * 900 + "]" * 900, '[{"version": 1e999}]', "1"],
    ids=lambda text: text[:20],
)
def test_whatever_a_client_wrote_into_that_tag_a_version_is_made(
    server: Server, registered_model: str, experiment: str, written: str
):
    tags = [{"key": "mlflow.modelVersions", "value": written}]
    model_id = create_logged_model(server, experiment, tags=tags)["model_id"]
    create_version(server, registered_model, f"models:/{model_id}", model_id=model_id)
    info = accepted(server.get(f"logged-models/{model_id}"))["model"]["info"]
    assert info["tags"][0]["value"].endswith(f'{{"name": "{registered_model}", "version": 1}}]')


def test_a_logged_model_knows_the_last_thousand_of_its_versions(
    server: Server, registered_model: str, experiment: str
):
    known = json.dumps([{"name": "x", "version": number} for number in range(1_500)])
    tags = [{"key": "mlflow.modelVersions", "value": known}]
    model_id = create_logged_model(server, experiment, tags=tags)["model_id"]
    create_version(server, registered_model, f"models:/{model_id}", model_id=model_id)
    info = accepted(server.get(f"logged-models/{model_id}"))["model"]["info"]
    kept = json.loads(info["tags"][0]["value"])
    assert len(kept) == 1_000
    assert (kept[0]["version"], kept[-1]) == (501, {"name": registered_model, "version": 1})


def test_a_version_needs_its_model(server: Server):
    message = not_found(ask_for_version(server, "nope"))
    assert message == "Registered Model with name=nope not found"


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": " "},
        {"name": "a/b"},
        {"source": ""},
        {"source": 1},
        {"source": "s3://bucket/" + "x" * 100_000},
        {"description": 1},
        {"description": "d" * 100_001},
        {"run_link": "l" * 100_001},
        {"run_id": "r" * 501},
        {"model_id": "m" * 256},
        {"tags": [{"key": "k" * 251, "value": "1"}]},
        {"tags": [{"key": "k", "value": "v" * 100_001}]},
        {"tags": [{"key": "k", "value": 1}]},
        {"tags": [{"key": f"k{number}", "value": "1"} for number in range(1_001)]},
    ],
    ids=lambda fields: str(fields)[:40],
)
def test_what_is_refused_takes_no_number(
    server: Server, registered_model: str, fields: dict[str, Any]
):
    before = read_model(server, registered_model)
    message = {"name": registered_model, "source": S3, **fields}
    refused(server.post("model-versions/create", message))
    assert read_model(server, registered_model) == before
    assert create_version(server, registered_model)["version"] == "1"


def test_a_tag_value_of_100000_characters_is_kept_whole(server: Server, registered_model: str):
    tags = [{"key": "k", "value": "ä" * 100_000}]
    assert create_version(server, registered_model, tags=tags)["tags"] == tags


def test_numbers_count_up_for_each_model_alone(server: Server, three: str):
    assert create_version(server, create_model(server))["version"] == "1"
    assert create_version(server, three)["version"] == "4"


def test_numbers_of_deleted_versions_are_not_given_again(server: Server, three: str):
    for number in ("3", "1", "2"):
        accepted(delete_version(server, three, number))
    assert create_version(server, three)["version"] == "4"
    accepted(delete_version(server, three, "4"))
    assert create_version(server, three)["version"] == "5"


# Reading -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["99", "0", "-1", "999999999999999999"])
def test_a_version_that_is_not_there(server: Server, three: str, version: str):
    message = not_found(get_version(server, three, version))
    assert message == f"Model Version (name={three}, version={version}) not found"
    not_found(download_uri(server, three, version))
    not_found(transition(server, three, version, "Staging"))
    not_found(update_version(server, three, version, description="d"))
    not_found(delete_version(server, three, version))
    not_found(set_version_tag(server, three, version, "k", "1"))
    not_found(delete_version_tag(server, three, version, "k"))


@pytest.mark.parametrize("version", ["abc", "1.0", "1e0", "0x1", "9" * 30, "1;", "--1"])
def test_a_version_is_a_whole_number(server: Server, three: str, version: str):
    message = refused(get_version(server, three, version))
    assert message == f"Parameter 'version' must be an integer, got '{version}'."
    refused(download_uri(server, three, version))
    refused(transition(server, three, version, "Staging"))
    refused(update_version(server, three, version, description="d"))
    refused(delete_version(server, three, version))
    refused(set_version_tag(server, three, version, "k", "1"))
    refused(delete_version_tag(server, three, version, "k"))
    refused(set_alias(server, three, "best", version))


def test_leading_zeros_of_a_version_mean_nothing(server: Server, three: str):
    assert read_version(server, three, "002")["version"] == "2"


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("POST", "model-versions/create", {"name": "a"}),
        ("POST", "model-versions/create", {"source": S3}),
        ("GET", "model-versions/get", {"name": "a"}),
        ("GET", "model-versions/get", {"version": "1"}),
        ("GET", "model-versions/get-download-uri", {"name": "a"}),
        ("PATCH", "model-versions/update", {"name": "a"}),
        ("PATCH", "model-versions/update", {"name": "a", "version": 1}),
        ("DELETE", "model-versions/delete", {"name": "a"}),
        ("POST", "model-versions/transition-stage", {"name": "a", "version": "1"}),
        ("POST", "model-versions/set-tag", {"name": "a", "version": "1"}),
        ("DELETE", "model-versions/delete-tag", {"name": "a", "version": "1"}),
    ],
)
def test_a_field_that_is_missing_or_of_another_kind(
    server: Server, method: str, path: str, message: dict[str, Any]
):
    refused(server.get(path, **message) if method == "GET" else send(server, method, path, message))


def test_files_of_an_s3_source_are_where_the_client_said(server: Server, three: str):
    assert accepted(download_uri(server, three, 1)) == {"artifact_uri": S3}


# Description -------------------------------------------------------------------------------------


def test_an_update_changes_the_versions_description_and_time_only(server: Server, three: str):
    model, before = read_model(server, three), read_version(server, three, 2)
    later()
    updated = accepted(update_version(server, three, "2", description="new"))["model_version"]
    at = updated["last_updated_timestamp"]
    assert at > before["last_updated_timestamp"]
    assert updated == {**before, "description": "new", "last_updated_timestamp": at}
    assert read_version(server, three, 2) == updated
    assert read_model(server, three) == model


def test_an_update_without_a_description_clears_it(server: Server, registered_model: str):
    create_version(server, registered_model, description="d")
    updated = accepted(update_version(server, registered_model, "1"))["model_version"]
    assert "description" not in updated
    assert "description" not in read_version(server, registered_model, 1)
    again = accepted(update_version(server, registered_model, "1", description=""))
    assert again["model_version"]["description"] == ""


def test_a_description_that_is_refused_changes_nothing(server: Server, three: str):
    before = read_version(server, three, 1)
    refused(update_version(server, three, "1", description="d" * 100_001))
    refused(update_version(server, three, "1", description=1))
    assert read_version(server, three, 1) == before


# Stages ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", [API, AJAX])
@pytest.mark.parametrize("given", ["production", "PRODUCTION", "Production", "pRoDuCtIoN"])
def test_stages_are_read_in_any_case_and_written_in_one(
    server: Server, three: str, given: str, prefix: str
):
    message = {"name": three, "version": "2", "stage": given}
    answer = accepted(server.post("model-versions/transition-stage", message, prefix=prefix))
    assert answer["model_version"]["current_stage"] == "Production"
    assert stage_of(server, three, "2") == "Production"


@pytest.mark.parametrize("stage", ["bogus", "Deleted_Internal", "deleted_internal", " None"])
def test_a_stage_that_does_not_exist(server: Server, three: str, stage: str):
    before = read_version(server, three, 1)
    message = refused(transition(server, three, "1", stage))
    assert message == (
        f"Invalid Model Version stage: {stage}. "
        "Value must be one of None, Staging, Production, Archived."
    )
    assert read_version(server, three, 1) == before


def test_several_versions_may_share_a_stage(server: Server, three: str):
    for number in ("1", "2"):
        accepted(transition(server, three, number, "Staging"))
    assert [stage_of(server, three, n) for n in ("1", "2", "3")] == ["Staging", "Staging", "None"]


@pytest.mark.parametrize("stage", ["Staging", "Production"])
def test_a_promotion_archives_whatever_else_is_in_the_stage(server: Server, three: str, stage: str):
    other = "Production" if stage == "Staging" else "Staging"
    create_version(server, three)
    for number in ("1", "2"):
        accepted(transition(server, three, number, stage))
    accepted(transition(server, three, "4", other))
    model, *before = times(server, three, "1", "2", "3", "4")
    later()
    promoted = accepted(transition(server, three, "3", stage.lower(), archive=True))
    at = promoted["model_version"]["last_updated_timestamp"]
    assert at > model
    stages = {number: stage_of(server, three, number) for number in ("1", "2", "3", "4")}
    assert stages == {"1": "Archived", "2": "Archived", "3": stage, "4": other}
    assert times(server, three, "1", "2", "3", "4") == [at, at, at, at, before[3]]


def test_a_promotion_to_the_same_stage_archives_the_others(server: Server, three: str):
    for number in ("1", "2"):
        accepted(transition(server, three, number, "Production"))
    before = times(server, three, "2")[1]
    later()
    accepted(transition(server, three, "2", "Production", archive=True))
    assert stage_of(server, three, "1") == "Archived"
    assert stage_of(server, three, "2") == "Production"
    assert times(server, three, "2")[1] > before


@pytest.mark.parametrize("stage", ["None", "none", "Archived", "ARCHIVED"])
def test_only_active_stages_can_be_cleared_and_that_is_the_clients_mistake(
    server: Server, three: str, stage: str
):
    """Upstream answers 500, which clients repeat for minutes."""
    accepted(transition(server, three, "1", stage))
    before = [read_version(server, three, number) for number in (1, 2)]
    message = refused(transition(server, three, "2", stage, archive=True))
    assert "Valid stages are ['Staging', 'Production']" in message
    assert [read_version(server, three, number) for number in (1, 2)] == before


def test_a_promotion_of_what_is_not_there_archives_nothing(server: Server, three: str):
    accepted(transition(server, three, "1", "Production"))
    accepted(delete_version(server, three, "2"))
    before = read_version(server, three, 1)
    for number in ("2", "99"):
        not_found(transition(server, three, number, "Production", archive=True))
    assert read_version(server, three, 1) == before


def test_a_promotion_leaves_tombstones_and_other_models_alone(server: Server, three: str):
    other = create_model(server)
    create_version(server, other)
    accepted(transition(server, other, "1", "Production"))
    accepted(transition(server, three, "1", "Production"))
    accepted(delete_version(server, three, "1"))
    accepted(transition(server, three, "2", "Production", archive=True))
    assert stage_of(server, other, "1") == "Production"
    not_found(get_version(server, three, 1))


# Tags --------------------------------------------------------------------------------------------


def test_a_tag_is_set_again_and_deleted(server: Server, three: str):
    for value in ("1", "2"):
        assert accepted(set_version_tag(server, three, "2", "k", value)) == {}
    assert read_version(server, three, 2)["tags"] == [{"key": "k", "value": "2"}]
    assert "tags" not in read_version(server, three, 1)
    for _ in range(2):  # One that is not there is no error.
        assert accepted(delete_version_tag(server, three, "2", "k")) == {}
    assert "tags" not in read_version(server, three, 2)


def test_tags_change_no_times(server: Server, three: str):
    before = times(server, three, "1")
    later()
    accepted(set_version_tag(server, three, "1", "k", "1"))
    accepted(delete_version_tag(server, three, "1", "k"))
    assert times(server, three, "1") == before


@pytest.mark.parametrize("key", ["", "../a", "a//b", "a/", ".", "a\tb", "k" * 251])
def test_keys_of_tags_have_rules(server: Server, three: str, key: str):
    refused(set_version_tag(server, three, "1", key, "1"))
    refused(delete_version_tag(server, three, "1", key))
    assert "tags" not in read_version(server, three, 1)


def test_a_tag_value_has_at_most_100000_characters(server: Server, three: str):
    accepted(set_version_tag(server, three, "1", "k", "v" * 100_000))
    refused(set_version_tag(server, three, "1", "k", "v" * 100_001))
    message = {"name": three, "version": "1", "key": "k", "value": 1}
    refused(server.post("model-versions/set-tag", message))
    assert read_version(server, three, 1)["tags"][0]["value"] == "v" * 100_000


def test_tags_of_a_model_that_is_not_there(server: Server):
    not_found(set_version_tag(server, "nope", "1", "k", "1"))
    not_found(delete_version_tag(server, "nope", "1", "k"))


# Deletion ----------------------------------------------------------------------------------------


def test_a_deleted_version_is_gone_with_its_aliases(server: Server, three: str):
    accepted(transition(server, three, "2", "Production"))
    for alias, number in (("a", "2"), ("b", "2"), ("c", "3")):
        accepted(set_alias(server, three, alias, number))
    accepted(set_version_tag(server, three, "2", "k", "1"))
    assert accepted(delete_version(server, three, "2")) == {}
    not_found(get_version(server, three, 2))
    not_found(download_uri(server, three, 2))
    not_found(delete_version(server, three, "2"))
    not_found(transition(server, three, "2", "None"))
    not_found(set_version_tag(server, three, "2", "k", "2"))
    not_found(delete_version_tag(server, three, "2", "k"))
    refused(get_by_alias(server, three, "a"))
    assert read_model(server, three)["aliases"] == [{"alias": "c", "version": "3"}]
    assert latest_versions(server, three).keys() == {"None"}
    found = accepted(search_versions(server, f"name = '{three}'"))["model_versions"]
    assert [version["version"] for version in found] == ["3", "1"]


def test_what_is_left_of_a_deleted_version_is_never_found(server: Server, three: str):
    accepted(delete_version(server, three, "2"))
    for text in (
        "current_stage = 'Deleted_Internal'",
        "run_id = 'REDACTED-RUN-ID'",
        "source_path LIKE 'REDACTED%'",
        "version_number = 2",
        "NOT version_number = 1 AND NOT version_number = 3",
    ):
        assert accepted(search_versions(server, f"({text}) AND name = '{three}'")) == {}


# Which times change on what ----------------------------------------------------------------------


def test_what_changes_the_time_of_the_model_and_of_its_versions(server: Server, three: str):
    """Creation, stage and deletion of a version change its model; nothing else of it does."""
    moved: dict[str, tuple[bool, bool]] = {}
    for what, act in {
        "create": lambda: create_version(server, three),
        "stage": lambda: transition(server, three, "1", "Staging"),
        "same stage": lambda: transition(server, three, "1", "Staging"),
        "description": lambda: update_version(server, three, "1", description="d"),
        "tag": lambda: set_version_tag(server, three, "1", "k", "1"),
        "alias": lambda: set_alias(server, three, "best", "1"),
        "deletion of another": lambda: delete_version(server, three, "2"),
    }.items():
        before = times(server, three, "1")
        later()
        act()
        model, version = (
            new > old for new, old in zip(times(server, three, "1"), before, strict=True)
        )
        moved[what] = (model, version)
    assert moved == {
        "create": (True, False),
        "stage": (True, True),
        "same stage": (True, True),
        "description": (False, True),
        "tag": (False, False),
        "alias": (False, False),
        "deletion of another": (True, False),
    }
    created = [read_version(server, three, number)["creation_timestamp"] for number in (1, 3)]
    assert created == sorted(created)


# Prompts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["dummy-source", "prompt-template"])
def test_a_prompt_version_has_a_placeholder_for_a_source(server: Server, source: str):
    prompt = create_model(server, tags=PROMPT)
    tags = [*PROMPT, {"key": "mlflow.prompt.text", "value": "Hi {{name}}"}]
    version = create_version(server, prompt, source, tags=tags)
    assert (version["source"], version["version"]) == (source, "1")
    assert {"key": IS_PROMPT, "value": "true"} in version["tags"]
    assert accepted(download_uri(server, prompt, 1)) == {"artifact_uri": source}


def test_a_deleted_model_has_no_versions(server: Server, three: str):
    accepted(delete_model(server, three))
    not_found(get_version(server, three, 1))
    assert accepted(search_versions(server, f"name = '{three}'")) == {}
