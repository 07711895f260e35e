"""Who sends a request: looked up in full once, then known by a hash of the header for minutes."""

import asyncio
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
    Resource,
    Rights,
    Viewer,
)
from riverrun.clock import now_ms
from riverrun.errors import Unauthenticated
from riverrun.services.audit import DENIED, Audit, Event
from riverrun.services.epoch import Epoch
from riverrun.services.login_limits import LoginLimits
from riverrun.services.request_rates import RequestRates
from riverrun.store import api_tokens, users
from riverrun.store.api_tokens import ApiToken
from riverrun.store.engine import Engine, Tx
from riverrun.store.users import User

BELIEVED_S = 300
"""How long credentials are believed without another look, if nothing changes."""
KNOWN_MAX = 10_000
WHAT_TO_DO = (
    "log in with MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or with a token in "
    "MLFLOW_TRACKING_TOKEN."
)

T = TypeVar("T")


@dataclass(slots=True)
class Known:
    """One whose credentials were checked."""

    user_id: int
    username: str
    is_admin: bool
    scopes: Scopes
    until: float
    rate: object
    viewers: dict[tuple[str, str], Viewer] = field(default_factory=dict[tuple[str, str], Viewer])


class Authentication:
    """`default` is the level on what nobody was granted."""

    def __init__(
        self,
        engine: Engine,
        epoch: Epoch,
        audit: Audit,
        *,
        default: Level,
        requests_per_s: int,
    ) -> None:
        self._engine = engine
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
        self._checks: dict[bytes, asyncio.Task[Known]] = {}
        self._nobodys_hash: str | None = None

    async def __call__(self, asking: Asking) -> Viewer:
        """Raises Unauthenticated and TooManyRequests."""
        header = asking.headers.get(b"authorization")
        if not header:
            raise Unauthenticated(f"You are not logged in: {WHAT_TO_DO}")
        epoch = await self._epoch.current()
        if epoch != self._at_epoch:
            self._forget(epoch)
        key = hashlib.blake2b(header, digest_size=16, key=self._salt).digest()
        known = self._known.get(key)
        if known is None or known.until < monotonic():
            known = await self._checked(key, header, asking)
        self._rates.check(known.rate)
        return self._viewer(known, DEFAULT_WORKSPACE, asking.address or "")

    async def close(self) -> None:
        """After the last request; what was noted is written."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        await self._audit.flush()

    async def hashed(self, password: str) -> str:
        """For those who make users: in the one thread for it."""
        return await self._in_thread(partial(passwords.hashed, password))

    async def is_hash_of(self, stored: str, password: str) -> bool:
        return await self._in_thread(partial(passwords.verifies, password, stored))

    def changed(self) -> None:
        """Somebody changed something of users, tokens or grants here: it counts at once."""
        self._epoch.forget()

    def _forget(self, epoch: int) -> None:
        self._at_epoch = epoch
        self._known.clear()
        self._rights.clear()

    def _viewer(self, known: Known, workspace: str, address: str) -> Viewer:
        viewer = known.viewers.get((workspace, address))
        if viewer is None:
            if len(known.viewers) > 100:
                known.viewers.clear()
            rights = self._rights.setdefault((known.user_id, workspace), Rights())
            viewer = known.viewers[workspace, address] = Viewer(
                name=known.username,
                workspace=workspace,
                all_powerful=known.is_admin,
                user_id=known.user_id,
                default=self._default,
                rights=rights,
                address=address,
                scopes=known.scopes,
            )
        return viewer

    async def _checked(self, key: bytes, header: bytes, asking: Asking) -> Known:
        """Those who come with the same header at once wait for one check."""
        check = self._checks.get(key)
        if check is None:
            check = self._checks[key] = asyncio.create_task(self._check(key, header, asking))
            check.add_done_callback(lambda _: self._checks.pop(key, None))
        return await asyncio.shield(check)

    async def _check(self, key: bytes, header: bytes, asking: Asking) -> Known:
        epoch = self._at_epoch
        given = credentials.parsed(header)
        if given is None:
            raise Unauthenticated(f"The header Authorization cannot be read: {WHAT_TO_DO}")
        if isinstance(given, Token):
            known = await self._by_token(given, asking)
        else:
            known = await self._by_password(given, asking)
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
        if token.expiry_time is not None and token.expiry_time <= now_ms():
            self._refuse(user.username, f"expired token {token.token_id}", asking)
        self._note_login(user, f"token {token.token_id}", asking)
        at_ms = now_ms()
        self._audit.also(
            ("token", token.token_id),
            lambda tx: api_tokens.set_last_used(tx, token.token_id, at_ms),
        )
        left_s = BELIEVED_S
        if token.expiry_time is not None:
            left_s = min(left_s, (token.expiry_time - at_ms) / 1000)
        return self._known_as(user, Scopes(token.scopes), left_s, rate=("token", token.token_id))

    async def _by_password(self, given: Password, asking: Asking) -> Known:
        self._limits.check(given.username, asking.address)
        with self._limits.queued(given.username, asking.address):
            user = await self._engine.glance(lambda tx: users.find(tx, given.username))
            is_right = await self._is_right(user, given.password)
        if user is None or not is_right:
            self._limits.failed(given.username, asking.address)
            self._refuse(given.username, "password", asking)
        self._limits.succeeded(given.username, asking.address)
        self._note_login(user, "password", asking)
        return self._known_as(user, EVERYTHING, BELIEVED_S, rate=("user", user.user_id))

    async def _is_right(self, user: User | None, password: str) -> bool:
        """Takes as long for those who do not exist."""
        stored = None if user is None else user.password_hash
        if stored is None:
            if self._nobodys_hash is None:
                secret = passwords.random_secret()
                self._nobodys_hash = await self.hashed(secret)
            await self.is_hash_of(self._nobodys_hash, password)
            return False
        if len(password) > passwords.LENGTH_MAX:
            return False
        is_right = await self.is_hash_of(stored, password)
        if is_right and user is not None and not passwords.is_current(stored):
            fresh = await self.hashed(password)
            user_id = user.user_id
            await self._engine.write(lambda tx: users.replace_hash(tx, user_id, stored, fresh))
        return is_right

    def _known_as(self, user: User, scopes: Scopes, believed_s: float, *, rate: object) -> Known:
        return Known(
            user_id=user.user_id,
            username=user.username,
            is_admin=user.is_admin,
            scopes=scopes,
            until=monotonic() + believed_s,
            rate=rate,
        )

    def _note_login(self, user: User, how: str, asking: Asking) -> None:
        viewer = _nobody_yet(user.username, asking)
        self._audit.note(Event("login", Resource("user", user.username), how), by=viewer)

    def _refuse(self, username: str, how: str, asking: Asking) -> NoReturn:
        event = Event("login", Resource("user", username), how, outcome=DENIED)
        self._audit.note(event, by=_nobody_yet(username, asking))
        raise Unauthenticated(f"These credentials are not valid: {WHAT_TO_DO}")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _nobody_yet(name: str, asking: Asking) -> Viewer:
    return Viewer(name, DEFAULT_WORKSPACE, all_powerful=False, address=asking.address or "")
