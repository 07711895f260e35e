"""What was deleted long enough ago goes for good: files, then rows, so that a later call finds what
an interrupted one left.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from riverrun.artifacts.contract import InvalidArtifactPath
from riverrun.artifacts.opened import NotServed, Place, Stores
from riverrun.auth.viewer import DEFAULT_WORKSPACE, Resource, Viewer
from riverrun.clock import now_ms
from riverrun.errors import (
    InvalidParameterValue,
    ResourceDoesNotExist,
    TemporarilyUnavailable,
    TrackingError,
)
from riverrun.obs.logs import Log
from riverrun.services import names
from riverrun.services.audit import Event, record
from riverrun.services.orphans import find_orphans
from riverrun.services.references import References, read_references
from riverrun.services.retention import RETENTION_TAG, Retention
from riverrun.services.storage import Size, measured
from riverrun.store import epochs, removal, workspaces
from riverrun.store.engine import Engine, Tx
from riverrun.store.removal import MODEL, REMOVING, RUN, Doomed, Due, ExperimentRow, Kind

AT_ONCE = 8
"""Runs that are removed at the same time: most of that is waiting for a store."""
READ_TOGETHER = 500
DEFAULT_EXPERIMENT = 0
DAILY_MS = 24 * 3_600_000
LOOK_EVERY_S = 3_600
FIRST_AFTER_S = 300
"""A server that has just started has better things to do."""
CLEANER = Viewer("", "", all_powerful=True)
"""For the record: nobody in particular, in no workspace."""
LAST_TIME = "retention.last_ms"
"""The epoch that says when a server last did its daily round."""

log = Log("riverrun.retention")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to go: everything that is due, or only what has these public ids; of all workspaces,
    or only of one.
    """

    retention: Retention = field(default_factory=Retention)
    run_ids: Sequence[str] = ()
    model_ids: Sequence[str] = ()
    experiment_ids: Sequence[str] = ()
    workspace: str = ""

    @property
    def names_something(self) -> bool:
        return bool(self.run_ids or self.model_ids or self.experiment_ids)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one thing, or would: it went, unless `kept` says why not; `note` says what
    else there is to know. An orphan's name is its path, and it has no experiment.
    """

    kind: str
    name: str
    experiment_id: int | None
    size: Size = field(default_factory=Size)
    kept: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """What is due in one experiment, and whether the experiment is."""

    experiment: ExperimentRow
    before_ms: int
    is_due: bool
    runs: int
    models: int

    def due(self, kind: Kind) -> Due:
        """With the experiment go all its logged models: they are not deleted with it, as its runs
        are.
        """
        whole = self.is_due and kind is MODEL
        return Due(kind, self.experiment.experiment_id, self.before_ms, whole=whole)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run or a logged model that may go if it was deleted before that time."""

    kind: Kind
    doomed: Doomed
    before_ms: int
    with_experiment: bool = False

    @property
    def name(self) -> str:
        return self.kind.public_id(self.doomed.key)


@dataclass(frozen=True, slots=True)
class Plan:
    named: Sequence[Candidate]
    shares: Sequence[Share]

    @property
    def count(self) -> int:
        """How many outcomes there will be, unless things change meanwhile."""
        inside = sum(share.runs + share.models + share.is_due for share in self.shares)
        return len(self.named) + inside


