from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from riverrun.artifacts.resolve import join_uri
from riverrun.auth.levels import Level
from riverrun.auth.viewer import Resource, Viewer
from riverrun.clock import new_run_id, now_ms
from riverrun.entities.runs import Run, RunData, RunInfo, RunInputs, RunTag
from riverrun.errors import InvalidParameterValue
from riverrun.search import parse_filter, parse_order_by
from riverrun.search.fields import RUNS
from riverrun.services import events, limits, names
from riverrun.services.active import (
    require_active,
    require_active_experiment,
    require_on_run,
    take_active,
)
from riverrun.services.audit import Event, record
from riverrun.services.compaction import Compactor
from riverrun.services.documents import Built, Documents
from riverrun.services.key_names import KeyNames
from riverrun.services.outbox import Outbox
from riverrun.services.run_names import random_run_name
from riverrun.services.values import ValueRules
from riverrun.store import run_data, run_search
from riverrun.store import runs as store
from riverrun.store.engine import Engine, Tx
from riverrun.store.filters import View, key_names
from riverrun.store.removal import REMOVING

ENDED = frozenset({"FINISHED", "FAILED", "KILLED"})
STREAM_ABOVE = 2_000
"""Runs in a page above which the answer is streamed, so that its size does not live in memory."""


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a client says of a run that it creates."""

    experiment_id: str
    user_id: str
    name: str
    start_time: int
    tags: Sequence[tuple[str | None, str | None]]


@dataclass(frozen=True, slots=True)
class RunChange:
    """What an update changes; None leaves as it is, an empty name too; an end time of 0 is none."""

    status: str | None
    end_time: int | None
    name: str | None


@dataclass(frozen=True, slots=True)
class RunQuery:
    """What a search asks for; `view` is ACTIVE_ONLY, DELETED_ONLY or ALL."""

    experiment_ids: Sequence[str]
    filter: str
    view: str
    max_results: int | None
    order_by: Sequence[str]
    page_token: str | None


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs as JSON documents, in parts."""

    documents: AsyncIterator[list[bytes]] | list[bytes]
    next_page_token: str | None


