"""Who is let in: passwords and tokens, what is remembered of them, and when it is forgotten."""

import asyncio
import base64
import hashlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from tests.fixtures.clock import Clock
from tests.store.engines import opened
from tests.store.replicas import another

from riverrun.auth import passwords
from riverrun.auth.levels import Level
from riverrun.auth.viewer import Asking, Viewer
from riverrun.clock import now_ms
from riverrun.errors import ResourceDoesNotExist, TooManyRequests, TrackingError, Unauthenticated
from riverrun.services import audit as audit_service
from riverrun.services.access import authentication as authentication_service
from riverrun.services.access.api_tokens import ApiTokens, AskedToken
from riverrun.services.access.authentication import BELIEVED_S, Authentication
from riverrun.services.access.permissions import ACCESS_EPOCH
from riverrun.services.access.service_accounts import ServiceAccounts
from riverrun.services.audit import Audit
from riverrun.services.epoch import Epoch
from riverrun.store import audit as audit_store
from riverrun.store import epochs
from riverrun.store.access import users
from riverrun.store.access.users import NewUser
from riverrun.store.audit import Entry, Wanted
from riverrun.store.engine import Engine, Tx

PASSWORD = "correct horse battery"
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"
OPERATOR = Viewer("", "default", all_powerful=True)


@dataclass(frozen=True)
class Door:
    """A server's authentication, and what makes its tokens."""

    engine: Engine
    authentication: Authentication
    audit: Audit
    tokens: ApiTokens
    accounts: ServiceAccounts

    async def come(self, authorization: bytes, address: str = HERE, **headers: str) -> Viewer:
        given = {name.encode(): value.encode() for name, value in headers.items()}
        given[b"authorization"] = authorization
        return await self.authentication(Asking(given, (address, 5_000), "request-1"))

    async def token(self, *scopes: str, username: str = "ada", **fields: int) -> str:
        asked = AskedToken("ci", scopes or ("read",), fields.get("expires_in_s"), username)
        return (await self.tokens.create(asked, viewer=OPERATOR))[0]

    async def user(self, name: str, stored: str | None = None) -> None:
        if stored is None:
            stored = await self.authentication.hashed(PASSWORD)
        await self.engine.write(lambda tx: users.insert(tx, _new(name, stored)))

    async def set_password(self, name: str, password: str) -> None:
        hashed = await self.authentication.hashed(password)

        async def work(tx: Tx) -> None:
            user = await users.take(tx, name)
            assert user is not None
            await users.set_password(tx, user.user_id, hashed, at_ms=now_ms())
            await epochs.bump(tx, ACCESS_EPOCH)

        await self.engine.write(work)

    async def entries(self) -> list[Entry]:
        """The oldest first."""
        await self.audit.flush()
        found = await self.engine.read(
            lambda tx: audit_store.page(tx, Wanted(), before=None, limit=1_000)
        )
        return found[::-1]


def _new(name: str, stored: str) -> NewUser:
    return NewUser(name, "person", stored, is_admin=False, created_by="", at_ms=now_ms())


def basic(name: str, password: str = PASSWORD) -> bytes:
    return b"Basic " + base64.b64encode(f"{name}:{password}".encode())


def bearer(token: str) -> bytes:
    return b"Bearer " + token.encode()


@asynccontextmanager
async def door(engine: Engine, requests_per_s: int = 0) -> AsyncGenerator[Door]:
    audit = Audit(engine)
    authentication = Authentication(
        engine,
        Epoch(engine, ACCESS_EPOCH),
        audit,
        default=Level.READ,
        requests_per_s=requests_per_s,
    )
    try:
        yield Door(
            engine,
            authentication,
            audit,
            ApiTokens(engine, authentication),
            ServiceAccounts(engine, authentication),
        )
    finally:
        await authentication.close()


def play(
    database: str, story: Callable[[Door], Awaitable[None]], *, requests_per_s: int = 0
) -> None:
    """The story of a server with one user, ada."""

    async def telling() -> None:
        async with opened(database) as engine, door(engine, requests_per_s) as one:
            await one.user("ada")
            await story(one)

    asyncio.run(telling())


