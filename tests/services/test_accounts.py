"""Users, roles and grants: what they cost, and what is left of those who are gone."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import pytest
from tests.fixtures.counting import CountingEngine
from tests.store.engines import play as play_on_engine

from riverrun.auth.levels import Level
from riverrun.auth.permissions import Permission
from riverrun.auth.viewer import DEFAULT_WORKSPACE, EXPERIMENT, Resource, Viewer
from riverrun.errors import InvalidParameterValue, ResourceDoesNotExist
from riverrun.services.access.authentication import Authentication
from riverrun.services.access.grants import Grants
from riverrun.services.access.permissions import ACCESS_EPOCH, grant_to_creator
from riverrun.services.access.roles import Roles
from riverrun.services.access.users import Users
from riverrun.services.audit import Audit
from riverrun.services.epoch import Epoch
from riverrun.store import epochs
from riverrun.store.access import users
from riverrun.store.access.roles import What
from riverrun.store.access.users import PERSON, SERVICE, NewUser, User
from riverrun.store.engine import Engine

OPERATOR = Viewer("", DEFAULT_WORKSPACE, all_powerful=True)
PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class House:
    engine: CountingEngine
    users: Users
    roles: Roles
    grants: Grants

    async def user(self, name: str, *, kind: str = PERSON) -> User:
        """Without a password, which takes long to hash."""
        new = NewUser(name, kind, None, is_admin=False, created_by="", at_ms=1)
        return await self.engine.write(lambda tx: users.insert(tx, new))

    async def epoch(self) -> int:
        return await self.engine.read(lambda tx: epochs.current(tx, ACCESS_EPOCH))


def play(database: str, story: Callable[[House], Awaitable[None]]) -> None:
    async def told(engine: Engine) -> None:
        counting = CountingEngine(engine)
        epoch = Epoch(counting, ACCESS_EPOCH)
        authentication = Authentication(
            counting, epoch, Audit(counting), default=Level.READ, requests_per_s=0
        )
        house = House(
            counting,
            Users(counting, authentication),
            Roles(counting, authentication),
            Grants(counting, authentication),
        )
        try:
            await story(house)
        finally:
            await authentication.close()

    play_on_engine(database, told)


def test_lists_cost_the_same_however_many_there_are(database: str):
    async def story(house: House) -> None:
        viewer = OPERATOR
        shared = await house.roles.create(
            "shared", workspace="default", description=None, viewer=viewer
        )

        async def costs() -> list[int]:
            found: list[int] = []
            for call in (
                partial(house.users.list, viewer=viewer),
                partial(house.users.get, "user 0", viewer=viewer),
                partial(house.users.permissions, "user 0", viewer=viewer),
                partial(house.roles.list, (), viewer=viewer),
                partial(house.roles.get, shared.id, viewer=viewer),
                partial(house.roles.members, shared.id, viewer=viewer),
            ):
                before = len(house.engine.asked)
                await call()
                found.append(len(house.engine.asked) - before)
            return found

        async def grow(number: int) -> None:
            name = f"user {number}"
            await house.user(name)
            role = await house.roles.create(
                f"role {number}", workspace="default", description=None, viewer=viewer
            )
            for each in (shared.id, role.id):
                await house.roles.assign(name, each, viewer=viewer)
            what = What(EXPERIMENT, str(number), is_glob=False)
            await house.grants.add(role.id, what, Permission.EDIT, viewer=viewer)
            await house.grants.grant("user 0", what, Permission.EDIT, viewer=viewer)

        await grow(0)
        few = await costs()
        for number in range(1, 10):
            await grow(number)
        assert await costs() == few
        assert max(few) <= 4

    play(database, story)


def test_what_a_late_request_left_is_not_the_next_users(database: str):
    """SQLite gives the id of the last user again, and a request may end after its user did."""

    async def story(house: House) -> None:
        gone = await house.user("alice")
        await house.users.delete("alice", viewer=OPERATOR)
        late = Viewer("alice", DEFAULT_WORKSPACE, all_powerful=False, user_id=gone.user_id)
        private = Resource(EXPERIMENT, 7)
        await house.engine.write(partial(grant_to_creator, resource=private, viewer=late))
        await house.user("bob")
        assert await house.users.permissions("bob", viewer=OPERATOR) == (False, [])

    play(database, story)


def test_only_what_takes_something_away_bumps_the_epoch(database: str):
    async def story(house: House) -> None:
        viewer = OPERATOR
        await house.user("alice")
        what = What(EXPERIMENT, "1", is_glob=False)
        await house.grants.grant("alice", what, Permission.READ, viewer=viewer)
        await house.grants.update("alice", what, Permission.EDIT, viewer=viewer)
        await house.grants.update("alice", what, Permission.EDIT, viewer=viewer)
        await house.users.update_admin("alice", is_admin=False, viewer=viewer)
        await house.roles.create("team", workspace="default", description=None, viewer=viewer)
        assert await house.epoch() == 0
        await house.grants.update("alice", what, Permission.READ, viewer=viewer)
        assert await house.epoch() == 1
        await house.grants.revoke("alice", what, viewer=viewer)
        assert await house.epoch() == 2
        await house.grants.grant("alice", what, Permission.DENY, viewer=viewer)
        assert await house.epoch() == 3
        await house.users.delete("alice", viewer=viewer)
        assert await house.epoch() == 4

    play(database, story)


def test_a_service_account_gets_no_password(database: str):
    async def story(house: House) -> None:
        await house.user("robot", kind=SERVICE)
        with pytest.raises(InvalidParameterValue, match="has tokens and no password"):
            await house.users.update_password(
                "robot", PASSWORD, current_password="", viewer=OPERATOR
            )

    play(database, story)


def test_what_was_granted_goes_with_the_user_and_with_the_role(database: str):
    async def story(house: House) -> None:
        viewer = OPERATOR
        await house.user("alice")
        what = What(EXPERIMENT, "1", is_glob=False)
        await house.grants.grant("alice", what, Permission.EDIT, viewer=viewer)
        role = await house.roles.create(
            "team", workspace="default", description=None, viewer=viewer
        )
        await house.grants.add(role.id, what, Permission.EDIT, viewer=viewer)
        await house.roles.assign("alice", role.id, viewer=viewer)
        await house.users.delete("alice", viewer=viewer)
        assert await house.roles.members(role.id, viewer=viewer) == []
        await house.roles.delete(role.id, viewer=viewer)
        assert await house.roles.list((), viewer=viewer) == []
        for table in ("grants", "role_members", "roles"):
            assert await house.engine.read(lambda tx, t=table: tx.fetch(f"SELECT * FROM {t}")) == []
        with pytest.raises(ResourceDoesNotExist, match="User with username=alice not found"):
            await house.grants.grant("alice", what, Permission.EDIT, viewer=viewer)

    play(database, story)
