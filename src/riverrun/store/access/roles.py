"""Roles, who is in them, and what they are granted.

What is granted to one user stands in a role of the user's own, so there is one kind of grant.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from riverrun.store.engine import Row, Tx

_ROLE: LiteralString = "role_id, workspace, name, description, user_id"
_GRANT: LiteralString = "grant_id, role_id, workspace, resource_type, pattern, is_glob, level"


@dataclass(frozen=True, slots=True)
class Role:
    """`user_id` is whose own role it is, if somebody's."""

    role_id: int
    workspace: str
    name: str
    description: str | None
    user_id: int | None


@dataclass(frozen=True, slots=True)
class Grant:
    """`pattern` is an experiment's id, a model's name, or with `is_glob` names with `*` in them;
    `level` is a `Permission`.
    """

    grant_id: int
    role_id: int
    workspace: str
    resource_type: str
    pattern: str
    is_glob: bool
    level: int


@dataclass(frozen=True, slots=True)
class What:
    """What a grant is about."""

    resource_type: str
    pattern: str
    is_glob: bool


def own_name(user_id: int) -> str:
    """The name of a user's own role (protocol)."""
    return f"__user_{user_id}__"


# Roles -------------------------------------------------------------------------------------------


async def insert(
    tx: Tx, workspace: str, name: str, *, description: str | None, user_id: int | None
) -> Role:
    """Raises ConflictError when the workspace has the name."""
    await tx.execute(
        "INSERT INTO roles (workspace, name, description, user_id) VALUES (?, ?, ?, ?)",
        (workspace, name, description, user_id),
    )
    row = await tx.one(
        f"SELECT {_ROLE} FROM roles WHERE workspace = ? AND name = ?", (workspace, name)
    )
    assert row is not None  # noqa: S101 - It was inserted above.
    return Role(*row)


async def find(tx: Tx, role_id: int) -> Role | None:
    row = await tx.one(f"SELECT {_ROLE} FROM roles WHERE role_id = ?", (role_id,))
    return None if row is None else Role(*row)


async def take(tx: Tx, role_id: int) -> Role | None:
    """For a change of the role, its members or grants: holds the row to the transaction's end."""
    row = await tx.one(
        f"SELECT {_ROLE} FROM roles WHERE role_id = ?{tx.dialect.for_update}", (role_id,)
    )
    return None if row is None else Role(*row)


async def find_by_name(tx: Tx, workspace: str, name: str) -> Role | None:
    row = await tx.one(
        f"SELECT {_ROLE} FROM roles WHERE workspace = ? AND name = ?", (workspace, name)
    )
    return None if row is None else Role(*row)


async def own(tx: Tx, user_id: int, workspace: str) -> Role:
    """The user's own role, made when it is missing; by two at once, once."""
    name = own_name(user_id)
    found = await find_by_name(tx, workspace, name)
    if found is not None:
        return found
    upsert = tx.dialect.upsert(
        "roles", ("workspace", "name", "user_id"), key=("workspace", "name"), changes=()
    )
    await tx.execute(upsert, (workspace, name, user_id))
    made = await find_by_name(tx, workspace, name)
    assert made is not None  # noqa: S101 - It was inserted above.
    upsert = tx.dialect.upsert(
        "role_members", ("user_id", "role_id"), key=("user_id", "role_id"), changes=()
    )
    await tx.execute(upsert, (user_id, made.role_id))
    return made


async def all_roles(tx: Tx, workspace: str | None = None) -> list[Role]:
    """By id, own ones too; of all workspaces when none is given."""
    where, binds = ("", ()) if workspace is None else (" WHERE workspace = ?", (workspace,))
    rows = await tx.fetch(f"SELECT {_ROLE} FROM roles{where} ORDER BY role_id", binds)
    return [Role(*row) for row in rows]


async def of_user(tx: Tx, user_id: int) -> list[Role]:
    """By id, the own ones too."""
    rows = await tx.fetch(
        "SELECT r.role_id, r.workspace, r.name, r.description, r.user_id "
        "FROM role_members AS m JOIN roles AS r ON r.role_id = m.role_id "
        "WHERE m.user_id = ? ORDER BY r.role_id",
        (user_id,),
    )
    return [Role(*row) for row in rows]


async def update(tx: Tx, role_id: int, *, name: str, description: str | None) -> None:
    """Raises ConflictError when another role of the workspace has the name."""
    await tx.execute(
        "UPDATE roles SET name = ?, description = ? WHERE role_id = ?", (name, description, role_id)
    )


async def delete(tx: Tx, role_id: int) -> None:
    """With its grants and memberships."""
    await tx.execute("DELETE FROM grants WHERE role_id = ?", (role_id,))
    await tx.execute("DELETE FROM role_members WHERE role_id = ?", (role_id,))
    await tx.execute("DELETE FROM roles WHERE role_id = ?", (role_id,))


# Members -----------------------------------------------------------------------------------------


async def add_member(tx: Tx, role_id: int, user_id: int) -> None:
    """Raises ConflictError for one who is in it."""
    await tx.execute(
        "INSERT INTO role_members (user_id, role_id) VALUES (?, ?)", (user_id, role_id)
    )


async def remove_member(tx: Tx, role_id: int, user_id: int) -> bool:
    """Whether the user was in it."""
    deleted = await tx.execute(
        "DELETE FROM role_members WHERE user_id = ? AND role_id = ?", (user_id, role_id)
    )
    return deleted > 0


async def members(tx: Tx, role_id: int) -> list[int]:
    """Ids of users, in their order."""
    rows = await tx.fetch(
        "SELECT user_id FROM role_members WHERE role_id = ? ORDER BY user_id", (role_id,)
    )
    return [user_id for (user_id,) in rows]


async def is_member(tx: Tx, role_id: int, user_id: int) -> bool:
    row = await tx.one(
        "SELECT role_id FROM role_members WHERE user_id = ? AND role_id = ?", (user_id, role_id)
    )
    return row is not None


async def memberships(tx: Tx) -> list[tuple[int, int]]:
    """Of all users: their ids and those of their roles."""
    rows = await tx.fetch("SELECT user_id, role_id FROM role_members ORDER BY user_id, role_id")
    return [(user_id, role_id) for user_id, role_id in rows]


# Grants ------------------------------------------------------------------------------------------


async def insert_grant(tx: Tx, role: Role, what: What, level: int) -> Grant:
    """Raises ConflictError when the role has one on the same."""
    experiment_id = None
    if what.resource_type == "experiment" and not what.is_glob:
        experiment_id = int(what.pattern)
    await tx.execute(
        "INSERT INTO grants (role_id, workspace, resource_type, pattern, is_glob, experiment_id, "
        "level) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            role.role_id,
            role.workspace,
            what.resource_type,
            what.pattern,
            int(what.is_glob),
            experiment_id,
            level,
        ),
    )
    found = await find_grant(tx, role.role_id, what)
    assert found is not None  # noqa: S101 - It was inserted above.
    return found


async def find_grant(tx: Tx, role_id: int, what: What) -> Grant | None:
    row = await tx.one(
        f"SELECT {_GRANT} FROM grants WHERE role_id = ? AND resource_type = ? AND pattern = ? "
        "AND is_glob = ?",
        (role_id, what.resource_type, what.pattern, int(what.is_glob)),
    )
    return None if row is None else _grant(row)


async def find_grant_by_id(tx: Tx, grant_id: int) -> Grant | None:
    row = await tx.one(f"SELECT {_GRANT} FROM grants WHERE grant_id = ?", (grant_id,))
    return None if row is None else _grant(row)


async def set_level(tx: Tx, grant_id: int, level: int) -> None:
    await tx.execute("UPDATE grants SET level = ? WHERE grant_id = ?", (level, grant_id))


async def delete_grant(tx: Tx, grant_id: int) -> None:
    await tx.execute("DELETE FROM grants WHERE grant_id = ?", (grant_id,))


async def grants_of_roles(tx: Tx, role_ids: Sequence[int]) -> list[Grant]:
    """By id."""
    if not role_ids:
        return []
    among = tx.dialect.among("role_id", role_ids)
    rows = await tx.fetch(
        f"SELECT {_GRANT} FROM grants WHERE {among.text} ORDER BY grant_id", among.binds
    )
    return [_grant(row) for row in rows]


async def rename_resource(tx: Tx, workspace: str, types: Sequence[str], old: str, new: str) -> None:
    """What was granted on a model by its name moves with the name."""
    among = tx.dialect.among("resource_type", types)
    await tx.execute(
        f"UPDATE grants SET pattern = ? WHERE workspace = ? AND {among.text} AND pattern = ? "
        "AND is_glob = 0",
        (new, workspace, *among.binds, old),
    )


async def sweep_resource(tx: Tx, workspace: str, types: Sequence[str], pattern: str) -> None:
    """Nothing is granted on it any more."""
    among = tx.dialect.among("resource_type", types)
    await tx.execute(
        f"DELETE FROM grants WHERE workspace = ? AND {among.text} AND pattern = ? AND is_glob = 0",
        (workspace, *among.binds, pattern),
    )


def _grant(row: Row) -> Grant:
    grant_id, role_id, workspace, resource_type, pattern, is_glob, level = row
    return Grant(grant_id, role_id, workspace, resource_type, pattern, bool(is_glob), level)
