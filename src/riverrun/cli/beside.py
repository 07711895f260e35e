"""The server's database, for a command that works beside the server and never makes one."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from riverrun.errors import InvalidState
from riverrun.settings import database_at, process_environment
from riverrun.store import migrate
from riverrun.store.databases import open_engine
from riverrun.store.engine import Engine
from riverrun.store.pool import PoolRules
from riverrun.store.urls import DatabaseUrl

URI = "sqlite:///mlflow.db"
"""What the server takes when nobody says anything."""
VARIABLE = "MLFLOW_BACKEND_STORE_URI"
POOL = PoolRules(size=2, wait_s=10)


@asynccontextmanager
async def opened_beside(uri: str | None) -> AsyncGenerator[Engine]:
    """The database at `uri`, else the one that the variable names, else the server's default.

    Raises SettingsError, and InvalidState for one that is not there or has not this release's
    schema, in a sentence that says what to do.
    """
    environ = process_environment({})
    chosen = uri or environ.get(VARIABLE, "").strip() or URI
    database = database_at(chosen, environ)
    await require_ready(database, uri=chosen)
    engine = await open_engine(database, POOL, upgrade=False, beside=True)
    try:
        yield engine
    finally:
        await engine.close()


async def require_ready(database: Path | DatabaseUrl, *, uri: str) -> None:
    """Raises InvalidState unless the database, which `uri` leads to, has this release's schema."""
    if isinstance(database, Path) and not await asyncio.to_thread(database.exists):
        raise InvalidState(_missing(database, is_default=uri == URI))
    migrate.require_head(await _version(database))


async def _version(database: Path | DatabaseUrl) -> str:
    if isinstance(database, Path):
        from riverrun.store import sqlite  # noqa: PLC0415 - Only for this.

        return await asyncio.to_thread(sqlite.schema_version, database)
    return await migrate.version_networked(database)


def _missing(database: Path, *, is_default: bool) -> str:
    if is_default:
        return (
            f"{VARIABLE} is not set, and there is no {database} here: set it, or give "
            "--backend-store-uri, as the server has it."
        )
    return (
        f"The database {database} does not exist: give {VARIABLE} or --backend-store-uri as the "
        "server has it, or make it by `riverrun db upgrade`."
    )
