from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from riverrun.artifacts.resolve import join_uri, validate_artifact_location
from riverrun.auth.levels import Level
from riverrun.auth.viewer import DEFAULT_WORKSPACE, EXPERIMENT, Resource, Viewer
from riverrun.clock import now_ms
from riverrun.entities.datasets import DatasetSummary
from riverrun.entities.experiments import Experiment
from riverrun.entities.workspaces import Workspace
from riverrun.errors import (
    InvalidParameterValue,
    InvalidState,
    NoSuchResource,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
)
from riverrun.search import parse_filter, parse_order_by
from riverrun.search.fields import EXPERIMENTS
from riverrun.services import limits, names
from riverrun.services.access.permissions import (
    ACCESS_EPOCH,
    grant_to_creator,
    readable_experiments,
)
from riverrun.services.active import take_workspace
from riverrun.services.audit import Event, record
from riverrun.services.retention import check_retention_tag
from riverrun.store import datasets, epochs, experiment_search
from riverrun.store import experiments as store
from riverrun.store.change import Change
from riverrun.store.engine import ConflictError, Engine, Tx
from riverrun.store.experiments import ExperimentState, NewExperiment
from riverrun.store.filters import View


@dataclass(frozen=True, slots=True)
class ArtifactRules:
    """Where new experiments keep their artifacts, and which locations a client may choose."""

    root: str
    location_length_max: int
    allowed_schemes: tuple[str, ...]
    own_roots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExperimentPage:
    experiments: list[Experiment]
    next_page_token: str | None


@dataclass(frozen=True, slots=True)
class ExperimentQuery:
    """What a search asks for; `view` is ACTIVE_ONLY, DELETED_ONLY or ALL."""

    filter: str
    order_by: Sequence[str]
    view: str
    max_results: int | None
    page_token: str | None


