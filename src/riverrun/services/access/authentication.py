"""Who sends a request: looked up in full once, then known by a hash of the header for minutes.

What is remembered is bounded, and nothing of it is a secret: the hash has a key of this process.
"""

import asyncio
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import NoReturn, TypeVar

from riverrun.auth import credentials, passwords
from riverrun.auth.credentials import Password, Token
from riverrun.auth.levels import Level
from riverrun.auth.scopes import EVERYTHING, Scopes
from riverrun.auth.viewer import (
    DEFAULT_WORKSPACE,
    Asking,
    Enter,
    Entered,
    Resource,
    Rights,
    Viewer,
    enter_the_only_one,
)
from riverrun.clock import now_ms
from riverrun.errors import TemporarilyUnavailable, TooManyRequests, Unauthenticated
from riverrun.services.access.login_limits import LoginLimits
from riverrun.services.access.request_rates import RequestRates
from riverrun.services.audit import DENIED, Audit, Event
from riverrun.services.epoch import Epoch
from riverrun.services.names import workspace_not_found
from riverrun.store.access import api_tokens, users
from riverrun.store.access.api_tokens import ApiToken
from riverrun.store.access.users import User
from riverrun.store.engine import Engine, Tx

BELIEVED_S = 300
"""How long credentials are believed without another look, if nothing changes."""
KNOWN_MAX = 10_000
RIGHTS_MAX = 10_000
"""Users in workspaces whose levels are remembered."""
ADDRESSES_MAX = 100
LOGIN_S = 3_600
"""How long one who comes with the same credentials from the same address has logged in once."""
HASHES_MAX = 64
"""Passwords that wait for the thread, those of logins and those that somebody sets."""
WHAT_TO_DO = (
    "log in with MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or with a token in "
    "MLFLOW_TRACKING_TOKEN."
)

T = TypeVar("T")


@dataclass(slots=True)
class Known:
    """One whose credentials were checked: `how`, for the record; `seen` are the addresses of those
    who came with them, with the time of the login; `expiry_time` is a token's, in milliseconds.
    `proof` stands for the stored hash that the password was held against, until `proven_until`.
    """

    user_id: int
    username: str
    is_admin: bool
    scopes: Scopes
    how: str
    until: float
    expiry_time: int | None = None
    proof: bytes = b""
    proven_until: float = 0
    seen: dict[str, float] = field(default_factory=dict[str, float])


