"""The link for the first admin, on databases of every kind."""

import asyncio
from contextlib import nullcontext
from pathlib import Path

import pytest
from tests.services.doors import authentication_on, recorded, user_named
from tests.store.engines import opened, play

from riverrun.auth.viewer import Viewer
from riverrun.errors import (
    InvalidParameterValue,
    PermissionDenied,
    ResourceAlreadyExists,
)
from riverrun.services.access.setup_link import FirstAdmin, SetupLink
from riverrun.services.audit import Audit
from riverrun.store import audit as store
from riverrun.store import server_keys
from riverrun.store.access import users
from riverrun.store.access.users import NewUser
from riverrun.store.audit import Wanted
from riverrun.store.engine import Engine

PAGE = "https://ml.example.com/team/setup"
PASSWORD = "quite a long one"
VIEWER = Viewer("", "default", all_powerful=True, address="192.0.2.1")


def link_on(engine: Engine, folder: Path, name: str = "link") -> SetupLink:
    return SetupLink(engine, Audit(engine), authentication_on(engine), folder / name, PAGE)


def token_in(file: Path) -> str:
    page, _, token = file.read_text().partition("?token=")
    assert page == PAGE
    return token.strip()


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def first(token: str, username: str = "ada", password: str = PASSWORD) -> FirstAdmin:
    return FirstAdmin(token, username, password)


def test_the_file_is_for_the_servers_user_alone_and_the_database_has_no_token(
    database: str, tmp_path: Path
):
    async def story(engine: Engine) -> None:
        assert await link_on(engine, tmp_path).offer()
        token = token_in(tmp_path / "link")
        assert (tmp_path / "link").stat().st_mode & 0o777 == 0o600
        assert len(token) >= 43
        stored = await engine.read(lambda tx: server_keys.find(tx, "setup_links"))
        assert stored is not None
        assert token not in stored
        assert files_in(tmp_path) == ["link"]

    play(database, story)


def test_a_start_leaves_a_link_that_is_valid_and_replaces_one_that_is_not(
    database: str, tmp_path: Path
):
    async def story(engine: Engine) -> None:
        link = link_on(engine, tmp_path)
        await link.offer()
        token = token_in(tmp_path / "link")
        await link.offer()
        assert token_in(tmp_path / "link") == token
        for text in ("", f"{PAGE}?token=made-up\n", "\udcff"):
            (tmp_path / "link").write_text(text, "utf-8", "surrogateescape")
            await link.offer()
            fresh = token_in(tmp_path / "link")
            assert fresh not in {token, "made-up", ""}
            await link.check(fresh, viewer=VIEWER)
        await link.check(token, viewer=VIEWER)  # Another machine may have it.

    play(database, story)


def test_a_link_works_once(database: str, tmp_path: Path):
    async def story(engine: Engine) -> None:
        link = link_on(engine, tmp_path)
        await link.offer()
        token = token_in(tmp_path / "link")
        assert await link.finish(first(token, " ada "), viewer=VIEWER) == "ada"
        assert (await user_named(engine, "ada")).is_admin
        assert files_in(tmp_path) == []
        for again in (
            link.finish(first(token, "eve"), viewer=VIEWER),
            link.check(token, viewer=VIEWER),
        ):
            with pytest.raises(PermissionDenied):
                await again
        assert not await link.offer()
        assert files_in(tmp_path) == []
        assert await recorded(engine) == [("user.create", "ada", "by the set-up link")]

    play(database, story)


@pytest.mark.parametrize("token", ["", "x", "\ud800", "x" * 10_000])
def test_what_is_no_token_opens_nothing(token: str, database: str, tmp_path: Path):
    async def story(engine: Engine) -> None:
        link = link_on(engine, tmp_path)
        for _ in range(2):  # Before there is a link, and beside one.
            with pytest.raises(PermissionDenied):
                await link.check(token, viewer=VIEWER)
            with pytest.raises(PermissionDenied):
                await link.finish(first(token), viewer=VIEWER)
            await link.offer()
        assert await engine.read(users.is_empty)

    play(database, story)


