"""Artifacts in a folder of the server's file system; the event loop never waits for its disk."""

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from riverrun.artifacts.contract import (
    PAGE,
    ArtifactStore,
    FileInfo,
    InvalidArtifactPath,
)
from riverrun.artifacts.paths import safe_file_path, safe_path
from riverrun.artifacts.tree import Download, Tree, Upload
from riverrun.artifacts.waiting import to_the_end
from riverrun.errors import TemporarilyUnavailable
from riverrun.obs.logs import Log

WRITE_BYTES = 512 * 1024
"""The small chunks of a socket are gathered, so that one hop to a thread serves many."""
WRITE_CHUNKS_MAX = 1024  # Bounds the memory that tiny chunks take beside their bytes.
SCRATCH_AGE_S_MAX = 24 * 60 * 60

log = Log("riverrun.artifacts")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class LocalStore(ArtifactStore):
    """Files below `root`, which the first write makes if it is missing; it must be one file system.

    Symbolic links below it are neither shown nor followed. `threads` run the disk calls (default:
    the event loop's own pool). With `fsync` an acknowledged write or delete survives a power cut:
    the file, its folder and folders newly made are on the disk before the call returns.
    """

    def __init__(self, root: Path, threads: Executor | None = None, *, fsync: bool = True) -> None:
        self._tree = Tree(root.absolute(), fsync=fsync)
        self._threads = threads

    async def list(self, path: str) -> AsyncGenerator[Sequence[FileInfo]]:
        path = safe_path(path)
        names = await self._in_thread(self._tree.names, path)
        for start in range(0, len(names), PAGE):
            page = await self._in_thread(self._tree.infos, path, names[start : start + PAGE])
            if page:
                yield page

    async def walk(self, path: str) -> AsyncGenerator[Sequence[FileInfo]]:
        path = safe_path(path)
        folders = [""]
        while folders:
            folder = folders.pop()
            async with aclosing(self.list("/".join(filter(None, (path, folder))))) as pages:
                async for page in pages:
                    below = [
                        replace(info, name=f"{folder}/{info.name}".lstrip("/")) for info in page
                    ]
                    folders.extend(info.name for info in below if info.is_dir)
                    if files := [info for info in below if not info.is_dir]:
                        yield files

    async def stat(self, path: str) -> FileInfo:
        return await self._in_thread(self._tree.stat, safe_path(path))

    async def read(
        self, path: str, *, start: int = 0, end: int | None = None, etag: str | None = None
    ) -> AsyncGenerator[bytes]:
        download = Download(self._tree, safe_path(path), start=start, end=end, etag=etag)
        try:
            while chunk := await self._in_thread(download.next_chunk):
                yield chunk
        finally:
            download.close()

    async def open_file(self, path: str) -> tuple[io.FileIO, FileInfo]:
        """The open file itself, for a caller that hands its descriptor to the kernel and closes it.

        Raises what `stat` raises.
        """
        return await self._in_thread(self._tree.open, safe_path(path))

    async def write(
        self,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        size_bytes: int | None = None,  # noqa: ARG002 - A disk need not know.
    ) -> None:
        upload = Upload(self._tree, safe_file_path(path))
        try:
            batch: list[bytes] = []
            gathered = 0
            async for chunk in chunks:
                batch.append(chunk)
                gathered += len(chunk)
                if gathered >= WRITE_BYTES or len(batch) >= WRITE_CHUNKS_MAX:
                    await self._in_thread(upload.append, batch)
                    batch, gathered = [], 0
            await self._in_thread(upload.finish, batch)
        finally:
            if not upload.finished:
                await self._in_thread(upload.abandon)

    async def delete(self, path: str) -> None:
        path = safe_path(path)
        if not path:
            raise InvalidArtifactPath("the root cannot be deleted")
        await self._in_thread(self._tree.delete, path)

    async def sweep(self, *, older_than_s: int = SCRATCH_AGE_S_MAX) -> int:
        """Removes what killed processes left behind and returns how many entries that were.

        An upload in progress is as young as its last chunk, so the default spares it.
        """
        return await self._in_thread(self._tree.sweep, older_than_s)

    async def sweep_daily(self, *, older_than_s: int = SCRATCH_AGE_S_MAX) -> None:
        """Sweeps now and then once a day, until it is cancelled."""
        while True:
            try:
                removed = await self.sweep(older_than_s=older_than_s)
            except TemporarilyUnavailable as error:
                log.warning("sweep failed", reason=error.message)
            else:
                log.debug("swept", removed=removed)
            await asyncio.sleep(24 * 3600)

    async def _in_thread(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """Runs the call and waits for its end even when cancelled.

        A thread cannot be stopped: left alone, it would go on using a file that the clean-up
        closes, whose descriptor may by then be another file's.
        """
        return await to_the_end(
            asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        )
