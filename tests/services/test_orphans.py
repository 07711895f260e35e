"""Files that belong to nothing any more are found, and nothing else is."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.services.house import House, house_on
from tests.store.engines import play

from riverrun.artifacts.local import LocalStore
from riverrun.clock import new_run_id, now_ms
from riverrun.services.orphans import AGE_MS_MIN
from riverrun.store.engine import Engine

LOST, OTHER = "a" * 32, "b" * 32
LONG_AGO_S = 1_700_000_000


class Attic:
    """A house whose files lie in a folder, where their times can be set."""

    def __init__(self, house: House, folder: Path) -> None:
        self.house = house
        self._folder = folder

    async def put(self, *paths: str, at_s: float = LONG_AGO_S) -> None:
        for path in paths:
            await self.house.put(path)
            os.utime(self._folder / path, (at_s, at_s))

    async def orphans(self, *, dry_run: bool = True) -> list[str]:
        return sorted([each.name async for each in self.house.garbage.orphans(dry_run=dry_run)])

    async def removed_experiment(self) -> str:
        """The id of one that is gone, and was not the last."""
        experiment = await self.house.experiment("gone")
        await self.house.experiment("last")
        await self.house.delete_experiment(experiment)
        await self.house.collect()
        return experiment


Story = Callable[[Attic], Awaitable[None]]


@pytest.fixture
def tell(database: str, tmp_path: Path) -> Callable[[Story], None]:
    """Plays a story in an attic of the test's own."""

    def tell(story: Story) -> None:
        async def told(engine: Engine) -> None:
            store = LocalStore(tmp_path / "artifacts", fsync=False)
            await story(Attic(await house_on(engine, store), tmp_path / "artifacts"))

        play(database, told)

    return tell


def test_the_folder_of_a_run_that_is_no_more_is_one(tell: Callable[[Story], None]):
    async def story(attic: Attic) -> None:
        run = await attic.house.run()
        deleted = await attic.house.run()
        await attic.house.delete_run(deleted)
        await attic.put(
            f"0/{run}/artifacts/a",
            f"0/{deleted}/artifacts/a",
            f"0/{LOST}/artifacts/a",
            f"0/{LOST}/artifacts/b/c",
        )
        (orphan,) = [each async for each in attic.house.garbage.orphans(dry_run=True)]
        assert (orphan.kind, orphan.name, orphan.experiment_id) == ("orphan", f"0/{LOST}", None)
        assert (orphan.size.files, orphan.size.size_bytes) == (2, 20)
        assert len(await attic.house.files()) == 4
        assert await attic.orphans(dry_run=False) == [f"0/{LOST}"]
        assert sorted(await attic.house.files()) == sorted(
            [f"0/{run}/artifacts/a", f"0/{deleted}/artifacts/a"]
        )
        assert await attic.orphans() == []

    tell(story)


def test_the_folder_of_a_logged_model_that_is_no_more_is_one(tell: Callable[[Story], None]):
    async def story(attic: Attic) -> None:
        model = await attic.house.model("0")
        await attic.put(
            f"0/models/{model}/artifacts/a",
            f"0/models/m-{LOST}/artifacts/a",
            f"0/models/{LOST}/artifacts/a",
            "0/models/notes.txt",
        )
        assert await attic.orphans() == [f"0/models/m-{LOST}"]

    tell(story)


def test_only_what_is_old_is_one(tell: Callable[[Story], None]):
    async def story(attic: Attic) -> None:
        young_s = (now_ms() - AGE_MS_MIN) / 1000 + 60
        await attic.put(f"0/{LOST}/artifacts/a")
        await attic.put(f"0/{LOST}/artifacts/b", at_s=young_s)
        await attic.put(f"0/{OTHER}/artifacts/a", at_s=young_s - 120)
        assert await attic.orphans() == [f"0/{OTHER}"]

    tell(story)


def test_what_a_registered_version_needs_is_none(tell: Callable[[Story], None]):
    async def story(attic: Attic) -> None:
        house, gone = attic.house, await attic.removed_experiment()
        await attic.put(
            f"0/{LOST}/artifacts/model/MLmodel",
            f"0/models/m-{OTHER}/artifacts/MLmodel",
            f"{gone}/exported/model/MLmodel",
            f"{gone}/other/model/MLmodel",
        )
        assert len(await attic.orphans()) == 4
        await house.register("first", f"s3://elsewhere/{LOST}/model", run_id=LOST)
        await house.register("second", f"s3://elsewhere/m-{OTHER}")
        await house.register("third", "s3://elsewhere/x")
        sql = "UPDATE model_versions SET source = ? WHERE source = 's3://elsewhere/x'"
        for path in (f"{gone}/exported/model", f"{gone}/exported"):
            uri = f"mlflow-artifacts:/{path}"
            await house.engine.write(lambda tx, uri=uri: tx.execute(sql, (uri,)))
            assert await attic.orphans() == [f"{gone}/other"]

    tell(story)