async def refused(coming: Awaitable[object]) -> type[TrackingError] | None:
    try:
        await coming
    except TrackingError as error:
        return type(error)
    return None


# Passwords


def test_a_password_lets_its_user_in(database: str):
    async def story(one: Door) -> None:
        viewer = await one.come(basic("ada"))
        assert (viewer.name, viewer.all_powerful, viewer.address) == ("ada", False, HERE)
        assert viewer.request_id == "request-1"

    play(database, story)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        basic("ada", PASSWORD + "x"),
        basic("ada", PASSWORD[:-1]),
        basic("ada", ""),
        basic("ada", PASSWORD * 100),
        basic("Ada"),
        basic("ada "),
        basic(" ada"),
        basic("nobody"),
        basic("service"),
        basic("service", ""),
        basic("ada\0"),
        basic("a" * 5_000),
        b"Basic \xff",
        b"Bearer riverrun_pat_x",
        b"Bearer " + b"x" * 8_000,
        b"\xff\x00",
    ],
)
def test_nobody_else_is_let_in(header: bytes, database: str):
    async def story(one: Door) -> None:
        await one.accounts.create("service", viewer=OPERATOR)
        assert await refused(one.come(header)) is Unauthenticated
        assert [each.outcome for each in await one.entries() if each.action == "login"] in (
            [],  # Of what cannot be read there is nothing to tell.
            ["denied"],
        )

    play(database, story)


def test_an_empty_password_is_nobodys_even_where_its_hash_is_stored(database: str):
    """CVE-2025-1474: users without a password."""
    salt = "salt"
    digest = hashlib.pbkdf2_hmac("sha256", b"", salt.encode(), 1_000).hex()

    async def story(one: Door) -> None:
        await one.user("empty", f"pbkdf2:sha256:1000${salt}${digest}")
        assert await refused(one.come(basic("empty", ""))) is Unauthenticated

    play(database, story)


def test_an_imported_hash_is_replaced_at_the_next_login(database: str):
    salt = "salt"
    digest = hashlib.pbkdf2_hmac("sha256", b"old password", salt.encode(), 1_000).hex()

    async def story(one: Door) -> None:
        await one.user("bob", f"pbkdf2:sha256:1000${salt}${digest}")
        assert await refused(one.come(basic("bob", "wrong"))) is Unauthenticated
        assert (await one.come(basic("bob", "old password"))).name == "bob"
        user = await one.engine.read(lambda tx: users.find(tx, "bob"))
        assert user is not None
        assert (user.password_hash or "").startswith("$argon2id$")
        assert await refused(one.come(basic("bob", "wrong"))) is Unauthenticated

    play(database, story)


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_unknown_users_take_as_long_as_known_ones(database: str):
    async def seconds(one: Door, header: bytes, address: str) -> float:
        started = time.perf_counter()
        assert await refused(one.come(header, address)) is Unauthenticated
        return time.perf_counter() - started

    async def story(one: Door) -> None:
        await one.accounts.create("service", viewer=OPERATOR)
        await one.authentication.is_hash_of(await one.authentication.hashed("x"), "x")
        kinds: dict[str, Callable[[int], bytes]] = {
            "wrong": lambda n: basic("ada", f"wrong {n}"),
            "unknown": lambda n: basic(f"nobody{n}", f"wrong {n}"),
            "service": lambda n: basic("service", f"wrong {n}"),
            "long": lambda n: basic("ada", f"{n}" * 5_000),
            "empty": lambda n: basic(f"empty{n}", ""),
        }
        least = {
            kind: min([await seconds(one, made(n), f"192.0.2.{n}") for n in range(4)])
            for kind, made in kinds.items()
        }
        assert min(least.values()) > max(least.values()) / 2, least

    play(database, story)


def test_a_check_does_not_hold_up_the_event_loop(database: str):
    async def story(one: Door) -> None:
        await one.come(basic("ada"))
        guessing = [
            asyncio.create_task(refused(one.come(basic(f"user{n}", "x"), f"192.0.2.{n % 10}")))
            for n in range(30)
        ]
        longest = 0.0
        while not all(each.done() for each in guessing):
            started = time.perf_counter()
            await asyncio.sleep(0)
            await one.come(basic("ada"))
            longest = max(longest, time.perf_counter() - started)
            await asyncio.sleep(0.001)
        assert longest < 0.5
        assert Counter([await each for each in guessing])[Unauthenticated] >= 20

    play(database, story)


