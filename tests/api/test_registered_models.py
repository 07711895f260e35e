"""Registered models: names, descriptions, tags, renaming, deletion."""

from typing import Any

import pytest
from tests.api.protocol import (
    AJAX,
    START_MS,
    accepted,
    not_found,
    offset_token,
    refused,
    unique,
)
from tests.api.registry import (
    API,
    IS_PROMPT,
    PROMPT,
    S3,
    create_model,
    create_version,
    delete_model,
    delete_model_tag,
    get_by_alias,
    get_model,
    get_version,
    later,
    read_model,
    read_version,
    rename,
    send,
    set_alias,
    set_model_tag,
    set_version_tag,
    transition,
    update_model,
    updated_at,
)
from tests.fixtures.server import Answered, Server


def create(server: Server, name: object, **fields: Any) -> Answered:
    return server.post("registered-models/create", {"name": name, **fields})


# Creation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", [API, AJAX])
def test_a_new_model_has_its_name_its_times_and_what_was_given(server: Server, prefix: str):
    name = unique("model")
    message = {"name": name, "description": "d", "tags": [{"key": "a", "value": "1"}]}
    created = accepted(server.post("registered-models/create", message, prefix=prefix))
    model = created["registered_model"]
    at = model["creation_timestamp"]
    assert at > START_MS
    assert created == {
        "registered_model": {
            "name": name,
            "creation_timestamp": at,
            "last_updated_timestamp": at,
            "description": "d",
            "tags": [{"key": "a", "value": "1"}],
        }
    }
    assert accepted(server.get("registered-models/get", prefix=prefix, name=name)) == created


def test_a_model_of_a_name_alone_has_no_other_fields(server: Server):
    model = read_model(server, create_model(server))
    assert set(model) == {"name", "creation_timestamp", "last_updated_timestamp"}


def test_the_last_of_two_tags_with_one_key_counts(server: Server):
    tags = [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}, {"key": "empty"}]
    model = read_model(server, create_model(server, tags=tags))
    assert model["tags"] == [{"key": "empty", "value": ""}, {"key": "k", "value": "2"}]


@pytest.mark.parametrize("name", ["", " ", "\t", None])
def test_a_name_is_required(server: Server, name: str | None):
    message = refused(create(server, name))
    assert message.startswith("Missing value for required parameter 'name'.")


@pytest.mark.parametrize(
    "name", ["a/b", "a:b", "/", ":", "models:/a", ".", "..", "..a", "a\nb", "a\x00b"]
)
def test_a_name_must_fit_into_uris_and_paths(server: Server, name: str):
    refused(create(server, name))


def test_upstreams_words_for_a_name_with_a_slash_stay(server: Server):
    assert refused(create(server, "a/b")) == (
        "Invalid model name 'a/b'. Names cannot contain '/' or ':'."
    )


@pytest.mark.parametrize("name", ["ä ö", "100%", "a#b?c&d", "日本", "a'b\"c", "a\\b", ".a"])
def test_other_characters_of_a_name_are_kept(server: Server, name: str):
    name = unique(name)
    create_model(server, name)
    assert read_model(server, name)["name"] == name


def test_a_name_has_at_most_256_characters(server: Server):
    name = unique("n" * 243)
    assert len(name) == 256
    create_model(server, name)
    assert read_model(server, name)["name"] == name
    refused(create(server, name + "x"))


def test_names_differ_by_case(server: Server, registered_model: str):
    create_model(server, registered_model.upper())
    assert read_model(server, registered_model)["name"] == registered_model


def test_a_name_is_given_once(server: Server, registered_model: str):
    message = refused(create(server, registered_model), 400, "RESOURCE_ALREADY_EXISTS")
    assert message == f"Registered Model (name={registered_model}) already exists."
    before = read_model(server, registered_model)
    refused(create(server, registered_model, description="x"), 400, "RESOURCE_ALREADY_EXISTS")
    assert read_model(server, registered_model) == before


