"""Opening a real engine for the length of a test."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from riverrun.store.sqlite import SqliteEngine

T = TypeVar("T")


@asynccontextmanager
async def opened(path: Path) -> AsyncGenerator[SqliteEngine]:
    engine = await SqliteEngine.open(path)
    try:
        yield engine
    finally:
        await engine.close()


def play(path: Path, story: Callable[[SqliteEngine], Awaitable[T]]) -> T:
    """The story's result, told with a new engine on this file."""

    async def telling() -> T:
        async with opened(path) as engine:
            return await story(engine)

    return asyncio.run(telling())