class Experiments:
    def __init__(self, engine: Engine, artifacts: ArtifactRules) -> None:
        self._engine = engine
        self._artifacts = artifacts

    async def ensure_default(self) -> None:
        """Experiment 0 exists from the first start on: clients create runs in it when nothing is
        set.
        """

        async def work(tx: Tx) -> None:
            if await store.find(tx, 0, workspace=DEFAULT_WORKSPACE) is None:
                await self._insert(
                    tx, 0, _new(everybody="", name="Default"), Workspace(DEFAULT_WORKSPACE)
                )

        await self._engine.write(work)

    async def create(
        self,
        name: str,
        *,
        artifact_location: str,
        tags: Sequence[tuple[str, str]],
        viewer: Viewer,
    ) -> str:
        """The id of a new experiment. Names are unique per workspace, those of deleted ones too."""
        viewer.require(Level.EDIT, None)
        names.check_experiment_name(name)
        if artifact_location:
            if viewer.is_confined:  # It could be among the files of another workspace.
                raise InvalidParameterValue(
                    "artifact_location cannot be specified when workspaces are enabled"
                )
            self._check_location(artifact_location)
        if len(tags) > limits.TAGS_PER_CREATE_MAX:
            raise InvalidParameterValue(
                f"An experiment can be created with at most {limits.TAGS_PER_CREATE_MAX} tags. "
                f"Got {len(tags)}."
            )
        checked = dict(_checked_tag(key, value) for key, value in tags)
        new = NewExperiment(
            workspace=viewer.workspace,
            name=name,
            artifact_location=artifact_location,
            created_by=viewer.name,
            at_ms=now_ms(),
        )

        async def work(tx: Tx) -> int:
            workspace = await take_workspace(tx, viewer)
            if await store.find_by_name(tx, name, workspace=viewer.workspace) is not None:
                raise _already_exists(name)
            experiment_id = await store.next_id(tx)
            await self._insert(tx, experiment_id, new, workspace)
            for key, value in checked.items():
                await store.set_tag(tx, experiment_id, key, value, by=viewer.name)
            await grant_to_creator(tx, Resource(EXPERIMENT, experiment_id), viewer)
            return experiment_id

        experiment_id = await self._engine.write(work)
        viewer.rights.forget(Resource(EXPERIMENT, experiment_id))
        return str(experiment_id)

    async def _insert(
        self, tx: Tx, experiment_id: int, new: NewExperiment, workspace: Workspace
    ) -> None:
        location = new.artifact_location or join_uri(self._root_of(workspace), str(experiment_id))
        await store.insert(
            tx,
            experiment_id,
            NewExperiment(new.workspace, new.name, location, new.created_by, new.at_ms),
        )

    def _root_of(self, workspace: Workspace) -> str:
        if workspace.default_artifact_root:
            return workspace.default_artifact_root
        if workspace.name == DEFAULT_WORKSPACE:
            return self._artifacts.root
        return join_uri(self._artifacts.root, names.WORKSPACES_FOLDER, workspace.name)

    def _check_location(self, location: str) -> None:
        validate_artifact_location(
            location,
            allowed_schemes=self._artifacts.allowed_schemes,
            own_roots=self._artifacts.own_roots,
            length_max=self._artifacts.location_length_max,
        )

    async def get(self, experiment_id: str, *, viewer: Viewer) -> Experiment:
        """Deleted experiments too."""
        key = names.experiment_key(experiment_id)
        experiment = await self._engine.glance(
            lambda tx: store.find(tx, key, workspace=viewer.workspace)
        )
        viewer.require(Level.READ, key)
        if experiment is None:
            raise _not_found(experiment_id)
        return experiment

    async def get_by_name(self, name: str, *, viewer: Viewer) -> Experiment:
        """Deleted experiments too."""
        experiment = await self._engine.glance(
            lambda tx: store.find_by_name(tx, name, workspace=viewer.workspace)
        )
        if experiment is None:
            raise ResourceDoesNotExist(f"Could not find experiment with name '{name}'")
        viewer.require(Level.READ, int(experiment.experiment_id))
        return experiment

    async def search(self, query: ExperimentQuery, *, viewer: Viewer) -> ExperimentPage:
        """`max_results` must be given, as upstream has it."""
        limit = query.max_results or 0
        if not 1 <= limit <= limits.EXPERIMENTS_PAGE_MAX:
            raise InvalidParameterValue(
                f"Invalid value {limit} for parameter 'max_results' supplied: it must be a "
                f"positive integer of at most {limits.EXPERIMENTS_PAGE_MAX}."
            )
        search = partial(
            experiment_search.ExperimentQuery,
            workspace=viewer.workspace,
            filter=parse_filter(query.filter, EXPERIMENTS),
            order_by=parse_order_by(query.order_by, EXPERIMENTS),
            view=View(query.view),
            max_results=limit,
            page_token=query.page_token or "",
        )

        async def work(tx: Tx) -> ExperimentPage:
            seen = await readable_experiments(tx, viewer)
            page = await experiment_search.search(tx, search(seen=seen))
            return ExperimentPage(
                await store.find_all(tx, list(page.experiment_ids)), page.next_page_token
            )

        return await self._engine.read(work)

    async def rename(self, experiment_id: str, name: str, *, viewer: Viewer) -> None:
        key = names.experiment_key(experiment_id)
        names.check_experiment_name(name)
        change = Change(by=viewer.name, at_ms=now_ms())

        async def work(tx: Tx) -> None:
            experiment = await _take(tx, key, Level.EDIT, viewer)
            if experiment.lifecycle_stage != "active":
                raise InvalidState("Cannot rename a non-active experiment.")
            await store.rename(tx, key, name, change)
            await epochs.bump(tx, ACCESS_EPOCH)  # Another pattern may match it now.

        try:
            await self._engine.write(work)
        except ConflictError:
            raise _already_exists(name) from None

    async def delete(self, experiment_id: str, *, viewer: Viewer) -> None:
        """Deletes its runs with it. Only from active: a second deletion finds nothing.

        On a networked database a run that somebody creates at that moment may stay active: its
        creation does not hold the experiment, which all its runs would then wait for.
        """
        await self._move(experiment_id, viewer, origin="active", target="deleted")

    async def restore(self, experiment_id: str, *, viewer: Viewer) -> None:
        """Restores all its runs with it, those that were deleted one by one before included."""
        await self._move(experiment_id, viewer, origin="deleted", target="active")

    async def _move(self, experiment_id: str, viewer: Viewer, *, origin: str, target: str) -> None:
        key = names.experiment_key(experiment_id)
        change = Change(by=viewer.name, at_ms=now_ms())

        async def work(tx: Tx) -> None:
            experiment = await _take(tx, key, Level.MANAGE, viewer)
            if experiment.lifecycle_stage != origin:
                raise ResourceDoesNotExist(_not_found(experiment_id).message)
            await store.set_lifecycle(tx, key, target, change)
            action = "experiment.delete" if target == "deleted" else "experiment.restore"
            await record(tx, Event(action, Resource(EXPERIMENT, key)), by=viewer)

        await self._engine.write(work)

    async def set_tag(self, experiment_id: str, key: str, value: str, *, viewer: Viewer) -> None:
        number = names.experiment_key(experiment_id)
        _checked_tag(key, value)

        async def work(tx: Tx) -> None:
            await _take_active(tx, number, viewer)
            await store.set_tag(tx, number, key, value, by=viewer.name)

        await self._engine.write(work)

    async def delete_tag(self, experiment_id: str, key: str, *, viewer: Viewer) -> None:
        number = names.experiment_key(experiment_id)

        async def work(tx: Tx) -> None:
            await _take_active(tx, number, viewer)
            if not await store.delete_tag(tx, number, key):
                raise ResourceDoesNotExist(
                    f"No tag with name: {key} in experiment with id {experiment_id}"
                )

        await self._engine.write(work)

    async def search_datasets(
        self, experiment_ids: Sequence[str], *, viewer: Viewer
    ) -> list[DatasetSummary]:
        if not 1 <= len(experiment_ids) <= limits.DATASET_EXPERIMENTS_MAX:
            raise InvalidParameterValue(
                f"SearchDatasets takes 1 to {limits.DATASET_EXPERIMENTS_MAX} experiment ids. "
                f"Got {len(experiment_ids)}."
            )
        keys = [names.experiment_key(experiment_id) for experiment_id in experiment_ids]
        shown = viewer.readable(keys)
        return await self._engine.read(
            lambda tx: datasets.summaries(tx, shown, limits.DATASET_SUMMARIES_MAX)
        )


