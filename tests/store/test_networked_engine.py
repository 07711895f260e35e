"""Transactions on real servers: group commit, races, connections lost or not to be had."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

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
from riverrun.store.engine import ConflictError, Tx
from riverrun.store.mysql import BIND_BYTES, FRAME_BYTES
from riverrun.store.networked import NetworkedEngine
from riverrun.store.pool import PoolRules
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
        longest = 16_777_216 - FRAME_BYTES - BIND_BYTES
        await session.execute("INSERT INTO texts (t) VALUES (?)", ("'" * longest,))
        with pytest.raises(RequestTooLarge, match=r"at most 16,777,216 bytes .* 16,777,217"):
            await session.execute("INSERT INTO texts (t) VALUES (?)", ("'" * (longest + 1),))
        with pytest.raises(RequestTooLarge):
            await session.execute("INSERT INTO texts (t) VALUES (?)", ("é" * (longest // 2 + 1),))
        assert await session.fetch("SELECT length(t) FROM texts", ()) == [(longest,)]
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