# Limits


def test_failures_pause_an_account_at_their_address_only(database: str):
    async def story(one: Door) -> None:
        outcomes = [await refused(one.come(basic("ada", f"wrong {n}"))) for n in range(6)]
        assert outcomes == [Unauthenticated] * 5 + [TooManyRequests]
        assert await refused(one.come(basic("ada"))) is TooManyRequests
        assert (await one.come(basic("ada"), ELSEWHERE)).name == "ada"
        # Known again here, too: it is the same header, and it was right a moment ago.
        assert (await one.come(basic("ada"))).name == "ada"

    play(database, story)


def test_who_was_let_in_before_does_not_wait_for_those_who_guess(
    database: str, monkeypatch: pytest.MonkeyPatch
):
    async def story(one: Door) -> None:
        clock = Clock.of(authentication_service, monkeypatch)
        await one.come(basic("ada"))
        for number in range(6):
            await refused(one.come(basic("ada", f"wrong {number}")))
        clock.now += BELIEVED_S + 1
        assert (await one.come(basic("ada"))).name == "ada"

    play(database, story)


def test_behind_an_unknown_proxy_nobody_is_locked_out_by_its_address(database: str):
    async def story(one: Door) -> None:
        for number in range(12):
            through = one.come(basic("ada", f"wrong {number}"), **{"x-forwarded-for": "1.2.3.4"})
            assert await refused(through) is Unauthenticated
        viewer = await one.come(basic("ada"), **{"x-forwarded-for": "5.6.7.8"})
        assert (viewer.name, viewer.address) == ("ada", HERE)

    play(database, story)


def test_claiming_to_be_a_proxy_is_no_way_around_the_limits(database: str):
    async def story(one: Door) -> None:
        outcomes = [
            await refused(one.come(basic("ada", f"wrong {n}"), **{"x-forwarded-for": f"1.1.1.{n}"}))
            for n in range(40)
        ]
        assert TooManyRequests in outcomes

    play(database, story)


def test_two_wait_at_most_from_one_address(database: str):
    async def story(one: Door) -> None:
        coming = [refused(one.come(basic(f"user{n}", "wrong"))) for n in range(10)]
        outcomes = Counter(await asyncio.gather(*coming))
        assert outcomes == {Unauthenticated: 3, TooManyRequests: 7}

    play(database, story)


def test_equal_headers_share_one_check(database: str):
    async def story(one: Door) -> None:
        coming = [refused(one.come(basic("ada", "wrong"))) for _ in range(50)]
        assert Counter(await asyncio.gather(*coming)) == {Unauthenticated: 50}
        assert len([each for each in await one.entries() if each.outcome == "denied"]) == 1
        viewers = await asyncio.gather(*(one.come(basic("ada")) for _ in range(50)))
        assert {each.name for each in viewers} == {"ada"}

    play(database, story)


