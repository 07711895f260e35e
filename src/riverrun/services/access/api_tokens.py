"""API tokens: made, shown once, listed and revoked.

A token never says more than who made it may do: it has scopes, and ends no later than the token
that it was made with.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from riverrun.auth import credentials
from riverrun.auth.scopes import SCOPES
from riverrun.auth.viewer import Resource, Viewer
from riverrun.clock import now_ms
from riverrun.entities.tokens import ApiToken
from riverrun.errors import InvalidParameterValue, InvalidState, ResourceDoesNotExist
from riverrun.services import limits
from riverrun.services.access.access_writes import AccessWrites, bump
from riverrun.services.access.authentication import Authentication
from riverrun.services.audit import Event, record
from riverrun.store.access import api_tokens as store
from riverrun.store.access import users
from riverrun.store.access.api_tokens import NewApiToken, OwnedToken
from riverrun.store.engine import Engine, Tx

HINT_LENGTH = 4
KEPT_MS = 7 * 24 * 3_600_000
"""How long an expired token is still listed."""


@dataclass(frozen=True, slots=True)
class AskedToken:
    """`username` is whose it shall be; None for the viewer's. `expires_in_s` is None for one that
    stays.
    """

    name: str
    scopes: Sequence[str]
    expires_in_s: int | None = None
    username: str | None = None


class ApiTokens:
    def __init__(self, engine: Engine, authentication: Authentication) -> None:
        self._engine = engine
        self._write = AccessWrites(engine, authentication)

    async def create(self, asked: AskedToken, *, viewer: Viewer) -> tuple[str, ApiToken]:
        """The token, which nobody can find out later, and what there is to know of it. For oneself;
        admins for everybody.
        """
        owner = _owner(asked.username, viewer)
        name, scopes, at_ms = _checked_name(asked.name), _checked_scopes(asked.scopes), now_ms()
        expiry_time = _expiry_time(asked.expires_in_s, at_ms, viewer)
        token = credentials.new_token()

        async def work(tx: Tx) -> OwnedToken:
            user = await users.take(tx, owner)
            if user is None:
                raise _no_such_user(owner)
            await store.delete_expired(tx, user.user_id, before_ms=at_ms - KEPT_MS)
            if await store.count_valid(tx, user.user_id, at_ms) >= limits.TOKENS_PER_USER_MAX:
                raise InvalidState(
                    f"A user can have at most {limits.TOKENS_PER_USER_MAX} tokens. Revoke some "
                    "that are not needed any more."
                )
            new = NewApiToken(
                user_id=user.user_id,
                name=name,
                hash=credentials.token_hash(token),
                hint=token[-HINT_LENGTH:],
                scopes=scopes,
                expiry_time=expiry_time,
                at_ms=at_ms,
            )
            made = OwnedToken(owner, await store.insert(tx, new))
            await record(tx, _event("token.create", made), by=viewer)
            return made

        return token, _shown(await self._write(work))

    async def list(self, username: str | None, *, viewer: Viewer) -> list[ApiToken]:
        """Of one user, by id; an operator who names none is shown those of all."""
        everybodys = not username and viewer.user_id is None
        owner = None if everybodys else _owner(username, viewer)

        async def work(tx: Tx) -> list[OwnedToken]:
            if owner is not None and await users.find(tx, owner) is None:
                raise _no_such_user(owner)
            return await store.listed(tx, owner)

        return [_shown(each) for each in await self._engine.read(work)]

    async def revoke(self, token_id: str, *, viewer: Viewer) -> None:
        """From now on nobody is let in with it. One's own; admins everybody's."""
        key = int(token_id) if token_id.isascii() and token_id.isdigit() else -1

        async def work(tx: Tx) -> None:
            found = await store.take(tx, key) if 0 < key < 2**31 else None
            is_mine = found is not None and found.token.user_id == viewer.user_id
            if found is None or not (is_mine or viewer.all_powerful):
                raise ResourceDoesNotExist(f"You have no token with the id {token_id[:100]}.")
            await store.delete(tx, key)
            await record(tx, _event("token.revoke", found), by=viewer)
            await bump(tx)

        await self._write(work)


def _owner(username: str | None, viewer: Viewer) -> str:
    if not username:
        if viewer.user_id is None:
            raise InvalidParameterValue("Missing value for required parameter 'username'.")
        return viewer.name
    if viewer.user_id is None or username != viewer.name:
        viewer.require_admin()
    return username


def _checked_name(name: str) -> str:
    stripped = name.strip()
    if not 0 < len(stripped) <= limits.TOKEN_NAME_LENGTH_MAX or not stripped.isprintable():
        raise InvalidParameterValue(
            f"Invalid name of a token: expected 1 to {limits.TOKEN_NAME_LENGTH_MAX} printable "
            "characters."
        )
    return stripped


def _checked_scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        given = f"'{unknown[0][:100]}'" if unknown else "none"
        raise InvalidParameterValue(
            f"Invalid scopes of a token: expected some of {', '.join(SCOPES)}. Got {given}."
        )
    return tuple(each for each in SCOPES if each in scopes)


def _expiry_time(expires_in_s: int | None, at_ms: int, viewer: Viewer) -> int | None:
    if expires_in_s is None:
        return viewer.expiry_time
    if not 1 <= expires_in_s <= limits.TOKEN_LIFE_S_MAX:
        raise InvalidParameterValue(
            f"Invalid expires_in_s: expected 1 to {limits.TOKEN_LIFE_S_MAX} seconds, or none for a "
            f"token that stays. Got {expires_in_s}."
        )
    expiry_time = at_ms + expires_in_s * 1000
    if viewer.expiry_time is not None and expiry_time > viewer.expiry_time:
        raise InvalidParameterValue(
            f"Invalid expires_in_s {expires_in_s}: a token that is made with another token must "
            "not outlive it."
        )
    return expiry_time


def _no_such_user(username: str) -> ResourceDoesNotExist:
    return ResourceDoesNotExist(f"User with username={username[:255]} not found")


def _event(action: str, owned: OwnedToken) -> Event:
    token = owned.token
    detail = f"{token.name} (...{token.hint}) of {owned.username}: {', '.join(token.scopes)}"
    return Event(action, Resource("token", token.token_id), detail)


def _shown(owned: OwnedToken) -> ApiToken:
    token = owned.token
    return ApiToken(
        token_id=token.token_id,
        username=owned.username,
        name=token.name,
        hint=token.hint,
        scopes=list(token.scopes),
        creation_time=token.creation_time,
        expiry_time=token.expiry_time,
        last_used_time=token.last_used_time,
    )
