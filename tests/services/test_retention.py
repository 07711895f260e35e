"""How long what is deleted is kept: by what is asked, and by the tag of an experiment."""

import pytest
from tests.services.house import House, ids_of_runs, play, reasons

from riverrun.errors import (
    InvalidParameterValue,
    TrackingError,
)
from riverrun.services.garbage import Asked
from riverrun.services.retention import FOREVER_MS, Retention

HOUR_MS = 3_600_000
NEVER = Asked(Retention(FOREVER_MS))


def test_the_tag_of_an_experiment_decides_in_both_directions(database: str):
    async def story(house: House) -> None:
        runs: dict[str, str] = {}
        for tag in ("0s", "30d", "forever"):
            runs[tag] = await house.run(await house.experiment(tag, retention=tag))
        runs["none"] = await house.run(await house.experiment("none"))
        for run in runs.values():
            await house.delete_run(run)
        assert reasons(await house.collect(NEVER)) == {runs["0s"]: ""}
        assert reasons(await house.collect()) == {runs["none"]: ""}
        await age(house, days=31)
        assert reasons(await house.collect(NEVER)) == {runs["30d"]: ""}

    play(database, story)


async def age(house: House, *, days: int) -> None:
    """All that is deleted was deleted so much earlier."""
    earlier = days * 24 * HOUR_MS
    sql = f"UPDATE runs SET deleted_time = deleted_time - {earlier} WHERE deleted_time > 0"
    await house.engine.write(lambda tx: tx.execute(sql))


@pytest.mark.parametrize("value", ["", "30", "d", "thirty days", "-1d", "30D", "1d 2h"])
def test_a_tag_that_cannot_be_is_refused(database: str, value: str):
    async def story(house: House) -> None:
        with pytest.raises(InvalidParameterValue) as refused:
            await house.experiment(retention=value)
        sentence = (
            f"Invalid value '{value}' of tag 'riverrun.retention': expected an age such as 90d, "
            "36h or 1d12h30m, or forever."
        )
        assert refused.value.message == sentence
        experiment = await house.experiment()
        with pytest.raises(InvalidParameterValue, match=r"riverrun\.retention"):
            await house.experiments.set_tag(
                experiment, "riverrun.retention", value, viewer=house.viewer
            )

    play(database, story)


def test_a_tag_that_cannot_be_read_keeps_everything(database: str):
    async def story(house: House) -> None:
        experiment = await house.experiment(retention="30d")
        await house.delete_run(await house.run(experiment))
        sql = "UPDATE experiment_tags SET value = 'a month'"
        await house.engine.write(lambda tx: tx.execute(sql))
        assert await house.collect() == []

    play(database, story)


# What is named -----------------------------------------------------------------------------------


def test_only_what_is_named_goes(database: str):
    async def story(house: House) -> None:
        named, other, experiment = await house.run(), await house.run(), await house.experiment("e")
        model = await house.model("0")
        for run in (named, other):
            await house.delete_run(run)
        await house.logged_models.delete(model, viewer=house.viewer)
        await house.delete_experiment(experiment)
        assert reasons(await house.collect(Asked(run_ids=[named]))) == {named: ""}
        assert reasons(await house.collect(Asked(model_ids=[model]))) == {model: ""}
        assert reasons(await house.collect(Asked(experiment_ids=[experiment]))) == {experiment: ""}
        assert await ids_of_runs(house) == [other]

    play(database, story)


def test_what_is_named_must_be_there_and_deleted_for_long_enough(database: str):
    async def story(house: House) -> None:
        deleted, alive, experiment = await house.run(), await house.run(), await house.experiment()
        await house.delete_run(deleted)
        an_hour = Retention(HOUR_MS)
        no_run, no_model = "f" * 32, "m-" + "f" * 32
        cases = [
            (Asked(run_ids=[deleted, alive]), f"Run {alive} is not deleted"),
            (Asked(an_hour, run_ids=[deleted]), f"Run {deleted} was not deleted long enough ago."),
            (Asked(run_ids=[no_run]), f"Run {no_run} not found"),
            (Asked(run_ids=["x"]), "Run with id=x not found"),
            (Asked(model_ids=[no_model]), f"Logged model {no_model} not found"),
            (Asked(experiment_ids=[experiment]), f"Experiment {experiment} is not deleted"),
            (Asked(experiment_ids=["77"]), "No Experiment with id=77 exists"),
            (Asked(experiment_ids=["x"]), "Invalid experiment ID 'x'"),
        ]
        for asked, sentence in cases:
            with pytest.raises(TrackingError) as refused:
                await house.garbage.plan(asked)
            assert refused.value.message.startswith(sentence), asked
        await house.delete_experiment(experiment)
        with pytest.raises(InvalidParameterValue, match="was not deleted long enough ago"):
            await house.garbage.plan(Asked(an_hour, experiment_ids=[experiment]))
        assert await ids_of_runs(house) == sorted([deleted, alive])

    play(database, story)
