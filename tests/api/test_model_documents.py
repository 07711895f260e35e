"""Registered models are kept in memory as JSON: every change of what they hold shows at once."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.api.protocol import accepted, unique
from tests.api.registry import (
    create_model,
    create_version,
    delete_alias,
    delete_model,
    delete_model_tag,
    delete_version,
    delete_version_tag,
    read_model,
    rename,
    search_models,
    set_alias,
    set_model_tag,
    set_version_tag,
    transition,
    update_model,
    update_version,
)
from tests.fixtures.server import Server

from riverrun.services.model_documents import KEPT_BYTES_MAX, Built, ModelDocuments

Model = dict[str, Any]


def newest(model: Model) -> dict[str, Any]:
    return model["latest_versions"][-1]


def no_tag_w(model: Model) -> bool:
    return all(tag["key"] != "w" for tag in tags(newest(model)))


def tags(holder: dict[str, Any]) -> list[dict[str, str]]:
    return holder.get("tags", [])


CHANGES: dict[str, tuple[Callable[[Server, str], object], Callable[[Model], object], object]] = {
    "description": (
        lambda s, n: update_model(s, n, description="new"),
        lambda m: m["description"],
        "new",
    ),
    "tag": (
        lambda s, n: set_model_tag(s, n, "a", "2"),
        lambda m: tags(m)[0],
        {"key": "a", "value": "2"},
    ),
    "tag deleted": (lambda s, n: delete_model_tag(s, n, "a"), tags, []),
    "alias": (
        lambda s, n: set_alias(s, n, "best", "1"),
        lambda m: m["aliases"],
        [{"alias": "best", "version": "1"}],
    ),
    "alias deleted": (lambda s, n: delete_alias(s, n, "best"), lambda m: m.get("aliases", []), []),
    "version": (create_version, lambda m: newest(m)["version"], "3"),
    "version deleted": (
        lambda s, n: delete_version(s, n, "2"),
        lambda m: newest(m)["version"],
        "1",
    ),
    "version's stage": (
        lambda s, n: transition(s, n, "2", "Production"),
        lambda m: [each["current_stage"] for each in m["latest_versions"]],
        ["None", "Production"],
    ),
    "version's tag": (
        lambda s, n: set_version_tag(s, n, "2", "v", "1"),
        lambda m: tags(newest(m))[0],
        {"key": "v", "value": "1"},
    ),
    "version's tag deleted": (lambda s, n: delete_version_tag(s, n, "2", "w"), no_tag_w, True),
    "version's description": (
        lambda s, n: update_version(s, n, "2", description="new"),
        lambda m: newest(m)["description"],
        "new",
    ),
}


@pytest.fixture
def model(server: Server) -> str:
    """A model with a tag, an alias and two versions, which was looked at."""
    name = create_model(server, tags=[{"key": "a", "value": "1"}])
    for _ in range(2):
        create_version(server, name, tags=[{"key": "w", "value": "1"}])
    set_alias(server, name, "best", "2")
    read_model(server, name)
    found(server, name)
    return name


def found(server: Server, name: str) -> Model:
    (model,) = accepted(search_models(server, f"name = '{name}'"))["registered_models"]
    return model


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_shows_at_once(server: Server, model: str, change: str):
    make, shown, expected = CHANGES[change]
    make(server, model)
    assert shown(read_model(server, model)) == expected
    assert found(server, model) == read_model(server, model)


def test_a_new_name_shows_at_once(server: Server, model: str):
    new_name = unique("renamed")
    rename(server, model, new_name)
    assert newest(found(server, new_name))["name"] == new_name


def test_a_model_made_anew_under_a_name_has_nothing_of_the_old_one(server: Server, model: str):
    delete_model(server, model)
    create_model(server, model)
    assert "latest_versions" not in found(server, model)
    assert "tags" not in read_model(server, model)


def test_what_is_kept_has_a_bound():
    documents = ModelDocuments()
    for number in range(20):
        documents.keep({bytes([number]): (1, b"x" * (KEPT_BYTES_MAX // 10))})
    kept: Built = documents._kept  # pyright: ignore[reportPrivateUsage]
    assert list(kept) == [bytes([number]) for number in range(10, 20)]
