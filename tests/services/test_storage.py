"""How much the files of an experiment take."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import TypeVar

import pytest
from tests.fixtures.counting import CountingEngine
from tests.services.house import House, house_on, play
from tests.store.engines import play as play_on_engine

from riverrun.artifacts.contract import FileInfo
from riverrun.artifacts.memory import MemoryStore
from riverrun.artifacts.opened import NotServed, Place
from riverrun.auth.viewer import DEFAULT_WORKSPACE, Viewer
from riverrun.errors import PermissionDenied, ResourceDoesNotExist
from riverrun.services.storage import Size, Storage, measured
from riverrun.store.engine import Engine, Work

T = TypeVar("T")


def test_all_files_of_an_experiment_count(database: str):
    async def story(house: House) -> None:
        storage = Storage(house.engine, house.stores)
        experiment = await house.experiment()
        assert await storage.used(experiment, viewer=house.viewer) == Size()
        await house.run(experiment, "a", "b/c")
        await house.delete_run(await house.run(experiment, "d"))
        await house.model(experiment)
        await house.run("0", "not counted")
        used = await storage.used(experiment, viewer=house.viewer)
        assert (used.files, used.size_bytes) == (4, 40)

    play(database, story)


def test_who_may_not_read_an_experiment_learns_nothing(database: str):
    async def story(house: House) -> None:
        storage = Storage(house.engine, house.stores)
        nobody = Viewer("mallory", DEFAULT_WORKSPACE, all_powerful=False)
        for experiment in (await house.experiment(), "777"):
            with pytest.raises(PermissionDenied):
                await storage.used(experiment, viewer=nobody)
        with pytest.raises(ResourceDoesNotExist, match="No Experiment with id=777 exists"):
            await storage.used("777", viewer=house.viewer)

    play(database, story)


def test_files_elsewhere_are_not_looked_at(database: str):
    async def story(house: House) -> None:
        storage = Storage(house.engine, house.stores)
        cloud = await house.experiment(location="s3://bucket/somewhere")
        with pytest.raises(NotServed, match="s3://bucket/somewhere"):
            await storage.used(cloud, viewer=house.viewer)

    play(database, story)


class SlowStore(MemoryStore):
    """Its walks wait until they may begin, and are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.was_asked, self.may_begin = asyncio.Event(), asyncio.Event()
        self.walks = 0

    async def walk(self, path: str) -> AsyncGenerator[Sequence[FileInfo]]:
        self.walks += 1
        self.was_asked.set()
        await self.may_begin.wait()
        async for page in super().walk(path):
            yield page


class GlancedEngine(CountingEngine):
    """Says of each glance that it has had its answer."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.glanced = asyncio.Semaphore(0)

    async def glance(self, work: Work[T]) -> T:
        found = await super().glance(work)
        self.glanced.release()
        return found


def test_who_asks_meanwhile_gets_the_same_answer(database: str):
    async def story(engine: Engine) -> None:
        store = SlowStore()
        house = await house_on(engine, store)
        engine = GlancedEngine(house.engine)
        storage = Storage(engine, house.stores)
        await house.run("0", "a")
        asking = [asyncio.create_task(storage.used("0", viewer=house.viewer)) for _ in range(3)]
        for _ in asking:
            await engine.glanced.acquire()
        await store.was_asked.wait()
        asking[0].cancel()
        store.may_begin.set()
        answers = await asyncio.gather(*asking[1:])
        assert [answer.files for answer in answers] == [1, 1]
        assert store.walks == 1
        assert (await storage.used("0", viewer=house.viewer)).files == 1
        assert store.walks == 2

    play_on_engine(database, story)


class TimelessStore(MemoryStore):
    async def walk(self, path: str) -> AsyncGenerator[Sequence[FileInfo]]:
        async for page in super().walk(path):
            yield [replace(info, modified_ms=None) for info in page]


def test_the_newest_file_is_known_only_if_all_times_are():
    async def story() -> None:
        async def chunks(content: bytes):
            yield content

        known, unknown = MemoryStore(), TimelessStore()
        for store in (known, unknown):
            await store.write("folder/a", chunks(b"a"))
        assert (await measured(Place(known, "folder"))).newest_ms is not None
        assert await measured(Place(unknown, "folder")) == Size(1, 1, None)
        assert await measured(Place(known, "empty")) == Size(0, 0, None)

    asyncio.run(story())
