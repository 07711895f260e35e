"""Works of a group share statements; a session that writes down what it is asked shows which."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest

from riverrun.store.databases import driver_of
from riverrun.store.engine import Row, Tx
from riverrun.store.networked import NetworkedEngine
from riverrun.store.networked_tx import GroupTx, NetworkedTx
from riverrun.store.pool import PoolRules
from riverrun.store.rows import in_one
from riverrun.store.session import Mode, Session, Waiting
from riverrun.store.ticks import Ticks
from riverrun.store.urls import parse

RUNS = [bytes([number]) * 16 for number in range(1, 9)]


class Asked(Session):
    """A session that only writes down what it is asked."""

    def __init__(self, rows: Sequence[Row] = (), *, merges: bool = False) -> None:
        self.told: list[object] = []
        self._rows = list(rows)
        self._merges = merges

    @property
    def is_open(self) -> bool:
        return True

    async def begin(self, mode: Mode) -> None:
        self.told.append(mode)

    async def commit(self) -> None:
        self.told.append("COMMIT")

    async def rollback(self) -> None:
        self.told.append("ROLLBACK")

    async def fetch(self, sql: str, binds: Sequence[object]) -> list[Row]:
        self.told.append((sql, binds))
        return self._rows

    async def execute(self, sql: str, binds: Sequence[object]) -> int:
        self.told.append((sql, binds))
        return 0

    async def execute_many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        self.told.append((sql, list(rows)))

    async def execute_at_once(self, waiting: Waiting) -> bool:
        if self._merges:
            self.told.append(dict(waiting))
        return self._merges

    async def close(self) -> None: ...


def group_of(session: Session, *keys: bytes) -> GroupTx:
    dialect = driver_of(parse("postgresql://u@h/d")).dialect
    return GroupTx(NetworkedTx(session, dialect, Ticks(0)), keys)


INSERT, ASK = "INSERT INTO t (a) VALUES (?)", "SELECT a FROM t WHERE a = ?"


def test_works_on_rows_of_their_own_share_statements():
    asked = Asked()

    async def story() -> None:
        tx = group_of(asked)
        for number in (1, 2):
            await tx.next_work(on_same_rows=False)
            await tx.one(ASK, (number,))
            await tx.execute_many(INSERT, [(number,)])
        await tx.next_work(on_same_rows=True)
        await tx.execute_many(INSERT, [(2,)])
        await tx.execute_many(INSERT, [(3,)])
        await tx.one(ASK, (3,))
        await tx.execute_many(INSERT, [])
        await tx.finish()

    asyncio.run(story())
    assert asked.told == [
        (ASK, (1,)),
        (ASK, (2,)),
        Mode.WRITE,
        (INSERT, [(1,), (2,)]),
        (INSERT, [(2,)]),
        (INSERT, [(3,)]),
        (ASK, (3,)),
    ]


def test_works_of_a_group_take_their_rows_in_one_statement():
    asked = Asked([(b"1", "one"), (b"2", "two")])

    async def story() -> list[Row | None]:
        tx = group_of(asked, b"1", b"2", b"3")
        taken: list[Row | None] = []
        for key in (b"1", b"2", b"3"):
            await tx.next_work(on_same_rows=False)
            taken.append(await tx.take("t", "a", key, "v"))
        await tx.next_work(on_same_rows=True)
        taken.append(await tx.take("t", "a", b"3", "v"))
        return taken

    assert asyncio.run(story()) == [("one",), ("two",), None, None]
    together = "SELECT a, v FROM t WHERE a = ANY (CAST(? AS bytea[])) ORDER BY a FOR UPDATE"
    assert asked.told == [Mode.WRITE, *[(together, ((b"1", b"2", b"3"),))] * 2]


def test_a_group_without_keys_takes_each_row_by_itself():
    asked = Asked()

    async def story() -> None:
        tx = group_of(asked)
        for key in (b"1", b"2"):
            await tx.next_work(on_same_rows=False)
            await tx.take("t", "a", key, "v")

    asyncio.run(story())
    alone = "SELECT v FROM t WHERE a = ? FOR UPDATE"
    assert asked.told == [Mode.WRITE, (alone, (b"1",)), (alone, (b"2",))]


class AskedDriver:
    dialect = driver_of(parse("postgresql://u@h/d")).dialect
    keeps_sessions = True

    def __init__(self, *, is_distributed: bool) -> None:
        self.asked = Asked()
        self.asked.is_distributed = is_distributed

    async def connect(self) -> Session:
        return self.asked

    def failure(self, error: BaseException) -> None: ...


@pytest.mark.parametrize("is_distributed", [True, False])
def test_rows_of_several_machines_are_never_taken_together(*, is_distributed: bool):
    driver = AskedDriver(is_distributed=is_distributed)

    async def take(tx: Tx, key: bytes) -> None:
        await tx.take("t", "a", key, "v")

    async def story() -> None:
        engine = NetworkedEngine(driver, PoolRules(1, 5))
        await asyncio.gather(*(engine.write(partial(take, key=key), key=key) for key in RUNS[:2]))
        await engine.close()

    asyncio.run(story())
    assert len(driver.asked.told) == (4 if is_distributed else 3)  # With BEGIN and COMMIT.


def test_a_row_taken_twice_by_one_work_is_read_again():
    asked = Asked([(b"1", "one"), (b"2", "two")])

    async def story() -> None:
        tx = group_of(asked, b"1", b"2")
        await tx.take("t", "a", b"1", "v")
        await tx.execute("UPDATE t SET v = 'new' WHERE a = ?", (b"1",))
        await tx.take("t", "a", b"1", "v")

    asyncio.run(story())
    assert asked.told[-1] == ("SELECT v FROM t WHERE a = ? FOR UPDATE", (b"1",))


def test_what_one_work_has_read_no_other_reads_again_before_the_table_is_written():
    asked = Asked()
    ask = "SELECT b FROM u WHERE b = ?"

    async def story() -> None:
        tx = group_of(asked, b"1", b"2", b"3")
        for _ in range(2):
            await tx.next_work(on_same_rows=False)
            await tx.one(ask, (1,))
            await tx.execute_many(INSERT, [(1,)])
        await tx.execute("DELETE FROM u")
        await tx.next_work(on_same_rows=False)
        await tx.one(ask, (1,))

    asyncio.run(story())
    assert asked.told.count((ask, (1,))) == 2


@pytest.mark.parametrize("merges", [True, False])
def test_a_single_statement_needs_no_transaction_around_it(*, merges: bool):
    asked = Asked(merges=merges)

    async def story() -> None:
        tx = group_of(asked, b"1")
        await tx.one(ASK, (1,))
        await tx.execute_many(INSERT, [(1,)])
        await tx.finish()

    asyncio.run(story())
    written = [{INSERT: [(1,)]}] if merges else [Mode.WRITE, (INSERT, [(1,)])]
    assert asked.told == [(ASK, (1,)), *written]


@pytest.mark.parametrize("merges", [True, False])
def test_a_group_that_holds_rows_writes_and_commits_in_its_transaction(*, merges: bool):
    asked = Asked(merges=merges)

    async def story() -> None:
        tx = group_of(asked, b"1")
        await tx.take("t", "a", b"1", "v")
        await tx.execute_many(INSERT, [(1,)])
        await tx.finish()

    asyncio.run(story())
    assert asked.told[0] is Mode.WRITE
    assert asked.told[2:] == [{INSERT: [(1,)]} if merges else (INSERT, [(1,)])]


def test_changes_of_one_table_are_never_made_at_once():
    """In one statement of PostgreSQL, none sees what another does."""
    delete = "DELETE FROM t WHERE a = ?"
    assert in_one({INSERT: [(1,)], delete: [(2,)]}, parts_max=9, binds_max=9) is None
    other = "INSERT INTO u (b) VALUES (?)"
    assert in_one({INSERT: [(1,), (2,)], other: [(3,)]}, parts_max=2, binds_max=3) == (
        "WITH s0 AS (INSERT INTO t (a) VALUES (?), (?)) INSERT INTO u (b) VALUES (?)",
        [1, 2, 3],
    )
    assert in_one({INSERT: [(1,), (2,)], other: [(3,)]}, parts_max=2, binds_max=2) is None
    assert in_one({INSERT: [(1,)], other: [(3,)]}, parts_max=1, binds_max=9) is None
