"""Epochs count changes; who asks for one asks the database once for all."""

import asyncio
from typing import TypeVar

import pytest
from tests.fixtures.counting import CountingEngine
from tests.store.engines import play

from riverrun.errors import TemporarilyUnavailable
from riverrun.services.epoch import Epoch
from riverrun.store import epochs
from riverrun.store.engine import Engine, Tx, Work

T = TypeVar("T")


async def bump(engine: Engine, name: str = "grants") -> None:
    await engine.write(lambda tx: epochs.bump(tx, name))


async def current(engine: Engine, name: str = "grants") -> int:
    return await engine.read(lambda tx: epochs.current(tx, name))


def test_an_epoch_counts_from_nought(database: str):
    async def story(engine: Engine) -> None:
        assert await current(engine) == 0
        for expected in (1, 2, 3):
            await bump(engine)
            assert await current(engine) == expected
        assert await current(engine, "tokens") == 0

    play(database, story)


def test_no_change_of_many_at_once_is_lost(database: str):
    async def story(engine: Engine) -> None:
        await asyncio.gather(*(bump(engine) for _ in range(20)))
        assert await current(engine) == 20

    play(database, story)


def test_what_is_rolled_back_does_not_count(database: str):
    async def fail(tx: Tx) -> None:
        await epochs.bump(tx, "grants")
        raise TemporarilyUnavailable("no")

    async def story(engine: Engine) -> None:
        await bump(engine)
        with pytest.raises(TemporarilyUnavailable):
            await engine.write(fail)
        assert await current(engine) == 1

    play(database, story)


def test_an_epoch_that_nobody_asks_for_costs_nothing(database: str):
    async def story(engine: Engine) -> None:
        counting = CountingEngine(engine)
        Epoch(counting, "grants", age_s_max=0)
        await asyncio.sleep(0.01)
        assert counting.asked == []

    play(database, story)


def test_many_who_ask_cost_one_statement(database: str):
    async def story(engine: Engine) -> None:
        await bump(engine)
        counting = CountingEngine(engine)
        epoch = Epoch(counting, "grants", age_s_max=60)
        assert await asyncio.gather(*(epoch.current() for _ in range(100))) == [1] * 100
        await bump(engine)
        assert await epoch.current() == 1
        assert len(counting.asked) == 1

    play(database, story)


def test_a_number_that_is_too_old_is_read_again(database: str):
    async def story(engine: Engine) -> None:
        epoch = Epoch(engine, "grants", age_s_max=0)
        assert await epoch.current() == 0
        await bump(engine)
        assert await epoch.current() == 1

    play(database, story)


def test_who_leaves_does_not_take_the_others_answer_along(database: str):
    async def story(engine: Engine) -> None:
        epoch = Epoch(engine, "grants")
        asking = [asyncio.create_task(epoch.current()) for _ in range(3)]
        await asyncio.sleep(0)
        asking[0].cancel()
        assert await asyncio.gather(*asking[1:]) == [0, 0]

    play(database, story)


class Troubled(CountingEngine):
    """An engine whose database is gone for a while."""

    is_down = True

    async def glance(self, work: Work[T]) -> T:
        if self.is_down:
            raise TemporarilyUnavailable("The database is gone.")
        return await super().glance(work)


def test_trouble_is_told_and_passes(database: str):
    async def story(engine: Engine) -> None:
        troubled = Troubled(engine)
        epoch = Epoch(troubled, "grants", age_s_max=0)
        with pytest.raises(TemporarilyUnavailable, match="gone"):
            await epoch.current()
        troubled.is_down = False
        assert await epoch.current() == 0

    play(database, story)
