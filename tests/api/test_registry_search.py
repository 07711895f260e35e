"""Searches of registered models and of model versions: filters, orders, prompts."""

import pytest
from tests.api.protocol import AJAX, accepted, refused, unique
from tests.api.registry import (
    IS_PROMPT,
    PROMPT,
    create_model,
    create_version,
    delete_model_tag,
    delete_version_tag,
    get_by_alias,
    later,
    models,
    read_model,
    read_version,
    rename,
    search_models,
    search_versions,
    set_alias,
    set_model_tag,
    set_version_tag,
    transition,
    update_model,
    update_version,
    versions,
)
from tests.fixtures.server import Server

ASKS_FOR_PROMPTS = f"tags.`{IS_PROMPT}` = 'true'"
ASKS_FOR_MODELS = f"tag.`{IS_PROMPT}` != 'true'"
"""What clients add to their searches."""


def tagged(**tags: str) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


@pytest.fixture(scope="module")
def family(server: Server) -> str:
    """The word that begins the names of: a, tagged x=1; b, x=2 and y=1; c, y=A; D, without tags."""
    word = unique("family").replace(" ", "")
    given = {"a": {"x": "1"}, "b": {"x": "2", "y": "1"}, "c": {"y": "A"}, "D": {}}
    for name, tags in given.items():
        later()
        create_model(server, word + name, tags=tagged(**tags))
    return word


@pytest.fixture(scope="module")
def numbers(server: Server) -> str:
    """The word that begins the names of a, with three versions, and b, with two."""
    word = unique("numbers").replace(" ", "")
    for name in ("a", "b"):
        create_model(server, f"{word}{name}")
    for name, source, run_id, tags in (
        ("a", "s3://x/1", "r1", tagged(t="1")),
        ("b", "s3://x/2", "r1", tagged(t="2", u="1")),
        ("a", "s3://y/1", "r2", []),
        ("a", "s3://y/2", "", tagged(u="A")),
        ("b", "s3://Z/1", "r3", []),
    ):
        later()
        create_version(server, f"{word}{name}", source, run_id=run_id, tags=tags)
    later()
    accepted(transition(server, f"{word}a", "1", "Production"))
    return word


# Registered models -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "Dabc"),
        ("tags.x = '1'", "a"),
        ("tag.x = '1'", "a"),
        ("tags.x != '1'", "b"),
        ("tags.x != '3'", "ab"),
        ("tags.`x` = '2' AND tags.y = '1'", "b"),
        ("tags.x != '1' AND tags.x != '2'", ""),
        ("tags.y LIKE '%'", "bc"),
        ("tags.y ILIKE 'a'", "c"),
        ("tags.y LIKE 'a'", ""),
        ("tags.nope = '1'", ""),
        # Beyond upstream:
        ("tags.x = '1' OR tags.y = 'A'", "ac"),
        ("NOT tags.x = '1'", "Dbc"),
        ("NOT (tags.x = '1' OR tags.y = 'A')", "Db"),
        ("tags.x IN ('1', '2')", "ab"),
        ("tags.x NOT IN ('1')", "b"),
        ("tags.x IS NULL", "Dc"),
        ("tags.x IS NOT NULL", "ab"),
        ("tags.x IS NULL AND tags.y IS NULL", "D"),
        ("creation_timestamp > 1", "Dabc"),
        ("creation_timestamp BETWEEN 1 AND 2", ""),
        ("last_updated_timestamp >= 1700000000000", "Dabc"),
        ("timestamp < 1700000000000", ""),
        ("attribute.creation_timestamp IS NULL", ""),
    ],
)
def test_models_by_filter(server: Server, family: str, text: str, names: str):
    assert "".join(models(server, family, text)) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("name = '{}a'", "a"),
        ("attribute.name = '{}a'", "a"),
        ('name = "{}a"', "a"),
        ("name = '{}A'", ""),
        ("name != '{}a' AND name LIKE '{}%'", "Dbc"),
        ("name LIKE '{}_'", "Dabc"),
        ("name LIKE '{}d'", ""),
        ("name ILIKE '{}d'", "D"),
        ("name IN ('{}a', '{}b', 'nope')", "ab"),
        ("name NOT IN ('{}a', '{}b') AND name LIKE '{}%'", "Dc"),
        ("name = '{}a' OR name = '{}c'", "ac"),
        ("name like '{}%' and tag.x = '1'", "a"),
    ],
)
def test_models_by_name(server: Server, family: str, text: str, names: str):
    answer = accepted(search_models(server, text.replace("{}", family)))
    found = [model["name"] for model in answer.get("registered_models", [])]
    assert [name.removeprefix(family) for name in found] == list(names)