class Garbage:
    """Any number of these may work at the same time, in any number of processes."""

    def __init__(self, engine: Engine, stores: Stores) -> None:
        self._engine = engine
        self._stores = stores

    async def plan(self, asked: Asked) -> Plan:
        """Raises ResourceDoesNotExist and InvalidParameterValue for what is named and is not there,
        not deleted, or not for long enough.
        """
        await self._check_workspace(asked.workspace)
        named = [
            *[await self._named(RUN, names.run_key(each), asked) for each in asked.run_ids],
            *[await self._named(MODEL, names.model_key(each), asked) for each in asked.model_ids],
        ]
        if asked.names_something:
            keys = [names.experiment_key(each) for each in asked.experiment_ids]
            return Plan(named, [await self._named_share(key, asked) for key in keys])
        return Plan(named, [share async for share in self._shares(asked)])

    async def carry_out(self, plan: Plan, *, dry_run: bool) -> AsyncGenerator[Outcome]:
        """Does what is planned, or with `dry_run` only says what would become of it.

        Raises TemporarilyUnavailable when a store or the database is out of reach: what is not done
        by then is done by the next call.
        """
        if not plan.count:
            return
        remover = _Remover(
            self._engine, self._stores, await read_references(self._engine), dry_run=dry_run
        )
        for part in _parts(plan.named):
            for outcome in await _together(map(remover.remove, part)):
                yield outcome
        for share in plan.shares:
            gone = 0
            for kind in (RUN, MODEL):
                async for candidates in self._candidates(share, kind):
                    for outcome in await _together(map(remover.remove, candidates)):
                        gone += not outcome.kept
                        yield outcome
            if share.is_due:
                yield await remover.remove_experiment(share, gone if dry_run else 0)

    async def orphans(self, *, dry_run: bool) -> AsyncGenerator[Outcome]:
        """Files of runs, logged models and experiments that are no more, nobody needs, and that
        have lain there for a day. Raises as `carry_out`.
        """
        references = await read_references(self._engine)
        async for orphan in find_orphans(self._engine, self._stores, references):
            if not dry_run:
                await orphan.place.store.delete(orphan.place.path)
            yield Outcome("orphan", orphan.place.path, None, orphan.size)

    async def collect_daily(
        self, retention: Retention, *, first_after_s: float = FIRST_AFTER_S
    ) -> None:
        """Once a day, whichever of the servers on the database comes first, until cancelled."""
        await asyncio.sleep(first_after_s)
        while True:
            try:
                await self.collect_if_due(retention)
            except TrackingError as error:
                log.warning("retention failed", reason=error.message)
            await asyncio.sleep(LOOK_EVERY_S)

    async def collect_if_due(self, retention: Retention) -> bool:
        """Whether the last time was a day ago, and no other server was first to find so."""

        async def work(tx: Tx) -> bool:
            now = now_ms()
            await epochs.raise_to(tx, LAST_TIME, 0)  # Holds it: the next one sees what we leave.
            if await epochs.current(tx, LAST_TIME) > now - DAILY_MS:
                return False
            await epochs.raise_to(tx, LAST_TIME, now)
            return True

        if not await self._engine.write(work):
            return False
        gone = kept = 0
        size = Size()
        plan = await self.plan(Asked(retention))
        async for outcome in self.carry_out(plan, dry_run=False):
            gone += not outcome.kept
            kept += bool(outcome.kept)
            size += outcome.size
            log.debug("collected", what=outcome.kind, name=outcome.name, kept=outcome.kept)
        log.info("retention", removed=gone, kept=kept, files=size.files, bytes=size.size_bytes)
        return True

    # What may go ---------------------------------------------------------------------------------

    async def _named(self, kind: Kind, key: bytes, asked: Asked) -> Candidate:
        doomed = await self._engine.read(lambda tx: removal.find(tx, kind, key))
        shown = f"{kind.name.capitalize()} {kind.public_id(key)}"
        if doomed is None:
            raise ResourceDoesNotExist(f"{shown} not found")
        experiment = await self._experiment(doomed.experiment_id, asked)
        before_ms = _before(asked, experiment)
        if doomed.stage not in {"deleted", REMOVING}:
            raise InvalidParameterValue(f"{shown} is not deleted, and only what is deleted can go.")
        if doomed.stage == "deleted" and doomed.deleted_ms > before_ms:
            raise InvalidParameterValue(f"{shown} was not deleted long enough ago.")
        return Candidate(kind, doomed, before_ms)

    async def _named_share(self, experiment_id: int, asked: Asked) -> Share:
        experiment = await self._experiment(experiment_id, asked)
        if experiment.stage != "deleted":
            raise InvalidParameterValue(
                f"Experiment {experiment_id} is not deleted, and only what is deleted can go."
            )
        share = await self._share(experiment, asked)
        if not share.is_due:
            raise InvalidParameterValue(
                f"Experiment {experiment_id} was not deleted long enough ago."
            )
        return share

    async def _check_workspace(self, name: str) -> None:
        if name in {"", DEFAULT_WORKSPACE}:
            return
        known = await self._engine.read(workspaces.all_workspaces)
        if name not in {each.name for each in known}:
            raise names.workspace_not_found(name)

    async def _experiment(self, experiment_id: int, asked: Asked) -> ExperimentRow:
        found = await self._engine.read(
            lambda tx: removal.experiment(tx, experiment_id, retention_tag=RETENTION_TAG)
        )
        if found is None or asked.workspace not in {"", found.workspace}:
            raise ResourceDoesNotExist(f"No Experiment with id={experiment_id} exists")
        return found

    async def _shares(self, asked: Asked) -> AsyncGenerator[Share]:
        after = -1
        while True:
            page = await self._engine.read(
                lambda tx, after=after: removal.experiments(
                    tx, retention_tag=RETENTION_TAG, after=after, limit=READ_TOGETHER
                )
            )
            if not page:
                return
            first, after = page[0].experiment_id, page[-1].experiment_id
            deleted = await self._engine.read(
                lambda tx, first=first, last=after: removal.experiments_with_deleted(
                    tx, first, last
                )
            )
            for experiment in page:
                if asked.workspace not in {"", experiment.workspace}:
                    continue
                if experiment.stage == "deleted" or experiment.experiment_id in deleted:
                    share = await self._share(experiment, asked)
                    if share.is_due or share.runs or share.models:
                        yield share

    async def _share(self, experiment: ExperimentRow, asked: Asked) -> Share:
        before_ms = _before(asked, experiment)
        is_due = experiment.stage == "deleted" and experiment.updated_ms <= before_ms
        share = Share(experiment, before_ms, is_due, runs=0, models=0)

        async def work(tx: Tx) -> tuple[int, int]:
            return (
                await removal.count_due(tx, share.due(RUN)),
                await removal.count_due(tx, share.due(MODEL)),
            )

        runs, models = await self._engine.read(work)
        return Share(experiment, before_ms, is_due, runs, models)

    async def _candidates(self, share: Share, kind: Kind) -> AsyncGenerator[list[Candidate]]:
        """Some at a time."""
        after: Doomed | None = None
        while True:
            page = await self._engine.read(
                lambda tx, after=after: removal.page_due(
                    tx, share.due(kind), after=after, limit=READ_TOGETHER
                )
            )
            if not page:
                return
            after = page[-1]
            for part in _parts(page):
                yield [Candidate(kind, each, share.before_ms, share.is_due) for each in part]


