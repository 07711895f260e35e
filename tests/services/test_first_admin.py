"""The admin that the settings name, on databases of every kind."""

import asyncio

from tests.services.doors import authentication_on, recorded, user_named
from tests.store.engines import play

from riverrun.auth import passwords
from riverrun.services.access.first_admin import OPERATOR, ConfiguredAdmin, ensure_admin
from riverrun.services.access.permissions import ACCESS_EPOCH
from riverrun.services.access.users import Users
from riverrun.store import epochs
from riverrun.store.access import users
from riverrun.store.engine import Engine

OLD, NEW = "the first password", "the second password"


async def start(engine: Engine, password: str, username: str = "root") -> None:
    await ensure_admin(engine, ConfiguredAdmin(username, password), authentication_on(engine))


async def has_password(engine: Engine, password: str, username: str = "root") -> bool:
    stored = (await user_named(engine, username)).password_hash
    return stored is not None and passwords.verifies(password, stored)


def test_the_first_start_makes_the_admin_and_the_next_one_nothing(database: str):
    async def story(engine: Engine) -> None:
        await start(engine, OLD)
        made = await user_named(engine, "root")
        assert (made.is_admin, made.kind) == (True, "person")
        await start(engine, OLD)
        assert await user_named(engine, "root") == made
        assert await recorded(engine) == [("user.create", "root", "from the settings")]

    play(database, story)


def test_another_password_replaces_the_old_one_and_ends_what_it_began(database: str):
    async def story(engine: Engine) -> None:
        await start(engine, OLD)
        before = await engine.read(lambda tx: epochs.current(tx, ACCESS_EPOCH))
        await start(engine, NEW)
        assert await engine.read(lambda tx: epochs.current(tx, ACCESS_EPOCH)) > before
        assert await has_password(engine, NEW)
        assert not await has_password(engine, OLD)
        await start(engine, OLD)  # And back.
        assert await has_password(engine, OLD)
        assert [action for action, _, _ in await recorded(engine)] == [
            "user.create",
            "user.password",
            "user.password",
        ]

    play(database, story)


def test_a_password_that_was_changed_here_stays_while_the_settings_repeat_themselves(
    database: str,
):
    async def story(engine: Engine) -> None:
        await start(engine, OLD)
        own = Users(engine, authentication_on(engine))
        await own.update_password("root", NEW, current_password="", viewer=OPERATOR)
        await start(engine, OLD)
        assert await has_password(engine, NEW)
        await start(engine, "the third password")
        assert await has_password(engine, "the third password")

    play(database, story)


def test_another_name_makes_another_admin_and_one_who_is_there_becomes_one(database: str):
    async def story(engine: Engine) -> None:
        await start(engine, OLD)
        await start(engine, OLD, "chief")
        assert await engine.read(users.count_admins) == 2
        own = Users(engine, authentication_on(engine))
        await own.create("ada", NEW, viewer=OPERATOR)
        await start(engine, OLD, "ada")
        assert (await user_named(engine, "ada")).is_admin
        assert await has_password(engine, OLD, "ada")

    play(database, story)


def test_of_servers_that_start_at_once_one_makes_the_admin(database: str):
    async def story(engine: Engine) -> None:
        await asyncio.gather(*(start(engine, OLD) for _ in range(4)))
        await asyncio.gather(*(start(engine, NEW) for _ in range(4)))
        assert await has_password(engine, NEW)
        assert [action for action, _, _ in await recorded(engine)] == [
            "user.create",
            "user.password",
        ]

    play(database, story)