@pytest.mark.parametrize(
    "text",
    [
        "bogus = 'a'",
        "name > 'a'",
        "name BETWEEN 'a' AND 'b'",
        "name = 1",
        "name = a",
        "name =",
        "= 'a'",
        "name = 'a",
        "(name = 'a'",
        "name IN ()",
        "tags.x = 1",
        "tags.x > '1'",
        "tags. = '1'",
        "metrics.x > 1",
        "params.x = '1'",
        "creation_timestamp = 'a'",
        "timestamp LIKE '%'",
        "version_number = 1",
        "name = 'a'; DROP TABLE registered_models",
        "max(name) = 'a'",
    ],
)
def test_a_filter_of_models_that_means_nothing(server: Server, text: str):
    assert refused(search_models(server, text)).startswith("Invalid filter")


def test_a_wrong_filter_is_pointed_at(server: Server):
    assert refused(search_models(server, "nam = 'a'")) == (
        "Invalid filter: unknown attribute field 'nam'; expected one of creation_timestamp, "
        "last_updated_timestamp, name\n  nam = 'a'\n  ^"
    )


@pytest.mark.parametrize(
    ("order", "names"),
    [
        (["name"], "Dabc"),
        (["name ASC"], "Dabc"),
        (["name DESC"], "cbaD"),
        (["attribute.name desc"], "cbaD"),
        (["creation_timestamp"], "abcD"),
        (["creation_timestamp DESC", "name"], "Dcba"),
    ],
)
def test_models_in_order(server: Server, family: str, order: list[str], names: str):
    assert "".join(models(server, family, order_by=order)) == names


def test_models_by_their_last_change(server: Server):
    word = unique("changed")
    for name in "abc":
        create_model(server, word + name)
        later()
    accepted(update_model(server, f"{word}b", description="d"))
    for field in ("timestamp", "last_updated_timestamp"):
        assert models(server, word, order_by=[f"{field} DESC"]) == ["b", "c", "a"]
        assert models(server, word, order_by=[field, "name"]) == ["a", "c", "b"]


@pytest.mark.parametrize(
    "order",
    [
        ["bogus"],
        ["name", "name DESC"],
        ["timestamp", "last_updated_timestamp"],
        ["tags.x"],
        ["version_number"],
        ["name SIDEWAYS"],
        [""],
        ["name, timestamp"],
    ],
    ids=str,
)
def test_an_order_of_models_that_does_not_exist(server: Server, order: list[str]):
    assert refused(search_models(server, order_by=order)).startswith("Invalid order_by")


def test_models_are_found_with_all_that_reading_them_shows(server: Server):
    name = create_model(server, description="d", tags=tagged(b="2", a="1"))
    for stage in ("Production", "Staging", "None"):
        number = create_version(server, name, tags=tagged(t=stage))["version"]
        accepted(transition(server, name, number, stage))
        accepted(set_alias(server, name, stage, number))
    answer = accepted(search_models(server, f"name = '{name}'"))
    assert answer == {"registered_models": [read_model(server, name)]}


def test_a_search_that_finds_nothing_is_an_empty_object(server: Server):
    assert accepted(search_models(server, "name = 'nope'")) == {}
    assert accepted(search_versions(server, "name = 'nope'")) == {}


def test_both_prefixes_search(server: Server, numbers: str):
    text = f"name = '{numbers}b'"
    for path, key in (
        ("registered-models/search", "registered_models"),
        ("model-versions/search", "model_versions"),
    ):
        found = accepted(server.get(path, prefix=AJAX, filter=text))[key]
        assert {each["name"] for each in found} == {f"{numbers}b"}


