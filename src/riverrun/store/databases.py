"""Opens the database that the settings name."""

from pathlib import Path
from typing import TYPE_CHECKING

from riverrun.store.engine import Engine
from riverrun.store.pool import PoolRules
from riverrun.store.urls import DatabaseUrl

if TYPE_CHECKING:
    from riverrun.store.session import Driver


async def open_engine(
    database: Path | DatabaseUrl, pool: PoolRules, *, upgrade: bool, beside: bool = False
) -> Engine:
    """Brings the schema to today's, unless it may not, and opens the database: for a server, or for
    a command `beside` one that may have it. Each kind's driver is imported when it is asked for.

    Raises InvalidState or TemporarilyUnavailable, in one sentence for an operator.
    """
    if isinstance(database, Path):
        from riverrun.store.sqlite import SqliteEngine  # noqa: PLC0415

        return await SqliteEngine.open(database, may_upgrade=upgrade, beside=beside)
    from riverrun.store import migrate  # noqa: PLC0415
    from riverrun.store.networked import NetworkedEngine  # noqa: PLC0415

    await migrate.ensure_networked(database, upgrade=upgrade)
    return NetworkedEngine(driver_of(database), pool)


def driver_of(url: DatabaseUrl) -> "Driver":
    if url.kind == "postgresql":
        from riverrun.store.postgres import PostgresDriver  # noqa: PLC0415

        return PostgresDriver(url)
    from riverrun.store.mysql import MysqlDriver  # noqa: PLC0415

    return MysqlDriver(url)
