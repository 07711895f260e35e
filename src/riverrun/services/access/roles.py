"""Roles, which are groups of users in a workspace, and who has them."""

from collections.abc import Sequence

from riverrun.auth.levels import Level
from riverrun.auth.viewer import DEFAULT_WORKSPACE, Resource, Viewer
from riverrun.entities import users as e
from riverrun.errors import (
    InvalidParameterValue,
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
)
from riverrun.services import names
from riverrun.services.access.access_writes import AccessWrites, bump
from riverrun.services.access.account_names import check_description, check_role_name
from riverrun.services.access.authentication import Authentication
from riverrun.services.access.role_entities import role_entities
from riverrun.services.access.users import taken_user
from riverrun.services.audit import Event, record
from riverrun.store import workspaces
from riverrun.store.access import roles as store
from riverrun.store.access.roles import Role
from riverrun.store.engine import Engine, Tx

_ASSIGNMENT = 2**31
"""Ids of users are smaller."""


class Roles:
    """Admins change all of them, and who manages a workspace those in it. Members see theirs."""

    def __init__(self, engine: Engine, authentication: Authentication) -> None:
        self._engine = engine
        self._write = AccessWrites(engine, authentication)

    async def create(
        self, name: str, *, workspace: str, description: str | None, viewer: Viewer
    ) -> e.Role:
        """Names are unique in a workspace."""
        _require_manager(workspace, viewer)
        check_role_name(name)
        check_description(description or "")

        async def work(tx: Tx) -> Role:
            await _require_workspace(tx, workspace)
            await _require_free(tx, workspace, name)
            role = await store.insert(tx, workspace, name, description=description, user_id=None)
            await record(tx, _event("role.create", role), by=viewer)
            return role

        role = await self._write(work)
        return e.Role(role.role_id, role.name, role.workspace, role.description, [])

    async def get(self, role_id: int, *, viewer: Viewer) -> e.Role:
        async def work(tx: Tx) -> e.Role:
            role = await _seen(tx, await store.find(tx, role_id), role_id, viewer)
            (shown,) = await role_entities(tx, [role])
            return shown

        return await self._engine.read(work)

    async def update(
        self, role_id: int, *, name: str | None, description: str | None, viewer: Viewer
    ) -> e.Role:
        """What is None stays."""
        if name is None and description is None:
            raise InvalidParameterValue(
                "At least one of 'name' or 'description' must be provided to update a role."
            )
        if name is not None:
            check_role_name(name)
        check_description(description or "")

        async def work(tx: Tx) -> e.Role:
            role = await _taken(tx, role_id, viewer)
            new_name = role.name if name is None else name
            if new_name != role.name:
                await _require_free(tx, role.workspace, new_name)
            new_description = role.description if description is None else description
            await store.update(tx, role_id, name=new_name, description=new_description)
            renamed = "" if new_name == role.name else f"renamed to {new_name}"
            await record(tx, _event("role.update", role, renamed), by=viewer)
            updated = Role(role_id, role.workspace, new_name, new_description, None)
            (shown,) = await role_entities(tx, [updated])
            return shown

        return await self._write(work)

    async def delete(self, role_id: int, *, viewer: Viewer) -> None:
        """With what it is granted."""

        async def work(tx: Tx) -> None:
            role = await _taken(tx, role_id, viewer)
            await store.delete(tx, role_id)
            await record(tx, _event("role.delete", role), by=viewer)
            await bump(tx)

        await self._write(work)

    async def assign(self, username: str, role_id: int, *, viewer: Viewer) -> e.RoleAssignment:
        """Raises ResourceAlreadyExists for one who has the role."""

        async def work(tx: Tx) -> e.RoleAssignment:
            role = await _taken(tx, role_id, viewer)
            user = await taken_user(tx, username)
            if await store.is_member(tx, role_id, user.user_id):
                raise ResourceAlreadyExists(f"User '{username}' has role '{role.name}' already.")
            await store.add_member(tx, role_id, user.user_id)
            await record(tx, _event("role.assign", role, f"to user {username}"), by=viewer)
            await bump(tx)  # A role may deny something.
            return _assignment(user.user_id, role_id)

        return await self._write(work)

    async def unassign(self, username: str, role_id: int, *, viewer: Viewer) -> None:
        """Raises ResourceDoesNotExist for one who does not have the role."""

        async def work(tx: Tx) -> None:
            role = await _taken(tx, role_id, viewer)
            user = await taken_user(tx, username)
            if not await store.remove_member(tx, role_id, user.user_id):
                raise ResourceDoesNotExist(f"User '{username}' does not have role '{role.name}'.")
            await record(tx, _event("role.unassign", role, f"from user {username}"), by=viewer)
            await bump(tx)

        await self._write(work)

    async def members(self, role_id: int, *, viewer: Viewer) -> list[e.RoleAssignment]:
        async def work(tx: Tx) -> list[e.RoleAssignment]:
            await _seen(tx, await store.find(tx, role_id), role_id, viewer)
            return [_assignment(each, role_id) for each in await store.members(tx, role_id)]

        return await self._engine.read(work)

    async def list(self, workspaces: Sequence[str], *, viewer: Viewer) -> list[e.Role]:
        """By id. Of all workspaces when none is named, for admins. Who manages the workspace sees
        all that are in it, everybody else the ones that are their own.
        """
        if not workspaces:
            viewer.require_admin()
        manages = viewer.may(Level.MANAGE, None)

        async def work(tx: Tx) -> list[e.Role]:
            if viewer.all_powerful:
                found = await store.all_roles(tx)
            else:
                found = await store.of_user(tx, viewer.user_id or 0)
                if manages:
                    others = [each for each in found if each.workspace != viewer.workspace]
                    found = [*await store.all_roles(tx, viewer.workspace), *others]
            shown = [each for each in found if not workspaces or each.workspace in workspaces]
            return await role_entities(tx, sorted(shown, key=lambda each: each.role_id))

        return await self._engine.read(work)