# Model versions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["a1", "b2", "a3", "a2", "b1"]),
        ("version_number = 2", ["b2", "a2"]),
        ("version_number != 1", ["b2", "a3", "a2"]),
        ("version_number > 1 AND version_number <= 2", ["b2", "a2"]),
        ("run_id = 'r1'", ["a1", "b1"]),
        ("run_id != 'r1'", ["b2", "a3", "a2"]),
        ("run_id IN ('r2', 'r3')", ["b2", "a2"]),
        ("run_id NOT IN ('r1', 'r2')", ["b2", "a3"]),
        ("run_id LIKE 'r%'", ["a1", "b2", "a2", "b1"]),
        ("source_path = 's3://x/1'", ["a1"]),
        ("source_path LIKE 's3://x/%'", ["a1", "b1"]),
        ("source_path ILIKE 'S3://z%'", ["b2"]),
        ("tags.t = '1'", ["a1"]),
        ("tag.t != '1'", ["b1"]),
        ("tags.u ILIKE 'a'", ["a3"]),
        ("tags.t = '2' AND tags.u = '1'", ["b1"]),
        # Beyond upstream:
        ("version_number IN (1, 3)", ["a1", "a3", "b1"]),
        ("version_number BETWEEN 2 AND 3", ["b2", "a3", "a2"]),
        ("tags.t IS NULL", ["b2", "a3", "a2"]),
        ("NOT tags.t IS NULL", ["a1", "b1"]),
        ("tags.t = '1' OR version_number = 3", ["a1", "a3"]),
        ("NOT (run_id = 'r1' OR run_id = 'r2')", ["b2", "a3"]),
        ("current_stage = 'Production'", ["a1"]),
        ("current_stage IN ('None', 'Staging')", ["b2", "a3", "a2", "b1"]),
        ("model_id = ''", ["a1", "b2", "a3", "a2", "b1"]),
        ("creation_timestamp < 5", []),
        ("last_updated_timestamp >= 1700000000000", ["a1", "b2", "a3", "a2", "b1"]),
    ],
)
def test_versions_by_filter(server: Server, numbers: str, text: str, found: list[str]):
    assert versions(server, numbers, text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("name = '{}b'", ["b2", "b1"]),
        ("name='{}b' AND version_number=1", ["b1"]),
        ("name IN ('{}a', 'nope') AND version_number < 3", ["a1", "a2"]),
        ("name LIKE '{}%' AND name != '{}a'", ["b2", "b1"]),
        ("name ILIKE '{}B'", ["b2", "b1"]),
        ("name = '{}B'", []),
    ],
)
def test_versions_by_the_name_of_their_model(
    server: Server, numbers: str, text: str, found: list[str]
):
    answer = accepted(search_versions(server, text.replace("{}", numbers)))
    names = [each["name"] + each["version"] for each in answer.get("model_versions", [])]
    assert [name.removeprefix(numbers) for name in names] == found


@pytest.mark.parametrize(
    ("order", "found"),
    [
        (["version_number"], ["a1", "b1", "a2", "b2", "a3"]),
        (["version_number DESC", "name DESC"], ["a3", "b2", "a2", "b1", "a1"]),
        (["name DESC"], ["b2", "b1", "a3", "a2", "a1"]),
        (["name", "version_number ASC"], ["a1", "a2", "a3", "b1", "b2"]),
        (["creation_timestamp"], ["a1", "b1", "a2", "a3", "b2"]),
        (["creation_timestamp DESC"], ["b2", "a3", "a2", "b1", "a1"]),
        (["last_updated_timestamp"], ["b1", "a2", "a3", "b2", "a1"]),
        (["run_id", "version_number"], ["a3", "a1", "b1", "a2", "b2"]),
    ],
)
def test_versions_in_order(server: Server, numbers: str, order: list[str], found: list[str]):
    assert versions(server, numbers, order_by=order) == found


@pytest.mark.parametrize(
    "text",
    [
        "bogus = 'a'",
        "version = 1",
        "version_number = '1'",
        "version_number LIKE '1'",
        "version_number = 1.5.2",
        "run_id > 'a'",
        "run_id = 1",
        "tags.t > '1'",
        "aliases = 'a'",
        "version_number = 99999999999999999999",
    ],
)
def test_a_filter_of_versions_that_means_nothing(server: Server, text: str):
    assert refused(search_versions(server, text)).startswith("Invalid filter")


@pytest.mark.parametrize("order", [["bogus"], ["tags.t"], ["name", "name"], ["timestamp"]], ids=str)
def test_an_order_of_versions_that_does_not_exist(server: Server, order: list[str]):
    assert refused(search_versions(server, order_by=order)).startswith("Invalid order_by")


