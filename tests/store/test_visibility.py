"""What a search shows is what the viewer may read: the condition inside its statement agrees with
`levels`, on every database.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import pytest
from tests.fixtures.people import add_person, grant
from tests.store.engines import play

from riverrun.auth.levels import Level
from riverrun.auth.permissions import Permission
from riverrun.auth.viewer import (
    DEFAULT_WORKSPACE,
    EXPERIMENT,
    REGISTERED_MODEL,
    THE_WORKSPACE,
    Resource,
    Rights,
    Viewer,
)
from riverrun.services.access.permissions import levels
from riverrun.services.experiments import ArtifactRules, ExperimentQuery, Experiments
from riverrun.services.outbox import Outbox
from riverrun.services.registered_models import RegisteredModels, RegistrySearch
from riverrun.store.access import roles
from riverrun.store.access.roles import What
from riverrun.store.engine import Engine, Tx
from riverrun.wire.codec import encode

OWNER = Viewer("owner", DEFAULT_WORKSPACE, all_powerful=True)
NAMES = [
    *(
        "a",
        "A",
        "ab",
        "a_b",
        "axb",
        "a%b",
        "a[b]c",
        "a?b",
        "a*b",
        "a|b",
        "a\\b",
        "team/a",
        "team/b",
    ),
    *(
        "team",
        "Team/a",
        "prod-1",
        "prod_1",
        "prod%1",
        "7",
        "77",
        "007",
        "e\u00e9",
        "e\u0301e",
        "it's",
    ),
]
MODEL_NAMES = [name for name in NAMES if not set(name) & set("/:.%'\"")]
PATTERNS = [
    *(
        "*",
        "a*",
        "*b",
        "a_b*",
        "a%*",
        "a[b]*",
        "a?*",
        "a|*",
        "a\\*",
        "*_*",
        "*%*",
        "team/*",
        "t*m*",
    ),
    *("prod_*", "7*", "*\u00e9", "*'s", "a**b", "*a*b*", "none*"),
]
ALL_LEVELS = list(Permission)


@dataclass(frozen=True, slots=True)
class House:
    engine: Engine
    experiments: Experiments
    models: RegisteredModels
    ids: dict[str, int]
    """Of the experiments, by name."""

    async def seen(self, viewer: Viewer, *, page: int = 1_000) -> tuple[set[int], set[str]]:
        """The experiments and the models that searches show, through all pages."""
        experiments: set[int] = set()
        models: set[str] = set()
        token: str | None = None
        while True:
            query = ExperimentQuery("", (), "ALL", page, token)
            found = await self.experiments.search(query, viewer=viewer)
            experiments.update(int(each.experiment_id) for each in found.experiments)
            token = found.next_page_token
            if token is None:
                break
            assert len(found.experiments) == page
        while True:
            asked = RegistrySearch("", page, (), token)
            listed = await self.models.search(asked, viewer=viewer)
            models.update(name for name in MODEL_NAMES if named(name) in b"".join(listed.models))
            token = listed.next_page_token
            if token is None:
                return experiments, models
            assert len(listed.models) == page

    async def readable(self, viewer: Viewer) -> tuple[set[int], set[str]]:
        """What `levels` says."""
        resources = [Resource(EXPERIMENT, each) for each in self.ids.values()]
        resources += [Resource(REGISTERED_MODEL, name) for name in MODEL_NAMES]
        found = await self.engine.read(partial(levels, viewer=viewer, resources=resources))
        reads = {resource for resource, level in found.items() if level >= Level.READ}
        return (
            {int(each.key) for each in reads if each.kind == EXPERIMENT},
            {str(each.key) for each in reads if each.kind == REGISTERED_MODEL},
        )


def named(name: str) -> bytes:
    return b'{"name":%b,' % encode(name)


async def housed(engine: Engine) -> House:
    """Experiments and models of all these names."""
    experiments = Experiments(engine, ArtifactRules("mlflow-artifacts:", 2_048, ()))
    models = RegisteredModels(engine, Outbox())
    await experiments.ensure_default()
    ids = {"Default": 0}
    for name in NAMES:
        made = await experiments.create(name, artifact_location="", tags=[], viewer=OWNER)
        ids[name] = int(made)
    for name in MODEL_NAMES:
        await models.create(name, description=None, tags=[], viewer=OWNER)
    return House(engine, experiments, models, ids)


def viewer_of(user_id: int, default: Level) -> Viewer:
    return Viewer(
        "somebody",
        DEFAULT_WORKSPACE,
        all_powerful=False,
        user_id=user_id,
        default=default,
        default_on_workspace=Level.EDIT,
    )


async def group(
    engine: Engine, name: str, member: int, granted: Sequence[tuple[What, int]]
) -> None:
    async def work(tx: Tx) -> None:
        role = await roles.insert(tx, DEFAULT_WORKSPACE, name, description=None, user_id=None)
        await roles.add_member(tx, role.role_id, member)
        for what, level in granted:
            await roles.insert_grant(tx, role, what, level)

    await engine.write(work)


def random_grants(chance: random.Random, house: House) -> list[tuple[What, int]]:
    """Of each thing at most one, as a role has it."""
    kinds = ("experiment", "registered_model", "prompt")
    found: dict[What, int] = {}
    for _ in range(chance.choice([0, 1, 2, 8])):
        kind, level = chance.choice(kinds), int(chance.choice(ALL_LEVELS))
        exact = str(house.ids[chance.choice(NAMES)])
        if kind != "experiment":
            exact = chance.choice(MODEL_NAMES).replace("*", "")
        if chance.random() < 0.6:
            found[What(kind, chance.choice(PATTERNS), is_glob=True)] = level
        else:
            found[What(kind, exact, is_glob=False)] = level
    return list(found.items())


@pytest.mark.parametrize("default", [Level.PUBLIC, Level.READ, Level.EDIT])
def test_searches_show_what_may_be_read_whatever_was_granted(default: Level, database: str):
    async def story(engine: Engine) -> None:
        house = await housed(engine)
        chance = random.Random(int(default))
        for number in range(25):
            person = await add_person(engine, f"user {number}")
            await group(engine, f"group {number}", person.user_id, random_grants(chance, house))
            await group(engine, f"other {number}", person.user_id, random_grants(chance, house))
            viewer = viewer_of(person.user_id, default)
            page = chance.choice([1, 3, 1_000])
            assert await house.seen(viewer, page=page) == await house.readable(viewer), number

    play(database, story)


def test_a_stranger_sees_all_or_nothing_as_the_default_says(database: str):
    async def story(engine: Engine) -> None:
        house = await housed(engine)
        person = await add_person(engine, "stranger")
        nothing = await house.seen(viewer_of(person.user_id, Level.PUBLIC))
        assert nothing == (set(), set())
        everything = await house.seen(viewer_of(person.user_id, Level.READ))
        assert everything == (set(house.ids.values()), set(MODEL_NAMES))

    play(database, story)


SHARED = (
    # What is granted on experiments, the default, and the names that are seen.
    (
        [("a*b", Permission.READ)],
        Level.PUBLIC,
        {"ab", "a_b", "axb", "a%b", "a?b", "a*b", "a|b", "a\\b"},
    ),
    ([("a_b*", Permission.READ)], Level.PUBLIC, {"a_b"}),
    ([("a%b*", Permission.READ)], Level.PUBLIC, {"a%b"}),
    ([("a[b]*", Permission.READ)], Level.PUBLIC, {"a[b]c"}),
    ([("a?b*", Permission.READ)], Level.PUBLIC, {"a?b"}),
    ([("a|*", Permission.READ)], Level.PUBLIC, {"a|b"}),
    ([("a\\*", Permission.READ)], Level.PUBLIC, {"a\\b"}),
    ([("team/*", Permission.MANAGE)], Level.PUBLIC, {"team/a", "team/b"}),
    ([("team/*", Permission.USE), ("*/a", Permission.DENY)], Level.PUBLIC, {"team/b"}),
    ([("*", Permission.READ), ("*a*", Permission.DENY)], Level.PUBLIC, None),
    ([("*", Permission.DENY)], Level.MANAGE, set[str]()),
    ([("*", Permission.NO_PERMISSIONS)], Level.READ, set[str]()),
    (
        [("*", Permission.NO_PERMISSIONS), ("team/*", Permission.READ)],
        Level.READ,
        {"team/a", "team/b"},
    ),
    ([("*", Permission.DENY), ("team/*", Permission.MANAGE)], Level.READ, set[str]()),
)


@pytest.mark.parametrize("case", range(len(SHARED)))
def test_signs_in_names_and_patterns_mean_themselves(case: int, database: str):
    granted, default, expected = SHARED[case]
    if expected is None:
        expected = {name for name in ["Default", *NAMES] if "a" not in name}

    async def story(engine: Engine) -> None:
        house = await housed(engine)
        person = await add_person(engine, "somebody")
        for pattern, permission in granted:
            await grant(engine, person.user_id, "experiment", pattern, permission)
        seen, _ = await house.seen(viewer_of(person.user_id, default))
        assert {name for name, each in house.ids.items() if each in seen} == expected

    play(database, story)


def test_who_manages_the_workspace_sees_everything_from_the_first_search_on(database: str):
    async def story(engine: Engine) -> None:
        house = await housed(engine)
        person = await add_person(engine, "manager")
        await grant(engine, person.user_id, "workspace", "*", Permission.MANAGE)
        viewer = viewer_of(person.user_id, Level.PUBLIC)
        assert await house.seen(viewer) == (set(house.ids.values()), set(MODEL_NAMES))
        assert viewer.rights.suffices(Level.MANAGE, THE_WORKSPACE)

    play(database, story)


def test_a_grant_that_comes_between_two_pages_does_not_break_the_second(database: str):
    async def story(engine: Engine) -> None:
        house = await housed(engine)
        person = await add_person(engine, "somebody")
        await grant(engine, person.user_id, "experiment", "team/*", Permission.READ)
        viewer = viewer_of(person.user_id, Level.PUBLIC)
        query = ExperimentQuery("", ("name ASC",), "ALL", 1, None)
        first = await house.experiments.search(query, viewer=viewer)
        await grant(engine, person.user_id, "experiment", "prod*", Permission.READ)
        viewer = replace(viewer, rights=Rights())
        query = replace(query, page_token=first.next_page_token, max_results=10)
        second = await house.experiments.search(query, viewer=viewer)
        assert [each.name for each in [*first.experiments, *second.experiments]] == [
            *("team/a", "team/b"),
        ]

    play(database, story)


def test_what_was_granted_on_a_model_goes_with_its_name_and_ends_with_it(database: str):
    async def story(engine: Engine) -> None:
        house = await housed(engine)
        person = await add_person(engine, "somebody")
        await grant(engine, person.user_id, "registered_model", "ab", Permission.EDIT)
        await grant(engine, person.user_id, "prompt", "a_b", Permission.READ)

        async def level(name: str) -> Level:
            viewer = viewer_of(person.user_id, Level.PUBLIC)
            resource = Resource(REGISTERED_MODEL, name)
            found = await engine.read(partial(levels, viewer=viewer, resources=[resource]))
            return found[resource]

        await house.models.rename("ab", "ab", viewer=OWNER)
        assert await level("ab") == Level.EDIT
        await house.models.rename("ab", "moved", viewer=OWNER)
        assert (await level("ab"), await level("moved")) == (Level.PUBLIC, Level.EDIT)
        await house.models.rename("moved", "ab", viewer=OWNER)
        await house.models.delete("ab", viewer=OWNER)
        await house.models.create("ab", description=None, tags=[], viewer=OWNER)
        assert await level("ab") == Level.PUBLIC
        assert await level("a_b") == Level.READ
        await house.models.delete("a_b", viewer=OWNER)
        await house.models.create("a_b", description=None, tags=[], viewer=OWNER)
        assert await level("a_b") == Level.PUBLIC

    play(database, story)


def test_a_name_that_was_given_up_leaves_its_grants_to_none_that_gets_it(database: str):
    """What waits for a model of that name would else be the new one's."""

    async def story(engine: Engine) -> None:
        house = await housed(engine)
        person = await add_person(engine, "somebody")
        await grant(engine, person.user_id, "registered_model", "not yet", Permission.MANAGE)
        await house.models.rename("ab", "not yet", viewer=OWNER)
        resource = Resource(REGISTERED_MODEL, "not yet")
        viewer = viewer_of(person.user_id, Level.PUBLIC)
        found = await engine.read(partial(levels, viewer=viewer, resources=[resource]))
        assert found[resource] == Level.PUBLIC

    play(database, story)


def test_who_makes_something_manages_it(database: str):
    async def story(engine: Engine) -> None:
        house = await housed(engine)
        person = await add_person(engine, "maker")
        maker = viewer_of(person.user_id, Level.PUBLIC)
        maker.rights.learn({THE_WORKSPACE: Level.EDIT})
        made = await house.experiments.create("mine", artifact_location="", tags=[], viewer=maker)
        prompt = [("mlflow.prompt.is_prompt", "true")]
        await grant(engine, person.user_id, "registered_model", "lower", Permission.READ)
        await grant(engine, person.user_id, "registered_model", "denied", Permission.DENY)
        for name, tags in (("model", []), ("prompt", prompt), ("lower", []), ("denied", [])):
            await house.models.create(name, description=None, tags=tags, viewer=maker)
        resources = [Resource(EXPERIMENT, int(made))]
        resources += [
            Resource(REGISTERED_MODEL, name) for name in ("model", "prompt", "lower", "denied")
        ]
        found = await engine.read(partial(levels, viewer=maker, resources=resources))
        assert list(found.values()).count(Level.MANAGE) == 4
        assert found[resources[-1]] == Level.PUBLIC

    play(database, story)
