"""Searches of the registry that begin with a rare tag find what those along the order find."""

import random

import pytest
from tests.store.engines import play

from riverrun.search import parse_filter, parse_order_by
from riverrun.search.fields import MODEL_VERSIONS, REGISTERED_MODELS
from riverrun.store import model_versions, registered_models, registry_search
from riverrun.store.change import Change
from riverrun.store.engine import Engine, Row, Tx
from riverrun.store.model_versions import NewVersion
from riverrun.store.registered_models import NewRegisteredModel
from riverrun.store.registry_search import MODELS, VERSIONS, RegistryKind, RegistryQuery

LONG = "x" * 250
FILTERS = (
    "tags.team = 'a'",
    "tags.team = 'a' AND tags.size = 'small'",
    "tags.team = 'a' AND name LIKE '%1%'",
    "tags.team = 'nobody'",
    f"tags.note = '{LONG}1'",
    "tags.team != 'a' AND tags.size = 'small'",
    "tags.team = 'a' OR tags.size = 'small'",
    "NOT tags.team = 'a'",
    "tags.team = 'a' AND tags.`mlflow.prompt.is_prompt` = 'true'",
)


async def fill(tx: Tx) -> None:
    """Sixty models of two versions; what they are tagged with is random."""
    chance = random.Random(7)
    for number in range(60):
        key, change = number.to_bytes(16, "big"), Change("", chance.randrange(20))
        is_prompt = chance.random() < 0.2
        new = NewRegisteredModel(key, "default", f"model {number}", None, is_prompt=is_prompt)
        await registered_models.insert(tx, new, change)
        await registered_models.set_tags(tx, key, tags(chance), by="")
        for version in (1, 2):
            made = NewVersion(
                registered_model_id=key,
                version=version,
                description=None,
                source="s3://b/x",
                storage_location="",
                run_id="",
                run_link="",
                model_id="",
                is_prompt=is_prompt,
            )
            await model_versions.insert(tx, made, change)
            await model_versions.set_tags(tx, (key, version), tags(chance), by="")


def tags(chance: random.Random) -> dict[str, str]:
    given = {"team": chance.choice("abc"), "size": chance.choice(["small", "large"])}
    if chance.random() < 0.3:
        given["note"] = LONG + chance.choice("123")
    return given


async def pages(engine: Engine, kind: RegistryKind, text: str) -> list[Row]:
    """All that is found, seven at a time."""
    resource = MODEL_VERSIONS if kind is VERSIONS else REGISTERED_MODELS
    found: list[Row] = []
    token: str | None = ""
    while token is not None:
        query = RegistryQuery(
            kind=kind,
            workspace="default",
            filter=parse_filter(text, resource),
            order_by=parse_order_by(["last_updated_timestamp DESC"], resource),
            max_results=7,
            page_token=token,
        )
        page = await engine.read(lambda tx, query=query: registry_search.search(tx, query))
        found += page.rows
        token = page.next_page_token
    return found


@pytest.mark.parametrize("kind", [MODELS, VERSIONS], ids=["models", "versions"])
def test_a_rare_tag_finds_the_same_in_the_same_order(
    kind: RegistryKind, database: str, monkeypatch: pytest.MonkeyPatch
):
    async def story(engine: Engine) -> None:
        await engine.write(fill)
        found = 0
        for text in FILTERS:
            rare = await pages(engine, kind, text)
            with monkeypatch.context() as patched:
                patched.setattr(registry_search, "USUAL_ROWS", 0)
                assert await pages(engine, kind, text) == rare, text
            found += len(rare)
        assert found > 100

    play(database, story)