class _Remover:
    def __init__(
        self, engine: Engine, stores: Stores, references: References, *, dry_run: bool
    ) -> None:
        self._engine = engine
        self._stores = stores
        self._references = references
        self._dry_run = dry_run

    async def remove(self, candidate: Candidate) -> Outcome:
        doomed, size, note = candidate.doomed, Size(), ""
        kept = self._references.reason(doomed.key)
        if not kept:
            place, kept = self._folder_of(candidate)
            if place is not None:
                size = await measured(place)
            elif not kept:
                note = f"its files at '{doomed.artifact_uri}' are not this server's"
            if not kept and not self._dry_run:
                kept = await self._remove(candidate, place)
        return Outcome(candidate.kind.name, candidate.name, doomed.experiment_id, size, kept, note)

    async def _remove(self, candidate: Candidate, place: Place | None) -> str:
        """Why it stays after all; empty when it is gone."""
        kept = await self._mark(candidate)
        if not kept:
            if place is not None:
                await place.store.delete(place.path)
            await self._delete_rows(candidate)
        return kept

    def _folder_of(self, candidate: Candidate) -> tuple[Place | None, str]:
        """The folder that bears its id: one that does not may be anybody's. None also for a place
        that is not this server's. And why it must stay, if its files could not go with it.
        """
        try:
            place = self._stores.place(candidate.doomed.artifact_uri)
        except (NotServed, InvalidArtifactPath):
            return None, ""
        except TemporarilyUnavailable as error:
            return None, error.message
        above, found, _ = f"/{place.path}/".rpartition(f"/{candidate.name}/")
        if not found:
            return None, ""
        return Place(place.store, f"{above}/{candidate.name}".lstrip("/")), ""

    async def _mark(self, candidate: Candidate) -> str:
        """Why it stays after all; empty when from now on nobody can restore it."""
        kind, key = candidate.kind, candidate.doomed.key
        # A logged model need not be deleted itself to go with its experiment.
        goes_along = candidate.with_experiment and kind is MODEL

        async def work(tx: Tx) -> str:
            if goes_along:
                experiment = await removal.take_experiment(tx, candidate.doomed.experiment_id)
                if experiment is None or experiment.stage != "deleted":
                    return "its experiment was restored"
            state = await removal.take(tx, kind, key)
            if state is None:
                return "somebody else removed it"
            if state.stage == REMOVING:
                return ""
            is_due = state.stage == "deleted" and state.deleted_ms <= candidate.before_ms
            if not is_due and not goes_along:
                return "it was restored"
            reason = await self._references.reason_since(tx, key)
            if not reason:
                await removal.mark(tx, kind, key)
            return reason

        return await self._engine.write(work, key=b"" if goes_along else key)

    async def _delete_rows(self, candidate: Candidate) -> None:
        kind, key = candidate.kind, candidate.doomed.key

        async def work(tx: Tx) -> bool:
            state = await removal.take(tx, kind, key)
            if state is None or state.stage != REMOVING:
                return False
            if await removal.delete_some(tx, kind, key):
                return True
            await removal.delete(tx, kind, key)
            where = f"experiment {candidate.doomed.experiment_id}"
            await record(tx, _removed(kind.name, candidate.name, where), by=CLEANER)
            return False

        while await self._engine.write(work, key=key):
            pass

    async def remove_experiment(self, share: Share, gone: int) -> Outcome:
        """`gone` are its runs and logged models that would be, but are still there."""
        experiment_id = share.experiment.experiment_id

        async def work(tx: Tx) -> str:
            state = await removal.take_experiment(tx, experiment_id, hold=not self._dry_run)
            if state is None:
                return "somebody else removed it"
            if state.stage != "deleted" or state.deleted_ms > share.before_ms:
                return "it was restored"
            left = await removal.left_in(tx, experiment_id) - gone
            if left:
                return f"{left} of its runs and logged models stay"
            if experiment_id == DEFAULT_EXPERIMENT:
                return "clients use it where nothing else is set"
            if not self._dry_run:
                await removal.delete_experiment(tx, experiment_id)
                event = _removed("experiment", str(experiment_id), "")
                await record(tx, event, by=CLEANER)
            return ""

        transaction = self._engine.read if self._dry_run else self._engine.write
        return Outcome(
            "experiment", str(experiment_id), experiment_id, kept=await transaction(work)
        )


def _removed(kind: str, name: str, where: str) -> Event:
    kind = kind.replace(" ", "_")
    return Event(f"{kind}.remove", Resource(kind, name), where)


def _before(asked: Asked, experiment: ExperimentRow) -> int:
    """What was deleted at that time or earlier may go, in milliseconds since the epoch."""
    return now_ms() - asked.retention.of(experiment.retention)


def _parts(all_of_them: Sequence[T]) -> Iterable[Sequence[T]]:
    return (all_of_them[start : start + AT_ONCE] for start in range(0, len(all_of_them), AT_ONCE))


async def _together(works: Iterable[Awaitable[T]]) -> list[T]:
    """All results, once all works have ended; the first error, if one has failed."""
    results = await asyncio.gather(*works, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
