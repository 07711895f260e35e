"""Pages of what searches of the registry find: their tokens and their sizes."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.protocol import accepted, offset_token, refused, unique
from tests.api.registry import (
    create_model,
    create_version,
    delete_model,
    delete_version,
    later,
    models,
    of,
    rename,
    search_models,
    search_versions,
    versions,
)
from tests.fixtures.server import Server


def pages_of_models(server: Server, text: str, **fields: Any) -> Iterator[list[str]]:
    token = ""
    while True:
        answer = accepted(search_models(server, text, page_token=token, **fields))
        yield [model["name"] for model in answer.get("registered_models", [])]
        token = answer.get("next_page_token", "")
        if not token:
            return


@pytest.fixture(scope="module")
def many(server: Server) -> str:
    """The word that begins the names of the models 00 to 24, of which each has two versions."""
    word = unique("many")
    for number in range(25):
        name = create_model(server, f"{word}{number:02}")
        create_version(server, name)
        create_version(server, name)
    return word


@pytest.mark.parametrize("size", [1, 7, 24, 25, 26])
@pytest.mark.parametrize(
    "order", [[], ["name DESC"], ["creation_timestamp DESC"], ["timestamp", "name DESC"]], ids=str
)
def test_pages_of_models_join_to_the_whole(server: Server, many: str, size: int, order: list[str]):
    whole = models(server, many, order_by=order)
    pages = list(pages_of_models(server, of(many), max_results=size, order_by=order))
    assert [name.removeprefix(many) for page in pages for name in page] == whole
    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
    assert len(whole) == 25
    assert len(pages[-1]) > 0


@pytest.mark.parametrize(
    "order",
    [
        [],
        ["name"],
        ["version_number DESC"],
        ["last_updated_timestamp"],
        ["run_id"],
        ["source_path", "version_number"],
        ["creation_timestamp DESC", "name DESC", "version_number"],
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [1, 7, 49, 50])
def test_pages_of_versions_join_to_the_whole(
    server: Server, many: str, size: int, order: list[str]
):
    whole = versions(server, many, order_by=order)
    seen: list[str] = []
    token = ""
    while True:
        fields = {"max_results": size, "order_by": order, "page_token": token}
        answer = accepted(search_versions(server, of(many), **fields))
        page = answer["model_versions"]
        seen += [f"{each['name'].removeprefix(many)}{each['version']}" for each in page]
        token = answer.get("next_page_token", "")
        if not token:
            break
        assert len(page) == size
    assert seen == whole
    assert len(set(seen)) == 50


def test_versions_that_changed_together_are_paged_without_loss(server: Server):
    """A rename gives all versions one time: the rest of the order must tell them apart."""
    name, new_name = create_model(server), unique("renamed")
    for _ in range(9):
        create_version(server, name)
    accepted(rename(server, name, new_name))
    seen: list[str] = []
    token = ""
    while True:
        text = f"name = '{new_name}'"
        answer = accepted(search_versions(server, text, max_results=2, page_token=token))
        seen += [version["version"] for version in answer["model_versions"]]
        token = answer.get("next_page_token", "")
        if not token:
            break
    assert seen == [str(number) for number in range(9, 0, -1)]


def test_a_page_begins_where_the_last_one_ended_whatever_happened_before_it(server: Server):
    word = unique("moving")
    for name in "bcdf":
        create_model(server, word + name)
    first = accepted(search_models(server, of(word), max_results=2))
    create_model(server, f"{word}a")
    create_model(server, f"{word}e")
    accepted(delete_model(server, f"{word}c"))  # The one that the page ended with.
    token = first["next_page_token"]
    rest = accepted(search_models(server, of(word), max_results=9, page_token=token))
    names = [model["name"].removeprefix(word) for model in rest["registered_models"]]
    assert names == ["d", "e", "f"]
    assert "next_page_token" not in rest


def test_a_page_of_versions_goes_on_after_a_deletion(server: Server, registered_model: str):
    for _ in range(4):
        create_version(server, registered_model)
        later()
    text = f"name = '{registered_model}'"
    first = accepted(search_versions(server, text, max_results=2))
    assert [version["version"] for version in first["model_versions"]] == ["4", "3"]
    accepted(delete_version(server, registered_model, "3"))
    rest = accepted(search_versions(server, text, page_token=first["next_page_token"]))
    assert [version["version"] for version in rest["model_versions"]] == ["2", "1"]


@pytest.mark.parametrize("offset", [1, "1"])
def test_upstreams_tokens_say_how_many_to_skip(server: Server, many: str, offset: object):
    token = offset_token(offset)
    assert models(server, many, max_results=2, page_token=token) == ["01", "02"]
    found = versions(server, many, order_by=["name"], max_results=2, page_token=token)
    assert found == ["001", "012"]


def test_an_offset_beyond_the_end_finds_nothing(server: Server, many: str):
    assert models(server, many, page_token=offset_token(25)) == []


def test_a_token_of_another_query_is_refused(server: Server, many: str):
    fields = {"max_results": 2, "order_by": ["name"]}
    of_models = accepted(search_models(server, of(many), **fields))["next_page_token"]
    of_versions = accepted(search_versions(server, of(many), **fields))["next_page_token"]
    for answer in (
        search_models(server, of(many), page_token=of_models),
        search_models(server, of(many), order_by=["name DESC"], page_token=of_models),
        search_models(server, of(many, "tags.a = '1'"), order_by=["name"], page_token=of_models),
        search_models(server, "", order_by=["name"], page_token=of_models),
        search_models(server, of(many), order_by=["name"], page_token=of_versions),
        search_versions(server, of(many), order_by=["name"], page_token=of_models),
        search_versions(server, of(many), page_token=of_versions),
    ):
        assert "it belongs to a search with another" in refused(answer)


def test_the_same_query_with_another_page_size_goes_on(server: Server, many: str):
    token = accepted(search_models(server, of(many), max_results=2))["next_page_token"]
    assert models(server, many, max_results=3, page_token=token) == ["02", "03", "04"]


@pytest.mark.parametrize(
    "places",
    [
        None,
        [],
        [["a"], ["b"]],
        ["a"],
        [[1]],
        [[None]],
        [{"a": 1}],
        [["a\x00b"]],
        [3],
        [[["a"]]],
        "a",
    ],
    ids=str,
)
def test_a_token_that_was_tampered_with(server: Server, many: str, places: object):
    token = accepted(search_models(server, of(many), max_results=2))["next_page_token"]
    document = json.loads(base64.urlsafe_b64decode(token))
    forged = base64.urlsafe_b64encode(json.dumps({**document, "k": places}).encode()).decode()
    refused(search_models(server, of(many), page_token=forged))


def test_a_page_has_1_to_200000_versions_as_far_as_upstream_says(server: Server, many: str):
    for wrong in (0, -1, 200_001, "many", 1.5):
        refused(search_versions(server, of(many), max_results=wrong))
    assert len(versions(server, many, max_results=200_000)) == 50
    assert len(versions(server, many)) == 50


def test_100_models_are_a_page_when_nothing_is_said(server: Server):
    word = unique("hundred")
    for number in range(101):
        create_model(server, f"{word}{number:03}")
    answer = accepted(search_models(server, of(word)))
    assert len(answer["registered_models"]) == 100
    assert len(models(server, word, page_token=answer["next_page_token"])) == 1
    assert len(models(server, word, max_results=1_000)) == 101
