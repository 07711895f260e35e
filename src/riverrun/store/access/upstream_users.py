"""Users and what they were granted in the tables of an MLflow server, which are only read.

Releases before 3.13 keep a grant beside the user, in a table for each kind of resource; later ones
give it to roles, and leave the old tables as they were.
"""

import re
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString, TypeVar
from urllib.parse import quote

from riverrun.errors import InvalidState
from riverrun.store import migrate
from riverrun.store.engine import Reader, Row
from riverrun.store.pool import PoolRules
from riverrun.store.sqlite import SqliteTx, run_now
from riverrun.store.ticks import Ticks
from riverrun.store.urls import DatabaseUrl

T = TypeVar("T")

DEFAULT_WORKSPACE = "default"
WAIT_S = 10
OWN_ROLE = re.compile(r"__user_([0-9]{1,10})__")
"""The name of a role that holds what one user was granted."""
UNUSED_ROLES = "c3d4e5f6a7b8"
"""The version of the schema that has roles, and still keeps grants in the old tables."""
VERSION_TABLES: tuple[LiteralString, ...] = ("alembic_version_auth", "alembic_version")
"""The second one in releases of 2.x, where the tracking store may have a line in it, too."""


@dataclass(frozen=True, slots=True)
class UpstreamUser:
    user_id: int
    username: str
    password_hash: str | None = field(repr=False)
    is_admin: bool


@dataclass(frozen=True, slots=True)
class UpstreamRole:
    role_id: int
    workspace: str
    name: str
    description: str | None


@dataclass(frozen=True, slots=True)
class UpstreamGrant:
    """To a user or to a role; `permission` is a word, and `pattern` an id, a name or `*`."""

    user_id: int | None
    role_id: int | None
    workspace: str
    resource_type: str
    pattern: str
    permission: str


@dataclass(frozen=True, slots=True)
class UpstreamUsers:
    """`members` are pairs of a user's and a role's id; `source` is the database, for messages."""

    source: str
    users: list[UpstreamUser]
    roles: list[UpstreamRole]
    members: list[tuple[int, int]]
    grants: list[UpstreamGrant]


async def read_users(database: Path | DatabaseUrl) -> UpstreamUsers | None:
    """All that the database has; None when the file is not there, or when it holds no such tables.

    Raises InvalidState for what is no database, TemporarilyUnavailable when a server cannot be had.
    """
    if isinstance(database, Path):
        return _in_file(database)
    tables = await migrate.tables_networked(database)
    if not _is_upstreams(tables):
        return None
    return await _in_server(database, lambda tx: _all(tx, tables, database.shown))


def _in_file(path: Path) -> UpstreamUsers | None:
    if not path.is_file():
        return None
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
        ) as connection:
            connection.execute("BEGIN")
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            if not _is_upstreams(tables):
                return None
            return run_now(_all(SqliteTx(connection, Ticks(0)), tables, str(path)))
    except sqlite3.Error as error:
        reason = getattr(error, "sqlite_errorname", type(error).__name__)
        raise InvalidState(f"The database {path} cannot be read: {reason}.") from None


async def _in_server(url: DatabaseUrl, work: Callable[[Reader], Awaitable[T]]) -> T:
    from riverrun.store.databases import driver_of  # noqa: PLC0415 - Rarely asked for.
    from riverrun.store.networked import NetworkedEngine  # noqa: PLC0415 - Likewise.

    engine = NetworkedEngine(driver_of(url), PoolRules(1, WAIT_S))
    try:
        return await engine.read(work)
    finally:
        await engine.close()


def _is_upstreams(tables: set[str]) -> bool:
    """Our own tables have some of the names, too."""
    if migrate.VERSION_TABLE in tables or "users" not in tables:
        return False
    return not tables.isdisjoint({"experiment_permissions", "role_permissions"})


async def _all(tx: Reader, tables: set[str], source: str) -> UpstreamUsers:
    rows = await tx.fetch("SELECT id, username, password_hash, is_admin FROM users ORDER BY id")
    users = [
        UpstreamUser(user_id, username, password_hash, bool(is_admin))
        for user_id, username, password_hash, is_admin in rows
        if username
    ]
    roles, members, grants = await _of_roles(tx) if "role_permissions" in tables else ([], [], [])
    if await _has_single_grants(tx, tables):
        grants += await _single_grants(tx, tables)
    return UpstreamUsers(source, users, roles, members, grants)


async def _of_roles(
    tx: Reader,
) -> tuple[list[UpstreamRole], list[tuple[int, int]], list[UpstreamGrant]]:
    roles: list[UpstreamRole] = []
    owners: dict[int, int | None] = {}
    for row in await tx.fetch("SELECT id, workspace, name, description FROM roles ORDER BY id"):
        role = UpstreamRole(*row)
        own = OWN_ROLE.fullmatch(role.name)
        owners[role.role_id] = int(own[1]) if own else None
        if not own:
            roles.append(role)
    named = {role.role_id for role in roles}
    members = [
        (user_id, role_id)
        for user_id, role_id in await tx.fetch("SELECT user_id, role_id FROM user_role_assignments")
        if role_id in named
    ]
    rows = await tx.fetch(
        "SELECT p.role_id, r.workspace, p.resource_type, p.resource_pattern, p.permission "
        "FROM role_permissions AS p JOIN roles AS r ON r.id = p.role_id ORDER BY p.id"
    )
    grants = [
        UpstreamGrant(owners[role_id], role_id if role_id in named else None, *rest)
        for role_id, *rest in rows
    ]
    return roles, members, grants


async def _has_single_grants(tx: Reader, tables: set[str]) -> bool:
    if "experiment_permissions" not in tables:
        return False
    if "role_permissions" not in tables:
        return True
    versions: set[str] = set()
    for table in VERSION_TABLES:
        if table in tables:
            versions |= {
                version for (version,) in await tx.fetch(f"SELECT version_num FROM {table}")
            }
    return UNUSED_ROLES in versions


async def _single_grants(tx: Reader, tables: set[str]) -> list[UpstreamGrant]:
    has_workspaces = "workspace_permissions" in tables
    grants = [
        UpstreamGrant(user_id, None, DEFAULT_WORKSPACE, "experiment", pattern, permission)
        for user_id, pattern, permission in await tx.fetch(
            "SELECT user_id, experiment_id, permission FROM experiment_permissions ORDER BY id"
        )
    ]
    workspace = "workspace" if has_workspaces else f"'{DEFAULT_WORKSPACE}'"
    grants += [
        UpstreamGrant(user_id, None, where, "registered_model", pattern, permission)
        for user_id, where, pattern, permission in await tx.fetch(
            f"SELECT user_id, {workspace}, name, permission FROM registered_model_permissions "
            "ORDER BY id"
        )
    ]
    if has_workspaces:
        for row in await tx.fetch(
            "SELECT user_id, workspace, permission FROM workspace_permissions"
        ):
            grants += _on_workspace(row)
    return grants


def _on_workspace(row: Row) -> list[UpstreamGrant]:
    """A member's or an admin's place in a workspace, as later releases say it."""
    user_id, workspace, permission = row
    on = {
        "READ": [("workspace", "USE")],
        "USE": [("workspace", "USE")],
        "EDIT": [("workspace", "USE"), ("experiment", "EDIT"), ("registered_model", "EDIT")],
        "MANAGE": [("workspace", "MANAGE")],
    }
    return [
        UpstreamGrant(user_id, None, workspace, kind, "*", level)
        for kind, level in on.get(permission, [])
    ]
