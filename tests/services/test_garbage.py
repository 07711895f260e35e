"""What was deleted goes for good, in due time; what something else needs stays."""

from typing import TypeVar

import pytest
from tests.fixtures.counting import CountingEngine
from tests.services.house import (
    EVERYTHING,
    House,
    experiment_names,
    house_on,
    ids_of_runs,
    play,
    reasons,
    stages,
)
from tests.store.engines import play as play_on_engine

from riverrun.artifacts.memory import MemoryStore
from riverrun.artifacts.opened import Stores
from riverrun.errors import (
    InvalidParameterValue,
    ResourceDoesNotExist,
    TrackingError,
)
from riverrun.services.garbage import AT_ONCE, Asked, Garbage, Outcome
from riverrun.services.retention import FOREVER_MS, Retention
from riverrun.services.storage import Size
from riverrun.store.engine import Engine, Work

T = TypeVar("T")

HOUR_MS = 3_600_000
NEVER = Asked(Retention(FOREVER_MS))


def test_a_deleted_run_goes_with_its_files_and_others_stay(database: str):
    async def story(house: House) -> None:
        doomed, alive = await house.run("0", "a", "b/c"), await house.run("0", "a")
        await house.delete_run(doomed)
        assert await house.collect() == [Outcome("run", doomed, 0, Size(2, 20, NEWEST))]
        assert await ids_of_runs(house) == [alive]
        assert await house.files() == [f"0/{alive}/artifacts/a"]
        assert await house.collect() == []

    play(database, story)