def test_models_and_prompts_share_their_names_and_the_message_says_who_has_it(server: Server):
    model, prompt = create_model(server), create_model(server, unique("prompt"), tags=PROMPT)
    code = "RESOURCE_ALREADY_EXISTS"
    messages = [
        refused(create(server, prompt, tags=PROMPT), 400, code),
        refused(create(server, prompt), 400, code),
        refused(create(server, model, tags=PROMPT), 400, code),
    ]
    assert messages[0] == f"Prompt (name={prompt}) already exists."
    assert len(set(messages)) == 3
    assert "prompt has it" in messages[1]
    assert "registered model has it" in messages[2]


@pytest.mark.parametrize(
    "fields",
    [
        {"description": 1},
        {"description": "x" * 100_001},
        {"tags": {"a": "1"}},
        {"tags": [{"key": "a", "value": 1}]},
        {"tags": [{"value": "1"}]},
        {"tags": [{"key": "", "value": "1"}]},
        {"tags": [{"key": "a/../b", "value": "1"}]},
        {"tags": [{"key": "k" * 251, "value": "1"}]},
        {"tags": [{"key": "k", "value": "v" * 100_001}]},
        {"tags": [{"key": f"k{number}", "value": "1"} for number in range(1_001)]},
    ],
    ids=str,
)
def test_what_is_refused_creates_nothing(server: Server, fields: dict[str, Any]):
    name = unique("refused")
    refused(create(server, name, **fields))
    not_found(get_model(server, name))


def test_a_tag_value_of_100000_characters_is_kept_whole(server: Server):
    value = "ä" * 100_000
    name = create_model(server, tags=[{"key": "k" * 250, "value": value}])
    assert read_model(server, name)["tags"] == [{"key": "k" * 250, "value": value}]


# Reading -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "registered-models/get"),
        ("GET", "registered-models/get-latest-versions"),
        ("POST", "registered-models/get-latest-versions"),
        ("PATCH", "registered-models/update"),
        ("DELETE", "registered-models/delete"),
    ],
)
def test_a_model_that_is_not_there(server: Server, method: str, path: str):
    refused(send(server, method, path, {}))
    message = not_found(
        server.get(path, name="nope")
        if method == "GET"
        else send(server, method, path, {"name": "nope"})
    )
    assert message == "Registered Model with name=nope not found"


@pytest.mark.parametrize("name", [" ", "a/b", "a:b", ".."])
def test_what_could_never_be_a_name_is_no_model(server: Server, name: str):
    """Whoever asks for one is told so: clients take a 404 for one that they may create."""
    for answer in (
        get_model(server, name),
        get_by_alias(server, name, "best"),
        get_version(server, name, 1),
        update_model(server, name),
        rename(server, name, unique("renamed")),
        delete_model(server, name),
        set_model_tag(server, name, "k", "1"),
        set_version_tag(server, name, "1", "k", "1"),
    ):
        refused(answer)


# Description -------------------------------------------------------------------------------------


def test_an_update_changes_the_description_and_the_time(server: Server, registered_model: str):
    create_version(server, registered_model)
    before = read_model(server, registered_model)
    later()
    updated = accepted(update_model(server, registered_model, description="new"))
    model = updated["registered_model"]
    assert model["last_updated_timestamp"] > before["last_updated_timestamp"]
    at = model["last_updated_timestamp"]
    assert model == {**before, "description": "new", "last_updated_timestamp": at}
    assert read_model(server, registered_model) == model


def test_an_update_without_a_description_clears_it(server: Server):
    name = create_model(server, description="d")
    updated = accepted(update_model(server, name))["registered_model"]
    assert "description" not in updated
    assert "description" not in read_model(server, name)


def test_an_empty_description_is_none(server: Server):
    name = create_model(server, description="")
    assert "description" not in read_model(server, name)
    accepted(update_model(server, name, description="d"))
    updated = accepted(update_model(server, name, description=""))["registered_model"]
    assert "description" not in updated
    assert "description" not in read_model(server, name)


def test_a_description_that_is_no_text_is_refused(server: Server):
    name = create_model(server, description="d")
    refused(update_model(server, name, description=1))
    refused(update_model(server, name, description="x" * 100_001))
    assert read_model(server, name)["description"] == "d"