async def taken_role(tx: Tx, role_id: int, viewer: Viewer) -> Role:
    """One that the viewer may see, for a change of what it is granted."""
    return await _seen(tx, await store.take(tx, role_id), role_id, viewer)


def is_manager(workspace: str, viewer: Viewer) -> bool:
    """Whether the viewer may change the roles of this workspace."""
    if viewer.all_powerful:
        return True
    return workspace == viewer.workspace and viewer.may(Level.MANAGE, None)


async def _seen(tx: Tx, role: Role | None, role_id: int, viewer: Viewer) -> Role:
    """What is missing and what is others' is the same to those who do not manage roles."""
    if role is None and viewer.may(Level.MANAGE, None):
        raise _missing(role_id)
    if role is not None and is_manager(role.workspace, viewer):
        return role
    if role is None or not await store.is_member(tx, role_id, viewer.user_id or 0):
        raise PermissionDenied(f"Permission denied: role {role_id}.")
    return role


async def _taken(tx: Tx, role_id: int, viewer: Viewer) -> Role:
    """One that the viewer may change."""
    role = await taken_role(tx, role_id, viewer)
    _require_manager(role.workspace, viewer)
    if role.user_id is not None:
        raise InvalidParameterValue(
            f"Role '{role.name}' holds what is granted to one user directly: it goes with the user."
        )
    return role


async def _require_workspace(tx: Tx, workspace: str) -> None:
    """One that is made later must not begin with roles that somebody forgot."""
    if workspace != DEFAULT_WORKSPACE and await workspaces.take(tx, workspace) is None:
        raise names.workspace_not_found(workspace)


async def _require_free(tx: Tx, workspace: str, name: str) -> None:
    if await store.find_by_name(tx, workspace, name) is not None:
        raise ResourceAlreadyExists(f"Role (name={name}, workspace={workspace}) already exists.")


def _require_manager(workspace: str, viewer: Viewer) -> None:
    if not is_manager(workspace, viewer):
        raise PermissionDenied(f"Permission denied: roles of workspace {workspace[:100]}.")


def _assignment(user_id: int, role_id: int) -> e.RoleAssignment:
    return e.RoleAssignment(role_id * _ASSIGNMENT + user_id, user_id, role_id)


def _event(action: str, role: Role, detail: str = "") -> Event:
    return Event(action, Resource("role", role.name), detail)


def _missing(role_id: int) -> ResourceDoesNotExist:
    return ResourceDoesNotExist(f"Role with id={role_id} not found")
