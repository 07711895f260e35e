"""Runs as JSON: stored documents where they are up to date, assembled ones where they are not.

What was assembled is stored afterwards, in the background, unless the run is still being written
to: then the document would be out of date at once.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

from riverrun.auth.levels import Level
from riverrun.auth.viewer import Viewer
from riverrun.clock import now_ms
from riverrun.errors import TrackingError
from riverrun.obs.logs import Log
from riverrun.services import names
from riverrun.services.active import require_on_run
from riverrun.store import documents as store
from riverrun.store import runs
from riverrun.store.documents import Assembled
from riverrun.store.engine import Engine, Tx
from riverrun.wire.codec import encode

QUIET_MS = 500
"""A running run counts as being written to for so long after its last write."""
PENDING_BYTES_MAX = 16 * 1024 * 1024
"""Documents waiting to be stored; what comes on top is assembled again next time."""
STORED_TOGETHER = 100
"""Documents in one unit of work, so that a write behind it waits a few milliseconds at most."""
STREAMED_TOGETHER = 500

log = Log("riverrun.documents")

Built = dict[bytes, tuple[int, bytes]]
"""Documents worth storing, by run, with the version that they were built from."""


class Documents:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pending: Built = {}
        self._pending_bytes = 0
        self._storing: asyncio.Task[None] | None = None

    async def get(self, run_id: bytes, *, viewer: Viewer) -> bytes:
        found = await self._engine.glance(lambda tx: store.stored(tx, run_id))
        if found is None:
            raise names.run_not_found(run_id.hex())
        experiment_id, document = found
        require_on_run(viewer, Level.READ, run_id.hex(), experiment_id)
        if document is not None:
            return document
        documents, built = await self._engine.read(lambda tx: _assembled(tx, [run_id]))
        self.keep(built)
        if run_id not in documents:
            raise names.run_not_found(run_id.hex())
        return documents[run_id]

    async def of(self, tx: Tx, versions: Mapping[bytes, int]) -> tuple[list[bytes], Built]:
        """The documents of these runs, in order, within the snapshot that gave their versions.

        Pass what was built to `keep`.
        """
        documents = await store.stored_many(tx, versions)
        absent = [run_id for run_id in versions if run_id not in documents]
        built: Built = {}
        if absent:
            fresh, built = await _assembled(tx, absent)
            documents.update(fresh)
        return [documents[run_id] for run_id in versions if run_id in documents], built

    async def stream(self, run_ids: Sequence[bytes]) -> AsyncGenerator[list[bytes]]:
        """The documents of many runs, some hundred at a time, each part as of its own moment."""
        for start in range(0, len(run_ids), STREAMED_TOGETHER):
            part = run_ids[start : start + STREAMED_TOGETHER]

            async def work(tx: Tx, part: Sequence[bytes] = part) -> tuple[list[bytes], Built]:
                return await self.of(tx, await runs.versions(tx, part))

            documents, built = await self._engine.read(work)
            self.keep(built)
            yield documents

    def keep(self, built: Built) -> None:
        """Stores documents soon, after the answer that they were built for."""
        if built and self._pending_bytes < PENDING_BYTES_MAX:
            self._pending.update(built)
            self._pending_bytes += sum(len(document) for _, document in built.values())
            if self._storing is None or self._storing.done():
                self._storing = asyncio.create_task(self._store())

    async def _store(self) -> None:
        while self._pending:
            count = min(STORED_TOGETHER, len(self._pending))
            some = [self._pending.popitem() for _ in range(count)]
            self._pending_bytes -= sum(len(document) for _, (_, document) in some)

            async def work(tx: Tx, some: list[tuple[bytes, tuple[int, bytes]]] = some) -> None:
                for run_id, (version, document) in sorted(some):
                    await store.store(tx, run_id, version, document)

            try:
                await self._engine.write(work)
            except TrackingError as error:
                log.warning("documents not stored", reason=error.message)
                break
        self._pending.clear()
        self._pending_bytes = 0


async def _assembled(tx: Tx, run_ids: Sequence[bytes]) -> tuple[dict[bytes, bytes], Built]:
    """Documents built now, and those of them that are worth storing."""
    assembled = await store.assemble(tx, run_ids)
    documents = {run_id: encode(each.run) for run_id, each in assembled.items()}
    quiet_since = now_ms() - QUIET_MS
    built = {
        run_id: (each.version, documents[run_id])
        for run_id, each in assembled.items()
        if _is_worth_storing(each, quiet_since)
    }
    return documents, built


def _is_worth_storing(assembled: Assembled, quiet_since_ms: int) -> bool:
    """A document must not come back after its deleted run was removed for good."""
    info = assembled.run.info
    is_quiet = info.status != "RUNNING" or assembled.written_at < quiet_since_ms
    return is_quiet and info.lifecycle_stage == "active"