# Tags --------------------------------------------------------------------------------------------


def test_a_tag_is_set_again_and_deleted(server: Server, registered_model: str):
    assert accepted(set_model_tag(server, registered_model, "k", "1")) == {}
    assert accepted(set_model_tag(server, registered_model, "k", "2")) == {}
    assert read_model(server, registered_model)["tags"] == [{"key": "k", "value": "2"}]
    for _ in range(2):  # One that is not there is no error.
        assert accepted(delete_model_tag(server, registered_model, "k")) == {}
    assert "tags" not in read_model(server, registered_model)


def test_a_tag_without_a_value_is_empty(server: Server, registered_model: str):
    accepted(server.post("registered-models/set-tag", {"name": registered_model, "key": "k"}))
    assert read_model(server, registered_model)["tags"] == [{"key": "k", "value": ""}]


def test_tags_change_no_times(server: Server, registered_model: str):
    before = updated_at(server, registered_model)
    later()
    accepted(set_model_tag(server, registered_model, "k", "1"))
    accepted(delete_model_tag(server, registered_model, "k"))
    assert updated_at(server, registered_model) == before


def test_tags_of_a_model_that_is_not_there(server: Server):
    not_found(set_model_tag(server, "nope", "k", "1"))
    not_found(delete_model_tag(server, "nope", "k"))


@pytest.mark.parametrize("key", ["", "../a", "a//b", "a/", ".", "a\tb", "ä*", "k" * 251])
def test_keys_of_tags_have_rules(server: Server, registered_model: str, key: str):
    refused(set_model_tag(server, registered_model, key, "1"))
    refused(delete_model_tag(server, registered_model, key))
    assert "tags" not in read_model(server, registered_model)


def test_a_tag_value_has_at_most_100000_characters(server: Server, registered_model: str):
    accepted(set_model_tag(server, registered_model, "k", "v" * 100_000))
    refused(set_model_tag(server, registered_model, "k", "v" * 100_001))
    assert read_model(server, registered_model)["tags"][0]["value"] == "v" * 100_000


# Renaming ----------------------------------------------------------------------------------------


def test_a_rename_takes_everything_along(server: Server):
    name, new_name = create_model(server, description="d", tags=[{"key": "a"}]), unique("renamed")
    create_version(server, name)
    create_version(server, name, tags=[{"key": "t", "value": "v"}])
    accepted(set_alias(server, name, "best", "2"))
    model, versions = read_model(server, name), [read_version(server, name, n) for n in (1, 2)]
    later()
    renamed = accepted(rename(server, name, new_name))["registered_model"]
    at = renamed["last_updated_timestamp"]
    assert at > model["last_updated_timestamp"]
    changed = {"name": new_name, "last_updated_timestamp": at}
    latest = [{**each, **changed} for each in model["latest_versions"]]
    assert renamed == {**model, **changed, "latest_versions": latest}
    assert read_model(server, new_name) == renamed
    for version in versions:
        assert read_version(server, new_name, version["version"]) == {**version, **changed}
    assert accepted(get_by_alias(server, new_name, "best"))["model_version"]["version"] == "2"
    not_found(get_model(server, name))
    not_found(get_version(server, name, 1))


def test_numbers_go_on_after_a_rename(server: Server, registered_model: str):
    create_version(server, registered_model)
    new_name = unique("renamed")
    accepted(rename(server, registered_model, new_name))
    assert create_version(server, new_name)["version"] == "2"
    assert create_version(server, create_model(server, registered_model))["version"] == "1"


def test_a_rename_does_not_take_another_models_name(server: Server, registered_model: str):
    other, prompt = create_model(server), create_model(server, tags=PROMPT)
    before = read_model(server, registered_model)
    for taken in (other, prompt):
        refused(rename(server, registered_model, taken), 400, "RESOURCE_ALREADY_EXISTS")
    assert read_model(server, registered_model) == before