class Newest:
    """Any time of the newest file."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int)

    def __hash__(self) -> int:
        return 0


NEWEST: int = Newest()  # pyright: ignore[reportAssignmentType]


def test_what_is_not_due_stays(database: str):
    async def story(house: House) -> None:
        run = await house.run("0", "a")
        await house.delete_run(run)
        assert await house.collect(Asked(Retention(HOUR_MS))) == []
        assert await house.collect(NEVER) == []
        assert await ids_of_runs(house) == [run]
        assert await house.files() != []

    play(database, story)


def test_a_dry_run_changes_nothing(database: str):
    async def story(house: House) -> None:
        experiment = await house.experiment()
        run, model = await house.run(experiment, "a"), await house.model(experiment)
        await house.delete_experiment(experiment)
        before, files = await stages(house), await house.files()
        outcomes = await house.collect(dry_run=True)
        assert reasons(outcomes) == {run: "", model: "", experiment: ""}
        assert sum((each.size for each in outcomes), Size()) == Size(2, 20)
        assert (await stages(house), await house.files()) == (before, files)
        assert reasons(await house.collect()) == reasons(outcomes)

    play(database, story)


class ReadOnlyEngine(CountingEngine):
    async def write(self, work: Work[T], *, key: bytes = b"") -> T:
        raise AssertionError((work, key))


class ReadOnlyStore(MemoryStore):
    is_closed = False

    async def delete(self, path: str) -> None:
        assert not self.is_closed
        await super().delete(path)


def test_a_dry_run_does_not_even_try_to_write(database: str):
    async def story(real: Engine) -> None:
        store = ReadOnlyStore()
        house = await house_on(real, store)
        experiment = await house.experiment()
        await house.run(experiment, "a")
        await house.model(experiment)
        await house.delete_experiment(experiment)
        store.is_closed = True
        garbage = Garbage(ReadOnlyEngine(real), house.stores)
        plan = await garbage.plan(EVERYTHING)
        outcomes = [each async for each in garbage.carry_out(plan, dry_run=True)]
        assert [each.kept for each in outcomes] == ["", "", ""]
        assert [each async for each in garbage.orphans(dry_run=True)] == []

    play_on_engine(database, story)


def test_a_run_that_is_restored_in_between_stays(database: str):
    async def story(house: House) -> None:
        run = await house.run("0", "a")
        await house.delete_run(run)
        plan = await house.garbage.plan(EVERYTHING)
        await house.runs.restore(run, viewer=house.viewer)
        outcomes = [each async for each in house.garbage.carry_out(plan, dry_run=False)]
        assert outcomes == []
        named = await house.garbage.plan(EVERYTHING)
        assert named.count == 0
        assert await stages(house) == {run: "active"}
        assert len(await house.files()) == 1

    play(database, story)


def test_a_run_that_is_restored_at_the_last_moment_stays(database: str):
    async def story(house: House) -> None:
        run = await house.run("0", "a")
        await house.delete_run(run)
        plan = await house.garbage.plan(Asked(run_ids=[run]))
        await house.runs.restore(run, viewer=house.viewer)
        outcomes = [each async for each in house.garbage.carry_out(plan, dry_run=False)]
        assert reasons(outcomes) == {run: "it was restored"}
        assert await stages(house) == {run: "active"}
        assert len(await house.files()) == 1

    play(database, story)


def test_a_run_whose_removal_has_begun_cannot_be_restored(database: str):
    async def story(house: House) -> None:
        experiment = await house.experiment()
        run, other = await house.run(experiment), await house.run(experiment)
        await house.delete_experiment(experiment)
        await mark(house, run)
        for change in (house.runs.restore, house.runs.delete):
            with pytest.raises(ResourceDoesNotExist, match=f"Run with id={run} not found"):
                await change(run, viewer=house.viewer)
        await house.experiments.restore(experiment, viewer=house.viewer)
        assert await stages(house) == {run: "removing", other: "active"}
        assert b'"lifecycle_stage":"deleted"' in await house.runs.get(run, viewer=house.viewer)
        assert reasons(await house.collect(NEVER)) == {run: ""}
        assert await ids_of_runs(house) == [other]

    play(database, story)


async def mark(house: House, run: str) -> None:
    sql = "UPDATE runs SET lifecycle_stage = 'removing' WHERE run_id = ?"
    await house.engine.write(lambda tx: tx.execute(sql, (bytes.fromhex(run),)))


def test_no_version_is_made_of_a_run_whose_removal_has_begun(database: str):
    async def story(house: House) -> None:
        run = await house.run()
        await house.delete_run(run)
        source = f"mlflow-artifacts:/0/{run}/artifacts/model"
        await house.register("first", source, run_id=run)
        await mark(house, run)
        with pytest.raises(InvalidParameterValue, match="run_id"):
            await house.register("second", f"{source}/again", run_id=run)

    play(database, story)


@pytest.mark.parametrize(
    "source",
    [
        "mlflow-artifacts:/0/{run}/artifacts/model",
        "runs:/{run}/model",
        "s3://bucket/0/{run}/artifacts/model",
        "s3://bucket/0/%{code:x}{rest}/artifacts/model",
    ],
)
def test_a_run_that_a_version_names_stays(database: str, source: str):
    async def story(house: House) -> None:
        run, other = await house.run("0", "model"), await house.run("0", "model")
        code, rest = ord(run[0]), run[1:]
        given = source.format(run=run, code=code, rest=rest)
        run_id = None if given.startswith("s3:") else run
        await house.register("churn", given, run_id=run_id)
        await house.delete_run(run)
        await house.delete_run(other)
        expected = {run: "version 1 of model 'churn' refers to it", other: ""}
        assert reasons(await house.collect(dry_run=True)) == expected
        assert reasons(await house.collect()) == expected
        assert await house.files() == [f"0/{run}/artifacts/model"]

    play(database, story)


def test_a_logged_model_that_a_version_names_stays_and_keeps_its_experiment(database: str):
    async def story(house: House) -> None:
        experiment = await house.experiment()
        model, other = await house.model(experiment), await house.model(experiment)
        await house.register("churn", f"models:/{model}", model_id=model)
        await house.delete_experiment(experiment)
        kept = reasons(await house.collect())
        assert kept[other] == ""
        assert kept[model] == "version 1 of model 'churn' refers to it"
        assert kept[experiment] == "1 of its runs and logged models stay"
        assert await house.files() == [f"{experiment}/models/{model}/artifacts/MLmodel"]

    play(database, story)


def test_a_version_that_is_made_meanwhile_counts(database: str):
    async def story(house: House) -> None:
        runs = [await house.run("0", "model") for _ in range(AT_ONCE + 1)]
        for run in runs:
            await house.delete_run(run)
        plan = await house.garbage.plan(EVERYTHING)
        kept: dict[str, str] = {}
        async for outcome in house.garbage.carry_out(plan, dry_run=False):
            kept[outcome.name] = outcome.kept
            if len(kept) == 1:
                (last,) = set(await ids_of_runs(house))
                await house.register("churn", f"runs:/{last}/model", run_id=last)
        assert len(kept) == len(runs)
        assert [name for name, reason in kept.items() if reason] == await ids_of_runs(house)

    play(database, story)


def test_a_folder_with_the_files_of_others_stays(database: str):
    async def story(house: House) -> None:
        run = await house.run("0", "a")
        guest = await house.experiment("guest", location=f"mlflow-artifacts:/0/{run}/artifacts/sub")
        await house.delete_run(run)
        assert reasons(await house.collect()) == {run: f"experiment {guest} keeps its files there"}
        stray = await house.run()
        uri = f"mlflow-artifacts:/0/{stray}/artifacts"
        host = await house.run()
        await house.delete_run(stray)
        sql = "UPDATE runs SET artifact_uri = ? WHERE run_id = ?"
        await house.engine.write(lambda tx: tx.execute(sql, (uri, bytes.fromhex(host))))
        assert reasons(await house.collect())[stray] == f"the files of run {host} are there"

    play(database, story)


def test_files_that_are_not_the_servers_stay_where_they_are(database: str):
    async def story(house: House) -> None:
        cloud = await house.experiment(location="s3://bucket/somewhere")
        run = await house.run(cloud)
        await house.delete_run(run)
        (outcome,) = await house.collect()
        place = f"s3://bucket/somewhere/{run}/artifacts"
        assert outcome == Outcome(
            "run", run, int(cloud), note=f"its files at '{place}' are not this server's"
        )
        assert await ids_of_runs(house) == []

    play(database, story)


@pytest.mark.parametrize("path", ["", "0", "0/shared/artifacts", "../up"])
def test_a_folder_that_does_not_bear_the_runs_id_stays(database: str, path: str):
    """It may be anybody's, however the run came to it."""

    async def story(house: House) -> None:
        run = await house.run()
        await house.put("0/shared/artifacts/a")
        sql = "UPDATE runs SET artifact_uri = ? WHERE run_id = ?"
        binds = (f"mlflow-artifacts:/{path}", bytes.fromhex(run))
        await house.engine.write(lambda tx: tx.execute(sql, binds))
        await house.delete_run(run)
        (outcome,) = await house.collect()
        assert (outcome.kept, bool(outcome.note)) == ("", True)
        assert await house.files() == ["0/shared/artifacts/a"]
        assert await ids_of_runs(house) == []

    play(database, story)


