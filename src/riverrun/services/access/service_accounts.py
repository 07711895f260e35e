"""Service accounts: users that have tokens and no password. For admins."""

from riverrun.auth.viewer import Resource, Viewer
from riverrun.clock import now_ms
from riverrun.entities.tokens import ServiceAccount
from riverrun.errors import ResourceAlreadyExists, ResourceDoesNotExist
from riverrun.services.access.access_writes import AccessWrites, bump
from riverrun.services.access.account_names import check_username
from riverrun.services.access.authentication import Authentication
from riverrun.services.audit import Event, record
from riverrun.store.access import users
from riverrun.store.access.users import SERVICE, NewUser
from riverrun.store.engine import Engine, Tx


class ServiceAccounts:
    def __init__(self, engine: Engine, authentication: Authentication) -> None:
        self._engine = engine
        self._write = AccessWrites(engine, authentication)

    async def create(self, name: str, *, viewer: Viewer) -> ServiceAccount:
        """People and service accounts share their names."""
        viewer.require_admin()
        check_username(name)
        at_ms = now_ms()
        new = NewUser(name, SERVICE, None, is_admin=False, created_by=viewer.name, at_ms=at_ms)

        async def work(tx: Tx) -> ServiceAccount:
            if await users.find(tx, name) is not None:
                raise _already_exists(name)
            user = await users.insert(tx, new)
            await record(tx, _event("service.create", name), by=viewer)
            return ServiceAccount(user.user_id, name, at_ms, viewer.name)

        return await self._write(work)

    async def list(self, *, viewer: Viewer) -> list[ServiceAccount]:
        """By id."""
        viewer.require_admin()
        rows = await self._engine.read(users.service_accounts)
        return [ServiceAccount(*row) for row in rows]

    async def delete(self, name: str, *, viewer: Viewer) -> None:
        """With its tokens and what it was granted. A second time is an error."""
        viewer.require_admin()

        async def work(tx: Tx) -> None:
            user = await users.take(tx, name)
            if user is None or user.kind != SERVICE:
                raise ResourceDoesNotExist(f"There is no service account {name[:255]}.")
            await users.delete(tx, user.user_id)
            await record(tx, _event("service.delete", name), by=viewer)
            await bump(tx)

        await self._write(work)


def _event(action: str, name: str) -> Event:
    return Event(action, Resource("user", name))


def _already_exists(name: str) -> ResourceAlreadyExists:
    return ResourceAlreadyExists(f"User (username={name}) already exists.")
