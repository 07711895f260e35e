"""Users: who makes, changes and removes them, and what they are shown of each other."""

from collections.abc import Sequence

from riverrun.auth.levels import Level
from riverrun.auth.viewer import EXPERIMENT, Resource, Viewer
from riverrun.clock import now_ms
from riverrun.entities import users as e
from riverrun.errors import (
    BadRequest,
    InvalidParameterValue,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
)
from riverrun.services.access.access_writes import AccessWrites, bump
from riverrun.services.access.account_names import check_password, check_username
from riverrun.services.access.authentication import Authentication
from riverrun.services.access.permissions import MODEL_TYPES
from riverrun.services.access.role_entities import granted_permissions, role_entities
from riverrun.services.audit import Event, record
from riverrun.store.access import roles
from riverrun.store.access import users as store
from riverrun.store.access.users import PERSON, SERVICE, NewUser, User
from riverrun.store.engine import Engine, Tx


class Users:
    """A user's name is unique, and its case counts."""

    def __init__(self, engine: Engine, authentication: Authentication) -> None:
        self._engine = engine
        self._authentication = authentication
        self._write = AccessWrites(engine, authentication)

    async def create(
        self, username: str, password: str, *, viewer: Viewer, is_admin: bool = False
    ) -> e.User:
        """For admins."""
        viewer.require_admin()
        check_username(username)
        check_password(password, username=username)
        # Before the hash, which is expensive, and once more in the transaction.
        if await self._engine.glance(lambda tx: store.find(tx, username)) is not None:
            raise _exists(username)
        hashed = await self._authentication.hashed(password)
        new = NewUser(username, PERSON, hashed, is_admin, viewer.name, now_ms())

        async def work(tx: Tx) -> User:
            if await store.find(tx, username) is not None:
                raise _exists(username)
            user = await store.insert(tx, new)
            await record(tx, _event("user.create", username, _admin(is_admin=is_admin)), by=viewer)
            return user

        return _account(await self._write(work), (), viewer.workspace)

    async def get(self, username: str, *, viewer: Viewer) -> e.User:
        """For the user, admins, and those who manage the workspace."""
        _require_self(username, viewer)

        async def work(tx: Tx) -> e.User:
            user = await required_user(tx, username)
            return _account(user, await _shown_roles(tx, user, viewer), viewer.workspace)

        return await self._engine.read(work)

    async def current(self, *, viewer: Viewer) -> e.Account:
        user = await self._engine.glance(lambda tx: required_user(tx, viewer.name))
        return e.Account(user.user_id, user.username, user.is_admin)

    async def roles(self, username: str, *, viewer: Viewer) -> list[e.Role]:
        """For the user and admins; those who manage the workspace see the ones in it."""
        _require_self(username, viewer)

        async def work(tx: Tx) -> list[e.Role]:
            return await _shown_roles(tx, await required_user(tx, username), viewer)

        return await self._engine.read(work)

    async def permissions(
        self, username: str, *, viewer: Viewer
    ) -> tuple[bool, list[e.GrantedPermission]]:
        """Whether the user is an admin, and what stands in the roles that `roles` shows."""
        shown = await self.roles(username, viewer=viewer)
        user = await self._engine.glance(lambda tx: required_user(tx, username))
        return user.is_admin, granted_permissions(shown)

    async def update_password(
        self, username: str, password: str, *, current_password: str, viewer: Viewer
    ) -> None:
        """Of oneself with the current one; of others for admins. It ends the user's sessions."""
        is_own = viewer.name == username
        if not is_own:
            viewer.require_admin()
        elif not current_password:
            raise InvalidParameterValue(
                "Current password is required when changing your own password."
            )
        user = await self._engine.glance(lambda tx: required_user(tx, username))
        if user.kind == SERVICE:
            raise InvalidParameterValue(
                f"User '{username}' is a service account, which has tokens and no password."
            )
        if is_own:
            await self._check_current(user, password, current_password, viewer)
        check_password(password, username=username)
        hashed = await self._authentication.hashed(password)
        at_ms = now_ms()

        async def work(tx: Tx) -> None:
            taken = await taken_user(tx, username)
            if taken.user_id != user.user_id:
                raise _missing(username)  # Another one, that has the name since a moment ago.
            await store.set_password(tx, taken.user_id, hashed, at_ms=at_ms)
            await record(tx, _event("user.password", username), by=viewer)
            await bump(tx)

        await self._write(work)

    async def _check_current(self, user: User, new: str, current: str, viewer: Viewer) -> None:
        if not await self._authentication.confirms(user, current, address=viewer.address):
            raise InvalidParameterValue("Current password does not match.")
        if new == current:
            raise InvalidParameterValue("New password must differ from the current password.")

    async def update_admin(self, username: str, *, is_admin: bool, viewer: Viewer) -> None:
        """For admins. There is always one."""
        viewer.require_admin()

        async def work(tx: Tx) -> None:
            admins = await store.take_admins(tx)
            user = await taken_user(tx, username)
            if user.is_admin == is_admin:
                return
            if admins == [user.user_id]:
                raise _last_admin(username)
            await store.set_admin(tx, user.user_id, is_admin=is_admin)
            await record(tx, _event("user.admin", username, _admin(is_admin=is_admin)), by=viewer)
            await bump(tx)

        await self._write(work)

    async def delete(self, username: str, *, viewer: Viewer) -> None:
        """For admins, and never oneself or the last admin. What the user made stays."""
        viewer.require_admin()
        if viewer.name == username:
            raise BadRequest(
                "Users cannot delete their own account. Ask another admin to delete this user "
                "instead."
            )

        async def work(tx: Tx) -> None:
            admins = await store.take_admins(tx)
            user = await taken_user(tx, username)
            if admins == [user.user_id]:
                raise _last_admin(username)
            await store.delete(tx, user.user_id)
            await record(tx, _event("user.delete", username), by=viewer)
            await bump(tx)

        await self._write(work)

    async def list(self, *, viewer: Viewer) -> list[e.ListedUser]:
        """By id, for everybody; roles are shown to their users and to admins."""
        viewer.require(Level.READ, None)

        async def work(tx: Tx) -> list[e.ListedUser]:
            found = await store.all_users(tx)
            if viewer.all_powerful:
                shown = await _roles_by_user(tx)
            else:
                own = await roles.of_user(tx, viewer.user_id or 0)
                shown = {viewer.user_id or 0: await role_entities(tx, own)}
            return [
                e.ListedUser(
                    each.user_id, each.username, each.is_admin, shown.get(each.user_id, [])
                )
                for each in found
            ]

        return await self._engine.read(work)