def test_a_run_whose_files_are_behind_a_proxy_that_is_off_stays(database: str):
    async def story(house: House) -> None:
        run = await house.run("0", "a")
        await house.delete_run(run)
        without = Garbage(house.engine, Stores(None, (), lambda _: house.store))
        plan = await without.plan(EVERYTHING)
        (outcome,) = [each async for each in without.carry_out(plan, dry_run=False)]
        assert outcome.kept.startswith("This server does not serve artifacts")
        assert await stages(house) == {run: "deleted"}

    play(database, story)


# Experiments -------------------------------------------------------------------------------------


def test_the_name_of_a_removed_experiment_can_be_used_again_and_its_id_is_not(database: str):
    async def story(house: House) -> None:
        first = await house.experiment("name", retention="0s")
        run, model = await house.run(first, "a"), await house.model(first)
        await house.delete_experiment(first)
        with pytest.raises(TrackingError, match="already exists"):
            await house.experiment("name")
        outcomes = await house.collect()
        assert [each.name for each in outcomes] == [run, model, first]
        assert reasons(outcomes) == {run: "", model: "", first: ""}
        assert await house.files() == []
        again = await house.experiment("name")
        assert int(again) > int(first)
        found = await house.experiments.get(again, viewer=house.viewer)
        assert (found.name, found.lifecycle_stage, found.tags) == ("name", "active", [])

    play(database, story)


def test_a_deleted_logged_model_of_a_living_experiment_goes(database: str):
    async def story(house: House) -> None:
        experiment = await house.experiment()
        run = await house.run(experiment)
        doomed = await house.model(experiment, source_run=run)
        alive = await house.model(experiment, source_run=run)
        await house.logged_models.delete(doomed, viewer=house.viewer)
        assert reasons(await house.collect()) == {doomed: ""}
        assert await house.files() == [f"{experiment}/models/{alive}/artifacts/MLmodel"]

    play(database, story)


def test_an_experiment_that_is_restored_in_between_keeps_what_is_left(database: str):
    async def story(house: House) -> None:
        experiment = await house.experiment()
        run, model = await house.run(experiment, "a"), await house.model(experiment)
        await house.delete_experiment(experiment)
        plan = await house.garbage.plan(EVERYTHING)
        kept: dict[str, str] = {}
        async for outcome in house.garbage.carry_out(plan, dry_run=False):
            kept[outcome.name] = outcome.kept
            if outcome.name == run:
                await house.experiments.restore(experiment, viewer=house.viewer)
        assert kept == {
            run: "",
            model: "its experiment was restored",
            experiment: "it was restored",
        }
        assert await experiment_names(house) == ["Default", "experiment"]
        assert await house.files() == [f"{experiment}/models/{model}/artifacts/MLmodel"]

    play(database, story)


def test_a_run_that_is_active_keeps_its_deleted_experiment(database: str):
    """As one that was created while the experiment was being deleted."""

    async def story(house: House) -> None:
        experiment = await house.experiment()
        run = await house.run(experiment, "a")
        await house.delete_experiment(experiment)
        sql = "UPDATE runs SET lifecycle_stage = 'active' WHERE run_id = ?"
        await house.engine.write(lambda tx: tx.execute(sql, (bytes.fromhex(run),)))
        expected = {experiment: "1 of its runs and logged models stay"}
        assert reasons(await house.collect(dry_run=True)) == expected
        assert reasons(await house.collect()) == expected
        assert len(await house.files()) == 1

    play(database, story)


def test_the_default_experiment_stays_and_its_runs_go(database: str):
    async def story(house: House) -> None:
        run = await house.run("0", "a")
        await house.delete_experiment("0")
        kept = {run: "", "0": "clients use it where nothing else is set"}
        assert reasons(await house.collect()) == kept
        assert await experiment_names(house) == ["Default"]
        assert await house.files() == []

    play(database, story)
