"""Users of an MLflow server, their hashes and what they were granted: taken once."""

import asyncio
from collections import Counter

from riverrun.auth import passwords
from riverrun.auth.permissions import Permission
from riverrun.auth.viewer import EXPERIMENT, Resource
from riverrun.clock import now_ms
from riverrun.obs.logs import Log
from riverrun.services.access.first_admin import OPERATOR
from riverrun.services.access.permissions import ACCESS_EPOCH
from riverrun.services.audit import Event, record
from riverrun.store import epochs, server_keys
from riverrun.store.access import roles, users
from riverrun.store.access.roles import Role, What
from riverrun.store.access.upstream_users import UpstreamGrant, UpstreamUsers
from riverrun.store.access.users import PERSON, NewUser
from riverrun.store.engine import Engine, Tx

IMPORTED = "upstream_users"
"""The server key that says where users were taken from."""
UPSTREAMS_PASSWORD = "password1234"  # noqa: S105 - It is nobody's secret.
EXPERIMENT_ID_DIGITS_MAX = 18
TYPE_LENGTH_MAX = 32

log = Log("riverrun.access")


async def was_done(engine: Engine) -> bool:
    return await engine.read(lambda tx: server_keys.find(tx, IMPORTED)) is not None


async def import_users(engine: Engine, found: UpstreamUsers) -> None:
    """In one transaction, unless it was done before. A user whose name is known here keeps password
    and flag, and has what was granted there as well. Grants on what is not here wait for it; words
    that no release knows are left out, and counted.
    """

    async def work(tx: Tx) -> Counter[str] | None:
        if await server_keys.find(tx, IMPORTED) is not None:
            return None  # Another server on this database was first.
        await server_keys.insert(tx, IMPORTED, found.source)
        counts = await _Import(tx, found).run()
        told = ", ".join(f"{count} {what}" for what, count in counts.items())
        event = Event("user.import", Resource("user", "*"), f"{told}, from {found.source}")
        await record(tx, event, by=OPERATOR)
        await epochs.bump(tx, ACCESS_EPOCH)
        return counts

    counts = await engine.write(work)
    if counts is None:
        return
    log.info("users imported", source=found.source, **counts)
    for name in await asyncio.to_thread(_shut_out, found):
        log.warning(
            "an imported admin has a password that everybody knows, and cannot log in with it: run"
            " `riverrun auth reset-admin`, or give MLFLOW_ADMIN_PASSWORD",
            username=name,
        )


def _shut_out(found: UpstreamUsers) -> list[str]:
    """Admins with the password that upstream gave them for years. A check takes 60 ms."""
    return [
        each.username
        for each in found.users
        if each.is_admin
        and each.password_hash
        and passwords.verifies(UPSTREAMS_PASSWORD, each.password_hash)
    ]


class _Import:
    """Ids there to ids here, as far as they are known."""

    def __init__(self, tx: Tx, found: UpstreamUsers) -> None:
        self._tx = tx
        self._found = found
        self._users: dict[int, int] = {}
        self._roles: dict[int, Role] = {}
        self._counts = Counter({"users": 0, "roles": 0, "grants": 0})

    async def run(self) -> Counter[str]:
        await self._add_users()
        await self._add_roles()
        for grant in self._found.grants:
            role = await self._role_of(grant)
            if role is not None:
                await self._add_grant(role, grant)
        return self._counts

    async def _add_users(self) -> None:
        for each in self._found.users:
            user = await users.find(self._tx, each.username)
            if user is None:
                new = NewUser(
                    each.username,
                    PERSON,
                    each.password_hash,
                    is_admin=each.is_admin,
                    created_by="",
                    at_ms=now_ms(),
                )
                user = await users.insert(self._tx, new)
                self._counts["users"] += 1
            self._users[each.user_id] = user.user_id

    async def _add_roles(self) -> None:
        for each in self._found.roles:
            role = await roles.find_by_name(self._tx, each.workspace, each.name)
            if role is None:
                role = await roles.insert(
                    self._tx,
                    each.workspace,
                    each.name,
                    description=each.description,
                    user_id=None,
                )
                self._counts["roles"] += 1
            self._roles[each.role_id] = role
        for there, role_id in self._found.members:
            user_id, role = self._users.get(there), self._roles[role_id]
            if user_id is None or user_id in await roles.members(self._tx, role.role_id):
                continue
            await roles.add_member(self._tx, role.role_id, user_id)

    async def _role_of(self, grant: UpstreamGrant) -> Role | None:
        if grant.role_id is not None:
            return self._roles[grant.role_id]
        user_id = self._users.get(grant.user_id or 0)
        return None if user_id is None else await roles.own(self._tx, user_id, grant.workspace)

    async def _add_grant(self, role: Role, grant: UpstreamGrant) -> None:
        if not _is_known(grant):
            self._counts["left_out"] += 1
            return
        what = _what(grant)
        if await roles.find_grant(self._tx, role.role_id, what) is None:
            await roles.insert_grant(self._tx, role, what, Permission[grant.permission])
            self._counts["grants"] += 1


def _what(grant: UpstreamGrant) -> What:
    is_glob = grant.pattern == "*"
    if grant.resource_type == EXPERIMENT and not is_glob:
        return What(EXPERIMENT, str(int(grant.pattern)), is_glob=False)
    return What(grant.resource_type, grant.pattern, is_glob=is_glob)


def _is_known(grant: UpstreamGrant) -> bool:
    """An experiment's pattern is its id, or `*`."""
    if grant.permission not in Permission.__members__ or len(grant.resource_type) > TYPE_LENGTH_MAX:
        return False
    if grant.resource_type != EXPERIMENT or grant.pattern == "*":
        return True
    is_number = grant.pattern.isascii() and grant.pattern.isdigit()
    return is_number and len(grant.pattern) <= EXPERIMENT_ID_DIGITS_MAX
