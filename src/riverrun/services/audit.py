"""The audit log: who did what, for those who must be able to tell."""

import asyncio
import re
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from time import monotonic

from riverrun.auth.levels import Action
from riverrun.auth.viewer import Resource, Viewer
from riverrun.clock import new_run_id
from riverrun.errors import InvalidParameterValue, TemporarilyUnavailable, TrackingError
from riverrun.obs.logs import Log
from riverrun.services import limits
from riverrun.store import audit as store
from riverrun.store.audit import Entry, Wanted, time_of
from riverrun.store.engine import ConflictError, Engine, Tx
from riverrun.store.paging import REAL, fingerprint, read_token, write_token

NOTES_MAX = 10_000
"""What may wait to be written; beyond that, what is lost is counted, and the count is written."""
NOTES_TOGETHER = 1_000
DENIALS_MAX = 100
"""Denials from one address in a minute that are written one by one; the others are counted. A flood
of wrong logins would fill the disk otherwise.
"""
DENIALS_S = 60
ADDRESSES_MAX = 10_000
GATHER_S = 0.1
STOP_S = 5
DETAIL_LENGTH_MAX = 2_000
RESOURCE_LENGTH_MAX = 500
RETRY_AFTER_S = 1
PAGE_AT_ONCE = 1_000
"""Entries that a stream of all of them reads at a time."""

ALLOWED = "allowed"
DENIED = "denied"

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

