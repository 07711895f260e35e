"""Waiting for work that cannot be cancelled: a call in a thread, or of the object store library."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import TypeVar

T = TypeVar("T")


async def unheard(work: Awaitable[T]) -> T:
    """Awaits a call of the library, which panics when it is cancelled: so it runs on, unheard."""
    future = asyncio.ensure_future(work)
    future.add_done_callback(mark_as_seen)
    return await asyncio.shield(future)


def mark_as_seen(future: "asyncio.Future[T]") -> None:
    """An error that nobody waits for any more is none."""
    if not future.cancelled():
        future.exception()


async def steps(stream: AsyncIterator[T]) -> AsyncGenerator[T]:
    """What a stream of the library gives, each step as `unheard`."""
    while True:
        try:
            item = await unheard(anext(stream))
        except StopAsyncIteration:
            return
        yield item


async def ahead(stream: AsyncIterator[T]) -> AsyncGenerator[T]:
    """As `steps`, but each step is begun while the item before it is used."""
    coming = _begun(stream)
    while True:
        try:
            item = await asyncio.shield(coming)
        except StopAsyncIteration:
            return
        coming = _begun(stream)
        yield item


def _begun(stream: AsyncIterator[T]) -> "asyncio.Future[T]":
    step = asyncio.ensure_future(anext(stream))
    step.add_done_callback(mark_as_seen)
    return step


async def to_the_end(work: Awaitable[T]) -> T:
    """Waits for the end of it even when cancelled, and is cancelled after that."""
    future = asyncio.ensure_future(work)
    cancelled = await ended(future)
    if cancelled is not None:
        mark_as_seen(future)
        raise cancelled
    return future.result()


async def ended(future: "asyncio.Future[T]") -> asyncio.CancelledError | None:
    """Waits until it is done, well or not; how we were cancelled meanwhile, if we were."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled
