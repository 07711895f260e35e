"""Versions of registered models, with their tags. A deleted version leaves nothing behind: that its
number is not given again is the model's to know.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter

from riverrun.entities.registry import ModelTag, ModelVersion
from riverrun.store.change import Change
from riverrun.store.engine import Row, Tx

Key = tuple[bytes, int]
"""The id of the model and the number of the version."""

BATCH = 1_000
"""Versions read in one statement: below every database's limit of binds."""


class Stage(StrEnum):
    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"


_COLUMNS = (
    "v.registered_model_id, m.name, v.version, v.creation_timestamp, v.last_updated_timestamp, "
    "v.stage, v.description, v.source, v.source_run_id, v.run_link, v.logged_model_id"
)
_FROM = (
    "FROM model_versions AS v "
    "JOIN registered_models AS m ON m.registered_model_id = v.registered_model_id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """A version as it is created, in the stage None."""

    registered_model_id: bytes
    version: int
    description: str | None
    source: str
    storage_location: str
    run_id: str
    run_link: str
    model_id: str
    is_prompt: bool


@dataclass(frozen=True, slots=True)
class VersionState:
    """What a change asks of a version first."""

    stage: str
    description: str | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a version comes from. `location` is where its files are."""

    run_id: str
    model_id: str
    location: str
    is_prompt: bool


async def insert(tx: Tx, new: NewVersion, change: Change) -> None:
    await tx.execute(
        "INSERT INTO model_versions (registered_model_id, version, stage, description, source, "
        "storage_location, source_run_id, run_link, logged_model_id, is_prompt, "
        "creation_timestamp, last_updated_timestamp, created_by, updated_by) "
        "VALUES (?, ?, 'None', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(new.registered_model_id, new.version, new.description, new.source),
            *(new.storage_location, new.run_id, new.run_link, new.model_id, int(new.is_prompt)),
            *(change.at_ms, change.at_ms, change.by, change.by),
        ),
    )


async def state(tx: Tx, key: Key) -> VersionState | None:
    """None when there is no such version."""
    row = await tx.one(
        "SELECT stage, description FROM model_versions "
        "WHERE registered_model_id = ? AND version = ?",
        key,
    )
    return None if row is None else VersionState(*row)


async def origin(tx: Tx, key: Key) -> Origin | None:
    row = await tx.one(
        "SELECT source_run_id, logged_model_id, CASE WHEN storage_location = '' THEN source "
        "ELSE storage_location END, is_prompt FROM model_versions "
        "WHERE registered_model_id = ? AND version = ?",
        key,
    )
    return None if row is None else Origin(row[0], row[1], row[2], bool(row[3]))


async def set_description(tx: Tx, key: Key, description: str | None, change: Change) -> None:
    await tx.execute(
        "UPDATE model_versions SET description = ?, last_updated_timestamp = ?, updated_by = ? "
        "WHERE registered_model_id = ? AND version = ?",
        (description, change.at_ms, change.by, *key),
    )


async def set_stage(tx: Tx, key: Key, stage: Stage, change: Change) -> None:
    await tx.execute(
        "UPDATE model_versions SET stage = ?, last_updated_timestamp = ?, updated_by = ? "
        "WHERE registered_model_id = ? AND version = ?",
        (stage.value, change.at_ms, change.by, *key),
    )


async def in_stage(tx: Tx, model_id: bytes, stage: Stage) -> list[int]:
    rows = await tx.fetch(
        "SELECT version FROM model_versions WHERE registered_model_id = ? AND stage = ? "
        "ORDER BY version",
        (model_id, stage.value),
    )
    return [version for (version,) in rows]


async def archive_others(tx: Tx, key: Key, stage: Stage, change: Change) -> None:
    """Every other version of the model that is in the stage goes to Archived."""
    model_id, version = key
    await tx.execute(
        "UPDATE model_versions SET stage = 'Archived', last_updated_timestamp = ?, "
        "updated_by = ? WHERE registered_model_id = ? AND stage = ? AND version <> ?",
        (change.at_ms, change.by, model_id, stage.value, version),
    )


async def touch_all(tx: Tx, model_id: bytes, change: Change) -> None:
    await tx.execute(
        "UPDATE model_versions SET last_updated_timestamp = ?, updated_by = ? "
        "WHERE registered_model_id = ?",
        (change.at_ms, change.by, model_id),
    )


async def delete(tx: Tx, key: Key) -> None:
    """With its tags."""
    for table in ("model_version_tags", "model_versions"):
        await tx.execute(f"DELETE FROM {table} WHERE registered_model_id = ? AND version = ?", key)


# Tags --------------------------------------------------------------------------------------------


async def tag(tx: Tx, key: Key, tag_key: str) -> str | None:
    row = await tx.one(
        "SELECT value FROM model_version_tags "
        "WHERE registered_model_id = ? AND version = ? AND tag_key = ?",
        (*key, tag_key),
    )
    return None if row is None else row[0]


async def set_tags(tx: Tx, key: Key, tags: Mapping[str, str], *, by: str) -> None:
    upsert = tx.dialect.upsert(
        "model_version_tags",
        ("registered_model_id", "version", "tag_key", "value", "updated_by"),
        key=("registered_model_id", "version", "tag_key"),
    )
    rows = [(*key, tag_key, tags[tag_key], by) for tag_key in sorted(tags)]
    await tx.execute_many(upsert, rows)


