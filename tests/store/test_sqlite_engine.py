"""Group commit: many units of work in one transaction, each with its own fate."""

import asyncio
import os
import re
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.store.engines import opened_file, play_file

from riverrun.clock import now_us
from riverrun.errors import (
    InternalError,
    InvalidState,
    ResourceDoesNotExist,
    TemporarilyUnavailable,
    TrackingError,
)
from riverrun.store import flusher
from riverrun.store.engine import ConflictError, Tx
from riverrun.store.sqlite import GROUP_MAX, QUEUE_MAX, SqliteEngine
from riverrun.store.ticks import Ticks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "riverrun.db"


def add(name: str) -> Callable[[Tx], Awaitable[str]]:
    """A unit of work that writes one row."""

    async def work(tx: Tx) -> str:
        await tx.execute("INSERT INTO key_names (name) VALUES (?)", (name,))
        return name

    return work


def add_and_fail(name: str, error: Exception) -> Callable[[Tx], Awaitable[str]]:
    async def work(tx: Tx) -> str:
        await add(name)(tx)
        raise error

    return work


async def names(engine: SqliteEngine) -> set[str]:
    return {
        name for (name,) in await engine.read(lambda tx: tx.fetch("SELECT name FROM key_names"))
    }


async def until_committed(engine: SqliteEngine, name: str) -> None:
    while name not in await names(engine):  # noqa: ASYNC110 - Nobody tells before the answer.
        await asyncio.sleep(0.001)