def test_a_rename_to_the_same_name_changes_the_time(server: Server, registered_model: str):
    before = read_model(server, registered_model)
    later()
    same = accepted(rename(server, registered_model, registered_model))["registered_model"]
    at = same["last_updated_timestamp"]
    assert at > before["last_updated_timestamp"]
    assert same == {**before, "last_updated_timestamp": at}


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", "..", "n" * 257])
def test_a_rename_to_no_name_is_refused(server: Server, registered_model: str, name: str):
    refused(rename(server, registered_model, name))
    accepted(get_model(server, registered_model))


def test_a_rename_of_what_is_not_there(server: Server):
    not_found(rename(server, "nope", unique("renamed")))


# Deletion ----------------------------------------------------------------------------------------


def test_a_deletion_takes_everything_with_it(server: Server, registered_model: str):
    create_version(server, registered_model, tags=[{"key": "t", "value": "v"}])
    accepted(transition(server, registered_model, "1", "Production"))
    accepted(set_alias(server, registered_model, "best", "1"))
    accepted(set_model_tag(server, registered_model, "k", "1"))
    assert accepted(delete_model(server, registered_model)) == {}
    not_found(get_model(server, registered_model))
    not_found(get_version(server, registered_model, 1))
    not_found(get_by_alias(server, registered_model, "best"))
    not_found(set_version_tag(server, registered_model, "1", "t", "v"))
    not_found(delete_model(server, registered_model))


def test_a_name_is_free_after_a_deletion_and_begins_anew(server: Server, registered_model: str):
    create_version(server, registered_model, tags=[{"key": "t", "value": "v"}])
    create_version(server, registered_model)
    accepted(set_alias(server, registered_model, "best", "2"))
    accepted(delete_model(server, registered_model))
    create_model(server, registered_model)
    assert set(read_model(server, registered_model)) == {
        "name",
        "creation_timestamp",
        "last_updated_timestamp",
    }
    version = create_version(server, registered_model)
    assert version["version"] == "1"
    assert "tags" not in version


def test_a_deletion_leaves_other_models_alone(server: Server):
    first, second = create_model(server), create_model(server)
    for name in (first, second):
        create_version(server, name, S3)
        accepted(set_alias(server, name, "best", "1"))
    before = read_model(server, second)
    accepted(delete_model(server, first))
    assert read_model(server, second) == before


# Prompts and requests ----------------------------------------------------------------------------


def test_a_prompt_is_read_as_any_other_model(server: Server):
    name = create_model(server, unique("prompt"), tags=PROMPT)
    assert read_model(server, name)["tags"] == [{"key": IS_PROMPT, "value": "true"}]


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("POST", "registered-models/create", {"name": 1}),
        ("POST", "registered-models/create", {"name": ["a"]}),
        ("POST", "registered-models/rename", {"name": "a"}),
        ("POST", "registered-models/get-latest-versions", {"name": "a", "stages": "None"}),
        ("POST", "registered-models/set-tag", {"name": "a"}),
        ("POST", "registered-models/set-tag", {"name": "a", "key": "k", "value": 1}),
        ("DELETE", "registered-models/delete-tag", {"name": "a"}),
        ("POST", "registered-models/alias", {"name": "a", "alias": "b"}),
        ("POST", "registered-models/alias", {"name": "a", "version": "1"}),
        ("POST", "registered-models/alias", {"name": "a", "alias": "b", "version": "one"}),
        ("DELETE", "registered-models/alias", {"name": "a"}),
        ("GET", "registered-models/alias", {}),
    ],
)
def test_a_field_that_is_missing_or_of_another_kind(
    server: Server, method: str, path: str, message: dict[str, Any]
):
    refused(send(server, method, path, message))


@pytest.mark.parametrize("path", ["registered-models/get", "registered-models/search"])
def test_reading_is_not_writing(server: Server, path: str):
    assert server.post(path, {"name": "a"}).status == 405


@pytest.mark.parametrize("max_results", [0, -1, 1_001, "many"])
def test_a_page_has_1_to_1000_models(server: Server, max_results: object):
    refused(server.get("registered-models/search", max_results=max_results))


@pytest.mark.parametrize("token", ["x", "e30=", offset_token(-1), offset_token("x")])
def test_a_page_token_that_no_search_gave(server: Server, token: str):
    refused(server.get("registered-models/search", page_token=token))
