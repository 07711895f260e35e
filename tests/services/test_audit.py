"""The audit log: what gets into it, what gets out, and what happens when the database is gone."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest
from tests.fixtures.counting import CountingEngine
from tests.services.house import House
from tests.services.house import play as play_in_house
from tests.store.engines import play

from riverrun.auth.viewer import Resource, Viewer
from riverrun.errors import (
    InternalError,
    InvalidParameterValue,
    PermissionDenied,
    TemporarilyUnavailable,
)
from riverrun.services import audit as audit_service
from riverrun.services.artifacts import Artifacts
from riverrun.services.audit import DENIED, Audit, Event, record
from riverrun.store import audit as store
from riverrun.store.audit import Entry, Wanted, time_of
from riverrun.store.engine import Engine, Tx, Work

T = TypeVar("T")

ADA = Viewer("ada", "default", all_powerful=True, address="192.0.2.1", request_id="request-1")
ANY = Wanted()


async def entries(engine: Engine, wanted: Wanted = ANY) -> list[Entry]:
    """The newest first."""
    return await engine.read(lambda tx: store.page(tx, wanted, before=None, limit=10_000))


def event(number: int = 0, *, outcome: str = "allowed") -> Event:
    return Event("test", Resource("run", f"run {number}"), outcome=outcome)


class Troubled(CountingEngine):
    """An engine whose database fails for a while, before a write or after it."""

    before: Exception | None = None
    after: Exception | None = None

    async def write(self, work: Work[T], *, key: bytes = b"") -> T:
        if self.before is not None:
            raise self.before
        written = await super().write(work, key=key)
        if self.after is not None:
            raise self.after
        return written


GONE = TemporarilyUnavailable("The database is gone.")


# Changes


def test_a_change_that_is_rolled_back_was_not_recorded(database: str):
    async def fail(tx: Tx) -> None:
        await record(tx, event(), by=ADA)
        raise InvalidParameterValue("no")

    async def story(engine: Engine) -> None:
        with pytest.raises(InvalidParameterValue):
            await engine.write(fail)
        assert await entries(engine) == []
        await Audit(engine).write(event(), by=ADA)
        (entry,) = await entries(engine)
        assert (entry.actor, entry.address, entry.request_id) == ("ada", "192.0.2.1", "request-1")
        assert (entry.resource_type, entry.resource) == ("run", "run 0")
        assert entry.at_ms == time_of(entry.entry_id)

    play(database, story)


def test_every_destructive_change_is_recorded_once(database: str):
    async def story(house: House) -> None:
        house = replace(house, viewer=ADA)
        experiment = await house.experiment()
        run, other = await house.run(experiment), await house.run(experiment)
        model = await house.model(experiment)
        await house.register("model", "s3://bucket/x")
        for _ in range(2):  # Clients retry.
            await house.delete_run(run)
        await house.runs.restore(run, viewer=ADA)
        await house.delete_run(run)
        await house.logged_models.delete(model, viewer=ADA)
        await house.model_versions.delete("model", "1", viewer=ADA)
        await house.registered_models.delete("model", viewer=ADA)
        await house.delete_experiment(experiment)
        await house.experiments.restore(experiment, viewer=ADA)
        await house.delete_experiment(experiment)
        await house.collect()
        found = [(e.action, e.resource, e.actor) for e in reversed(await entries(house.engine))]
        assert found[:10] == [
            ("run.delete", run, "ada"),
            ("run.restore", run, "ada"),
            ("run.delete", run, "ada"),
            ("logged_model.delete", model, "ada"),
            ("model_version.delete", "model/1", "ada"),
            ("registered_model.delete", "model", "ada"),
            ("experiment.delete", experiment, "ada"),
            ("experiment.restore", experiment, "ada"),
            ("experiment.delete", experiment, "ada"),
            found[9],
        ]
        assert sorted(found[9:]) == sorted(
            [
                ("run.remove", run, ""),
                ("run.remove", other, ""),
                ("logged_model.remove", model, ""),
                ("experiment.remove", experiment, ""),
            ]
        )
        assert {e.request_id for e in await entries(house.engine) if e.actor} == {"request-1"}

    play_in_house(database, story)


def test_the_deletion_of_a_file_is_recorded(database: str):
    async def story(house: House) -> None:
        await house.put("0/x/artifacts/file")
        artifacts = Artifacts(
            house.stores,
            runs=house.runs,
            logged_models=house.logged_models,
            model_versions=house.model_versions,
            audit=Audit(house.engine),
        )
        await artifacts.delete("0/x/artifacts/file", viewer=ADA)
        assert await house.files() == []
        (entry,) = await entries(house.engine)
        assert (entry.action, entry.resource) == ("artifact.delete", "0/x/artifacts/file")

    play_in_house(database, story)


# Notes


def test_what_strangers_call_themselves_is_kept_as_far_as_it_can_be(database: str):
    strange = ["a\0b", "\ud800", "line\nbreak", "\x1b[31m", "x" * 10_000, "'; DROP TABLE users; --"]

    async def story(engine: Engine) -> None:
        audit = Audit(engine)
        for name in strange:
            by = Viewer(name, "default", all_powerful=False, address=name)
            audit.note(Event("login", Resource("user", name), name, DENIED), by=by)
        await audit.flush()
        found = {each.actor for each in await entries(engine)}
        assert found == {"a?b", "?", "line?break", "?[31m", "x" * 255, strange[-1]}

    play(database, story)


def test_notes_wait_while_the_database_is_gone_and_are_written_once(database: str):
    async def story(engine: Engine) -> None:
        troubled = Troubled(engine)
        audit = Audit(troubled)
        for number in range(3):
            audit.note(event(number), by=ADA)
        troubled.before = GONE
        for _ in range(2):
            with pytest.raises(TemporarilyUnavailable):
                await audit.flush()
        troubled.before, troubled.after = None, GONE  # It was written, and nobody was told.
        with pytest.raises(TemporarilyUnavailable):
            await audit.flush()
        troubled.after = None
        audit.note(event(3), by=ADA)
        await audit.flush()
        found = [each.resource for each in reversed(await entries(engine))]
        assert found == ["run 0", "run 1", "run 2", "run 3"]

    play(database, story)


def test_a_writer_that_is_stopped_half_way_leaves_nothing_to_be_written_twice(database: str):
    async def story(engine: Engine) -> None:
        audit = Audit(engine)
        for number in range(50):
            audit.note(event(number), by=ADA)
            flushing = asyncio.create_task(audit.flush())
            for _ in range(number % 3):
                await asyncio.sleep(0)
            flushing.cancel()
        await audit.close()
        found = [each.resource for each in await entries(engine)]
        assert sorted(found) == sorted(f"run {number}" for number in range(50))

    play(database, story)


def test_a_stop_does_not_wait_for_a_database_that_is_gone(
    database: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(audit_service, "STOP_S", 0.05)

    class Stuck(CountingEngine):
        async def write(self, work: Work[T], *, key: bytes = b"") -> T:
            del work, key
            return await asyncio.get_running_loop().create_future()

    async def story(engine: Engine) -> None:
        troubled = Troubled(engine)
        troubled.before = GONE
        for gone in (troubled, Stuck(engine)):
            audit = Audit(gone)
            audit.note(event(), by=ADA)
            await asyncio.wait_for(audit.close(), 5)

    play(database, story)


def test_what_the_database_refuses_does_not_keep_back_what_comes_after(database: str):
    async def story(engine: Engine) -> None:
        troubled = Troubled(engine)
        audit = Audit(troubled)
        audit.note(event(1), by=ADA)
        troubled.before = InternalError("It cannot be read.")
        refusing = asyncio.create_task(audit.flush())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        troubled.before = None
        audit.note(event(2), by=ADA)
        await refusing
        await audit.flush()
        found = {each.action: each for each in await entries(engine)}
        assert found["test"].resource == "run 2"
        assert found["audit.lost"].detail.startswith("1 entries were not written")

    play(database, story)


def test_what_waits_is_bounded_and_what_is_lost_is_counted(
    database: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(audit_service, "NOTES_MAX", 10)

    async def story(engine: Engine) -> None:
        audit = Audit(engine)
        for number in range(25):
            audit.note(event(number), by=ADA)
        await audit.flush()
        found = await entries(engine)
        assert len(found) == 11
        assert found[0].action == "audit.lost"
        assert found[0].detail.startswith("15 entries")
        audit.note(event(), by=ADA)
        await audit.flush()
        assert len(await entries(engine)) == 12

    play(database, story)


def test_denials_of_each_address_are_counted_apart(database: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(audit_service, "DENIALS_MAX", 3)

    async def story(engine: Engine) -> None:
        audit = Audit(engine)
        for number in range(10):
            audit.note(event(number, outcome=DENIED), by=ADA)
            audit.note(event(number), by=ADA)
        audit.note(event(outcome=DENIED), by=replace(ADA, address="192.0.2.2"))
        await audit.close()
        found = await entries(engine)
        assert len([each for each in found if each.outcome == "allowed"]) == 10
        assert len([each for each in found if each.action == "test"]) == 14
        (summary,) = [each for each in found if each.action == "audit.denied"]
        assert (summary.address, summary.detail[:7]) == ("192.0.2.1", "7 more ")

    play(database, story)


def test_the_background_work_writes_what_is_noted(database: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(audit_service, "GATHER_S", 0)
    monkeypatch.setattr(audit_service, "RETRY_AFTER_S", 0)

    async def story(engine: Engine) -> None:
        troubled = Troubled(engine)
        troubled.before = GONE
        audit = Audit(troubled)
        writing = asyncio.create_task(audit.write_notes())
        audit.note(event(), by=ADA)
        await asyncio.sleep(0.02)
        troubled.before = None
        async with asyncio.timeout(5):
            while not await entries(engine):  # noqa: ASYNC110 - There is no event.
                await asyncio.sleep(0.01)
        writing.cancel()

    play(database, story)


# Reading


async def recorded(engine: Engine, count: int) -> list[Entry]:
    """So many entries of two actors and three actions, the newest first."""
    audit = Audit(engine)
    for number in range(count):
        what = Event(f"action.{number % 3}", Resource("run", f"run {number % 5}"))
        await audit.write(what, by=replace(ADA, name=("ada", "bob")[number % 2]))
    return await entries(engine)


Filter = Callable[[Entry], bool]


CASES: list[tuple[Wanted, Filter]] = [
    (Wanted(), lambda _: True),
    (Wanted(actor="ada"), lambda each: each.actor == "ada"),
    (Wanted(actor="Ada"), lambda _: False),
    (Wanted(action="action.1"), lambda each: each.action == "action.1"),
    (Wanted(resource_type="run", resource="run 2"), lambda each: each.resource == "run 2"),
    (Wanted(resource_type="experiment"), lambda _: False),
    (
        Wanted(actor="bob", action="action.2"),
        lambda each: (each.actor, each.action) == ("bob", "action.2"),
    ),
    (Wanted(since_ms=-5, until_ms=2**62), lambda _: True),
    (Wanted(since_ms=2**62), lambda _: False),
    (Wanted(until_ms=-1), lambda _: False),
]


@pytest.mark.parametrize(("wanted", "chosen"), CASES)
def test_filters_choose_and_pages_have_each_entry_once(
    wanted: Wanted, chosen: Filter, database: str
):
    async def story(engine: Engine) -> None:
        expected = [each for each in await recorded(engine, 23) if chosen(each)]
        audit, token, found = Audit(engine), "", list[Entry]()
        while True:
            page = await audit.page(wanted, max_results=4, page_token=token, viewer=ADA)
            found += page.entries
            token = page.next_page_token or ""
            if not token:
                break
        assert found == expected
        streamed = [each async for part in audit.stream(wanted, viewer=ADA) for each in part]
        assert streamed == expected

    play(database, story)


def test_times_choose_exactly(database: str):
    async def story(engine: Engine) -> None:
        found = await recorded(engine, 10)
        at = found[5].at_ms
        since = await entries(engine, Wanted(since_ms=at))
        until = await entries(engine, Wanted(until_ms=at))
        assert since + until == found
        assert min(each.at_ms for each in since) == at

    play(database, story)


def test_a_page_stays_where_it_is_while_entries_come(database: str):
    async def story(engine: Engine) -> None:
        expected = await recorded(engine, 6)
        audit = Audit(engine)
        first = await audit.page(ANY, max_results=3, page_token="", viewer=ADA)
        await recorded(engine, 4)
        token = first.next_page_token or ""
        second = await audit.page(ANY, max_results=3, page_token=token, viewer=ADA)
        assert first.entries + second.entries == expected
        with pytest.raises(InvalidParameterValue, match="page_token"):
            await audit.page(Wanted(actor="ada"), max_results=3, page_token=token, viewer=ADA)

    play(database, story)


def test_the_log_is_for_admins(database: str):
    async def story(engine: Engine) -> None:
        bob = Viewer("bob", "default", all_powerful=False, user_id=7)
        audit = Audit(engine)
        with pytest.raises(PermissionDenied):
            await audit.page(ANY, max_results=None, page_token="", viewer=bob)
        with pytest.raises(PermissionDenied):
            audit.stream(ANY, viewer=bob)
        for wrong in (0, -1, 1_001):
            with pytest.raises(InvalidParameterValue):
                await audit.page(ANY, max_results=wrong, page_token="", viewer=ADA)

    play(database, story)
