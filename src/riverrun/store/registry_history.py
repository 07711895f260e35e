"""Who changed what of a registered model, and when: written in the transaction of the change."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from riverrun.entities.registry import RegistryChange
from riverrun.store.change import Change
from riverrun.store.dialects import Sql
from riverrun.store.engine import Row, Tx


class Kind(StrEnum):
    CREATED = "created"
    RENAMED = "renamed"
    DELETED = "deleted"
    VERSION_CREATED = "version created"
    VERSION_DELETED = "version deleted"
    STAGE = "stage"
    ALIAS = "alias"
    TAG = "tag"
    DESCRIPTION = "description"


_END = 2**63 - 1
"""After every line."""


@dataclass(frozen=True, slots=True)
class Model:
    """Whose history it is, under the name that it has at that time."""

    registered_model_id: bytes
    workspace: str
    name: str


@dataclass(frozen=True, slots=True)
class Entry:
    """`version` None stands for the model itself; `item` is an alias or a tag's key."""

    kind: Kind
    version: int | None = None
    item: str | None = None
    old: str | None = None
    new: str | None = None


async def append(tx: Tx, model: Model, entries: Sequence[Entry], change: Change) -> None:
    await tx.execute_many(
        "INSERT INTO registry_history (registered_model_id, seq, workspace, name, at_ms, actor, "
        '"change", version, item, old_value, new_value) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
        [
            (
                model.registered_model_id,
                tx.next_seq(),
                model.workspace,
                model.name,
                change.at_ms,
                change.by,
                str(entry.kind),
                entry.version,
                entry.item,
                entry.old,
                entry.new,
            )
            for entry in entries
        ],
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose history is asked for: of all models that had the name, or of one of them."""

    workspace: str
    name: str
    registered_model_id: bytes | None = None


async def page(
    tx: Tx, of: Asked, *, before_seq: int | None, limit: int
) -> list[tuple[int, RegistryChange]]:
    """The newest first, with their places in the order: all of every model that ever had the name,
    since a deleted one's name may be another's now. A model comes to a name by these two changes.
    Of each model at most `limit` lines are read.
    """
    only = Sql("")
    if of.registered_model_id is not None:
        only = Sql("AND x.registered_model_id = ? ", (of.registered_model_id,))
    before = _END if before_seq is None else before_seq
    rows = await tx.fetch(
        "SELECT h.seq, h.at_ms, h.actor, h.name, h.change, h.version, h.item, h.old_value, "
        "h.new_value FROM (SELECT DISTINCT x.registered_model_id FROM registry_history AS x "
        f"WHERE x.workspace = ? AND x.name = ? {only.text}"
        "AND x.change IN ('created', 'renamed')) AS found "
        "CROSS JOIN registry_history AS h WHERE h.registered_model_id = found.registered_model_id "
        "AND h.seq < ? AND h.seq >= coalesce((SELECT y.seq FROM registry_history AS y "
        "WHERE y.registered_model_id = found.registered_model_id AND y.seq < ? "
        "ORDER BY y.seq DESC LIMIT 1 OFFSET ?), 0) ORDER BY h.seq DESC LIMIT ?",
        (of.workspace, of.name, *only.binds, before, before, limit - 1, limit),
    )
    return [(row[0], _change(row)) for row in rows]


def _change(row: Row) -> RegistryChange:
    _, at_ms, actor, name, change, version, item, old, new = row
    return RegistryChange(
        timestamp=at_ms,
        user=actor,
        name=name,
        change=change,
        version=None if version is None else str(version),
        item=item,
        old=old,
        new=new,
    )
