"""Where a model version comes from, what became of a run or a logged model, and how a version does
since: reads only, in a constant number of statements.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from riverrun.auth.levels import Level
from riverrun.auth.viewer import Viewer
from riverrun.entities.experiments import Experiment
from riverrun.entities.logged_models import LoggedModelInfo
from riverrun.entities.registry import ModelVersion
from riverrun.entities.runs import Run
from riverrun.services import limits, names
from riverrun.services.access.permissions import readable_experiments, readable_models
from riverrun.services.active import require_on_model, require_on_run
from riverrun.services.key_names import KeyNames
from riverrun.services.model_versions import find_version
from riverrun.services.siblings import shown_logged_model, shown_version, shown_versions
from riverrun.store import documents, experiments, lineage, logged_models, model_versions, runs
from riverrun.store.engine import Engine, Tx
from riverrun.store.lineage import Range


@dataclass(frozen=True, slots=True)
class VersionLineage:
    """None where the version names no such thing, or the viewer may not read it."""

    version: ModelVersion
    run: Run | None
    experiment: Experiment | None
    logged_model: LoggedModelInfo | None


@dataclass(frozen=True, slots=True)
class Monitoring:
    """A version, the run that made it, and the runs that watch it, the newest first."""

    version: ModelVersion
    run: Run | None
    monitoring_runs: list[Run]


class Lineage:
    def __init__(self, engine: Engine, key_names: KeyNames) -> None:
        self._engine = engine
        self._key_names = key_names

    async def of_version(self, name: str, version: str, *, viewer: Viewer) -> VersionLineage:
        number = names.version_number(version)

        async def work(tx: Tx) -> VersionLineage:
            found = await find_version(tx, name, number, viewer)
            found = await shown_version(tx, viewer, found)
            run = await _run(tx, found.run_id)
            experiment = None
            if run is not None:
                experiment_id = int(run.info.experiment_id)
                experiment = await experiments.find(tx, experiment_id, workspace=viewer.workspace)
            model = await _logged_model(tx, found.model_id, viewer)
            return VersionLineage(found, run, experiment, model)

        return await self._engine.read(work)

    async def versions_of_run(self, run_id: str, *, viewer: Viewer) -> list[ModelVersion]:
        key = names.run_key(run_id)

        async def work(tx: Tx) -> list[ModelVersion]:
            state = await runs.state(tx, key)
            if state is None:
                raise names.run_not_found(run_id)
            require_on_run(viewer, Level.READ, run_id, state.experiment_id)
            keys = await lineage.versions_of_run(tx, run_id, await _models(tx, viewer))
            return await _versions(tx, keys, viewer)

        return await self._engine.read(work)

    async def versions_of_logged_model(
        self, model_id: str, *, viewer: Viewer
    ) -> list[ModelVersion]:
        key = names.model_key(model_id)

        async def work(tx: Tx) -> list[ModelVersion]:
            state = await logged_models.state(tx, key)
            if state is None:
                raise names.model_not_found(model_id)
            require_on_model(viewer, Level.READ, model_id, state.experiment_id)
            keys = await lineage.versions_of_logged_model(tx, model_id, await _models(tx, viewer))
            return await _versions(tx, keys, viewer)

        return await self._engine.read(work)

    async def monitoring(self, name: str, version: str, *, viewer: Viewer) -> Monitoring:
        """A run monitors a version when its tag `riverrun.monitors` says so."""
        number = names.version_number(version)
        ids = await self._key_names.find([names.MONITORS_TAG])

        async def work(tx: Tx) -> Monitoring:
            found = await find_version(tx, name, number, viewer)
            found = await shown_version(tx, viewer, found)
            watching: Sequence[bytes] = ()
            if names.MONITORS_TAG in ids:
                seen = await readable_experiments(tx, viewer)
                among = Range(viewer.workspace, seen, limits.MONITORING_RUNS_MAX)
                watching = await lineage.monitoring_runs(
                    tx, ids[names.MONITORS_TAG], f"models:/{name}/{number}", among
                )
            made_by = [names.run_key(found.run_id)] if names.is_run_id(found.run_id) else []
            assembled = await documents.assemble(tx, [*made_by, *watching])
            by_run = {key: each.run for key, each in assembled.items()}
            return Monitoring(
                found,
                by_run.get(made_by[0]) if made_by else None,
                [by_run[key] for key in watching if key in by_run],
            )

        return await self._engine.read(work)


async def _models(tx: Tx, viewer: Viewer) -> Range:
    seen = await readable_models(tx, viewer)
    return Range(viewer.workspace, seen, limits.LINEAGE_VERSIONS_MAX)


async def _versions(
    tx: Tx, keys: Sequence[model_versions.Key], viewer: Viewer
) -> list[ModelVersion]:
    return await shown_versions(tx, viewer, await model_versions.find_all(tx, keys))


async def _run(tx: Tx, run_id: str) -> Run | None:
    if not names.is_run_id(run_id):
        return None
    key = names.run_key(run_id)
    assembled = (await documents.assemble(tx, [key])).get(key)
    return None if assembled is None else assembled.run


async def _logged_model(tx: Tx, model_id: str, viewer: Viewer) -> LoggedModelInfo | None:
    if not names.is_model_id(model_id):
        return None
    found = await logged_models.find_all(tx, [names.model_key(model_id)], points_per_metric=1)
    return (await shown_logged_model(tx, viewer, found[0])).info if found else None