async def delete_tag(tx: Tx, key: Key, tag_key: str) -> None:
    await tx.execute(
        "DELETE FROM model_version_tags "
        "WHERE registered_model_id = ? AND version = ? AND tag_key = ?",
        (*key, tag_key),
    )


async def set_is_prompt(tx: Tx, key: Key, *, is_prompt: bool) -> None:
    await tx.execute(
        "UPDATE model_versions SET is_prompt = ? WHERE registered_model_id = ? AND version = ?",
        (int(is_prompt), *key),
    )


# Reading -----------------------------------------------------------------------------------------


async def find(tx: Tx, key: Key) -> ModelVersion | None:
    """With its tags, and the aliases that point to it."""
    row = await tx.one(
        f"SELECT {_COLUMNS} {_FROM} WHERE v.registered_model_id = ? AND v.version = ?",
        key,
    )
    if row is None:
        return None
    tags = await tx.fetch(
        "SELECT tag_key, value FROM model_version_tags "
        "WHERE registered_model_id = ? AND version = ? ORDER BY tag_key",
        key,
    )
    aliases = await tx.fetch(
        "SELECT alias FROM registered_model_aliases "
        "WHERE registered_model_id = ? AND version = ? ORDER BY alias",
        key,
    )
    return _version(row, [ModelTag(*tag) for tag in tags], [alias for (alias,) in aliases])


async def find_all(tx: Tx, keys: Sequence[Key]) -> list[ModelVersion]:
    """Those of the versions that exist, in the given order, without aliases as searches have it."""
    found: dict[Key, ModelVersion] = {}
    for start in range(0, len(keys), BATCH):
        part = keys[start : start + BATCH]
        wanted = tx.dialect.pairs("v.registered_model_id, v.version", part)
        rows = await tx.fetch(f"SELECT {_COLUMNS} {_FROM} WHERE {wanted.text}", wanted.binds)
        tags = await _tags(tx, part)
        found.update({(row[0], row[2]): _version(row, tags[row[0], row[2]]) for row in rows})
    return [found[key] for key in keys if key in found]


async def latest(
    tx: Tx,
    model_ids: Sequence[bytes],
    stages: Sequence[Stage] = tuple(Stage),
    *,
    aliases: bool = False,
) -> "defaultdict[bytes, list[ModelVersion]]":
    """The newest version of each model in each of the stages, by version; at most a thousand
    models. Costs the same however many versions there are.
    """
    found: defaultdict[bytes, list[ModelVersion]] = defaultdict(list)
    chosen = " UNION ALL ".join(f"SELECT '{stage.value}' AS stage" for stage in stages)
    marks = ",".join("?" * len(model_ids))
    # CROSS JOIN, because SQLite would rather read every version, and then ask if it is the newest.
    tables = f"registered_models AS m CROSS JOIN ({chosen}) AS s CROSS JOIN model_versions AS v"
    is_newest = (
        f"m.registered_model_id IN ({marks}) AND v.registered_model_id = m.registered_model_id "
        "AND v.version = (SELECT max(x.version) FROM model_versions AS x "
        "WHERE x.registered_model_id = m.registered_model_id AND x.stage = s.stage)"
    )
    rows = await tx.fetch(f"SELECT {_COLUMNS} FROM {tables} WHERE {is_newest}", model_ids)
    of_version = await _tags(tx, [(row[0], row[2]) for row in rows])
    named = defaultdict[Key, list[str]](list)
    if aliases:
        for model_id, version, alias in await tx.fetch(
            "SELECT registered_model_id, version, alias FROM registered_model_aliases "
            f"WHERE registered_model_id IN ({marks}) ORDER BY alias",
            model_ids,
        ):
            named[model_id, version].append(alias)
    for row in sorted(rows, key=itemgetter(2)):  # Four a model: cheaper here than in SQL.
        key = (row[0], row[2])
        found[row[0]].append(_version(row, of_version[key], named[key]))
    return found


async def _tags(tx: Tx, keys: Sequence[Key]) -> "defaultdict[Key, list[ModelTag]]":
    if not keys:
        return defaultdict(list)
    wanted = tx.dialect.pairs("registered_model_id, version", keys)
    rows = await tx.fetch(
        "SELECT registered_model_id, version, tag_key, value FROM model_version_tags "
        f"WHERE {wanted.text} ORDER BY tag_key",
        wanted.binds,
    )
    return _by_version(rows)


def _by_version(rows: Sequence[Row]) -> "defaultdict[Key, list[ModelTag]]":
    found: defaultdict[Key, list[ModelTag]] = defaultdict(list)
    for model_id, version, key, value in rows:
        found[model_id, version].append(ModelTag(key, value))
    return found


def _version(row: Row, tags: list[ModelTag], aliases: Sequence[str] = ()) -> ModelVersion:
    """Reads _COLUMNS."""
    _, name, version, created, updated, stage, description, source, run_id, link, model_id = row
    return ModelVersion(
        name=name,
        version=str(version),
        creation_timestamp=created,
        last_updated_timestamp=updated,
        current_stage=stage,
        description=description,
        source=source,
        run_id=run_id,
        status="READY",
        run_link=link,
        tags=tags,
        aliases=list(aliases),
        model_id=model_id,
    )
