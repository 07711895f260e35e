"""Workspaces, and what lies in them: experiments, registered models and webhooks name theirs, and
all else belongs to one of these.
"""

from dataclasses import dataclass
from typing import LiteralString

from riverrun.entities.workspaces import Workspace
from riverrun.store.change import Change
from riverrun.store.engine import Tx

_COLUMNS: LiteralString = "name, description, default_artifact_root"
_CONTENTS: tuple[tuple[str, LiteralString], ...] = (
    ("experiment", "experiments"),
    ("registered model", "registered_models"),
    ("webhook", "webhooks"),
)
_NAMED: tuple[LiteralString, ...] = ("experiments", "registered_models")
GONE = "~"
"""What the workspace of deleted ones begins with: it comes after all names that can be."""


@dataclass(frozen=True, slots=True)
class Content:
    """How much of one kind is in a workspace, deleted experiments included."""

    what: str
    count: int


async def all_workspaces(tx: Tx) -> list[Workspace]:
    """By name; the default one only when somebody gave it a description or a root."""
    rows = await tx.fetch(f"SELECT {_COLUMNS} FROM workspaces ORDER BY name")
    return [Workspace(*row) for row in rows]


async def take(tx: Tx, name: str) -> Workspace | None:
    """For a change of it, or of what it holds: holds its row to the transaction's end."""
    row = await tx.one(
        f"SELECT {_COLUMNS} FROM workspaces WHERE name = ?{tx.dialect.for_update}", (name,)
    )
    return None if row is None else Workspace(*row)


async def insert(tx: Tx, new: Workspace, change: Change) -> None:
    """Raises ConflictError when there is one of the name."""
    await tx.execute(
        "INSERT INTO workspaces (name, description, default_artifact_root, creation_time, "
        "created_by) VALUES (?, ?, ?, ?, ?)",
        (new.name, new.description, new.default_artifact_root, change.at_ms, change.by),
    )


async def put(tx: Tx, workspace: Workspace, change: Change) -> None:
    """Changes it, or makes it: nobody made the default one."""
    upsert = tx.dialect.upsert(
        "workspaces",
        ("name", "description", "default_artifact_root", "creation_time", "created_by"),
        key=("name",),
        changes=(
            ("description", "new(description)"),
            ("default_artifact_root", "new(default_artifact_root)"),
        ),
    )
    root = workspace.default_artifact_root
    await tx.execute(upsert, (workspace.name, workspace.description, root, change.at_ms, change.by))


async def delete(tx: Tx, name: str) -> None:
    await tx.execute("DELETE FROM workspaces WHERE name = ?", (name,))


async def delete_roles(tx: Tx, name: str) -> None:
    """All that was granted in it."""
    roles = "SELECT role_id FROM roles WHERE workspace = ?"
    for table in ("grants", "role_members"):
        await tx.execute(f"DELETE FROM {table} WHERE role_id IN ({roles})", (name,))
    await tx.execute("DELETE FROM roles WHERE workspace = ?", (name,))


async def of_user(tx: Tx, user_id: int) -> set[str]:
    """Those in which something is granted to the user."""
    rows = await tx.fetch(
        "SELECT DISTINCT g.workspace FROM grants AS g JOIN role_members AS m "
        "ON m.role_id = g.role_id WHERE m.user_id = ? AND g.level > 0",
        (user_id,),
    )
    return {name for (name,) in rows}


# What lies in them -------------------------------------------------------------------------------


async def contents(tx: Tx, name: str) -> list[Content]:
    """Of each kind of which there is some."""
    found: list[Content] = []
    for what, table in _CONTENTS:
        row = await tx.one(f"SELECT count(*) FROM {table} WHERE workspace = ?", (name,))
        if row is not None and row[0]:
            found.append(Content(what, row[0]))
    return found


async def elsewhere(tx: Tx, default: str) -> str | None:
    """A workspace other than the default one in which there is something, if there is one."""
    for _, table in _CONTENTS:
        for condition, binds in (
            ("workspace < ?", (default,)),
            ("workspace > ? AND workspace < ?", (default, GONE)),
        ):
            row = await tx.one(
                f"SELECT workspace FROM {table} WHERE {condition} ORDER BY workspace LIMIT 1", binds
            )
            if row is not None:
                return row[0]
    return None


async def shared_names(tx: Tx, first: str, second: str, *, limit: int) -> list[str]:
    """Names that both workspaces have for an experiment, or for a model."""
    found: list[str] = []
    for table in _NAMED:
        rows = await tx.fetch(
            f"SELECT name FROM {table} WHERE workspace = ? AND name IN "
            f"(SELECT name FROM {table} WHERE workspace = ?) ORDER BY name LIMIT {limit:d}",
            (first, second),
        )
        found += [name for (name,) in rows]
    return found[:limit]


async def move_contents(tx: Tx, name: str, to: str) -> None:
    """Raises ConflictError when both have something of the same name."""
    for table in ("experiments", "registered_models", "registry_history", "webhooks"):
        await tx.execute(f"UPDATE {table} SET workspace = ? WHERE workspace = ?", (to, name))


async def delete_contents(tx: Tx, name: str, grave: str, change: Change) -> None:
    """Models with their versions and webhooks are gone; experiments and runs are deleted, where
    nobody finds them but who collects garbage: in the workspace `grave`.
    """
    models = "SELECT registered_model_id FROM registered_models WHERE workspace = ?"
    for table in (
        "model_version_tags",
        "model_versions",
        "registered_model_aliases",
        "registered_model_tags",
    ):
        await tx.execute(f"DELETE FROM {table} WHERE registered_model_id IN ({models})", (name,))
    webhooks = "SELECT webhook_id FROM webhooks WHERE workspace = ?"
    for table in ("webhook_events", "webhook_deliveries"):
        await tx.execute(f"DELETE FROM {table} WHERE webhook_id IN ({webhooks})", (name,))
    for table in ("registered_models", "webhooks"):
        await tx.execute(f"DELETE FROM {table} WHERE workspace = ?", (name,))
    await _delete_runs(tx, name, change)
    await tx.execute(
        "UPDATE experiments SET lifecycle_stage = 'deleted', last_update_time = ?, updated_by = ? "
        "WHERE workspace = ? AND lifecycle_stage = 'active'",
        (change.at_ms, change.by, name),
    )
    await move_contents(tx, name, grave)


async def _delete_runs(tx: Tx, name: str, change: Change) -> None:
    """Holds them in the order of their ids, as transactions with several of them do."""
    mine = "experiment_id IN (SELECT experiment_id FROM experiments WHERE workspace = ?)"
    held = f"SELECT run_id FROM runs WHERE {mine} ORDER BY run_id{tx.dialect.for_update}"
    await tx.one(f"SELECT count(*) FROM ({held}) AS held", (name,))
    await tx.execute(
        "UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = ?, updated_by = ?, "
        f"version = version + 1, written_at = ? WHERE {mine} AND lifecycle_stage = 'active'",
        (change.at_ms, change.by, change.at_ms, name),
    )
