"""What models and their versions keep true when two servers change them at once."""

import asyncio
from collections import Counter

from tests.store.replicas import WRITERS, Replica, at_once, fetch, play

from riverrun.services.logged_models import NewLoggedModel
from riverrun.services.model_sources import GivenSource
from riverrun.services.model_versions import NewModelVersion


def test_versions_made_at_once_get_the_next_numbers_each_its_own(database: str):
    async def story(first: Replica, second: Replica) -> None:
        await first.model("m")
        numbers, refused = await at_once([each.version("m") for each in (first, second) * WRITERS])
        assert not refused
        assert sorted(numbers) == list(range(1, 2 * WRITERS + 1))

    play(database, story)


def test_of_all_who_promote_at_once_one_is_left(database: str):
    async def story(first: Replica, second: Replica) -> None:
        await first.model("m")
        numbers = [await first.version("m") for _ in range(WRITERS)]
        for _ in range(3):
            await asyncio.gather(
                *(
                    each.model_versions.transition(
                        "m", str(number), "Production", archive_others=True, viewer=each.viewer
                    )
                    for number, each in zip(numbers, (first, second) * WRITERS, strict=False)
                )
            )
            stages = await fetch(first.engine, "SELECT stage FROM model_versions")
            assert Counter(stage for (stage,) in stages) == {
                "Production": 1,
                "Archived": WRITERS - 1,
            }

    play(database, story)


def test_what_changes_a_model_while_it_is_renamed_or_deleted_finds_it_or_does_not(database: str):
    async def story(first: Replica, second: Replica) -> None:
        for n in range(6):
            old, new = f"old {n}", f"new {n}"
            await first.model(old)
            versions = [each.version(name) for each in (first, second) for name in (old, new) * 3]
            rename = second.registered_models.rename(old, new, viewer=second.viewer)
            (numbers, refused), _ = await asyncio.gather(at_once(versions), rename)
            assert set(refused) <= {"RESOURCE_DOES_NOT_EXIST"}
            assert sorted(numbers) == list(range(1, len(numbers) + 1))
            deletion = first.registered_models.delete(new, viewer=first.viewer)
            (_, refused), _ = await asyncio.gather(
                at_once([each.version(new) for each in (first, second) * 3]), deletion
            )
            assert set(refused) <= {"RESOURCE_DOES_NOT_EXIST"}
            assert await fetch(first.engine, "SELECT version FROM model_versions") == []

    play(database, story)


def test_a_logged_model_learns_of_every_version_made_of_it(database: str):
    async def story(first: Replica, second: Replica) -> None:
        new = NewLoggedModel(await first.experiment(), "m", "", "", [], [])
        model = (await first.logged_models.create(new, viewer=first.viewer)).info.model_id
        given = GivenSource(f"models:/{model}", None, model)
        for name in ("a", "b"):
            await first.model(name)
        calls = [
            each.model_versions.create(NewModelVersion(name, given, "", "", []), viewer=each.viewer)
            for name, each in zip(("a", "b") * 5, (first, second, second) * 4, strict=False)
        ]
        _, refused = await at_once(calls)
        assert not refused
        found = await first.logged_models.get(model, allow_deleted=False, viewer=first.viewer)
        (tag,) = (each.value for each in found.info.tags)
        assert tag.count('"version"') == len(calls)

    play(database, story)


def test_params_of_a_logged_model_stay_as_they_were_first_given(database: str):
    async def story(first: Replica, second: Replica) -> None:
        new = NewLoggedModel(await first.experiment(), "m", "", "", [], [])
        model = (await first.logged_models.create(new, viewer=first.viewer)).info.model_id
        calls = [
            each.logged_models.log_params(model, [("lr", str(n % 4))], viewer=each.viewer)
            for n, each in enumerate((first, second) * 6)
        ]
        logged, refused = await at_once(calls)
        assert (len(logged), refused) == (3, {"INVALID_PARAMETER_VALUE": 9})

    play(database, story)
