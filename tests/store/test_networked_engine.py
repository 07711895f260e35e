"""Transactions on real servers: group commit, races, connections lost or not to be had."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest
from tests.fixtures.databases import (
    DatabaseServer,
    PostgresServer,
    mariadb,
    pgbouncing,
    postgres,
)

from riverrun.errors import InvalidParameterValue, RequestTooLarge, TemporarilyUnavailable
from riverrun.store.databases import driver_of
from riverrun.store.engine import ConflictError, Row, Tx
from riverrun.store.networked import (
    GroupTx,
    Mode,
    NetworkedEngine,
    NetworkedTx,
    Session,
    Waiting,
)
from riverrun.store.pool import PoolRules
from riverrun.store.rows import in_one
from riverrun.store.ticks import Ticks
from riverrun.store.urls import parse

BINARY = {"postgresql": "bytea", "mysql": "binary(16)"}
RUNS = [bytes([number]) * 16 for number in range(1, 9)]

Story = Callable[[NetworkedEngine], Awaitable[None]]


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[PostgresServer]:
    with postgres() as server:
        yield server


@pytest.fixture(scope="module", params=["postgresql", "pgbouncer", "mariadb"])
def servers(
    request: pytest.FixtureRequest, postgres_server: PostgresServer
) -> Iterator[tuple[DatabaseServer, DatabaseServer]]:
    """Where clients connect to, and the database server that they reach."""
    if request.param == "mariadb":
        with mariadb() as server:
            yield server, server
    elif request.param == "pgbouncer":
        with pgbouncing(postgres_server) as pooler:
            yield pooler, postgres_server
    else:
        yield postgres_server, postgres_server


@pytest.fixture
def url(servers: tuple[DatabaseServer, DatabaseServer]) -> str:
    return servers[0].new_database()


@asynccontextmanager
async def opened(url: str, *, size: int = 4, wait_s: float = 5) -> AsyncGenerator[NetworkedEngine]:
    """With a table of counters, one for each run."""
    place = parse(url)
    engine = NetworkedEngine(driver_of(place), PoolRules(size, wait_s))
    await engine.write(
        lambda tx: tx.execute(
            f"CREATE TABLE IF NOT EXISTS counters (run {BINARY[place.kind]} PRIMARY KEY, "
            "n bigint NOT NULL)"
        )
    )
    try:
        yield engine
    finally:
        await engine.close()


def play(url: str, story: Story, *, size: int = 4, wait_s: float = 5) -> None:
    async def played() -> None:
        async with opened(url, size=size, wait_s=wait_s) as engine:
            await story(engine)

    asyncio.run(asyncio.wait_for(played(), 60))


async def insert(tx: Tx) -> None:
    await tx.execute_many("INSERT INTO counters (run, n) VALUES (?, ?)", [(run, 0) for run in RUNS])


def counted(run: bytes) -> Callable[[Tx], Awaitable[int]]:
    async def work(tx: Tx) -> int:
        row = await tx.one(f"SELECT n FROM counters WHERE run = ?{tx.dialect.for_update}", (run,))
        assert row is not None
        assert await tx.execute("UPDATE counters SET n = ? WHERE run = ?", (row[0] + 1, run)) == 1
        return row[0] + 1

    return work


async def counters(engine: NetworkedEngine) -> list[int]:
    rows = await engine.read(lambda tx: tx.fetch("SELECT n FROM counters ORDER BY run"))
    return [n for (n,) in rows]


def test_writes_to_the_same_rows_at_once_all_count(url: str):
    async def story(engine: NetworkedEngine) -> None:
        await engine.write(insert)
        writes = [engine.write(counted(run), key=run) for _ in range(40) for run in RUNS]
        assert sorted(await asyncio.gather(*writes)) == sorted(list(range(1, 41)) * len(RUNS))
        assert await counters(engine) == [40] * len(RUNS)

    play(url, story)


def test_works_without_a_key_wait_for_each_other_and_all_count(url: str):
    async def story(engine: NetworkedEngine) -> None:
        await engine.write(insert)
        await asyncio.gather(*(engine.write(counted(run)) for _ in range(10) for run in RUNS))
        assert await counters(engine) == [10] * len(RUNS)

    play(url, story, wait_s=30)


def test_one_that_fails_in_a_group_fails_alone(url: str):
    async def refused(tx: Tx) -> None:
        await tx.execute("UPDATE counters SET n = 1000 WHERE run = ?", (RUNS[0],))
        raise InvalidParameterValue("no")

    async def refused_at_once(_: Tx) -> None:
        raise InvalidParameterValue("no")

    async def story(engine: NetworkedEngine) -> None:
        await engine.write(insert)
        answers = await asyncio.gather(
            *(engine.write(counted(run), key=run) for run in RUNS),
            engine.write(refused, key=RUNS[0]),
            engine.write(refused_at_once, key=RUNS[1]),
            engine.write(insert, key=RUNS[2]),
            return_exceptions=True,
        )
        assert answers[: len(RUNS)] == [1] * len(RUNS)
        kinds = [type(answer) for answer in answers[len(RUNS) :]]
        assert kinds == [InvalidParameterValue, InvalidParameterValue, ConflictError]
        assert await counters(engine) == [1] * len(RUNS)

    play(url, story)


def test_deadlocks_end_and_nothing_is_lost(url: str):
    async def both(tx: Tx, first: bytes, second: bytes) -> None:
        await counted(first)(tx)
        await asyncio.sleep(0.01)
        await counted(second)(tx)

    async def story(engine: NetworkedEngine) -> None:
        await engine.write(insert)
        one, other = RUNS[:2]
        pairs = [(one, other), (other, one)] * 4
        await asyncio.gather(
            *(engine.write(lambda tx, pair=pair: both(tx, *pair)) for pair in pairs)
        )
        assert (await counters(engine))[:2] == [8, 8]

    play(url, story, wait_s=60)


def test_a_read_is_one_snapshot(url: str):
    async def story(engine: NetworkedEngine) -> None:
        await engine.write(insert)

        async def twice(tx: Tx) -> list[object]:
            first = await tx.one("SELECT n FROM counters WHERE run = ?", (RUNS[0],))
            await engine.write(counted(RUNS[0]), key=RUNS[0])
            return [first, await tx.one("SELECT n FROM counters WHERE run = ?", (RUNS[0],))]

        assert await engine.read(twice) == [(0,), (0,)]
        assert (await counters(engine))[0] == 1

    play(url, story)


def test_a_write_that_is_given_up_leaves_nothing(url: str):
    async def slow(tx: Tx) -> None:
        await counted(RUNS[0])(tx)
        await asyncio.sleep(60)

    async def story(engine: NetworkedEngine) -> None:
        await engine.write(insert)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(engine.write(slow), 0.2)
        assert await engine.write(counted(RUNS[0]), key=RUNS[0]) == 1

    play(url, story)


def test_who_finds_no_connection_in_time_is_told_to_come_back(url: str):
    async def story(engine: NetworkedEngine) -> None:
        async def slow(tx: Tx) -> None:
            await tx.one("SELECT 1")
            await asyncio.sleep(1)

        busy = [asyncio.create_task(engine.write(slow)) for _ in range(engine.pool.size)]
        await asyncio.sleep(0.3)
        with pytest.raises(TemporarilyUnavailable, match="connections to the database were busy"):
            await engine.read(lambda tx: tx.one("SELECT 1"))
        assert (engine.pool.counts.waits, engine.pool.counts.timeouts) == (1, 1)
        await asyncio.gather(*busy)
        assert await engine.read(lambda tx: tx.one("SELECT 1")) == (1,)
        assert engine.pool.in_use == 0

    play(url, story, size=2, wait_s=0.1)


def test_connections_that_were_cut_are_replaced(
    servers: tuple[DatabaseServer, DatabaseServer], url: str
):
    async def story(engine: NetworkedEngine) -> None:
        await engine.write(insert)
        for number in range(1, 6):
            answers = [asyncio.create_task(engine.write(counted(r), key=r)) for r in RUNS]
            await asyncio.to_thread(servers[0].cut_off, url)
            await asyncio.gather(*answers)
            assert await counters(engine) == [number] * len(RUNS)

    play(url, story)


def test_keys_decide_who_shares_a_transaction(url: str):
    """Works of one run come in the order in which they were given."""
    told: list[int] = []

    def telling(number: int) -> Callable[[Tx], Awaitable[None]]:
        async def work(tx: Tx) -> None:
            await tx.one("SELECT 1")
            told.append(number)

        return work

    async def story(engine: NetworkedEngine) -> None:
        key = os.urandom(16)
        await asyncio.gather(*(engine.write(telling(n), key=key) for n in range(200)))
        assert told == list(range(200))

    play(url, story)


@pytest.mark.slow
def test_a_write_that_the_server_would_hang_up_on_is_refused():
    async def story() -> None:
        driver = driver_of(parse(url))
        session = await driver.connect()
        await session.execute("CREATE TABLE texts (t longtext)", ())
        await session.execute("INSERT INTO texts (t) VALUES (?)", ("'" * 8_000_000,))
        with pytest.raises(RequestTooLarge, match=r"at most 16,777,216 bytes .* 16,800,\d+"):
            await session.execute("INSERT INTO texts (t) VALUES (?)", ("'" * 8_400_000,))
        assert await session.fetch("SELECT length(t) FROM texts", ()) == [(8_000_000,)]
        await session.close()

    with mariadb() as server:
        server.execute("SET GLOBAL max_allowed_packet = 16777216")
        url = server.new_database()
        asyncio.run(story())


# What works of a group put in ---------------------------------------------------------------------


def test_a_work_sees_what_it_put_in_itself(url: str):
    def adding(run: bytes) -> Callable[[Tx], Awaitable[object]]:
        async def work(tx: Tx) -> object:
            await tx.execute_many("INSERT INTO counters (run, n) VALUES (?, ?)", [(run, 7)])
            return await tx.one("SELECT n FROM counters WHERE run = ?", (run,))

        return work

    async def story(engine: NetworkedEngine) -> None:
        assert await asyncio.gather(*(engine.write(adding(r), key=r) for r in RUNS)) == [(7,)] * 8

    play(url, story)


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