def test_what_is_not_of_this_servers_making_is_none(tell: Callable[[Story], None]):
    async def story(attic: Attic) -> None:
        await attic.put(
            "notes.txt",
            "shared/data.csv",
            f"shared/{LOST}/artifacts/a",
            "0/notes.txt",
            "0/traces/tr-1/artifacts/traces.json",
            f"0/{LOST.upper()}/artifacts/a",
            f"007/{LOST}/artifacts/a",
            "2024/report.csv",  # No experiment ever had this number.
        )
        assert await attic.orphans() == []

    tell(story)


def test_all_in_the_folder_of_a_removed_experiment_is_one(tell: Callable[[Story], None]):
    async def story(attic: Attic) -> None:
        gone = await attic.removed_experiment()
        alive = await attic.house.run("0")
        await attic.put(
            f"{gone}/{LOST}/artifacts/a",
            f"{gone}/models/m-{LOST}/artifacts/a",
            f"{gone}/traces/tr-1/a",
            f"{gone}/notes.txt",
            f"{gone}/{alive}/artifacts/a",
        )
        expected = [LOST, f"models/m-{LOST}", "notes.txt", "traces"]
        assert await attic.orphans(dry_run=False) == [f"{gone}/{name}" for name in expected]
        assert await attic.house.files() == [f"{gone}/{alive}/artifacts/a"]

    tell(story)


def test_the_folders_of_workspaces_are_looked_into(tell: Callable[[Story], None]):
    async def story(attic: Attic) -> None:
        gone = await attic.removed_experiment()
        await attic.put(
            f"workspaces/team-a/{gone}/{LOST}/artifacts/a",
            f"workspaces/team-b/{gone}/notes.txt",
            "workspaces/team-a/notes.txt",
            "workspaces/team-a/1000000/notes.txt",
        )
        assert await attic.orphans() == [
            f"workspaces/team-a/{gone}/{LOST}",
            f"workspaces/team-b/{gone}/notes.txt",
        ]

    tell(story)


def test_an_experiment_with_a_place_of_its_own_is_looked_at_there(tell: Callable[[Story], None]):
    async def story(attic: Attic) -> None:
        house, gone = attic.house, await attic.removed_experiment()
        team = await house.experiment("team", location="mlflow-artifacts:/team/x")
        await house.experiment("tenant", location=f"mlflow-artifacts:/{gone}/inside")
        await house.experiment("cloud", location="s3://bucket/x")
        run = await house.run(team)
        await attic.put(
            f"team/x/{run}/artifacts/a",
            f"team/x/{LOST}/artifacts/a",
            "team/x/notes.txt",
            f"{gone}/inside/notes.txt",
            f"{gone}/inside/{LOST}/artifacts/a",
        )
        # The removed one's folder holds another's now, so what else is in it is nobody's to judge.
        assert await attic.orphans() == [f"{gone}/inside/{LOST}", f"team/x/{LOST}"]

    tell(story)


def test_an_experiment_that_lies_above_others_keeps_them(tell: Callable[[Story], None]):
    async def story(attic: Attic) -> None:
        gone = await attic.removed_experiment()
        await attic.house.experiment("all", location="mlflow-artifacts:/")
        await attic.put(f"{gone}/notes.txt", f"{LOST}/artifacts/a")
        assert await attic.orphans() == [LOST]

    tell(story)


def test_what_somebody_elses_location_names_is_none(tell: Callable[[Story], None]):
    """As after an import that gave runs new ids and left their files where they were."""

    async def story(attic: Attic) -> None:
        run = await attic.house.run()
        sql = "UPDATE runs SET artifact_uri = ? WHERE run_id = ?"
        binds = (f"mlflow-artifacts:/0/{LOST}/artifacts", bytes.fromhex(run))
        await attic.house.engine.write(lambda tx: tx.execute(sql, binds))
        await attic.put(f"0/{LOST}/artifacts/a", f"0/{OTHER}/artifacts/a")
        assert await attic.orphans() == [f"0/{OTHER}"]

    tell(story)


def test_many_are_found(tell: Callable[[Story], None]):
    async def story(attic: Attic) -> None:
        lost = [new_run_id().hex() for _ in range(50)]
        await attic.put(*[f"0/{run}/artifacts/a" for run in lost])
        assert await attic.orphans(dry_run=False) == sorted(f"0/{run}" for run in lost)
        assert await attic.house.files() == []

    tell(story)