async def _take(tx: Tx, experiment_id: int, level: Level, viewer: Viewer) -> ExperimentState:
    """The state of an experiment on which the viewer has the level, for a change of it."""
    viewer.require(level, experiment_id)
    experiment = await store.take(tx, experiment_id, workspace=viewer.workspace)
    if experiment is None:
        raise _not_found(str(experiment_id))
    return experiment


async def _take_active(tx: Tx, experiment_id: int, viewer: Viewer) -> None:
    experiment = await _take(tx, experiment_id, Level.EDIT, viewer)
    if experiment.lifecycle_stage != "active":
        raise InvalidParameterValue(
            f"The experiment {experiment_id} must be in the 'active' state. "
            f"Current state is {experiment.lifecycle_stage}."
        )


def _new(*, everybody: str, name: str) -> NewExperiment:
    return NewExperiment(DEFAULT_WORKSPACE, name, "", everybody, now_ms())


def _not_found(experiment_id: str) -> NoSuchResource:
    return NoSuchResource(f"No Experiment with id={experiment_id} exists")


def _already_exists(name: str) -> ResourceAlreadyExists:
    return ResourceAlreadyExists(f"Experiment(name={name}) already exists.")


def _checked_tag(key: str | None, value: str) -> tuple[str, str]:
    checked = names.check_key(key, what="Tag", name="key")
    check_retention_tag(checked, value)
    return checked, names.check_length(
        value, limits.EXPERIMENT_TAG_VALUE_LENGTH_MAX, f"Value of tag '{checked}'"
    )