log = Log("riverrun.audit")


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, to what; the viewer says by whom. Never a secret."""

    action: str
    resource: Resource | None = None
    detail: str = ""
    outcome: str = ALLOWED


@dataclass(frozen=True, slots=True)
class AuditPage:
    entries: list[Entry]
    next_page_token: str | None


async def record(tx: Tx, event: Event, *, by: Viewer) -> None:
    """In the transaction of the change."""
    await store.append(tx, [entry_of(event, by=by)])


class Audit:
    """Logins and denials, which change nothing else, are written a moment later and many at once
    (`note`); changes by `record`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._notes: deque[Entry] = deque()
        self._lost = 0
        self._denials = Counter[str]()
        self._denials_since = 0.0
        self._also: dict[object, Callable[[Tx], Awaitable[None]]] = {}
        self._noted = asyncio.Event()
        self._flushing: asyncio.Task[None] | None = None

    async def write(self, event: Event, *, by: Viewer) -> None:
        """Before something that is in no transaction."""
        await self._engine.write(lambda tx: record(tx, event, by=by))

    def note(self, event: Event, *, by: Viewer) -> None:
        if event.outcome == DENIED and self._is_one_too_many(by.address):
            return
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

    async def page(
        self, wanted: Wanted, *, max_results: int | None, page_token: str, viewer: Viewer
    ) -> AuditPage:
        """The newest first; `wanted.before` is the token's to say. For admins."""
        viewer.require_admin()
        limit = limits.AUDIT_PAGE_DEFAULT if max_results is None else max_results
        if not 1 <= limit <= limits.AUDIT_PAGE_MAX:
            raise InvalidParameterValue(
                f"max_results must be between 1 and {limits.AUDIT_PAGE_MAX}. Got {limit}."
            )
        wanted = _here(wanted, viewer)
        query = fingerprint("audit", wanted)
        places = read_token(page_token, query, [None]).places
        before = places[0][1] if places and places[0][0] == REAL else None
        found = await self._read(wanted, before, limit + 1)
        shown = found[:limit]
        token = write_token(query, [(REAL, shown[-1].entry_id)]) if len(found) > limit else None
        return AuditPage(shown, token)

    def stream(self, wanted: Wanted, *, viewer: Viewer) -> AsyncGenerator[list[Entry]]:
        """All of them, some at a time, the newest first. For admins."""
        viewer.require_admin()
        return self._all(_here(wanted, viewer))

    async def _all(self, wanted: Wanted) -> AsyncGenerator[list[Entry]]:
        before: bytes | None = None
        while found := await self._read(wanted, before, PAGE_AT_ONCE):
            before = found[-1].entry_id
            yield found

    async def _read(self, wanted: Wanted, before: bytes | None, limit: int) -> list[Entry]:
        return await self._engine.read(
            lambda tx: store.page(tx, wanted, before=before, limit=limit)
        )

    # Notes ---------------------------------------------------------------------------------------

    async def write_notes(self) -> None:
        """Until it is cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(DENIALS_S):
                    await self._noted.wait()
            await asyncio.sleep(GATHER_S)
            if monotonic() - self._denials_since > DENIALS_S:
                self._count_denials()
            try:
                await self.flush()
            except TemporarilyUnavailable as error:
                log.warning("audit log waits for the database", reason=error.message)
                await asyncio.sleep(RETRY_AFTER_S)

    async def flush(self) -> None:
        """Writes what was noted so far. Raises TemporarilyUnavailable; all waits then."""
        while self._notes or self._also or self._lost:
            if self._flushing is None or self._flushing.done():
                self._flushing = asyncio.create_task(self._write_some())
            # Who is cancelled here leaves a write behind that others must not do again.
            await asyncio.shield(self._flushing)

    async def close(self) -> None:
        """Writes what waits, if the database can be had; otherwise the log tells what is lost."""
        self._count_denials()
        try:
            async with asyncio.timeout(STOP_S):
                await self.flush()
        except (TrackingError, TimeoutError):
            log.error("audit log not written", entries=len(self._notes) + self._lost)

    async def _write_some(self) -> None:
        self._noted.clear()
        entries = list(islice(self._notes, NOTES_TOGETHER))
        works, lost = dict(self._also), self._lost
        appended = [*entries, _lost(lost)] if lost else entries

        async def work(tx: Tx) -> None:
            await store.append(tx, appended)
            for each in works.values():
                await each(tx)

        try:
            await self._engine.write(work)
        except TemporarilyUnavailable:
            self._noted.set()
            raise
        except (TrackingError, ConflictError) as error:
            # What cannot be written must not keep back what comes after it.
            log.error("audit entries refused by the database", error=error, entries=len(entries))
            self._lost += len(entries)
        for _ in entries:
            self._notes.popleft()
        self._lost -= lost
        for key, done in works.items():
            if self._also.get(key) is done:
                del self._also[key]

    def _is_one_too_many(self, address: str) -> bool:
        now = monotonic()
        if now - self._denials_since > DENIALS_S or len(self._denials) > ADDRESSES_MAX:
            self._count_denials()
            self._denials_since = now
        self._denials[address] += 1
        return self._denials[address] > DENIALS_MAX

    def _count_denials(self) -> None:
        """Notes how many there were that were not noted."""
        for address, count in self._denials.items():
            if count > DENIALS_MAX and len(self._notes) < NOTES_MAX:
                self._notes.append(_uncounted(address, count - DENIALS_MAX))
        self._denials.clear()


def _here(wanted: Wanted, viewer: Viewer) -> Wanted:
    return replace(wanted, workspace=viewer.workspace) if viewer.is_confined else wanted


def entry_of(event: Event, *, by: Viewer) -> Entry:
    resource = event.resource
    entry_id = new_run_id()
    return Entry(
        entry_id=entry_id,
        at_ms=time_of(entry_id),
        workspace=by.workspace,
        actor=_text(by.name, 255),
        action=event.action,
        outcome=event.outcome,
        resource_type=resource.kind if resource else "",
        resource=_text(str(resource.key), RESOURCE_LENGTH_MAX) if resource else "",
        address=_text(by.address, 63),
        request_id=by.request_id,
        detail=_text(event.detail, DETAIL_LENGTH_MAX),
    )


def _text(given: str, length_max: int) -> str:
    """As every database takes it: strangers choose names."""
    return _UNPRINTABLE.sub("?", given[:length_max])


def _lost(count: int) -> Entry:
    what = f"{count} entries were not written: they came faster than the database takes them"
    viewer = Viewer("", "", all_powerful=False)
    return entry_of(Event("audit.lost", detail=what), by=viewer)


def _uncounted(address: str, count: int) -> Entry:
    what = f"{count} more denials from this address in a minute"
    viewer = Viewer("", "", all_powerful=False, address=address)
    return entry_of(Event("audit.denied", detail=what, outcome=DENIED), by=viewer)
