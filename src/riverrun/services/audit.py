"""The audit log: who did what, for those who must be able to tell."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from riverrun.auth.levels import Action
from riverrun.auth.viewer import Resource, Viewer
from riverrun.clock import new_run_id, now_ms
from riverrun.errors import TemporarilyUnavailable
from riverrun.obs.logs import REQUEST_ID, Log
from riverrun.store import audit as store
from riverrun.store.audit import Entry
from riverrun.store.engine import Engine, Tx

NOTES_MAX = 10_000
"""What may wait to be written; beyond that, what is lost is counted, and the count is written."""
GATHER_S = 0.1
DETAIL_LENGTH_MAX = 2_000
RESOURCE_LENGTH_MAX = 500
RETRY_AFTER_S = 1

ALLOWED = "allowed"
DENIED = "denied"

log = Log("riverrun.audit")


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, to what; the viewer and the request say by whom. Never a secret."""

    action: str
    resource: Resource | None = None
    detail: str = ""
    outcome: str = ALLOWED


class Audit:
    """A change is recorded in its own transaction (`record`); logins and denials, which change
    nothing else, a moment later and many at once (`note`).
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._notes: deque[Entry] = deque()
        self._lost = 0
        self._also: dict[object, Callable[[Tx], Awaitable[None]]] = {}
        self._noted = asyncio.Event()

    async def record(self, tx: Tx, event: Event, *, by: Viewer) -> None:
        await store.append(tx, [entry_of(event, by=by)])

    def note(self, event: Event, *, by: Viewer) -> None:
        if len(self._notes) >= NOTES_MAX:
            self._lost += 1
        else:
            self._notes.append(entry_of(event, by=by))
        self._noted.set()

    def denied(self, action: Action, why: str, *, by: Viewer) -> None:
        what = Resource(action.resource, "")
        self.note(Event("access", what, f"{action.level.name}: {why}", outcome=DENIED), by=by)

    def also(self, key: object, work: Callable[[Tx], Awaitable[None]]) -> None:
        """Something to write with the notes; the last one of each key counts."""
        self._also[key] = work
        self._noted.set()

    async def write_notes(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._noted.wait()
            await asyncio.sleep(GATHER_S)
            try:
                await self.flush()
            except TemporarilyUnavailable as error:
                log.warning("audit log waits for the database", reason=error.message)
                await asyncio.sleep(RETRY_AFTER_S)

    async def flush(self) -> None:
        """Writes what was noted so far."""
        self._noted.clear()
        entries, works, lost = list(self._notes), dict(self._also), self._lost
        if not entries and not works:
            return
        if lost:
            entries.append(_lost(lost))

        async def work(tx: Tx) -> None:
            await store.append(tx, entries)
            for each in works.values():
                await each(tx)

        try:
            await self._engine.write(work)
        except TemporarilyUnavailable:
            self._noted.set()
            raise
        for _ in range(len(entries) - bool(lost)):
            self._notes.popleft()
        self._lost -= lost
        for key, done in works.items():
            if self._also.get(key) is done:
                del self._also[key]


def entry_of(event: Event, *, by: Viewer) -> Entry:
    resource = event.resource
    return Entry(
        entry_id=new_run_id(),
        at_ms=now_ms(),
        workspace=by.workspace,
        actor=by.name[:255],
        action=event.action,
        outcome=event.outcome,
        resource_type=resource.kind if resource else "",
        resource=str(resource.key)[:RESOURCE_LENGTH_MAX] if resource else "",
        address=by.address,
        request_id=REQUEST_ID.get(),
        detail=event.detail[:DETAIL_LENGTH_MAX],
    )


def _lost(count: int) -> Entry:
    what = f"{count} entries were not written: they came faster than the database takes them"
    return Entry(new_run_id(), now_ms(), "", "", "audit.lost", ALLOWED, "", "", "", "", what)