class Runs:
    def __init__(
        self,
        engine: Engine,
        outbox: Outbox,
        *,
        key_names: KeyNames,
        compactor: Compactor,
        values: ValueRules,
    ) -> None:
        self._engine = engine
        self._outbox = outbox
        self._key_names = key_names
        self._compactor = compactor
        self._values = values
        self._documents = Documents(engine)

    async def create(self, new: NewRun, *, viewer: Viewer) -> Run:
        """The experiment must exist and be active. Every run gets a name, which its tag repeats."""
        experiment_id = names.experiment_key(new.experiment_id or "0")
        names.check_length(new.user_id, limits.USER_ID_LENGTH_MAX, "user_id")
        if len(new.tags) > limits.TAGS_PER_CREATE_MAX:
            raise InvalidParameterValue(
                f"A run can be created with at most {limits.TAGS_PER_CREATE_MAX} tags. "
                f"Got {len(new.tags)}."
            )
        tags = self._values.tags_of_new_run(new.tags)
        name = _name_of(new.name, tags)
        tags[names.RUN_NAME_TAG] = name
        viewer.require(Level.EDIT, experiment_id)
        ids = await self._key_names.create(tags)
        run_id, at_ms = new_run_id(), now_ms()
        by = viewer.name or new.user_id

        async def work(tx: Tx) -> str:
            experiment = await require_active_experiment(tx, experiment_id, viewer)
            uri = join_uri(experiment.artifact_location, run_id.hex(), "artifacts")
            await store.insert(
                tx,
                store.NewRun(
                    run_id=run_id,
                    experiment_id=experiment_id,
                    name=name,
                    user_id=new.user_id,
                    start_time=new.start_time,
                    artifact_uri=uri,
                    created_by=by,
                    at_ms=at_ms,
                ),
            )
            values = {ids[key]: value for key, value in tags.items()}
            await run_data.set_tags(tx, run_id, experiment_id, values, by=by)
            return uri

        uri = await self._engine.write(work, key=run_id)
        return Run(
            info=RunInfo(
                run_id=run_id.hex(),
                run_uuid=run_id.hex(),
                run_name=name,
                experiment_id=str(experiment_id),
                user_id=new.user_id,
                status="RUNNING",
                start_time=new.start_time,
                artifact_uri=uri,
                lifecycle_stage="active",
            ),
            data=RunData(tags=[RunTag(key, value) for key, value in tags.items()]),
            inputs=RunInputs(),
        )

    async def get(self, run_id: str, *, viewer: Viewer) -> bytes:
        """The run as JSON, deleted ones too."""
        return await self._documents.get(names.run_key(run_id), viewer=viewer)

    async def artifact_uri(self, run_id: str, *, viewer: Viewer, level: Level) -> str:
        key = names.run_key(run_id)
        info = await self._engine.glance(lambda tx: store.info(tx, key))
        if info is None:
            raise names.run_not_found(run_id)
        require_on_run(viewer, level, run_id, int(info.experiment_id))
        return info.artifact_uri

    async def update(self, run_id: str, change: RunChange, *, viewer: Viewer) -> RunInfo:
        """Any status may follow any other; the end time stays unless one is given. A run that
        becomes FINISHED, FAILED or KILLED is an event.
        """
        key, at_ms = names.run_key(run_id), now_ms()
        if change.name:
            names.check_length(change.name, limits.RUN_NAME_LENGTH_MAX, "run_name")
        ids = await self._key_names.create(
            [names.RUN_NAME_TAG],
            allowed=lambda: self._engine.glance(lambda tx: require_active(tx, key, viewer)),
        )

        async def work(tx: Tx) -> RunInfo:
            state = await take_active(tx, key, viewer)
            if change.status is not None:
                await store.set_status(tx, key, change.status)
            if change.end_time is not None:
                await store.set_end_time(tx, key, change.end_time or None)
            if change.name:
                await store.set_name(tx, key, change.name)
                tag = {ids[names.RUN_NAME_TAG]: change.name}
                await run_data.set_tags(tx, key, state.experiment_id, tag, by=viewer.name)
            await store.touch(tx, key, by=viewer.name, at_ms=at_ms)
            info = await store.info(tx, key)
            if info is None:
                raise names.run_not_found(run_id)
            if info.status in ENDED and info.status != state.status:
                event = events.run_ended(info)
                await self._outbox.add(tx, event, workspace=viewer.workspace, at_ms=at_ms)
            return info

        info = await self._engine.write(work, key=key)
        if info.status in ENDED:
            self._outbox.wake()
            self._compactor.ended(key)
        return info

    async def delete(self, run_id: str, *, viewer: Viewer) -> None:
        """Deleting it again is no error: clients retry, and the first time of deletion stands."""
        await self._move(run_id, viewer, target="deleted")

    async def restore(self, run_id: str, *, viewer: Viewer) -> None:
        await self._move(run_id, viewer, target="active")

    async def _move(self, run_id: str, viewer: Viewer, *, target: str) -> None:
        key, at_ms = names.run_key(run_id), now_ms()

        async def work(tx: Tx) -> None:
            state = await store.take(tx, key)
            if state is None:
                raise names.run_not_found(run_id)
            require_on_run(viewer, Level.MANAGE, run_id, state.experiment_id)
            if state.lifecycle_stage == REMOVING:
                raise names.run_not_found(run_id)
            if state.lifecycle_stage == target:
                return
            deleted_time = at_ms if target == "deleted" else None
            await store.set_lifecycle(tx, key, target, deleted_time=deleted_time)
            await store.touch(tx, key, by=viewer.name, at_ms=at_ms)
            action = "run.delete" if target == "deleted" else "run.restore"
            event = Event(action, Resource("run", run_id), f"experiment {state.experiment_id}")
            await record(tx, event, by=viewer)

        await self._engine.write(work, key=key)

    async def search(self, query: RunQuery, *, viewer: Viewer) -> RunPage:
        """No experiments, no runs; unknown experiments are ignored."""
        limit = limits.RUNS_PAGE_DEFAULT if query.max_results is None else query.max_results
        if not 1 <= limit <= limits.RUNS_PAGE_MAX:
            raise InvalidParameterValue(
                f"Invalid value {limit} for parameter 'max_results' supplied: it must be at least "
                f"1 and at most {limits.RUNS_PAGE_MAX}."
            )
        if len(query.experiment_ids) > limits.EXPERIMENTS_PER_SEARCH_MAX:
            raise InvalidParameterValue(
                f"A search takes at most {limits.EXPERIMENTS_PER_SEARCH_MAX} experiment ids. "
                f"Got {len(query.experiment_ids)}."
            )
        experiments = [names.experiment_key(each) for each in query.experiment_ids]
        tree = parse_filter(query.filter, RUNS)
        order = parse_order_by(query.order_by, RUNS)
        search = run_search.RunQuery(
            experiment_ids=viewer.readable(experiments),
            filter=tree,
            order_by=order,
            view=View(query.view),
            max_results=limit,
            keys=await self._key_names.find(key_names(tree, order)),
            page_token=query.page_token or "",
        )
        if limit > STREAM_ABOVE:
            page = await self._engine.read(lambda tx: self._found(tx, search))
            ids = [run.run_id for run in page.runs]
            return RunPage(self._documents.stream(ids), page.next_page_token)
        page, documents, built = await self._engine.read(lambda tx: self._page(tx, search))
        self._documents.keep(built)
        return RunPage(documents, page.next_page_token)

    async def _found(self, tx: Tx, query: run_search.RunQuery) -> run_search.RunPage:
        return await run_search.search(tx, query)

    async def _page(
        self, tx: Tx, query: run_search.RunQuery
    ) -> tuple[run_search.RunPage, list[bytes], Built]:
        """The runs and their documents in one snapshot."""
        page = await self._found(tx, query)
        documents, built = await self._documents.of(
            tx, {run.run_id: run.version for run in page.runs}
        )
        return page, documents, built


def _name_of(given: str, tags: dict[str, str]) -> str:
    tagged = tags.get(names.RUN_NAME_TAG, "")
    if given and tagged and given != tagged:
        raise InvalidParameterValue(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different "
            f"values (run_name='{given[:100]}', mlflow.runName='{tagged[:100]}')."
        )
    name = given or tagged or random_run_name()
    return names.check_length(name, limits.RUN_NAME_LENGTH_MAX, "run_name")