class Authentication:
    """`default` is the level on what nobody was granted."""

    def __init__(  # noqa: PLR0913 - The last three are the operator's to decide.
        self,
        engine: Engine,
        epoch: Epoch,
        audit: Audit,
        *,
        default: Level,
        requests_per_s: int,
        enter: Enter = enter_the_only_one,
    ) -> None:
        self._engine = engine
        self._enter = enter
        self._epoch = epoch
        self._audit = audit
        self._default = default
        self._limits = LoginLimits()
        self._rates = RequestRates(requests_per_s)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="passwords")
        self._salt = os.urandom(16)
        self._at_epoch = -1
        self._known: OrderedDict[bytes, Known] = OrderedDict()
        self._rights: dict[tuple[int, str], Rights] = {}
        self._checks: dict[tuple[bytes, str | None], asyncio.Task[Known]] = {}
        self._hashing = 0

    async def __call__(self, asking: Asking) -> Viewer:
        """Raises Unauthenticated and TooManyRequests."""
        header = asking.headers.get(b"authorization")
        if not header:
            raise Unauthenticated(f"You are not logged in: {WHAT_TO_DO}")
        epoch = await self._epoch.current()
        if epoch != self._at_epoch:
            self._forget(epoch)
        key = self._keyed(header)
        known = self._known.get(key)
        if known is None or known.until < monotonic():
            known = await self._checked(key, header, asking)
        self._rates.check((known.user_id, known.how))
        if asking.peer not in known.seen:
            self._note_login(known, asking)
        entered = await self._enter(asking)
        if known.is_admin and not entered.is_there:  # Others need not know that there is none.
            raise workspace_not_found(entered.workspace)
        return self._viewer(known, entered, asking)

    async def close(self) -> None:
        """After the last request; what was noted is written."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        await self._audit.close()

    async def hashed(self, password: str) -> str:
        """For those who make users: in the one thread for it."""
        return await self._in_thread(partial(passwords.hashed, password))

    async def is_hash_of(self, stored: str, password: str) -> bool:
        return await self._in_thread(partial(passwords.verifies, password, stored))

    async def confirms(self, user: User, password: str, *, address: str) -> bool:
        """Whether this is the user's password. Who guesses it has to pause as at the login."""
        place = address or None
        self._limits.check(user.username, place)
        with self._limits.queued(user.username, place):
            is_right = await self._is_right(user, password)
        if is_right:
            self._limits.succeeded(user.username, place)
        else:
            self._limits.failed(user.username, place, self._keyed(password.encode()))
        return is_right

    def changed(self) -> None:
        """Somebody changed something of users, tokens or grants here: it counts at once."""
        self._epoch.forget()
        self._rights.clear()  # What was given leaves the epoch as it is.

    def _keyed(self, secret: bytes) -> bytes:
        """What may be remembered of it."""
        return hashlib.blake2b(secret, digest_size=16, key=self._salt).digest()

    def _forget(self, epoch: int) -> None:
        """All is looked up again; that a header was right once is worth something still."""
        self._at_epoch = epoch
        for known in self._known.values():
            known.until = 0
        self._rights.clear()

    def _viewer(self, known: Known, entered: Entered, asking: Asking) -> Viewer:
        workspace = entered.workspace
        rights = self._rights.get((known.user_id, workspace)) if entered.is_there else Rights()
        if rights is None:
            if len(self._rights) >= RIGHTS_MAX:
                self._rights.clear()
            rights = self._rights[known.user_id, workspace] = Rights()
        return Viewer(
            name=known.username,
            workspace=workspace,
            all_powerful=known.is_admin,
            user_id=known.user_id,
            default=self._default,
            rights=rights,
            address=asking.peer,
            scopes=known.scopes,
            expiry_time=known.expiry_time,
            request_id=asking.request_id,
            default_on_workspace=entered.default,
            is_confined=entered.is_confined,
        )

    async def _checked(self, key: bytes, header: bytes, asking: Asking) -> Known:
        """Those who come with the same header from the same address at once wait for one check,
        which goes on when the first of them leaves.
        """
        asked = (key, asking.address)
        check = self._checks.get(asked)
        if check is None:
            check = self._checks[asked] = asyncio.create_task(self._check(key, header, asking))
            check.add_done_callback(lambda done: self._check_ended(asked, done))
        return await asyncio.shield(check)

    def _check_ended(self, asked: tuple[bytes, str | None], check: "asyncio.Task[Known]") -> None:
        del self._checks[asked]
        if not check.cancelled():
            check.exception()  # Perhaps nobody waits for it any more.

    async def _check(self, key: bytes, header: bytes, asking: Asking) -> Known:
        epoch = self._at_epoch
        given = credentials.parsed(header)
        if given is None:
            raise Unauthenticated(f"The header Authorization cannot be read: {WHAT_TO_DO}")
        before = self._known.get(key)
        try:
            if isinstance(given, Token):
                known = await self._by_token(given, asking)
            else:
                known = await self._by_password(given, asking, key, before)
        except Unauthenticated:
            self._known.pop(key, None)
            raise
        if before is not None:
            since = monotonic() - LOGIN_S
            known.seen = {who: at for who, at in before.seen.items() if at > since}
        if epoch == self._at_epoch:  # Otherwise it may hold no more.
            self._known[key] = known
            if len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
        return known

    async def _by_token(self, given: Token, asking: Asking) -> Known:
        token_hash = credentials.token_hash(given.token)

        async def work(tx: Tx) -> tuple[ApiToken, User] | None:
            token = await api_tokens.find_by_hash(tx, token_hash)
            user = None if token is None else await users.find_by_id(tx, token.user_id)
            return None if token is None or user is None else (token, user)

        found = await self._engine.glance(work)
        if found is None or given.username not in {None, found[1].username}:
            self._refuse("", "token", asking)
        token, user = found
        at_ms, how = now_ms(), f"token {token.token_id}"
        if token.expiry_time is not None and token.expiry_time <= at_ms:
            self._refuse(user.username, f"expired {how}", asking)
        self._audit.also(
            ("token", token.token_id),
            lambda tx: api_tokens.set_last_used(tx, token.token_id, at_ms),
        )
        known = _known_as(user, how, Scopes(token.scopes))
        if token.expiry_time is not None:
            known.expiry_time = token.expiry_time
            known.until = min(known.until, monotonic() + (token.expiry_time - at_ms) / 1000)
        return known

    async def _by_password(
        self, given: Password, asking: Asking, key: bytes, before: Known | None
    ) -> Known:
        """One whose password was right before does not wait for those who guess beside them, and is
        known again at once while the stored hash is the same: most changes are about others.
        """
        user = await self._engine.glance(lambda tx: users.find(tx, given.username))
        if before is not None and user is not None and self._is_proven(before, user):
            again = _known_as(user, "password", EVERYTHING)
            again.proof, again.proven_until = before.proof, before.proven_until
            again.until = before.proven_until
            return again
        if before is None:
            self._limits.check(given.username, asking.address)
        with self._limits.queued(given.username, asking.address):
            is_right = await self._is_right(user, given.password)
        if user is None or not is_right:
            self._limits.failed(given.username, asking.address, key)
            if user is None:  # A name that nobody has may be a password, typed in the wrong place.
                self._refuse("", "password of an unknown user", asking)
            self._refuse(user.username, "password", asking)
        self._limits.succeeded(given.username, asking.address)
        known = _known_as(user, "password", EVERYTHING)
        known.proof, known.proven_until = self._keyed(_stored(user)), known.until
        return known

    def _is_proven(self, before: Known, user: User) -> bool:
        return (
            before.user_id == user.user_id
            and before.proof == self._keyed(_stored(user))
            and monotonic() < before.proven_until
        )

    async def _is_right(self, user: User | None, password: str) -> bool:
        """Takes as long for those who do not exist, and for what nobody has as a password."""
        stored = None if user is None else user.password_hash
        # Users of other servers come with such passwords.
        is_hopeless = passwords.is_default(password) or len(password) > passwords.LENGTH_MAX
        if user is None or stored is None or is_hopeless or not password:
            await self.is_hash_of(passwords.NOBODYS, "")
            return False
        is_right = await self.is_hash_of(stored, password)
        if is_right and not passwords.is_current(stored):
            await self._replace_hash(user.user_id, stored, password)
        return is_right

    async def _replace_hash(self, user_id: int, stored: str, password: str) -> None:
        fresh = await self.hashed(password)
        with suppress(TemporarilyUnavailable):  # The next login may do it.
            await self._engine.write(lambda tx: users.replace_hash(tx, user_id, stored, fresh))

    def _note_login(self, known: Known, asking: Asking) -> None:
        if len(known.seen) >= ADDRESSES_MAX:
            known.seen.clear()
        known.seen[asking.peer] = monotonic()
        event = Event("login", Resource("user", known.username), known.how)
        self._audit.note(event, by=_nobody_yet(known.username, asking))

    def _refuse(self, username: str, how: str, asking: Asking) -> NoReturn:
        event = Event("login", Resource("user", username), how, outcome=DENIED)
        self._audit.note(event, by=_nobody_yet(username, asking))
        raise Unauthenticated(f"These credentials are not valid: {WHAT_TO_DO}")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._hashing >= HASHES_MAX:
            raise TooManyRequests(
                "Too many passwords wait to be checked: try again in a second.", retry_after_s=1
            )
        self._hashing += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._hashing -= 1


def _stored(user: User) -> bytes:
    return (user.password_hash or "").encode()


def _known_as(user: User, how: str, scopes: Scopes) -> Known:
    return Known(
        user_id=user.user_id,
        username=user.username,
        is_admin=user.is_admin,
        scopes=scopes,
        how=how,
        until=monotonic() + BELIEVED_S,
    )


def _nobody_yet(name: str, asking: Asking) -> Viewer:
    return Viewer(
        name,
        DEFAULT_WORKSPACE,
        all_powerful=False,
        address=asking.peer,
        request_id=asking.request_id,
    )
