"""What an answer says of runs and logged models beside what it is about: left out for a viewer who
may not read these.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from riverrun.auth.viewer import Viewer
from riverrun.entities.logged_models import LoggedModel
from riverrun.entities.registry import ModelVersion, RegisteredModel, RegistryChange
from riverrun.services.access.permissions import readable_among
from riverrun.services.references import ids_in
from riverrun.store import logged_models, runs
from riverrun.store.engine import Tx
from riverrun.store.registry_history import Kind

LOOKED_UP_TOGETHER = 1_000
"""Ids in one statement: below every database's limit of binds."""


async def hidden(tx: Tx, viewer: Viewer, texts: Iterable[str]) -> frozenset[str]:
    """The ids in these texts, as `ids_in` spells them, of runs and logged models that the viewer
    may not read. No statement for one who may read everything.
    """
    if viewer.is_free:
        return frozenset()
    named = sorted({found for text in texts for found in ids_in(text)})
    experiments: dict[str, int] = {}
    for start in range(0, len(named), LOOKED_UP_TOGETHER):
        keys = [bytes.fromhex(each) for each in named[start : start + LOOKED_UP_TOGETHER]]
        for experiments_of in (runs.experiments_of, logged_models.experiments_of):
            found = await experiments_of(tx, keys)
            experiments.update((key.hex(), number) for key, number in found.items())
    seen = await readable_among(tx, viewer, set(experiments.values()))
    return frozenset(each for each, number in experiments.items() if number not in seen)


async def shown_versions(
    tx: Tx, viewer: Viewer, versions: Sequence[ModelVersion]
) -> list[ModelVersion]:
    unseen = await hidden(tx, viewer, map(_origin, versions))
    return [_version(each, unseen) for each in versions]


async def shown_version(tx: Tx, viewer: Viewer, version: ModelVersion) -> ModelVersion:
    return (await shown_versions(tx, viewer, [version]))[0]


async def shown_models(
    tx: Tx, viewer: Viewer, models: Sequence[RegisteredModel]
) -> list[RegisteredModel]:
    versions = [version for model in models for version in model.latest_versions]
    unseen = await hidden(tx, viewer, map(_origin, versions))
    if not unseen:
        return list(models)
    return [
        replace(model, latest_versions=[_version(each, unseen) for each in model.latest_versions])
        for model in models
    ]


async def shown_logged_models(
    tx: Tx, viewer: Viewer, models: Sequence[LoggedModel]
) -> list[LoggedModel]:
    texts = {model.info.source_run_id for model in models}
    texts.update(metric.run_id for model in models for metric in model.data.metrics)
    unseen = await hidden(tx, viewer, texts)
    return [_logged_model(model, unseen) for model in models] if unseen else list(models)


async def shown_logged_model(tx: Tx, viewer: Viewer, model: LoggedModel) -> LoggedModel:
    return (await shown_logged_models(tx, viewer, [model]))[0]


async def shown_history(
    tx: Tx, viewer: Viewer, changes: Sequence[RegistryChange]
) -> list[RegistryChange]:
    sources = [each.new or "" for each in changes if each.change == Kind.VERSION_CREATED]
    unseen = await hidden(tx, viewer, sources)
    return [
        replace(each, new=None)
        if each.change == Kind.VERSION_CREATED and unseen.intersection(ids_in(each.new or ""))
        else each
        for each in changes
    ]


def _origin(version: ModelVersion) -> str:
    return f"{version.source} {version.run_id} {version.model_id} {version.run_link}"


def _version(version: ModelVersion, unseen: frozenset[str]) -> ModelVersion:
    if not unseen or unseen.isdisjoint(ids_in(_origin(version))):
        return version
    return replace(version, source="", run_id="", run_link="", model_id="")


def _logged_model(model: LoggedModel, unseen: frozenset[str]) -> LoggedModel:
    info = model.info
    if info.source_run_id in unseen:
        info = replace(info, source_run_id="")
    metrics = [
        replace(each, run_id="") if each.run_id in unseen else each for each in model.data.metrics
    ]
    return replace(model, info=info, data=replace(model.data, metrics=metrics))