def test_who_leaves_does_not_take_the_others_answer_along(database: str):
    async def story(one: Door) -> None:
        coming = [asyncio.create_task(one.come(basic("ada"))) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        coming[0].cancel()
        assert [(await each).name for each in coming[1:]] == ["ada", "ada"]

    play(database, story)


def test_a_pause_at_one_address_is_not_shared_with_another(database: str):
    async def story(one: Door) -> None:
        for number in range(6):
            await refused(one.come(basic("ada", f"wrong {number}")))
        here, there = await asyncio.gather(
            refused(one.come(basic("ada"))), refused(one.come(basic("ada"), ELSEWHERE))
        )
        assert (here, there) == (TooManyRequests, None)

    play(database, story)


def test_a_token_may_send_so_many_requests_a_second(database: str):
    async def story(one: Door) -> None:
        token, other = await one.token(), await one.token()
        outcomes = Counter([await refused(one.come(bearer(token))) for _ in range(50)])
        assert outcomes[None] >= 20
        assert outcomes[TooManyRequests] >= 20
        assert await refused(one.come(bearer(other))) is None

    play(database, story, requests_per_s=20)


# Tokens


def test_a_token_is_its_user_with_its_scopes(database: str):
    async def story(one: Door) -> None:
        token = await one.token("metrics", "read")
        for header in (bearer(token), basic("ada", token)):
            viewer = await one.come(header)
            assert (viewer.name, viewer.scopes.names) == ("ada", ("read", "metrics"))
        assert await refused(one.come(basic("bob", token))) is Unauthenticated

    play(database, story)


def test_a_token_ends_at_its_time_even_where_it_is_known(
    database: str, monkeypatch: pytest.MonkeyPatch
):
    async def story(one: Door) -> None:
        token = await one.token(expires_in_s=10)
        clock = Clock.of(authentication_service, monkeypatch)
        assert (await one.come(bearer(token))).expiry_time is not None
        clock.now += 9
        assert (await one.come(bearer(token))).name == "ada"
        at_ms = now_ms() + 10_001
        monkeypatch.setattr(authentication_service, "now_ms", lambda: at_ms)
        clock.now += 2
        assert await refused(one.come(bearer(token))) is Unauthenticated

    play(database, story)


def test_a_revoked_token_lets_nobody_in_any_more_and_the_others_stay(database: str):
    async def story(one: Door) -> None:
        token, other = await one.token(), await one.token()
        await one.come(bearer(token))
        await one.come(bearer(other))
        first, _ = await one.tokens.list("ada", viewer=OPERATOR)
        await one.tokens.revoke(str(first.token_id), viewer=OPERATOR)
        assert await refused(one.come(bearer(token))) is Unauthenticated
        assert (await one.come(bearer(other))).name == "ada"
        again = one.tokens.revoke(str(first.token_id), viewer=OPERATOR)
        assert await refused(again) is ResourceDoesNotExist

    play(database, story)


def test_a_revocation_that_is_sent_twice_meets_no_newer_token(database: str):
    async def story(one: Door) -> None:
        await one.token()
        (first,) = await one.tokens.list("ada", viewer=OPERATOR)
        await one.tokens.revoke(str(first.token_id), viewer=OPERATOR)
        newer = await one.token()
        again = one.tokens.revoke(str(first.token_id), viewer=OPERATOR)
        assert await refused(again) is ResourceDoesNotExist
        assert (await one.come(bearer(newer))).name == "ada"

    play(database, story)


def test_with_its_account_go_its_tokens(database: str):
    async def story(one: Door) -> None:
        await one.accounts.create("ci", viewer=OPERATOR)
        token = await one.token(username="ci")
        assert (await one.come(bearer(token))).name == "ci"
        await one.accounts.delete("ci", viewer=OPERATOR)
        assert await refused(one.come(bearer(token))) is Unauthenticated
        assert await one.accounts.list(viewer=OPERATOR) == []
        assert await refused(one.accounts.delete("ada", viewer=OPERATOR)) is ResourceDoesNotExist

    play(database, story)


def test_the_last_use_is_noted(database: str):
    async def story(one: Door) -> None:
        token, _ = await one.token(), await one.token()
        before = now_ms()
        await one.come(bearer(token))
        await one.audit.flush()
        first, second = await one.tokens.list("ada", viewer=OPERATOR)
        assert before <= (first.last_used_time or 0) <= now_ms()
        assert second.last_used_time is None

    play(database, story)


def test_all_tokens_of_all_are_shown_to_an_operator(database: str):
    async def story(one: Door) -> None:
        await one.user("bob")
        await one.token()
        await one.token(username="bob")
        found = await one.tokens.list(None, viewer=OPERATOR)
        assert [each.username for each in found] == ["ada", "bob"]
        missing = one.tokens.list("nobody", viewer=OPERATOR)
        assert await refused(missing) is ResourceDoesNotExist

    play(database, story)


# What is remembered


def test_a_changed_password_counts_at_once_where_it_was_changed(database: str):
    async def story(one: Door) -> None:
        await one.come(basic("ada"))
        await one.set_password("ada", "another password")
        one.authentication.changed()
        assert await refused(one.come(basic("ada"))) is Unauthenticated
        assert (await one.come(basic("ada", "another password"))).name == "ada"

    play(database, story)


def test_a_change_of_others_asks_for_no_check_of_the_password(
    database: str, monkeypatch: pytest.MonkeyPatch
):
    """Every model that is deleted is such a change; a check takes 20 ms."""

    async def story(one: Door) -> None:
        await one.user("bob")
        await one.come(basic("ada"))
        checks = list[str]()

        async def checking(stored: str, password: str) -> bool:
            checks.append(password)
            return await asyncio.to_thread(passwords.verifies, password, stored)

        monkeypatch.setattr(one.authentication, "is_hash_of", checking)
        await one.set_password("bob", "another password")
        one.authentication.changed()
        assert (await one.come(basic("ada"))).name == "ada"
        assert checks == []
        await one.set_password("ada", "another password")
        one.authentication.changed()
        assert await refused(one.come(basic("ada"))) is Unauthenticated
        assert checks == [PASSWORD]

    play(database, story)


def test_a_changed_password_and_a_revoked_token_count_on_replicas_within_a_second(database: str):
    async def telling() -> None:
        async with (
            opened(database) as engine,
            another(database, engine) as second,
            door(engine) as one,
            door(second) as other,
        ):
            await one.user("ada")
            token = await one.token()
            await other.come(basic("ada"))
            await other.come(bearer(token))
            await one.set_password("ada", "another password")
            (info,) = await one.tokens.list("ada", viewer=OPERATOR)
            await one.tokens.revoke(str(info.token_id), viewer=OPERATOR)
            started = time.monotonic()
            for header in (basic("ada"), bearer(token)):
                while await refused(other.come(header)) is None:
                    assert time.monotonic() - started < 1
                    await asyncio.sleep(0.01)

    asyncio.run(telling())


def test_one_login_is_noted_for_each_address_however_many_requests_it_sends(
    database: str, monkeypatch: pytest.MonkeyPatch
):
    async def story(one: Door) -> None:
        clock = Clock.of(authentication_service, monkeypatch)
        for _ in range(3):
            await one.come(basic("ada"))
            await one.come(basic("ada"), ELSEWHERE)
            await one.engine.write(lambda tx: epochs.bump(tx, ACCESS_EPOCH))
            one.authentication.changed()
        logins = [each for each in await one.entries() if each.action == "login"]
        assert [(each.actor, each.address) for each in logins] == [
            ("ada", HERE),
            ("ada", ELSEWHERE),
        ]
        clock.now += 2 * authentication_service.LOGIN_S
        await one.come(basic("ada"))
        assert len([each for each in await one.entries() if each.action == "login"]) == 3

    play(database, story)


def test_what_is_remembered_is_bounded(database: str, monkeypatch: pytest.MonkeyPatch):
    async def story(one: Door) -> None:
        monkeypatch.setattr(authentication_service, "KNOWN_MAX", 3)
        monkeypatch.setattr(authentication_service, "ADDRESSES_MAX", 4)
        tokens = [await one.token() for _ in range(8)]
        for token in tokens:
            for number in range(8):
                await one.come(bearer(token), f"192.0.2.{number}")
        kept = vars(one.authentication)
        assert len(kept["_known"]) == 3
        assert max(len(known.seen) for known in kept["_known"].values()) <= 4
        assert kept["_checks"] == {}
        assert len(kept["_rights"]) == 1

    play(database, story)


# Notes


def test_a_flood_of_denials_is_counted_and_not_kept(database: str, monkeypatch: pytest.MonkeyPatch):
    async def story(one: Door) -> None:
        clock = Clock.of(audit_service, monkeypatch)
        for number in range(5_000):
            await refused(one.come(bearer(f"riverrun_pat_{number}")))
        kept: Mapping[str, list[object]] = vars(one.audit)
        assert len(kept["_notes"]) == audit_service.DENIALS_MAX
        clock.now += audit_service.DENIALS_S + 1
        await refused(one.come(bearer("riverrun_pat_x")))
        *_, summary, last = await one.entries()
        count = 5_000 - audit_service.DENIALS_MAX
        assert summary.detail == f"{count} more denials from this address in a minute"
        assert (summary.action, summary.address) == ("audit.denied", HERE)
        assert last.action == "login"

    play(database, story)
