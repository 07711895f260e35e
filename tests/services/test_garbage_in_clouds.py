"""What was deleted goes from buckets, too: behind the proxy, and where clients go directly."""

from collections.abc import Awaitable, Callable

import pytest
from tests.fixtures.databases import on_sqlite
from tests.services.house import EVERYTHING, House, house_on
from tests.store.engines import play

from riverrun.artifacts.contract import PAGE, ArtifactStore
from riverrun.artifacts.opened import Stores
from riverrun.clock import now_ms
from riverrun.services import orphans
from riverrun.services.garbage import Garbage
from riverrun.services.orphans import AGE_MS_MIN
from riverrun.services.storage import Storage
from riverrun.store.engine import Engine

pytestmark = on_sqlite

NAMES = ("a b.txt", "100%+1.csv", "straße/模型.bin", "x" * 200, "a/b/c/d")
LOST = "f" * 32

Cloud = tuple[str, ArtifactStore]
Story = Callable[[House], Awaitable[None]]


def tell(database: str, cloud: Cloud, story: Story) -> None:
    """In a house whose proxy has the bucket behind it."""

    async def told(engine: Engine) -> None:
        await story(await house_on(engine, cloud[1]))

    play(database, told)


def test_a_run_goes_with_all_its_files_and_its_neighbours_stay(database: str, cloud: Cloud):
    async def story(house: House) -> None:
        alive, doomed = await house.run("0", *NAMES), await house.run("0", *NAMES)
        await house.put(f"0/{doomed}-copy/artifacts/a")
        await house.put(f"0/{doomed}.txt")
        await house.delete_run(doomed)
        (outcome,) = await house.collect()
        assert (outcome.kept, outcome.size.files) == ("", len(NAMES))
        expected = [f"0/{alive}/artifacts/{name}" for name in NAMES]
        expected += [f"0/{doomed}-copy/artifacts/a", f"0/{doomed}.txt"]
        assert await house.files() == sorted(expected)

    tell(database, cloud, story)


def test_an_experiment_goes_with_runs_models_and_name(database: str, cloud: Cloud):
    async def story(house: House) -> None:
        experiment = await house.experiment("name")
        await house.run(experiment, "a")
        await house.model(experiment)
        kept = await house.run("0", "model/MLmodel")
        await house.register("churn", f"runs:/{kept}/model", run_id=kept)
        await house.delete_run(kept)
        await house.delete_experiment(experiment)
        outcomes = await house.collect()
        assert {each.kind for each in outcomes if not each.kept} == {
            *("run", "logged model", "experiment")
        }
        assert await house.files() == [f"0/{kept}/artifacts/model/MLmodel"]
        assert int(await house.experiment("name")) > int(experiment)

    tell(database, cloud, story)


@pytest.mark.slow
def test_more_files_than_a_page_go(database: str, cloud: Cloud):
    async def story(house: House) -> None:
        run = await house.run()
        for number in range(PAGE + 2):
            await house.put(f"0/{run}/artifacts/{number}")
        await house.delete_run(run)
        (outcome,) = await house.collect()
        assert outcome.size.files == PAGE + 2
        assert await house.files() == []

    tell(database, cloud, story)


def test_what_clients_put_into_a_bucket_themselves_goes(database: str, cloud: Cloud):
    """The root is handed out, and the proxy has another store."""
    root, store = cloud

    async def told(engine: Engine) -> None:
        house = await house_on(engine, store)
        stores = Stores("memory:", (root,), lambda _: store)
        garbage, storage = Garbage(engine, stores), Storage(engine, stores)
        mine = await house.experiment("mine", location=f"{root}/team")
        other = await house.experiment("other", location=f"{root}-other/team")
        runs = {each: await house.run(each) for each in (mine, other)}
        await house.put(f"team/{runs[mine]}/artifacts/a")
        await house.put(f"team/{runs[other]}/artifacts/a")
        assert (await storage.used(mine, viewer=house.viewer)).files == 2
        for run in runs.values():
            await house.delete_run(run)
        plan = await garbage.plan(EVERYTHING)
        outcomes = {each.name: each async for each in garbage.carry_out(plan, dry_run=False)}
        assert outcomes[runs[mine]].note == ""
        assert "not this server's" in outcomes[runs[other]].note
        assert await house.files() == [f"team/{runs[other]}/artifacts/a"]

    play(database, told)


def test_orphans_of_a_bucket_go_when_they_are_old(
    database: str, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
):
    async def story(house: House) -> None:
        alive = await house.run("0", "a")
        await house.put(f"0/{LOST}/artifacts/a b/c")
        assert [each async for each in house.garbage.orphans(dry_run=False)] == []
        monkeypatch.setattr(orphans, "now_ms", lambda: now_ms() + AGE_MS_MIN + 60_000)
        found = [each.name async for each in house.garbage.orphans(dry_run=False)]
        assert found == [f"0/{LOST}"]
        assert await house.files() == [f"0/{alive}/artifacts/a"]

    tell(database, cloud, story)
