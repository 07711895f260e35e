"""Registered models: their life, tags, aliases, search and history."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from msgspec import json

from riverrun.auth.levels import Level
from riverrun.auth.viewer import REGISTERED_MODEL, Resource, Viewer
from riverrun.clock import new_run_id, now_ms
from riverrun.entities.registry import ModelVersion, RegisteredModel, RegistryChange
from riverrun.errors import InvalidParameterValue, ResourceAlreadyExists
from riverrun.search import parse_filter, parse_order_by
from riverrun.search.fields import PROMPT_TAG, REGISTERED_MODELS
from riverrun.services import audit, events, limits, names
from riverrun.services.access.permissions import (
    grant_to_creator,
    readable_models,
    rename_grants,
    sweep_grants,
)
from riverrun.services.active import take_workspace
from riverrun.services.model_documents import Built, ModelDocuments
from riverrun.services.outbox import Outbox
from riverrun.services.siblings import (
    shown_history,
    shown_models,
    shown_version,
    shown_versions,
)
from riverrun.services.values import Pairs
from riverrun.store import model_versions, registry_history, registry_search
from riverrun.store import registered_models as store
from riverrun.store.change import Change
from riverrun.store.engine import Engine, Tx
from riverrun.store.registered_models import NewRegisteredModel, RegisteredModelState
from riverrun.store.registry_history import Entry, Kind
from riverrun.store.registry_search import RegistryQuery
from riverrun.wire.codec import encode

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RegistrySearch:
    """What a search of models or of versions asks for."""

    filter: str
    max_results: int | None
    order_by: Sequence[str]
    page_token: str | None


@dataclass(frozen=True, slots=True)
class RegisteredModelPage:
    """`models` are JSON."""

    models: list[bytes]
    next_page_token: str | None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    changes: list[RegistryChange]
    next_page_token: str | None


class RegisteredModels:
    """Every change goes into the model's history and to webhooks, in its own transaction."""

    def __init__(self, engine: Engine, outbox: Outbox) -> None:
        self._engine = engine
        self._outbox = outbox
        self._documents = ModelDocuments()

    async def create(
        self, name: str, *, description: str | None, tags: Pairs, viewer: Viewer
    ) -> RegisteredModel:
        """Models and prompts share one space of names."""
        viewer.require(Level.EDIT, None)
        names.check_registered_model_name(name)
        description = _checked(description)
        checked = check_tags(tags)
        new = NewRegisteredModel(
            registered_model_id=new_run_id(),
            workspace=viewer.workspace,
            name=name,
            description=description,
            is_prompt=is_prompt(checked),
        )
        change = Change(viewer.name, now_ms())
        event = events.registered_model_created(
            name, tags=checked, description=description, is_prompt=new.is_prompt
        )

        async def work(tx: Tx) -> RegisteredModel:
            await take_workspace(tx, viewer)
            existing = await store.find(tx, viewer.workspace, name)
            if existing is not None:
                raise _already_exists(existing, is_prompt=new.is_prompt)
            await store.insert(tx, new, change)
            await store.set_tags(tx, new.registered_model_id, checked, by=viewer.name)
            await grant_to_creator(tx, Resource(REGISTERED_MODEL, name), viewer)
            of = registry_history.Model(new.registered_model_id, viewer.workspace, name)
            await registry_history.append(tx, of, [Entry(Kind.CREATED)], change)
            await self._outbox.add(tx, event, workspace=viewer.workspace, at_ms=change.at_ms)
            return await _found(tx, new.registered_model_id)

        created = await self._written(work)
        viewer.rights.forget(Resource(REGISTERED_MODEL, name))
        return created

    async def get(self, name: str, *, viewer: Viewer) -> bytes:
        """As JSON."""
        model = await self._engine.glance(lambda tx: require_model(tx, name, Level.READ, viewer))
        kept = self._documents.kept(model.registered_model_id, model.revision)
        if kept is not None:
            return (await self._shown([kept], viewer))[0]

        async def work(tx: Tx) -> tuple[list[bytes], Built]:
            model = await require_model(tx, name, Level.READ, viewer)
            return await self._documents.of(tx, {model.registered_model_id: model.revision})

        documents, built = await self._engine.read(work)
        self._documents.keep(built)
        return (await self._shown(documents, viewer))[0]

    async def _shown(self, documents: list[bytes], viewer: Viewer) -> list[bytes]:
        """As the viewer may see them: what is kept is everybody's."""
        if viewer.is_free:
            return documents
        models = [json.decode(document, type=RegisteredModel) for document in documents]
        shown = await self._engine.read(lambda tx: shown_models(tx, viewer, models))
        return [
            document if after is before else encode(after)
            for document, before, after in zip(documents, models, shown, strict=True)
        ]

    async def rename(self, name: str, new_name: str, *, viewer: Viewer) -> RegisteredModel:
        """Versions, tags and aliases come along."""
        names.check_registered_model_name(new_name)
        change = Change(viewer.name, now_ms())

        async def work(tx: Tx) -> RegisteredModel:
            model = await take_model(tx, name, Level.MANAGE, viewer)
            existing = await store.find(tx, viewer.workspace, new_name)
            if existing is not None and new_name != name:
                raise _already_exists(existing, is_prompt=model.is_prompt)
            await store.rename(tx, model.registered_model_id, new_name, change)
            if new_name != name:
                await rename_grants(tx, viewer.workspace, name, new_name)
                entry = Entry(Kind.RENAMED, old=name, new=new_name)
                await record(tx, replace(model, name=new_name), [entry], change, viewer)
            return await _changed(tx, model.registered_model_id, viewer)

        return await self._written(work)

    async def update(
        self, name: str, description: str | None, *, viewer: Viewer
    ) -> RegisteredModel:
        """No description clears it, as upstream has it."""
        description = _checked(description)
        change = Change(viewer.name, now_ms())

        async def work(tx: Tx) -> RegisteredModel:
            model = await take_model(tx, name, Level.EDIT, viewer)
            await store.set_description(tx, model.registered_model_id, description, change)
            if description != model.description:
                entry = Entry(Kind.DESCRIPTION, old=model.description, new=description)
                await record(tx, model, [entry], change, viewer)
            return await _changed(tx, model.registered_model_id, viewer)

        return await self._written(work)

    async def delete(self, name: str, *, viewer: Viewer) -> None:
        """For good, with its versions; their files and the history stay."""
        change = Change(viewer.name, now_ms())

        async def work(tx: Tx) -> None:
            model = await take_model(tx, name, Level.MANAGE, viewer)
            await store.delete(tx, model.registered_model_id)
            await sweep_grants(tx, viewer.workspace, name)
            await record(tx, model, [Entry(Kind.DELETED)], change, viewer)
            deleted = Resource(REGISTERED_MODEL, name)
            await audit.record(tx, audit.Event("registered_model.delete", deleted), by=viewer)

        await self._written(work)

    async def search(self, asked: RegistrySearch, *, viewer: Viewer) -> RegisteredModelPage:
        limit = limits.REGISTERED_MODELS_PAGE_DEFAULT
        if asked.max_results is not None:
            limit = check_page_size(asked.max_results, limits.REGISTERED_MODELS_PAGE_MAX)
        query = partial(
            RegistryQuery,
            kind=registry_search.MODELS,
            workspace=viewer.workspace,
            filter=parse_filter(asked.filter, REGISTERED_MODELS),
            order_by=parse_order_by(asked.order_by, REGISTERED_MODELS),
            max_results=limit,
            page_token=asked.page_token or "",
        )

        async def work(tx: Tx) -> tuple[RegisteredModelPage, Built]:
            seen = await readable_models(tx, viewer)
            page = await registry_search.search(tx, query(seen=seen))
            models, built = await self._documents.of(tx, dict(page.rows))
            return RegisteredModelPage(models, page.next_page_token), built

        page, built = await self._engine.read(work)
        self._documents.keep(built)
        return replace(page, models=await self._shown(page.models, viewer))

    async def set_tag(self, name: str, key: str, value: str, *, viewer: Viewer) -> None:
        tags = check_tags([(key, value)])
        change = Change(viewer.name, now_ms())

        async def work(tx: Tx) -> None:
            model = await take_model(tx, name, Level.EDIT, viewer)
            old = await store.tag(tx, model.registered_model_id, key)
            await store.set_tags(tx, model.registered_model_id, tags, by=viewer.name)
            await _follow_prompt_tag(tx, model, key, value)
            if old != value:
                entry = Entry(Kind.TAG, item=key, old=old, new=value)
                await record(tx, model, [entry], change, viewer)
            if model.is_prompt:
                event = events.prompt_tag_set(name, key=key, value=value)
                await self._outbox.add(tx, event, workspace=viewer.workspace, at_ms=change.at_ms)

        await self._written(work)

    async def delete_tag(self, name: str, key: str, *, viewer: Viewer) -> None:
        """A tag that is not there is no error, as it is upstream."""
        names.check_key(key, what="Tag", name="key")
        change = Change(viewer.name, now_ms())

        async def work(tx: Tx) -> None:
            model = await take_model(tx, name, Level.EDIT, viewer)
            old = await store.tag(tx, model.registered_model_id, key)
            if old is None:
                return
            await store.delete_tag(tx, model.registered_model_id, key)
            await _follow_prompt_tag(tx, model, key, "")
            entry = Entry(Kind.TAG, item=key, old=old)
            await record(tx, model, [entry], change, viewer)
            if model.is_prompt:
                event = events.prompt_tag_deleted(name, key=key)
                await self._outbox.add(tx, event, workspace=viewer.workspace, at_ms=change.at_ms)

        await self._written(work)

    # Aliases -------------------------------------------------------------------------------------

    async def set_alias(self, name: str, alias: str, version: str, *, viewer: Viewer) -> None:
        """An alias that points elsewhere is moved."""
        names.check_new_alias(alias)
        number = names.version_number(version)
        change = Change(viewer.name, now_ms())

        async def work(tx: Tx) -> None:
            model = await take_model(tx, name, Level.EDIT, viewer)
            model_id = model.registered_model_id
            if await model_versions.state(tx, (model_id, number)) is None:
                raise names.model_version_not_found(name, number)
            old = await store.aliased(tx, model_id, alias)
            await store.set_alias(tx, model_id, alias, number, by=viewer.name)
            if old != number:
                entry = Entry(Kind.ALIAS, number, alias, _text(old), str(number))
                await record(tx, model, [entry], change, viewer)
            event = events.alias_created(
                name, alias, version=str(number), is_prompt=model.is_prompt
            )
            await self._outbox.add(tx, event, workspace=viewer.workspace, at_ms=change.at_ms)

        await self._written(work)

    async def delete_alias(self, name: str, alias: str, *, viewer: Viewer) -> None:
        """An alias that is not there is no error, as it is upstream."""
        names.check_alias(alias)
        change = Change(viewer.name, now_ms())

        async def work(tx: Tx) -> None:
            model = await take_model(tx, name, Level.EDIT, viewer)
            old = await store.aliased(tx, model.registered_model_id, alias)
            if old is None:
                return
            await store.delete_alias(tx, model.registered_model_id, alias)
            entry = Entry(Kind.ALIAS, old, alias, _text(old))
            await record(tx, model, [entry], change, viewer)
            event = events.alias_deleted(name, alias, is_prompt=model.is_prompt)
            await self._outbox.add(tx, event, workspace=viewer.workspace, at_ms=change.at_ms)

        await self._written(work)

    async def version_by_alias(self, name: str, alias: str, *, viewer: Viewer) -> ModelVersion:
        """`latest`, in any case, is the highest version of all, as upstream has it since 3.0."""

        async def work(tx: Tx) -> ModelVersion:
            model = await require_model(tx, name, Level.READ, viewer)
            if alias.lower() == "latest":
                model_id = model.registered_model_id
                newest = (await model_versions.latest(tx, [model_id], aliases=True))[model_id]
                if not newest:
                    raise names.latest_version_not_found(name)
                return await shown_version(tx, viewer, newest[-1])  # They come by version.
            version = await store.aliased(tx, model.registered_model_id, alias)
            if version is None:
                raise names.alias_not_found(alias)
            found = await model_versions.find(tx, (model.registered_model_id, version))
            if found is None:
                raise names.model_version_not_found(name, version)
            return await shown_version(tx, viewer, found)

        return await self._engine.glance(work)

    async def latest_versions(
        self, name: str, stages: Sequence[str], *, viewer: Viewer
    ) -> list[ModelVersion]:
        """The newest version in each stage, or in those given, with their aliases."""
        wanted = tuple(dict.fromkeys(names.stage_of(stage) for stage in stages))

        async def work(tx: Tx) -> list[ModelVersion]:
            model = await require_model(tx, name, Level.READ, viewer)
            model_id = model.registered_model_id
            found = await model_versions.latest(
                tx, [model_id], wanted or tuple(model_versions.Stage), aliases=True
            )
            return await shown_versions(tx, viewer, found[model_id])

        return await self._engine.glance(work)

    # History -------------------------------------------------------------------------------------

    async def history(
        self, name: str, *, max_results: int | None, page_token: str, viewer: Viewer
    ) -> HistoryPage:
        """The newest change first. A name that was deleted, or given up, keeps its history: for
        those who may read everything. Others, who may have the name now, see what has it now.
        """
        limit = limits.HISTORY_PAGE_DEFAULT
        if max_results is not None:
            limit = check_page_size(max_results, limits.HISTORY_PAGE_MAX)
        before = _seq(page_token)
        viewer.require_model(Level.READ, name)

        async def work(tx: Tx) -> HistoryPage:
            only = None
            if not viewer.all_powerful:
                model = await require_model(tx, name, Level.READ, viewer)
                only = model.registered_model_id
            asked = registry_history.Asked(viewer.workspace, name, only)
            rows = await registry_history.page(tx, asked, before_seq=before, limit=limit + 1)
            if not rows and before is None:
                await require_model(tx, name, Level.READ, viewer)
            token = str(rows[limit - 1][0]) if len(rows) > limit else None
            changes = [change for _, change in rows[:limit]]
            return HistoryPage(await shown_history(tx, viewer, changes), token)

        return await self._engine.read(work)

    async def _written(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        written = await self._engine.write(work)
        self._outbox.wake()
        return written


async def require_model(tx: Tx, name: str, level: Level, viewer: Viewer) -> RegisteredModelState:
    """The state of a model on which the viewer has the level."""
    _check_access(name, level, viewer)
    return _existing(await store.find(tx, viewer.workspace, name), name)


async def take_model(tx: Tx, name: str, level: Level, viewer: Viewer) -> RegisteredModelState:
    """As `require_model`, for a change of the model or of something that belongs to it."""
    _check_access(name, level, viewer)
    return _existing(await store.take(tx, viewer.workspace, name), name)


def _check_access(name: str, level: Level, viewer: Viewer) -> None:
    names.check_registered_model_name(name)
    viewer.require_model(level, name)


def _existing(model: RegisteredModelState | None, name: str) -> RegisteredModelState:
    if model is None:
        raise names.registered_model_not_found(name)
    return model


async def record(
    tx: Tx, model: RegisteredModelState, entries: Sequence[Entry], change: Change, viewer: Viewer
) -> None:
    of = registry_history.Model(model.registered_model_id, viewer.workspace, model.name)
    await registry_history.append(tx, of, entries, change)


def is_prompt(tags: Mapping[str, str]) -> bool:
    """As searches see it."""
    return tags.get(PROMPT_TAG) == "true"


def _checked(description: str | None) -> str | None:
    """A model's empty description is none."""
    check_description(description)
    return description or None


def check_description(description: str | None) -> None:
    names.check_length(description or "", limits.REGISTRY_TEXT_LENGTH_MAX, "description")


def check_tags(pairs: Pairs) -> dict[str, str]:
    """The last value of each key; values are never cut."""
    pairs = list(pairs)
    if len(pairs) > limits.REGISTRY_TAGS_MAX:
        raise InvalidParameterValue(
            f"A call can name at most {limits.REGISTRY_TAGS_MAX} tags. Got {len(pairs)}."
        )
    length_max = limits.REGISTRY_TAG_VALUE_LENGTH_MAX
    return {
        names.check_key(key, what="Tag", name="key"): names.check_length(
            value or "", length_max, f"Value of tag '{key}'"
        )
        for key, value in pairs
    }


def check_page_size(max_results: int, maximum: int) -> int:
    if not 1 <= max_results <= maximum:
        raise InvalidParameterValue(
            f"Invalid value {max_results} for parameter 'max_results' supplied: it must be at "
            f"least 1 and at most {maximum}."
        )
    return max_results


async def _follow_prompt_tag(tx: Tx, model: RegisteredModelState, key: str, value: str) -> None:
    if key == PROMPT_TAG:
        await store.set_is_prompt(tx, model.registered_model_id, is_prompt=is_prompt({key: value}))


async def _found(tx: Tx, model_id: bytes) -> RegisteredModel:
    return (await store.find_all(tx, [model_id]))[model_id]


async def _changed(tx: Tx, model_id: bytes, viewer: Viewer) -> RegisteredModel:
    return (await shown_models(tx, viewer, [await _found(tx, model_id)]))[0]


def _already_exists(existing: RegisteredModelState, *, is_prompt: bool) -> ResourceAlreadyExists:
    if existing.is_prompt == is_prompt:
        what = "Prompt" if is_prompt else "Registered Model"
        return ResourceAlreadyExists(f"{what} (name={existing.name}) already exists.")
    new, old = ("prompt", "registered model") if is_prompt else ("registered model", "prompt")
    return ResourceAlreadyExists(
        f"A {new} cannot have the name {existing.name!r}: a {old} has it, and they share their "
        "names."
    )


def _text(version: int | None) -> str | None:
    return None if version is None else str(version)


def _seq(page_token: str) -> int | None:
    if not page_token:
        return None
    if not (page_token.isascii() and page_token.isdigit() and len(page_token) <= 18):
        raise InvalidParameterValue("Invalid page_token: this is no token that a history gave.")
    return int(page_token)
