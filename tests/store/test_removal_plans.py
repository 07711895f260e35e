"""How servers find what may go: by an index and part by part, so that no statement grows with what
there is.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from tests.fixtures.databases import Databases
from tests.store.tables import Tables, insert, tables_of
from tests.store.test_plans import ANALYZE, LONG, Counting, key, on_servers

from riverrun.store import removal
from riverrun.store.engine import Tx
from riverrun.store.removal import MODEL, RUN, Doomed, Due, VersionPlaces

pytestmark = on_servers

COUNT = 4_000
MIDDLE = COUNT // 2
PAGE = 20
FEW = 40
"""Experiments 2 to 41 have ten runs and ten logged models each; all others are in the first. In
experiment 99 all runs began at one time.
"""
RECENT_MS = COUNT - PAGE


async def fill(tx: Tx) -> None:
    numbers = range(1, COUNT + 1)
    experiment = {n: 1 if n % 10 else 2 + n // 10 % FEW for n in numbers}
    stage = {n: "deleted" if n % 2 else "active" for n in numbers}
    tail = (LONG, 1, 0, "", "")
    await insert(
        tx,
        "runs",
        [(key(n), experiment[n], "", "u", "FINISHED", n, n, stage[n], n, *tail) for n in numbers],
    )
    await insert(
        tx,
        "logged_models",
        [
            (key(n), experiment[n], f"m{n}", "READY", "", "", LONG, stage[n], n, n, "", "")
            for n in numbers
        ],
    )
    await insert(
        tx,
        "registered_models",
        [(key(n), "default", f"m{n}", LONG, 0, COUNT, 1, 0, 0, "", "") for n in (1, 2)],
    )
    model = {n: key(1 if n < MIDDLE + 5 else 2) for n in numbers}
    rest = ("None", LONG, "s3://b", "", "r", "", "m", 0)
    await insert(tx, "model_versions", [(model[n], n, *rest, n, n, "", "") for n in numbers])


@pytest.fixture(scope="module")
def tables(databases: Databases, database_kind: str) -> Iterator[Tables]:
    url = databases.new_database()
    with tables_of(url) as tables:
        tables.write(fill)
        databases.execute(ANALYZE[database_kind], url)
        yield tables


Ask = Callable[[Any], Awaitable[object]]
AFTER = Doomed(key(MIDDLE), 1, "", "deleted", 0, MIDDLE)
AT_ONCE = Doomed(key(COUNT + MIDDLE), 99, "", "deleted", 0, 1)
VERSION = VersionPlaces(key(1), MIDDLE, "", "", "", "", "")
PARTS: dict[str, Ask] = {
    "runs that are due": lambda tx: removal.page_due(
        tx, Due(RUN, 1, COUNT), after=None, limit=PAGE
    ),
    "more runs that are due": lambda tx: removal.page_due(
        tx, Due(RUN, 1, COUNT), after=AFTER, limit=PAGE
    ),
    "runs that began at one time": lambda tx: removal.page_due(
        tx, Due(RUN, 99, COUNT), after=AT_ONCE, limit=PAGE
    ),
    "models that are due": lambda tx: removal.page_due(
        tx, Due(MODEL, 1, COUNT), after=AFTER, limit=PAGE
    ),
    "all models": lambda tx: removal.page_due(
        tx, Due(MODEL, 1, COUNT, whole=True), after=AFTER, limit=PAGE
    ),
    "how many are due": lambda tx: removal.count_due(tx, Due(RUN, 7, COUNT)),
    "experiments with deleted": lambda tx: removal.experiments_with_deleted(tx, 5, 7),
    "runs elsewhere": lambda tx: removal.elsewhere(tx, RUN, after=key(MIDDLE), limit=PAGE),
    "models elsewhere": lambda tx: removal.elsewhere(tx, MODEL, after=key(MIDDLE), limit=PAGE),
    "versions": lambda tx: removal.versions(tx, after=VERSION, limit=PAGE),
    "first versions": lambda tx: removal.versions(tx, after=None, limit=PAGE),
    "versions since": lambda tx: removal.versions_since(tx, RECENT_MS),
    "runs that exist": lambda tx: removal.existing(tx, RUN, [key(n) for n in range(PAGE)]),
}
READS_MAX = 5 * PAGE


@pytest.mark.parametrize("what", PARTS)
def test_a_part_reads_little_more_than_it_finds(tables: Tables, database_kind: str, what: str):
    async def counted(tx: Any) -> list[tuple[int, str]]:
        counting = Counting(tx, database_kind)
        await PARTS[what](counting)
        return counting.reads

    reads = tables.read(counted)
    assert sum(count for count, _ in reads) <= READS_MAX, "\n".join(map(str, reads))
