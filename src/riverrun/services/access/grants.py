"""What users and roles are granted, by those who manage what it is about."""

from dataclasses import dataclass, replace

from riverrun.auth.levels import Level
from riverrun.auth.permissions import Permission, effective
from riverrun.auth.viewer import (
    EXPERIMENT,
    REGISTERED_MODEL,
    THE_WORKSPACE,
    WORKSPACE,
    Resource,
    Viewer,
)
from riverrun.entities import users as e
from riverrun.errors import (
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
)
from riverrun.services.access.access_writes import AccessWrites, bump
from riverrun.services.access.authentication import Authentication
from riverrun.services.access.grant_rules import (
    experiment_of,
    model_of,
    permission_of,
    require_management,
)
from riverrun.services.access.permissions import MODEL_TYPES, levels
from riverrun.services.access.role_entities import permission_entity
from riverrun.services.access.roles import taken_role
from riverrun.services.access.users import required_user, taken_user
from riverrun.services.audit import Event, record
from riverrun.store.access import granted, roles
from riverrun.store.access.roles import Grant, Role, What
from riverrun.store.access.users import User
from riverrun.store.engine import Engine, Tx


@dataclass(frozen=True, slots=True)
class DirectGrant:
    """What one user was granted on something, beside what the user's roles are."""

    user_id: int
    workspace: str
    pattern: str
    permission: str


class Grants:
    """Whoever manages an experiment or a model says who has what on it; on patterns of names and
    everything else, who manages the workspace does.
    """

    def __init__(self, engine: Engine, authentication: Authentication) -> None:
        self._engine = engine
        self._write = AccessWrites(engine, authentication)

    # Of users ------------------------------------------------------------------------------------

    async def grant(
        self, username: str, what: What, permission: Permission, *, viewer: Viewer
    ) -> DirectGrant:
        """Raises ResourceAlreadyExists when the user has a grant on the same already."""
        require_management(what, viewer)

        async def work(tx: Tx) -> DirectGrant:
            user = await taken_user(tx, username)
            role = await roles.own(tx, user.user_id, viewer.workspace)
            if await roles.find_grant(tx, role.role_id, what) is not None:
                raise ResourceAlreadyExists(f"{_direct(username, what)} already exists.")
            given = await roles.insert_grant(tx, role, what, permission)
            await record(tx, _granted(given, f"user {username}"), by=viewer)
            await _bump_if(tx, taken_away=permission <= Permission.NO_PERMISSIONS)
            return _direct_grant(user, given)

        return await self._write(work)

    async def get(self, username: str, what: What, *, viewer: Viewer) -> DirectGrant:
        """What was granted to the user directly. Raises ResourceDoesNotExist for nothing."""
        require_management(what, viewer)

        async def work(tx: Tx) -> DirectGrant:
            user = await required_user(tx, username)
            return _direct_grant(user, await _found(tx, user, what, viewer))

        return await self._engine.read(work)

    async def update(
        self, username: str, what: What, permission: Permission, *, viewer: Viewer
    ) -> None:
        """Raises ResourceDoesNotExist when nothing was granted."""
        require_management(what, viewer)

        async def work(tx: Tx) -> None:
            user = await taken_user(tx, username)
            grant = await _found(tx, user, what, viewer)
            await _set(tx, grant, permission, f"user {username}", viewer)

        await self._write(work)

    async def revoke(self, username: str, what: What, *, viewer: Viewer) -> None:
        """Raises ResourceDoesNotExist when nothing was granted."""
        require_management(what, viewer)

        async def work(tx: Tx) -> None:
            user = await taken_user(tx, username)
            grant = await _found(tx, user, what, viewer)
            await _delete(tx, grant, f"user {username}", viewer)

        await self._write(work)

    async def effective(self, username: str, what: What, *, viewer: Viewer) -> Permission:
        """What all grants and the default come to: NO_PERMISSIONS also where something is denied,
        or missing. For the user, admins, and those who manage the workspace.
        """
        if viewer.name != username:
            viewer.require(Level.MANAGE, None)

        async def work(tx: Tx) -> Permission:
            user = await required_user(tx, username)
            if user.is_admin:
                return Permission.MANAGE
            asked = replace(viewer, name=username, all_powerful=False, user_id=user.user_id)
            return Permission(await _level(tx, asked, what))

        return await self._engine.read(work)

    # Of roles ------------------------------------------------------------------------------------

    async def add(
        self, role_id: int, what: What, permission: Permission, *, viewer: Viewer
    ) -> e.RolePermission:
        """To a role that the viewer has or manages. Raises ResourceAlreadyExists."""

        async def work(tx: Tx) -> e.RolePermission:
            role = await taken_role(tx, role_id, viewer)
            _require(what, role, viewer)
            if await roles.find_grant(tx, role_id, what) is not None:
                raise ResourceAlreadyExists(f"{_of_role(role, what)} already exists.")
            given = await roles.insert_grant(tx, role, what, permission)
            await record(tx, _granted(given, f"role {role.name}"), by=viewer)
            await _bump_if(tx, taken_away=permission <= Permission.NO_PERMISSIONS)
            return permission_entity(given)

        return await self._write(work)

    async def change(self, grant_id: int, word: str, *, viewer: Viewer) -> e.RolePermission:
        """Gives a role's grant another permission."""

        async def work(tx: Tx) -> e.RolePermission:
            grant, role = await _of_id(tx, grant_id, viewer)
            permission = permission_of(word, _what(grant))
            await _set(tx, grant, permission, f"role {role.name}", viewer)
            return permission_entity(replace(grant, level=permission))

        return await self._write(work)

    async def remove(self, grant_id: int, *, viewer: Viewer) -> None:
        async def work(tx: Tx) -> None:
            grant, role = await _of_id(tx, grant_id, viewer)
            await _delete(tx, grant, f"role {role.name}", viewer)

        await self._write(work)


