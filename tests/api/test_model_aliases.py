"""Aliases and latest versions of registered models: which version each of them means."""

import pytest
from tests.api.protocol import AJAX, accepted, not_found, refused
from tests.api.registry import (
    API,
    create_version,
    delete_alias,
    delete_version,
    get_by_alias,
    later,
    latest_versions,
    read_model,
    read_version,
    set_alias,
    transition,
    updated_at,
)
from tests.fixtures.server import Server

# Latest versions ---------------------------------------------------------------------------------


def test_latest_versions_are_the_newest_of_each_stage(server: Server, registered_model: str):
    for stage in ("None", "Staging", "Production", "Archived"):
        for _ in range(2):
            number = create_version(server, registered_model)["version"]
            accepted(transition(server, registered_model, number, stage))
    expected = {"None": "2", "Staging": "4", "Production": "6", "Archived": "8"}
    answer = read_model(server, registered_model)["latest_versions"]
    assert {each["current_stage"]: each["version"] for each in answer} == expected
    found = latest_versions(server, registered_model)
    assert {stage: each["version"] for stage, each in found.items()} == expected


def test_latest_versions_have_the_fields_of_a_version(server: Server, registered_model: str):
    create_version(server, registered_model, tags=[{"key": "t", "value": "v"}])
    accepted(set_alias(server, registered_model, "best", "1"))
    version = read_version(server, registered_model, 1)
    assert version["aliases"] == ["best"]
    assert latest_versions(server, registered_model) == {"None": version}
    del version["aliases"]  # They are beside the versions there.
    model = read_model(server, registered_model)
    assert model["latest_versions"] == [version]
    assert model["aliases"] == [{"alias": "best", "version": "1"}]


def test_a_deleted_version_is_not_the_latest(server: Server, registered_model: str):
    create_version(server, registered_model)
    create_version(server, registered_model)
    accepted(delete_version(server, registered_model, "2"))
    assert latest_versions(server, registered_model)["None"]["version"] == "1"
    accepted(delete_version(server, registered_model, "1"))
    assert latest_versions(server, registered_model) == {}
    assert "latest_versions" not in read_model(server, registered_model)


@pytest.mark.parametrize("prefix", [API, AJAX])
def test_latest_versions_of_the_stages_asked_for(
    server: Server, registered_model: str, prefix: str
):
    create_version(server, registered_model)
    create_version(server, registered_model)
    accepted(transition(server, registered_model, "1", "Production"))
    asked = {"name": registered_model, "stages": ["production", "PRODUCTION", "Staging"]}
    path = "registered-models/get-latest-versions"
    for answer in (
        server.post(path, asked, prefix=prefix),
        server.get(path, prefix=prefix, **asked),
    ):
        versions = accepted(answer)["model_versions"]
        assert [(each["version"], each["current_stage"]) for each in versions] == [
            ("1", "Production")
        ]
    assert accepted(server.get(path, name=registered_model, stages="Archived")) == {}


@pytest.mark.parametrize("stage", ["bogus", "", "Deleted_Internal", "Production "])
def test_a_stage_that_does_not_exist(server: Server, registered_model: str, stage: str):
    asked = {"name": registered_model, "stages": ["None", stage]}
    refused(server.post("registered-models/get-latest-versions", asked))


# Aliases -----------------------------------------------------------------------------------------


def test_an_alias_names_a_version(server: Server, registered_model: str):
    create_version(server, registered_model)
    assert accepted(set_alias(server, registered_model, "Champion-1_ä", "1")) == {}
    found = accepted(get_by_alias(server, registered_model, "Champion-1_ä"))
    assert found == {"model_version": read_version(server, registered_model, 1)}
    assert found["model_version"]["aliases"] == ["Champion-1_ä"]
    not_there = refused(get_by_alias(server, registered_model, "champion-1_ä"))
    assert not_there == "Registered model alias champion-1_ä not found."


