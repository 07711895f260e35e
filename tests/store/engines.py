"""Opening a real engine for the length of a test."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from riverrun.settings import database_at
from riverrun.store.databases import open_engine
from riverrun.store.engine import Engine
from riverrun.store.pool import PoolRules
from riverrun.store.sqlite import SqliteEngine

T = TypeVar("T")
E = TypeVar("E", bound=Engine)

POOL = PoolRules(size=4, wait_s=10)


@asynccontextmanager
async def opened(database: str) -> AsyncGenerator[Engine]:
    """An engine on the database with this URL."""
    engine = await open_engine(database_at(database, {}), POOL, upgrade=True)
    try:
        yield engine
    finally:
        await engine.close()


@asynccontextmanager
async def opened_file(path: Path) -> AsyncGenerator[SqliteEngine]:
    engine = await SqliteEngine.open(path)
    try:
        yield engine
    finally:
        await engine.close()


def play(database: str, story: Callable[[Engine], Awaitable[T]]) -> T:
    """The story's result, told with a new engine on this database."""
    return asyncio.run(told(opened(database), story))


def play_file(path: Path, story: Callable[[SqliteEngine], Awaitable[T]]) -> T:
    return asyncio.run(told(opened_file(path), story))


async def told(opening: AbstractAsyncContextManager[E], story: Callable[[E], Awaitable[T]]) -> T:
    async with opening as engine:
        return await story(engine)
