"""Versions of registered models: their life, stages, tags and search."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from riverrun.auth.levels import Level
from riverrun.auth.viewer import Resource, Viewer
from riverrun.clock import now_ms
from riverrun.entities.registry import ModelVersion
from riverrun.errors import InvalidParameterValue
from riverrun.search import parse_filter, parse_order_by
from riverrun.search.fields import MODEL_VERSIONS, PROMPT_TAG
from riverrun.services import audit, events, limits, names
from riverrun.services.access.permissions import readable_models
from riverrun.services.key_names import KeyNames
from riverrun.services.model_sources import (
    GivenSource,
    ModelSource,
    SourceRules,
    check_source,
    resolve_source,
)
from riverrun.services.outbox import Event, Outbox
from riverrun.services.references import hold
from riverrun.services.registered_models import (
    RegistrySearch,
    check_description,
    check_page_size,
    check_tags,
    is_prompt,
    record,
    require_model,
    take_model,
)
from riverrun.services.siblings import shown_version, shown_versions
from riverrun.services.values import Pairs
from riverrun.store import logged_models, registered_models, registry_search
from riverrun.store import model_versions as store
from riverrun.store.change import Change
from riverrun.store.engine import Engine, Tx
from riverrun.store.model_versions import Key, Stage, VersionState
from riverrun.store.registered_models import RegisteredModelState
from riverrun.store.registry_history import Entry, Kind
from riverrun.store.registry_search import RegistryQuery

T = TypeVar("T")

_ARCHIVED_BY_PROMOTION = frozenset({Stage.STAGING, Stage.PRODUCTION})


@dataclass(frozen=True, slots=True)
class NewModelVersion:
    """What a client says of a version that it creates."""

    name: str
    given: GivenSource
    run_link: str
    description: str | None
    tags: Pairs


@dataclass(frozen=True, slots=True)
class ModelVersionPage:
    versions: list[ModelVersion]
    next_page_token: str | None


@dataclass(frozen=True, slots=True)
class _Found:
    """A version that was found, and its model."""

    model: RegisteredModelState
    key: Key
    state: VersionState


class ModelVersions:
    """Every change goes into the model's history and to webhooks, in its own transaction."""

    def __init__(
        self, engine: Engine, outbox: Outbox, *, key_names: KeyNames, sources: SourceRules
    ) -> None:
        self._engine = engine
        self._outbox = outbox
        self._key_names = key_names
        self._sources = sources

    async def create(self, new: NewModelVersion, *, viewer: Viewer) -> ModelVersion:
        """The next number of the model. The logged model that it is made of learns of it."""
        names.check_registered_model_name(new.name)
        check_description(new.description)
        names.check_length(new.run_link, limits.REGISTRY_TEXT_LENGTH_MAX, "run_link")
        tags = check_tags(new.tags)
        prompt = tags.get(PROMPT_TAG, "").lower() == "true"
        check_source(new.given, self._sources, is_prompt=prompt)
        viewer.require_model(Level.EDIT, new.name)
        ids = await self._key_names.create([names.MODEL_VERSIONS_TAG])
        change = Change(viewer.name, now_ms())

        async def work(tx: Tx) -> ModelVersion:
            model = await take_model(tx, new.name, Level.EDIT, viewer)
            source = ModelSource(new.given.source, "", new.given.run_id or "", "")
            if not prompt:
                given = new.given
                held = await hold(tx, (given.source, given.run_id or "", given.model_id or ""))
                source = await resolve_source(tx, given, self._sources, viewer=viewer)
                resolved = (source.location, source.run_id, source.model_id)
                await hold(tx, resolved, besides=held)
            number = model.last_version + 1
            await registered_models.set_last_version(tx, model.registered_model_id, number, change)
            key = (model.registered_model_id, number)
            version = store.NewVersion(
                registered_model_id=model.registered_model_id,
                version=number,
                description=new.description or "",
                source=source.source,
                storage_location="" if source.location == source.source else source.location,
                run_id=source.run_id,
                run_link=new.run_link,
                model_id=source.model_id,
                is_prompt=is_prompt(tags),
            )
            await store.insert(tx, version, change)
            await store.set_tags(tx, key, tags, by=viewer.name)
            if source.model_id:
                entry_of_model = {"name": new.name, "version": number}
                await _tell_logged_model(
                    tx, source.model_id, entry_of_model, ids[names.MODEL_VERSIONS_TAG], change
                )
            entry = Entry(Kind.VERSION_CREATED, number, new=source.source)
            await record(tx, model, [entry], change, viewer)
            told = events.NewVersion(
                name=new.name,
                version=str(number),
                source=source.source,
                run_id=source.run_id,
                tags=tags,
                description=new.description,
            )
            event = events.model_version_created(told, is_prompt=prompt)
            await self._tell(tx, event, change, viewer)
            return await _shown(tx, key, new.name, viewer)

        return await self._written(work)

    async def get(self, name: str, version: str, *, viewer: Viewer) -> ModelVersion:
        number = names.version_number(version)

        async def work(tx: Tx) -> ModelVersion:
            return await shown_version(tx, viewer, await find_version(tx, name, number, viewer))

        return await self._engine.glance(work)

    async def update(
        self, name: str, version: str, description: str | None, *, viewer: Viewer
    ) -> ModelVersion:
        """No description clears it, as upstream has it."""
        check_description(description)
        number, change = names.version_number(version), Change(viewer.name, now_ms())

        async def work(tx: Tx) -> ModelVersion:
            found = await _take(tx, name, number, Level.EDIT, viewer)
            await store.set_description(tx, found.key, description, change)
            if description != found.state.description:
                old = found.state.description
                entry = Entry(Kind.DESCRIPTION, number, old=old, new=description)
                await record(tx, found.model, [entry], change, viewer)
            return await _shown(tx, found.key, name, viewer)

        return await self._written(work)

    async def transition(
        self, name: str, version: str, stage: str, *, archive_others: bool, viewer: Viewer
    ) -> ModelVersion:
        """With `archive_others`, every other version leaves the stage for Archived, so that of two
        such promotions at once one remains.
        """
        number, to = names.version_number(version), names.stage_of(stage)
        if archive_others and to not in _ARCHIVED_BY_PROMOTION:
            raise InvalidParameterValue(
                "Model version transition cannot archive existing model versions because "
                f"'{to.value}' is not an Active stage. Valid stages are ['Staging', 'Production']"
            )
        change = Change(viewer.name, now_ms())

        async def work(tx: Tx) -> ModelVersion:
            found = await _take(tx, name, number, Level.EDIT, viewer)
            model_id = found.model.registered_model_id
            await registered_models.touch(tx, model_id, change)
            entries = [Entry(Kind.STAGE, number, old=found.state.stage, new=to.value)]
            if archive_others:
                others = await store.in_stage(tx, model_id, to)
                entries += [
                    Entry(Kind.STAGE, other, old=to.value, new=Stage.ARCHIVED.value)
                    for other in others
                    if other != number
                ]
                await store.archive_others(tx, found.key, to, change)
            await store.set_stage(tx, found.key, to, change)
            changed = [entry for entry in entries if entry.old != entry.new]
            await record(tx, found.model, changed, change, viewer)
            return await _shown(tx, found.key, name, viewer)

        return await self._written(work)

    async def delete(self, name: str, version: str, *, viewer: Viewer) -> None:
        """Its aliases go with it, its number is not given again, and its files stay."""
        number, change = names.version_number(version), Change(viewer.name, now_ms())

        async def work(tx: Tx) -> None:
            found = await _take(tx, name, number, Level.MANAGE, viewer)
            model_id = found.model.registered_model_id
            aliases = await registered_models.aliases_of(tx, model_id, number)
            await registered_models.touch(tx, model_id, change)
            await registered_models.delete_aliases_of(tx, model_id, number)
            await store.delete(tx, found.key)
            entries = [Entry(Kind.ALIAS, number, alias, str(number)) for alias in aliases]
            entries.append(Entry(Kind.VERSION_DELETED, number, old=found.state.stage))
            await record(tx, found.model, entries, change, viewer)
            deleted = Resource("model_version", f"{name}/{number}")
            await audit.record(tx, audit.Event("model_version.delete", deleted), by=viewer)

        await self._written(work)

    async def search(self, asked: RegistrySearch, *, viewer: Viewer) -> ModelVersionPage:
        limit = limits.MODEL_VERSIONS_PAGE_MAX
        if asked.max_results is not None:
            wanted = check_page_size(asked.max_results, limits.MODEL_VERSIONS_ASKED_MAX)
            limit = min(wanted, limit)
        query = partial(
            RegistryQuery,
            kind=registry_search.VERSIONS,
            workspace=viewer.workspace,
            filter=parse_filter(asked.filter, MODEL_VERSIONS),
            order_by=parse_order_by(asked.order_by, MODEL_VERSIONS),
            max_results=limit,
            page_token=asked.page_token or "",
        )

        async def work(tx: Tx) -> ModelVersionPage:
            seen = await readable_models(tx, viewer)
            page = await registry_search.search(tx, query(seen=seen))
            keys = [(model_id, version) for model_id, version in page.rows]
            versions = await shown_versions(tx, viewer, await store.find_all(tx, keys))
            return ModelVersionPage(versions, page.next_page_token)

        return await self._engine.read(work)

    async def location(self, name: str, version: str, *, viewer: Viewer) -> str:
        """Where the files are, as a URI for clients."""
        number = names.version_number(version)

        async def work(tx: Tx) -> str:
            model = await require_model(tx, name, Level.READ, viewer)
            origin = await store.origin(tx, (model.registered_model_id, number))
            if origin is None:
                raise names.model_version_not_found(name, number)
            return origin.location

        return await self._engine.glance(work)

    async def set_tag(
        self, name: str, version: str, key: str, value: str, *, viewer: Viewer
    ) -> None:
        tags = check_tags([(key, value)])
        number, change = names.version_number(version), Change(viewer.name, now_ms())

        async def work(tx: Tx) -> None:
            found = await _take(tx, name, number, Level.EDIT, viewer)
            old = await store.tag(tx, found.key, key)
            await store.set_tags(tx, found.key, tags, by=viewer.name)
            await _follow_prompt_tag(tx, found, key, value)
            if old != value:
                entry = Entry(Kind.TAG, number, key, old, value)
                await record(tx, found.model, [entry], change, viewer)
            event = events.model_version_tag_set(
                name, str(number), key=key, value=value, is_prompt=found.model.is_prompt
            )
            await self._tell(tx, event, change, viewer)

        await self._written(work)

    async def delete_tag(self, name: str, version: str, key: str, *, viewer: Viewer) -> None:
        """A tag that is not there is no error, as it is upstream."""
        names.check_key(key, what="Tag", name="key")
        number, change = names.version_number(version), Change(viewer.name, now_ms())

        async def work(tx: Tx) -> None:
            found = await _take(tx, name, number, Level.EDIT, viewer)
            old = await store.tag(tx, found.key, key)
            if old is None:
                return
            await store.delete_tag(tx, found.key, key)
            await _follow_prompt_tag(tx, found, key, "")
            entry = Entry(Kind.TAG, number, key, old)
            await record(tx, found.model, [entry], change, viewer)
            event = events.model_version_tag_deleted(
                name, str(number), key=key, is_prompt=found.model.is_prompt
            )
            await self._tell(tx, event, change, viewer)

        await self._written(work)

    async def _tell(self, tx: Tx, event: Event, change: Change, viewer: Viewer) -> None:
        await self._outbox.add(tx, event, workspace=viewer.workspace, at_ms=change.at_ms)

    async def _written(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        written = await self._engine.write(work)
        self._outbox.wake()
        return written


async def find_version(tx: Tx, name: str, version: int, viewer: Viewer) -> ModelVersion:
    """A version that is there, of a model that the viewer may read. What it says of others is for
    the caller to hide (`siblings`).
    """
    model = await require_model(tx, name, Level.READ, viewer)
    return await _read(tx, (model.registered_model_id, version), name)


async def _take(tx: Tx, name: str, version: int, level: Level, viewer: Viewer) -> _Found:
    """A version that is there, for a change, of a model on which the viewer has the level."""
    model = await take_model(tx, name, level, viewer)
    key = (model.registered_model_id, version)
    state = await store.state(tx, key)
    if state is None:
        raise names.model_version_not_found(name, version)
    return _Found(model, key, state)


async def _read(tx: Tx, key: Key, name: str) -> ModelVersion:
    version = await store.find(tx, key)
    if version is None:
        raise names.model_version_not_found(name, key[1])
    return version


async def _shown(tx: Tx, key: Key, name: str, viewer: Viewer) -> ModelVersion:
    return await shown_version(tx, viewer, await _read(tx, key, name))


async def _follow_prompt_tag(tx: Tx, found: _Found, key: str, value: str) -> None:
    if key == PROMPT_TAG:
        await store.set_is_prompt(tx, found.key, is_prompt=is_prompt({key: value}))


async def _tell_logged_model(
    tx: Tx, model_id: str, entry: Mapping[str, object], key_id: int, change: Change
) -> None:
    """Adds the version to the logged model's tag, once."""
    key = names.model_key(model_id)
    state = await logged_models.take(tx, key)
    if state is None:
        return
    known = _known_versions(await logged_models.tag(tx, key, key_id))
    if any(_is_same(each, entry) for each in known):
        return
    value = json.dumps([*known[1 - limits.REGISTERED_AS_MAX :], entry])
    await logged_models.set_tags(tx, key, state.experiment_id, {key_id: value}, by=change.by)


def _known_versions(tag: str | None) -> list[Any]:
    """A client may have written anything there."""
    try:
        known: Any = json.loads(tag or "[]")
    except (ValueError, RecursionError):
        return []
    return known if isinstance(known, list) else []  # pyright: ignore[reportUnknownVariableType]


def _is_same(known: Any, entry: Mapping[str, object]) -> bool:
    """Clients write the version as text, upstream's server as a number."""
    return isinstance(known, dict) and all(
        str(known.get(name)) == str(value)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        for name, value in entry.items()
    )