def test_an_alias_is_moved(server: Server, registered_model: str):
    create_version(server, registered_model)
    create_version(server, registered_model)
    for number in ("1", "1", "2"):
        assert accepted(set_alias(server, registered_model, "best", number)) == {}
    assert read_model(server, registered_model)["aliases"] == [{"alias": "best", "version": "2"}]
    assert "aliases" not in read_version(server, registered_model, 1)
    assert read_version(server, registered_model, 2)["aliases"] == ["best"]


def test_a_version_has_several_aliases(server: Server, registered_model: str):
    create_version(server, registered_model)
    for alias in ("b", "a"):
        accepted(set_alias(server, registered_model, alias, "1"))
    assert read_version(server, registered_model, 1)["aliases"] == ["a", "b"]


def test_a_missing_alias_is_a_bad_request_and_deleting_it_is_none(
    server: Server, registered_model: str
):
    create_version(server, registered_model)
    refused(get_by_alias(server, registered_model, "nope"))
    assert accepted(delete_alias(server, registered_model, "nope")) == {}
    accepted(set_alias(server, registered_model, "best", "1"))
    for _ in range(2):
        assert accepted(delete_alias(server, registered_model, "best")) == {}
    refused(get_by_alias(server, registered_model, "best"))
    assert "aliases" not in read_model(server, registered_model)


@pytest.mark.parametrize("alias", ["", "a b", "a/b", "x" * 256])
def test_what_could_never_be_an_alias_is_not_deleted(
    server: Server, registered_model: str, alias: str
):
    refused(delete_alias(server, registered_model, alias))


@pytest.mark.parametrize("alias", ["latest", "LATEST"])
def test_the_alias_latest_is_the_highest_version(server: Server, registered_model: str, alias: str):
    not_found(get_by_alias(server, registered_model, alias))
    for stage in ("None", "Production", "Archived"):
        number = create_version(server, registered_model)["version"]
        accepted(transition(server, registered_model, number, stage))
        found = accepted(get_by_alias(server, registered_model, alias))["model_version"]
        assert found == read_version(server, registered_model, number)
    accepted(delete_version(server, registered_model, "3"))
    found = accepted(get_by_alias(server, registered_model, alias))["model_version"]
    assert found["version"] == "2"
    assert accepted(delete_alias(server, registered_model, alias)) == {}


def test_aliases_of_what_is_not_there(server: Server, registered_model: str):
    message = not_found(set_alias(server, registered_model, "best", "77"))
    assert message == f"Model Version (name={registered_model}, version=77) not found"
    not_found(set_alias(server, "nope", "best", "1"))
    not_found(get_by_alias(server, "nope", "best"))
    not_found(delete_alias(server, "nope", "best"))


def test_a_deleted_version_gets_no_alias(server: Server, registered_model: str):
    create_version(server, registered_model)
    accepted(delete_version(server, registered_model, "1"))
    not_found(set_alias(server, registered_model, "best", "1"))
    refused(get_by_alias(server, registered_model, "best"))


@pytest.mark.parametrize(
    "alias",
    ["", "latest", "LATEST", "v1", "V22", "a b", "a.b", "a/b", "@a", "a\n", "a:b", "x" * 256],
)
def test_names_of_aliases_have_rules(server: Server, registered_model: str, alias: str):
    create_version(server, registered_model)
    refused(set_alias(server, registered_model, alias, "1"))
    assert "aliases" not in read_model(server, registered_model)


@pytest.mark.parametrize("alias", ["v", "v1x", "1", "latest1", "-", "_", "ß", "x" * 255])
def test_what_else_an_alias_may_be(server: Server, registered_model: str, alias: str):
    create_version(server, registered_model)
    accepted(set_alias(server, registered_model, alias, "1"))
    found = accepted(get_by_alias(server, registered_model, alias))["model_version"]
    assert found["aliases"] == [alias]


def test_aliases_change_no_times(server: Server, registered_model: str):
    version = create_version(server, registered_model)
    before = updated_at(server, registered_model)
    later()
    accepted(set_alias(server, registered_model, "best", "1"))
    accepted(delete_alias(server, registered_model, "best"))
    assert updated_at(server, registered_model) == before
    assert read_version(server, registered_model, 1) == version