async def required_user(tx: Tx, username: str) -> User:
    """Raises ResourceDoesNotExist: who there is, is no secret among users."""
    user = await store.find(tx, username)
    if user is None:
        raise _missing(username)
    return user


async def taken_user(tx: Tx, username: str) -> User:
    """As `required_user`, for a change of the user or what the user is granted."""
    user = await store.take(tx, username)
    if user is None:
        raise _missing(username)
    return user


def _require_self(username: str, viewer: Viewer) -> None:
    if viewer.name != username:
        viewer.require(Level.MANAGE, None)


async def _roles_by_user(tx: Tx) -> dict[int, list[e.Role]]:
    shown = {each.id: each for each in await role_entities(tx, await roles.all_roles(tx))}
    found: dict[int, list[e.Role]] = {}
    for user_id, role_id in await roles.memberships(tx):
        if role_id in shown:
            found.setdefault(user_id, []).append(shown[role_id])
    return found


async def _shown_roles(tx: Tx, user: User, viewer: Viewer) -> list[e.Role]:
    found = await roles.of_user(tx, user.user_id)
    if not (viewer.all_powerful or viewer.name == user.username):
        found = [each for each in found if each.workspace == viewer.workspace]
    return await role_entities(tx, found)


def _account(user: User, shown: Sequence[e.Role], workspace: str) -> e.User:
    """With what is granted directly in this workspace, and the roles."""
    own = roles.own_name(user.user_id)
    granted = [
        permission
        for role in shown
        if role.name == own and role.workspace == workspace
        for permission in role.permissions
    ]
    return e.User(
        user.user_id,
        user.username,
        user.is_admin,
        experiment_permissions=[
            e.ExperimentPermission(each.resource_pattern, user.user_id, each.permission)
            for each in granted
            if each.resource_type == EXPERIMENT
        ],
        registered_model_permissions=[
            e.RegisteredModelPermission(
                each.resource_pattern, user.user_id, each.permission, workspace
            )
            for each in granted
            if each.resource_type in MODEL_TYPES
        ],
        scorer_permissions=[],
        roles=[*shown],
    )


def _event(action: str, username: str, detail: str = "") -> Event:
    return Event(action, Resource("user", username), detail)


def _admin(*, is_admin: bool) -> str:
    return "admin" if is_admin else "no admin"


def _exists(username: str) -> ResourceAlreadyExists:
    return ResourceAlreadyExists(f"User (username={username}) already exists.")


def _missing(username: str) -> ResourceDoesNotExist:
    return ResourceDoesNotExist(f"User with username={username} not found")


def _last_admin(username: str) -> InvalidParameterValue:
    return InvalidParameterValue(
        f"User '{username}' is the last admin: make another one admin first."
    )