def test_where_it_is_tried_from_is_audited(database: str, tmp_path: Path):
    async def story(engine: Engine) -> None:
        audit = Audit(engine)
        link = SetupLink(engine, audit, authentication_on(engine), tmp_path / "link", PAGE)
        await link.offer()
        with pytest.raises(PermissionDenied):
            await link.check("guessed", viewer=VIEWER)
        await audit.flush()
        await link.finish(first(token_in(tmp_path / "link")), viewer=VIEWER)
        denied, made = reversed(
            await engine.read(lambda tx: store.page(tx, Wanted(), before=None, limit=9))
        )
        assert (denied.action, denied.outcome, denied.address) == ("login", "denied", "192.0.2.1")
        assert (made.action, made.outcome, made.address) == ("user.create", "allowed", "192.0.2.1")
        assert "guessed" not in repr(denied)

    play(database, story)


def test_a_name_or_a_password_that_cannot_be_leaves_the_link(database: str, tmp_path: Path):
    async def story(engine: Engine) -> None:
        new = NewUser("ben", "person", None, is_admin=False, created_by="", at_ms=1)
        await engine.write(lambda tx: users.insert(tx, new))
        link = link_on(engine, tmp_path)
        await link.offer()
        token = token_in(tmp_path / "link")
        for username, password in [
            ("", PASSWORD),
            ("a:b", PASSWORD),
            ("ada", "short"),
            ("ada", "password1234"),
            ("the-whole-team", "the-whole-team"),
        ]:
            with pytest.raises(InvalidParameterValue):
                await link.finish(first(token, username, password), viewer=VIEWER)
        with pytest.raises(ResourceAlreadyExists):
            await link.finish(first(token, "ben"), viewer=VIEWER)
        assert not (await user_named(engine, "ben")).is_admin
        assert await link.finish(first(token), viewer=VIEWER) == "ada"

    play(database, story)


def test_an_admin_who_is_made_otherwise_ends_every_link(database: str, tmp_path: Path):
    async def story(engine: Engine) -> None:
        link = link_on(engine, tmp_path)
        await link.offer()
        token = token_in(tmp_path / "link")
        new = NewUser("root", "person", None, is_admin=True, created_by="", at_ms=1)
        await engine.write(lambda tx: users.insert(tx, new))
        with pytest.raises(PermissionDenied):
            await link.check(token, viewer=VIEWER)
        with pytest.raises(PermissionDenied):
            await link.finish(first(token), viewer=VIEWER)
        assert not await link.offer()
        assert files_in(tmp_path) == []

    play(database, story)


def test_of_many_who_come_at_once_one_is_made_admin(
    database: str, database_kind: str, tmp_path: Path
):
    """On a server's database each has a server of their own, with a link of its own."""

    async def story(engine: Engine) -> None:
        is_file = database_kind == "sqlite"
        async with nullcontext(engine) if is_file else opened(database) as other:
            here, there = link_on(engine, tmp_path), link_on(other, tmp_path, "there")
            await asyncio.gather(here.offer(), there.offer())
            tokens = [token_in(tmp_path / "link"), token_in(tmp_path / "there")]
            done = await asyncio.gather(
                *(
                    each.finish(first(token, f"admin {number} {token[:4]}"), viewer=VIEWER)
                    for number in range(4)
                    for each, token in zip((here, there), tokens, strict=True)
                ),
                return_exceptions=True,
            )
            names = [each for each in done if isinstance(each, str)]
            assert len(names) == 1, done
            assert {type(each) for each in done} == {str, PermissionDenied}
            assert await engine.read(users.count_admins) == 1

    play(database, story)


def test_workers_that_start_at_once_leave_one_file_that_works(database: str, tmp_path: Path):
    async def story(engine: Engine) -> None:
        links = [link_on(engine, tmp_path) for _ in range(6)]
        assert await asyncio.gather(*(each.offer() for each in links)) == [True] * 6
        await links[0].check(token_in(tmp_path / "link"), viewer=VIEWER)

    play(database, story)


def test_a_folder_that_cannot_be_written_does_not_stop_the_start(
    database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").write_text("")

    async def story(engine: Engine) -> None:
        assert await link_on(engine, tmp_path / "file").offer()

    play(database, story)
    assert "give MLFLOW_ADMIN_PASSWORD" in caplog.text
