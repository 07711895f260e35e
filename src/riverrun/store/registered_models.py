"""Registered models with their tags and aliases. A model's key is an id: a rename changes a row."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from riverrun.entities.registry import ModelAlias, ModelTag, RegisteredModel
from riverrun.store import model_versions
from riverrun.store.change import Change
from riverrun.store.engine import Tx

_COLUMNS = "registered_model_id, name, creation_timestamp, last_updated_timestamp, description"


@dataclass(frozen=True, slots=True)
class NewRegisteredModel:
    registered_model_id: bytes
    workspace: str
    name: str
    description: str | None
    is_prompt: bool


@dataclass(frozen=True, slots=True)
class RegisteredModelState:
    """What every call asks of a model first."""

    registered_model_id: bytes
    name: str
    is_prompt: bool
    description: str | None
    last_version: int
    """The highest number that a version ever had, deleted ones included."""
    revision: int
    """Changes with the model, its versions, tags and aliases."""


async def find(tx: Tx, workspace: str, name: str) -> RegisteredModelState | None:
    row = await tx.one(
        "SELECT registered_model_id, name, is_prompt, description, last_version, revision "
        "FROM registered_models WHERE workspace = ? AND name = ?",
        (workspace, name),
    )
    if row is None:
        return None
    model_id, name, is_prompt, description, last_version, revision = row
    return RegisteredModelState(
        model_id, name, bool(is_prompt), description, last_version, revision
    )


async def take(tx: Tx, workspace: str, name: str) -> RegisteredModelState | None:
    """Finds the model for a change of it: holds its row to the transaction's end, so that no two
    changes see each other half done, and counts the change.
    """
    is_there = await tx.execute(
        "UPDATE registered_models SET revision = revision + 1 WHERE workspace = ? AND name = ?",
        (workspace, name),
    )
    return await find(tx, workspace, name) if is_there else None


async def insert(tx: Tx, new: NewRegisteredModel, change: Change) -> None:
    """Raises ConflictError when the workspace has the name."""
    await tx.execute(
        "INSERT INTO registered_models (registered_model_id, workspace, name, description, "
        "is_prompt, last_version, revision, creation_timestamp, last_updated_timestamp, "
        "created_by, updated_by) VALUES (?, ?, ?, ?, ?, 0, 1, ?, ?, ?, ?)",
        (
            new.registered_model_id,
            new.workspace,
            new.name,
            new.description,
            int(new.is_prompt),
            *(change.at_ms, change.at_ms, change.by, change.by),
        ),
    )


async def touch(tx: Tx, model_id: bytes, change: Change) -> None:
    await tx.execute(
        "UPDATE registered_models SET last_updated_timestamp = ?, updated_by = ? "
        "WHERE registered_model_id = ?",
        (change.at_ms, change.by, model_id),
    )


async def set_last_version(tx: Tx, model_id: bytes, version: int, change: Change) -> None:
    await tx.execute(
        "UPDATE registered_models SET last_version = ?, last_updated_timestamp = ?, "
        "updated_by = ? WHERE registered_model_id = ?",
        (version, change.at_ms, change.by, model_id),
    )


async def rename(tx: Tx, model_id: bytes, name: str, change: Change) -> None:
    """Its versions count as updated, too. Raises ConflictError when another model has the name."""
    await tx.execute(
        "UPDATE registered_models SET name = ?, last_updated_timestamp = ?, updated_by = ? "
        "WHERE registered_model_id = ?",
        (name, change.at_ms, change.by, model_id),
    )
    await model_versions.touch_all(tx, model_id, change)


async def set_description(tx: Tx, model_id: bytes, description: str | None, change: Change) -> None:
    await tx.execute(
        "UPDATE registered_models SET description = ?, last_updated_timestamp = ?, "
        "updated_by = ? WHERE registered_model_id = ?",
        (description, change.at_ms, change.by, model_id),
    )


async def set_is_prompt(tx: Tx, model_id: bytes, *, is_prompt: bool) -> None:
    await tx.execute(
        "UPDATE registered_models SET is_prompt = ? WHERE registered_model_id = ?",
        (int(is_prompt), model_id),
    )


async def delete(tx: Tx, model_id: bytes) -> None:
    """With its versions, tags and aliases; its history stays."""
    for table in (
        "model_version_tags",
        "model_versions",
        "registered_model_aliases",
        "registered_model_tags",
        "registered_models",
    ):
        await tx.execute(f"DELETE FROM {table} WHERE registered_model_id = ?", (model_id,))


# Tags and aliases --------------------------------------------------------------------------------


async def tag(tx: Tx, model_id: bytes, key: str) -> str | None:
    row = await tx.one(
        "SELECT value FROM registered_model_tags WHERE registered_model_id = ? AND tag_key = ?",
        (model_id, key),
    )
    return None if row is None else row[0]


async def set_tags(tx: Tx, model_id: bytes, tags: Mapping[str, str], *, by: str) -> None:
    upsert = tx.dialect.upsert(
        "registered_model_tags",
        ("registered_model_id", "tag_key", "value", "updated_by"),
        key=("registered_model_id", "tag_key"),
    )
    await tx.execute_many(upsert, [(model_id, key, tags[key], by) for key in sorted(tags)])


async def delete_tag(tx: Tx, model_id: bytes, key: str) -> None:
    await tx.execute(
        "DELETE FROM registered_model_tags WHERE registered_model_id = ? AND tag_key = ?",
        (model_id, key),
    )


async def aliased(tx: Tx, model_id: bytes, alias: str) -> int | None:
    """The version that the alias points to."""
    row = await tx.one(
        "SELECT version FROM registered_model_aliases WHERE registered_model_id = ? AND alias = ?",
        (model_id, alias),
    )
    return None if row is None else row[0]


async def set_alias(tx: Tx, model_id: bytes, alias: str, version: int, *, by: str) -> None:
    upsert = tx.dialect.upsert(
        "registered_model_aliases",
        ("registered_model_id", "alias", "version", "updated_by"),
        key=("registered_model_id", "alias"),
    )
    await tx.execute(upsert, (model_id, alias, version, by))


async def delete_alias(tx: Tx, model_id: bytes, alias: str) -> None:
    await tx.execute(
        "DELETE FROM registered_model_aliases WHERE registered_model_id = ? AND alias = ?",
        (model_id, alias),
    )


async def aliases_of(tx: Tx, model_id: bytes, version: int) -> list[str]:
    rows = await tx.fetch(
        "SELECT alias FROM registered_model_aliases WHERE registered_model_id = ? AND version = ? "
        "ORDER BY alias",
        (model_id, version),
    )
    return [alias for (alias,) in rows]


async def delete_aliases_of(tx: Tx, model_id: bytes, version: int) -> None:
    await tx.execute(
        "DELETE FROM registered_model_aliases WHERE registered_model_id = ? AND version = ?",
        (model_id, version),
    )


# Reading -----------------------------------------------------------------------------------------


async def find_all(tx: Tx, model_ids: Sequence[bytes]) -> dict[bytes, RegisteredModel]:
    """Those of at most a thousand models that exist, with all that belongs to them."""
    if not model_ids:
        return {}
    marks = ",".join("?" * len(model_ids))
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM registered_models WHERE registered_model_id IN ({marks})",
        model_ids,
    )
    tags = defaultdict[bytes, list[ModelTag]](list)
    aliases = defaultdict[bytes, list[ModelAlias]](list)
    for model_id, key, value in await tx.fetch(
        "SELECT registered_model_id, tag_key, value FROM registered_model_tags "
        f"WHERE registered_model_id IN ({marks}) ORDER BY registered_model_id, tag_key",
        model_ids,
    ):
        tags[model_id].append(ModelTag(key, value))
    for model_id, alias, version in await tx.fetch(
        "SELECT registered_model_id, alias, version FROM registered_model_aliases "
        f"WHERE registered_model_id IN ({marks}) ORDER BY registered_model_id, alias",
        model_ids,
    ):
        aliases[model_id].append(ModelAlias(alias, str(version)))
    latest = await model_versions.latest(tx, model_ids)
    return {
        key: RegisteredModel(
            name=name,
            creation_timestamp=created,
            last_updated_timestamp=updated,
            description=description,
            latest_versions=latest[key],
            tags=tags[key],
            aliases=aliases[key],
        )
        for key, name, created, updated, description in rows
    }