async def _of_id(tx: Tx, grant_id: int, viewer: Viewer) -> tuple[Grant, Role]:
    """A grant that the viewer may change, and whose it is."""
    found = await roles.find_grant_by_id(tx, grant_id)
    if found is None:
        viewer.require(Level.MANAGE, None)
        raise _missing(grant_id)
    role = await taken_role(tx, found.role_id, viewer)
    grant = await roles.find_grant_by_id(tx, grant_id)  # As it is now that the role is held.
    if grant is None:
        raise _missing(grant_id)
    _require(_what(grant), role, viewer)
    return grant, role


def _require(what: What, role: Role, viewer: Viewer) -> None:
    if role.workspace == viewer.workspace:
        require_management(what, viewer)
    elif not viewer.all_powerful:
        raise PermissionDenied(f"Permission denied: workspace {role.workspace}.")


async def _found(tx: Tx, user: User, what: What, viewer: Viewer) -> Grant:
    role = await roles.find_by_name(tx, viewer.workspace, roles.own_name(user.user_id))
    grant = None if role is None else await roles.find_grant(tx, role.role_id, what)
    if grant is None and role is not None and what.resource_type in MODEL_TYPES:
        # A model may have a `*` in its name, and its creator a grant on exactly that.
        grant = await roles.find_grant(tx, role.role_id, replace(what, is_glob=False))
    if grant is None:
        raise ResourceDoesNotExist(f"{_direct(user.username, what)} not found.")
    return grant


async def _set(tx: Tx, grant: Grant, permission: Permission, whose: str, viewer: Viewer) -> None:
    if grant.level == permission:
        return
    await roles.set_level(tx, grant.grant_id, permission)
    before = Permission(grant.level).name
    await record(tx, _granted(replace(grant, level=permission), whose, before), by=viewer)
    await _bump_if(tx, taken_away=permission < grant.level)


async def _delete(tx: Tx, grant: Grant, whose: str, viewer: Viewer) -> None:
    await roles.delete_grant(tx, grant.grant_id)
    detail = f"{Permission(grant.level).name} from {whose}"
    await record(
        tx, Event("revoke", Resource(grant.resource_type, grant.pattern), detail), by=viewer
    )
    await bump(tx)


async def _bump_if(tx: Tx, *, taken_away: bool) -> None:
    if taken_away:
        await bump(tx)


async def _level(tx: Tx, viewer: Viewer, what: What) -> Level:
    experiment_id, model = experiment_of(what), model_of(what)
    if experiment_id is not None:
        resource = Resource(EXPERIMENT, experiment_id)
    elif model is not None:
        resource = Resource(REGISTERED_MODEL, model)
    elif what.resource_type == WORKSPACE:
        resource = THE_WORKSPACE
    else:
        kinds, keys = [what.resource_type], [what.pattern]
        rows = await granted.on(tx, viewer.user_id or 0, viewer.workspace, kinds, keys)
        whole = [level for pattern, _, level in rows if pattern in {"*", what.pattern}]
        return effective(whole, viewer.default)
    return (await levels(tx, viewer=viewer, resources=[resource]))[resource]


def _what(grant: Grant) -> What:
    return What(grant.resource_type, grant.pattern, grant.is_glob)


def _direct_grant(user: User, grant: Grant) -> DirectGrant:
    word = Permission(grant.level).name
    return DirectGrant(user.user_id, grant.workspace, grant.pattern, word)


def _granted(grant: Grant, whose: str, before: str = "") -> Event:
    change = f" (was {before})" if before else ""
    detail = f"{Permission(grant.level).name} to {whose}{change}"
    return Event("grant", Resource(grant.resource_type, grant.pattern), detail)


def _direct(username: str, what: What) -> str:
    return (
        f"Permission for user={username} on resource_type={what.resource_type}, "
        f"resource_id={what.pattern}"
    )


def _of_role(role: Role, what: What) -> str:
    return (
        f"Permission for role={role.name} on resource_type={what.resource_type}, "
        f"resource_pattern={what.pattern}"
    )


def _missing(grant_id: int) -> ResourceDoesNotExist:
    return ResourceDoesNotExist(f"Role permission with id={grant_id} not found")