def test_versions_are_found_with_all_but_their_aliases(server: Server, registered_model: str):
    for number in ("1", "2"):
        create_version(server, registered_model, tags=tagged(b=number, a="x"), description=number)
        accepted(set_alias(server, registered_model, f"a{number}", number))
    expected = [read_version(server, registered_model, number) for number in (2, 1)]
    for version in expected:
        del version["aliases"]
    found = accepted(search_versions(server, f"name = '{registered_model}'"))
    assert found == {"model_versions": expected}
    aliased = accepted(get_by_alias(server, registered_model, "a1"))["model_version"]
    assert aliased["aliases"] == ["a1"]


def test_the_version_that_changed_last_comes_first(server: Server, registered_model: str):
    for _ in range(3):
        create_version(server, registered_model)
        later()
    accepted(update_version(server, registered_model, "2", description="d"))
    found = accepted(search_versions(server, f"name = '{registered_model}'"))["model_versions"]
    assert [version["version"] for version in found] == ["2", "3", "1"]


def test_versions_of_a_renamed_model_are_found_by_its_new_name(
    server: Server, registered_model: str
):
    for _ in range(3):
        create_version(server, registered_model)
    new_name = unique("renamed")
    accepted(rename(server, registered_model, new_name))
    assert accepted(search_versions(server, f"name = '{registered_model}'")) == {}
    found = accepted(search_versions(server, f"name = '{new_name}'"))["model_versions"]
    # All changed at once, so the highest number comes first.
    assert [version["version"] for version in found] == ["3", "2", "1"]


# Prompts -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(server: Server) -> str:
    """The word that begins the names of a model m and a prompt p, each with one version."""
    word = unique("mixed")
    create_model(server, f"{word}m", tags=tagged(k="1"))
    create_model(server, f"{word}p", tags=[*PROMPT, *tagged(k="1")])
    create_version(server, f"{word}m", tags=tagged(k="1"))
    create_version(server, f"{word}p", "dummy-source", tags=[*PROMPT, *tagged(k="1")])
    return word


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "m"),
        ("tags.k = '1'", "m"),
        (ASKS_FOR_MODELS, "m"),
        (f"{ASKS_FOR_MODELS} AND tags.k = '1'", "m"),
        (ASKS_FOR_PROMPTS, "p"),
        (f"tags.k = '1' AND {ASKS_FOR_PROMPTS}", "p"),
        (f"{ASKS_FOR_PROMPTS} AND tags.k = '2'", ""),
        (f"tags.`{IS_PROMPT}` = 'false'", "m"),
        (f"tags.`{IS_PROMPT}` != 'false'", "p"),
        # Beyond upstream:
        (f"{ASKS_FOR_PROMPTS} OR tags.k = '1'", "mp"),
        (f"tags.`{IS_PROMPT}` IS NULL", "m"),
        (f"tags.`{IS_PROMPT}` IS NOT NULL", "p"),
        (f"NOT {ASKS_FOR_PROMPTS}", "m"),
        (f"tags.`{IS_PROMPT}` IN ('true')", "p"),
    ],
)
def test_prompts_are_found_only_when_they_are_asked_for(
    server: Server, mixed: str, text: str, found: str
):
    assert models(server, mixed, text) == list(found)
    assert versions(server, mixed, text, order_by=["name"]) == [f"{name}1" for name in found]


def test_what_becomes_a_prompt_and_no_more_is_found_as_such(server: Server, registered_model: str):
    """A model and each of its versions by its own tag."""
    create_version(server, registered_model)
    text = f"name = '{registered_model}'"

    def found() -> tuple[bool, bool]:
        return (
            accepted(search_models(server, text)) != {},
            accepted(search_versions(server, text)) != {},
        )

    assert found() == (True, True)
    accepted(set_model_tag(server, registered_model, IS_PROMPT, "true"))
    assert found() == (False, True)
    accepted(set_version_tag(server, registered_model, "1", IS_PROMPT, "true"))
    assert found() == (False, False)
    accepted(delete_version_tag(server, registered_model, "1", IS_PROMPT))
    assert found() == (False, True)
    accepted(delete_model_tag(server, registered_model, IS_PROMPT))
    assert found() == (True, True)
    accepted(set_model_tag(server, registered_model, IS_PROMPT, "false"))
    assert found() == (True, True)