class Gate:
    """Holds the writer up, so that what is written meanwhile is committed together."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._opened = threading.Event()

    async def hold(self, engine: SqliteEngine) -> "asyncio.Task[str]":
        async def work(tx: Tx) -> str:
            self._reached.set()
            assert self._opened.wait(20)
            return await add("gate")(tx)

        task = asyncio.create_task(engine.write(work))
        await asyncio.to_thread(self._reached.wait)
        return task

    def open(self) -> None:
        self._opened.set()


async def together(
    engine: SqliteEngine, *works: Callable[[Tx], Awaitable[str]]
) -> list[str | BaseException]:
    """The results or errors of works that lie in one group."""
    gate = Gate()
    held = await gate.hold(engine)
    tasks = [asyncio.create_task(engine.write(work)) for work in works]
    await asyncio.sleep(0)
    gate.open()
    assert await held == "gate"
    return await asyncio.gather(*tasks, return_exceptions=True)


def watched(engine: SqliteEngine) -> list[str]:
    """The statements of the writer from now on."""
    statements: list[str] = []
    engine._writer.set_trace_callback(statements.append)  # pyright: ignore[reportPrivateUsage]
    return statements


def test_what_waits_together_is_committed_together(path: Path):
    async def story(engine: SqliteEngine) -> None:
        statements = watched(engine)
        assert await together(engine, *(add(f"name{n}") for n in range(50))) == [
            f"name{n}" for n in range(50)
        ]
        assert statements.count("COMMIT") == 2

    play_file(path, story)


def test_a_group_has_a_bound(path: Path):
    async def story(engine: SqliteEngine) -> None:
        statements = watched(engine)
        await together(engine, *(add(f"name{n}") for n in range(GROUP_MAX + 1)))
        assert statements.count("COMMIT") == 3

    play_file(path, story)


def test_one_that_fails_after_writing_fails_alone(path: Path):
    async def story(engine: SqliteEngine) -> None:
        error = ResourceDoesNotExist("nothing there")
        answers = await together(engine, add("a"), add_and_fail("b", error), add("c"))
        assert answers == ["a", error, "c"]
        assert await names(engine) == {"gate", "a", "c"}

    play_file(path, story)
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name FROM key_names").fetchall()
        assert {name for (name,) in rows} == {"gate", "a", "c"}


def test_several_that_fail_after_writing_fail_alone(path: Path):
    async def story(engine: SqliteEngine) -> None:
        errors = [ResourceDoesNotExist(str(n)) for n in range(10)]
        works = [add_and_fail(f"bad{n}", error) for n, error in enumerate(errors)]
        answers = await together(engine, *works, add("good"))
        assert answers == [*errors, "good"]
        assert await names(engine) == {"gate", "good"}

    play_file(path, story)


def test_one_that_fails_before_writing_does_not_hold_up_the_others(path: Path):
    async def refuse(tx: Tx) -> str:
        await tx.one("SELECT 1")
        raise ResourceDoesNotExist("nothing there")

    async def story(engine: SqliteEngine) -> None:
        statements = watched(engine)
        answers = await together(engine, add("a"), refuse, add("c"))
        assert isinstance(answers[1], ResourceDoesNotExist)
        assert "ROLLBACK" not in statements
        assert await names(engine) == {"gate", "a", "c"}

    play_file(path, story)


def test_the_second_of_two_equal_rows_is_a_conflict_for_its_writer_alone(path: Path):
    async def story(engine: SqliteEngine) -> None:
        first, second, third = await together(engine, add("a"), add("a"), add("c"))
        assert (first, third) == ("a", "c")
        assert isinstance(second, ConflictError)
        assert await names(engine) == {"gate", "a", "c"}

    play_file(path, story)


def test_a_conflict_in_the_middle_of_many_rows_leaves_none_of_them(path: Path):
    async def many(tx: Tx) -> str:
        await tx.execute_many(
            "INSERT INTO key_names (name) VALUES (?)", [("x",), ("y",), ("x",), ("z",)]
        )
        return "many"

    async def story(engine: SqliteEngine) -> None:
        first, second, third = await together(engine, add("a"), many, add("c"))
        assert (first, third) == ("a", "c")
        assert isinstance(second, ConflictError)
        assert await names(engine) == {"gate", "a", "c"}

    play_file(path, story)


def test_an_error_in_our_code_goes_to_whoever_waits_and_the_writer_lives(path: Path):
    async def story(engine: SqliteEngine) -> None:
        error = ZeroDivisionError()
        assert await together(engine, add_and_fail("a", error), add("b")) == [error, "b"]
        assert await engine.write(add("c")) == "c"
        assert await engine.trouble() is None

    play_file(path, story)


def test_work_that_awaits_something_else_is_refused_and_rolled_back(path: Path):
    async def wait(tx: Tx) -> str:
        await add("a")(tx)
        await asyncio.sleep(0)
        return "never"

    async def story(engine: SqliteEngine) -> None:
        with pytest.raises(AssertionError, match="awaits something else"):
            await engine.write(wait)
        assert await names(engine) == set()

    play_file(path, story)


def test_the_words_of_the_driver_stay_in_the_log(path: Path):
    async def story(engine: SqliteEngine) -> None:
        for call in (engine.read, engine.write, engine.glance):
            with pytest.raises(InternalError) as error:
                await call(lambda tx: tx.fetch("SELECT nonsense FROM nowhere"))
            assert "nowhere" not in error.value.message
            assert "log" in error.value.message

    play_file(path, story)


def test_a_thousand_concurrent_writes_are_all_answered(path: Path):
    async def story(engine: SqliteEngine) -> None:
        statements = watched(engine)
        wanted = [f"name{n}" for n in range(1_000)]
        assert await asyncio.gather(*(engine.write(add(name)) for name in wanted)) == wanted
        assert await names(engine) == set(wanted)
        assert statements.count("COMMIT") < 100

    play_file(path, story)


def test_a_waiter_that_goes_away_does_not_take_its_write_along(path: Path):
    async def story(engine: SqliteEngine) -> None:
        gate = Gate()
        held = await gate.hold(engine)
        gone = asyncio.create_task(engine.write(add("gone")))
        gone_too = asyncio.create_task(
            engine.write(add_and_fail("failed", ResourceDoesNotExist("")))
        )
        stays = asyncio.create_task(engine.write(add("stays")))
        await asyncio.sleep(0)
        gone.cancel()
        gone_too.cancel()
        gate.open()
        await held
        assert await stays == "stays"
        assert gone.cancelled()
        assert await names(engine) == {"gate", "gone", "stays"}

    play_file(path, story)


def test_a_queue_that_is_full_refuses_at_once_and_forgets_nothing(path: Path):
    async def story(engine: SqliteEngine) -> None:
        gate = Gate()
        held = await gate.hold(engine)
        tasks = [asyncio.create_task(engine.write(add(f"name{n}"))) for n in range(QUEUE_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(TemporarilyUnavailable, match="too much to do"):
            await engine.write(add("one too many"))
        gate.open()
        await held
        await asyncio.gather(*tasks)
        assert await engine.write(add("later")) == "later"
        assert len(await names(engine)) == QUEUE_MAX + 2

    play_file(path, story)


def test_a_read_sees_one_moment(path: Path):
    reading, written = threading.Event(), threading.Event()

    async def look_twice(tx: Tx) -> list[int]:
        counts: list[int] = []
        for _ in range(2):
            ((count,),) = await tx.fetch("SELECT count(*) FROM key_names")
            counts.append(count)
            reading.set()
            assert written.wait(20)
        return counts

    async def story(engine: SqliteEngine) -> None:
        read = asyncio.create_task(engine.read(look_twice))
        await asyncio.to_thread(reading.wait)
        await engine.write(add("a"))
        written.set()
        assert await read == [0, 0]
        assert await names(engine) == {"a"}

    play_file(path, story)


def test_what_is_not_committed_is_not_seen(path: Path):
    async def story(engine: SqliteEngine) -> None:
        gate = Gate()
        held = await gate.hold(engine)
        task = asyncio.create_task(engine.write(add("a")))
        assert await names(engine) == set()
        assert await engine.glance(lambda tx: tx.one("SELECT count(*) FROM key_names")) == (0,)
        gate.open()
        await asyncio.gather(held, task)
        assert await names(engine) == {"gate", "a"}

    play_file(path, story)


def test_an_answered_write_is_read_at_once(path: Path):
    async def story(engine: SqliteEngine) -> None:
        for n in range(200):
            await engine.write(add(str(n)))
            assert str(n) in await names(engine)
            found = await engine.glance(lambda tx: tx.one("SELECT max(key_id) FROM key_names"))
            assert found == (n + 1,)

    play_file(path, story)


def test_reads_cannot_write(path: Path):
    async def story(engine: SqliteEngine) -> None:
        for call in (engine.read, engine.glance):
            with pytest.raises(TrackingError):
                await call(add("a"))
        assert await names(engine) == set()

    play_file(path, story)


# Ticks -------------------------------------------------------------------------------------------


def test_ticks_never_repeat_when_the_clock_stands_still():
    ticks = Ticks(0)
    found = [ticks.next() for _ in range(10_000)]
    assert found == sorted(set(found))
    assert abs(found[0] - now_us()) < 60_000_000


def test_ticks_go_on_when_the_clock_goes_back():
    future = now_us() + 3_600_000_000
    ticks = Ticks(future)
    assert [ticks.next(), ticks.next()] == [future + 1, future + 2]


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ("metric_log (run_id, seq, payload)", "x'00', ?, x''"),
        (
            "registry_history (registered_model_id, seq, workspace, name, at_ms, actor, change)",
            "x'00', ?, '', '', 0, '', ''",
        ),
    ],
)
def test_ticks_go_on_behind_what_an_earlier_server_wrote(path: Path, columns: str, values: str):
    future = now_us() + 3_600_000_000

    async def insert(engine: SqliteEngine) -> None:
        async def work(tx: Tx) -> None:
            await tx.execute(f"INSERT INTO {columns} VALUES ({values})", (future,))

        await engine.write(work)

    async def tick(engine: SqliteEngine) -> int:
        async def work(tx: Tx) -> int:
            return tx.next_seq()

        return await engine.write(work)

    play_file(path, insert)
    assert play_file(path, tick) == future + 1


def test_work_that_is_run_again_gets_new_ticks(path: Path):
    seen: list[int] = []

    async def tick(tx: Tx) -> str:
        seen.append(tx.next_seq())
        return await add("tick")(tx)

    async def story(engine: SqliteEngine) -> None:
        await together(engine, tick, add_and_fail("b", ResourceDoesNotExist("")))
        assert len(seen) == 2
        assert seen[0] < seen[1]

    play_file(path, story)


# Opening and closing -----------------------------------------------------------------------------


def test_closing_waits_for_what_was_accepted(path: Path):
    async def story() -> list[str]:
        async with opened_file(path) as engine:
            gate = Gate()
            held = await gate.hold(engine)
            tasks = [asyncio.create_task(engine.write(add(f"name{n}"))) for n in range(600)]
            reads = [asyncio.create_task(names(engine)) for _ in range(20)]
            await asyncio.sleep(0)
            gate.open()
        await asyncio.gather(held, *reads)
        return await asyncio.gather(*tasks)

    answered = asyncio.run(story())
    assert play_file(path, names) == {"gate", *answered}


def test_work_after_the_end_is_refused(path: Path):
    async def story() -> None:
        async with opened_file(path) as engine:
            pass
        for call in (engine.write, engine.read):
            with pytest.raises(TemporarilyUnavailable, match="stopping"):
                await call(add("late"))

    asyncio.run(story())


def test_one_file_serves_one_engine_also_through_a_link(path: Path):
    link = path.with_name("link.db")
    link.symlink_to(path)

    async def story() -> None:
        async with opened_file(path):
            for name in (path, link, path.parent / "." / path.name):
                with pytest.raises(InvalidState) as error:
                    await SqliteEngine.open(name)
                assert error.value.message == (
                    f"Another server has the database {path} open. One SQLite file serves one "
                    "server; stop the other one, or give each a --backend-store-uri of its own."
                )
        async with opened_file(link) as engine:
            assert await engine.trouble() is None

    asyncio.run(story())


def test_an_engine_that_did_not_open_leaves_no_lock(path: Path):
    path.write_bytes(os.urandom(8_192))

    async def story() -> None:
        for _ in range(2):
            with pytest.raises(InternalError) as error:
                await SqliteEngine.open(path)
            assert error.value.message == "The database file is no SQLite database."
        path.unlink()  # noqa: ASYNC240
        async with opened_file(path) as engine:
            assert await engine.trouble() is None

    asyncio.run(story())


def test_a_folder_that_is_missing_is_made(tmp_path: Path):
    assert play_file(tmp_path / "a" / "b" / "c.db", names) == set()
    assert (tmp_path / "a" / "b" / "c.db").exists()


@pytest.mark.parametrize("name", ["a b.db", "a%20b.db", "a#b?c.db", "ä.db", "'; DROP.db"])
def test_any_file_name_will_do(tmp_path: Path, name: str):
    assert play_file(tmp_path / name, names) == set()
    assert (tmp_path / name).exists()


def test_a_place_where_no_file_can_be_is_one_sentence(tmp_path: Path):
    (tmp_path / "file").touch()

    async def story() -> None:
        with pytest.raises(TemporarilyUnavailable) as error:
            await SqliteEngine.open(tmp_path / "file" / "riverrun.db")
        assert re.fullmatch(r"The database \S+ cannot be opened: [^.]+\.", error.value.message)

    asyncio.run(story())


def test_a_write_is_answered_after_the_log_is_flushed(path: Path, monkeypatch: pytest.MonkeyPatch):
    """What is answered must survive a power cut, not only a kill."""
    begun, may_end = threading.Event(), threading.Event()

    def slow(descriptor: int) -> None:
        assert Path(f"/proc/self/fd/{descriptor}").readlink() == Path(f"{path}-wal")
        begun.set()
        assert may_end.wait(20)

    async def story(engine: SqliteEngine) -> None:
        monkeypatch.setattr(flusher, "fdatasync", slow)
        write = asyncio.create_task(engine.write(add("slow")))
        await asyncio.to_thread(begun.wait)
        assert await names(engine) == {"slow"}, "it is committed"
        assert not write.done()
        may_end.set()
        assert await write == "slow"

    play_file(path, story)


def test_the_writer_goes_on_while_the_log_is_flushed(path: Path, monkeypatch: pytest.MonkeyPatch):
    may_end, flushes = threading.Event(), list[int]()

    def slow(descriptor: int) -> None:
        flushes.append(descriptor)
        assert may_end.wait(20)

    async def story(engine: SqliteEngine) -> None:
        monkeypatch.setattr(flusher, "fdatasync", slow)
        writes: list[asyncio.Task[str]] = []
        for name in ("one", "two", "three"):
            writes.append(asyncio.create_task(engine.write(add(name))))
            await until_committed(engine, name)
        may_end.set()
        assert await asyncio.gather(*writes) == ["one", "two", "three"]
        assert len(flushes) == 2, "those that waited for the first share the second"

    play_file(path, story)


def test_after_a_flush_that_failed_nothing_is_answered_before_the_log_is_empty(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    may_fail = threading.Event()

    def failing(descriptor: int) -> None:
        assert may_fail.wait(20)
        raise OSError(5, "Input/output error")

    async def story(engine: SqliteEngine) -> None:
        await engine.write(add("before"))
        monkeypatch.setattr(flusher, "fdatasync", failing)
        lost = asyncio.create_task(engine.write(add("lost")))
        await until_committed(engine, "lost")
        behind = asyncio.create_task(engine.write(add("behind")))
        await until_committed(engine, "behind")
        monkeypatch.undo()
        may_fail.set()
        for write in (lost, behind):
            with pytest.raises(TemporarilyUnavailable, match="may be lost"):
                await write
        statements = watched(engine)
        assert await engine.write(add("after")) == "after"
        assert "wal_checkpoint(TRUNCATE)" in statements[0]
        assert await engine.trouble() is None

    play_file(path, story)


@pytest.mark.slow
def test_a_log_that_cannot_be_emptied_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch):
    def failing(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    async def story(engine: SqliteEngine) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(flusher, "fdatasync", failing)
            with pytest.raises(TemporarilyUnavailable):
                await engine.write(add("lost"))
        engine._writer.execute("PRAGMA busy_timeout = 1")  # pyright: ignore[reportPrivateUsage]
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM key_names").fetchall()
            for _ in range(2):
                with pytest.raises(TemporarilyUnavailable, match="Another process"):
                    await engine.write(add("refused"))
        assert await engine.write(add("after")) == "after"
        assert "refused" not in await names(engine)

    play_file(path, story)


def test_the_log_is_a_write_ahead_log(path: Path):
    async def story(engine: SqliteEngine) -> None:
        writer = engine._writer  # pyright: ignore[reportPrivateUsage]
        assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    play_file(path, story)
