"""Background work goes on until it is stopped, whatever happens in it."""

import asyncio

import pytest

from riverrun.services.background import Background


def test_work_that_fails_begins_again_and_the_log_says_why(caplog: pytest.LogCaptureFixture):
    begun: list[int] = []

    lasting = asyncio.Event()

    async def work() -> None:
        begun.append(len(begun))
        if len(begun) < 3:
            raise KeyError("unexpected")
        lasting.set()
        await asyncio.sleep(60)

    async def story() -> None:
        background = Background(work, restart_after_s=0.001)
        background.start()
        await asyncio.wait_for(lasting.wait(), 5)
        await background.stop()

    asyncio.run(story())
    assert begun == [0, 1, 2]
    failures = [record for record in caplog.records if record.message == "background work failed"]
    assert len(failures) == 2
    assert all(record.exc_info and record.exc_info[0] is KeyError for record in failures)


def test_a_stop_ends_all_work_and_what_waits_to_begin_again():
    begun: list[str] = []

    async def fails() -> None:
        begun.append("fails")
        raise KeyError

    async def goes_on() -> None:
        begun.append("goes on")
        await asyncio.sleep(60)

    async def story() -> None:
        background = Background(fails, goes_on, restart_after_s=0.02)
        background.start()
        await asyncio.sleep(0.005)
        await background.stop()
        await asyncio.sleep(0.05)

    asyncio.run(story())
    assert sorted(begun) == ["fails", "goes on"]


def test_a_stop_ends_work_that_forgets_that_it_was_cancelled():
    """As `asyncio.wait_for` of Python 3.11 may."""
    forgotten: list[str] = []

    async def forgets() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            forgotten.append("once")
        await asyncio.sleep(60)

    async def story() -> None:
        background = Background(forgets)
        background.start()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await background.stop()

    asyncio.run(story())
    assert forgotten == ["once"]
