"""The first admin of a server whose settings name none: by a link that works once.

The link stands in a file that only the server's user may read; the database has the tokens' hashes.
Each machine has a file of its own, and the links of all work until one of them was used.
"""

import asyncio
import contextlib
import hashlib
import hmac
import os
from dataclasses import dataclass, field
from pathlib import Path

from riverrun.auth.passwords import random_secret
from riverrun.auth.viewer import Resource, Viewer
from riverrun.clock import now_ms
from riverrun.errors import PermissionDenied, ResourceAlreadyExists
from riverrun.obs.logs import Log
from riverrun.services.access.account_names import check_password, check_username
from riverrun.services.access.authentication import Authentication
from riverrun.services.access.permissions import ACCESS_EPOCH
from riverrun.services.audit import DENIED, Audit, Event, record
from riverrun.store import epochs, server_keys
from riverrun.store.access import users
from riverrun.store.access.users import PERSON, NewUser
from riverrun.store.engine import Engine, Tx

HASHES = "setup_links"
"""The server key with the hashes of the tokens that are valid."""
LINKS_MAX = 64

log = Log("riverrun.access")


@dataclass(frozen=True, slots=True)
class FirstAdmin:
    """What somebody sends who has the link."""

    token: str = field(repr=False)
    username: str
    password: str = field(repr=False)


class SetupLink:
    """`file` is where this server writes the link; `page` is the address that it leads to."""

    def __init__(
        self, engine: Engine, audit: Audit, authentication: Authentication, file: Path, page: str
    ) -> None:
        self._engine = engine
        self._audit = audit
        self._authentication = authentication
        self._file = file
        self._page = page

    async def offer(self) -> bool:
        """Writes the link, unless there is an admin: whether it did. One that is still valid stays.

        Where the file cannot be written, the log says what else can be done.
        """
        if await self._engine.read(users.count_admins):
            await self._remove_file()
            return False
        token = await asyncio.to_thread(_token_in, self._file)
        hashes = await self._engine.read(_valid_hashes)
        if token and _is_among(token, hashes):
            return True
        token = random_secret()
        await self._engine.write(lambda tx: _add_hash(tx, _hash(token)))
        try:
            await asyncio.to_thread(_write_private, self._file, f"{self._page}?token={token}\n")
        except OSError as error:
            log.error(
                "there is no admin, and no file for a set-up link: give MLFLOW_ADMIN_PASSWORD, or"
                " run `riverrun auth create-user --admin`",
                path=str(self._file),
                reason=os.strerror(error.errno or 0),
            )
        return True

    async def check(self, token: str, *, viewer: Viewer) -> None:
        """Raises PermissionDenied for what is no valid link, and when there is an admin. That is
        audited, as a login would be; `viewer` is where it comes from.
        """
        try:
            await self._engine.read(lambda tx: _check(tx, token))
        except PermissionDenied:
            self._audit.note(Event("login", detail="set-up link", outcome=DENIED), by=viewer)
            raise

    async def finish(self, first: FirstAdmin, *, viewer: Viewer) -> str:
        """Makes the first admin, and says its name; no link works after that.

        Raises as `check`; InvalidParameterValue for a name or password that cannot be;
        ResourceAlreadyExists for a name that somebody has.
        """
        await self.check(first.token, viewer=viewer)
        username = check_username(first.username.strip())
        check_password(first.password, username=username)
        hashed = await self._authentication.hashed(first.password)

        async def work(tx: Tx) -> None:
            await server_keys.take(tx, HASHES)  # The second one waits, and finds nothing.
            await _check(tx, first.token)
            if await users.find(tx, username) is not None:
                raise ResourceAlreadyExists(f"User (username={username}) already exists.")
            new = NewUser(username, PERSON, hashed, is_admin=True, created_by="", at_ms=now_ms())
            await users.insert(tx, new)
            await server_keys.delete(tx, HASHES)
            event = Event("user.create", Resource("user", username), "by the set-up link")
            await record(tx, event, by=viewer)
            await epochs.bump(tx, ACCESS_EPOCH)

        await self._engine.write(work)
        self._authentication.changed()
        await self._remove_file()
        log.info("first admin made by the set-up link", username=username)
        return username

    async def _remove_file(self) -> None:
        with contextlib.suppress(OSError):  # What it says is of no use any more.
            await asyncio.to_thread(self._file.unlink, missing_ok=True)


async def _check(tx: Tx, token: str) -> None:
    hashes = await _valid_hashes(tx)
    if not _is_among(token, hashes) or await users.count_admins(tx):
        raise PermissionDenied(
            "Permission denied: this is no set-up link of this server, or it was used. The log of "
            "the server names the file that has one, as long as there is no admin."
        )


async def _valid_hashes(tx: Tx) -> list[str]:
    return (await server_keys.find(tx, HASHES) or "").split()


async def _add_hash(tx: Tx, added: str) -> None:
    """By two servers at once, both."""
    found = await server_keys.take(tx, HASHES)
    if found is None:
        await server_keys.insert(tx, HASHES, added)
    else:
        await server_keys.put(tx, HASHES, " ".join([*found.split(), added][-LINKS_MAX:]))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _is_among(token: str, hashes: list[str]) -> bool:
    given = _hash(token)
    return any([hmac.compare_digest(given, each) for each in hashes])  # noqa: C419 - All of them.


def _token_in(file: Path) -> str:
    """Empty when there is none."""
    try:
        return file.read_text("utf-8").strip().rpartition("?token=")[2]
    except (OSError, UnicodeDecodeError):
        return ""


def _write_private(path: Path, text: str) -> None:
    """Whole, and for nobody else to read; by several processes at once, one of theirs."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(file, "w", encoding="utf-8") as opened:  # noqa: PTH123 - By its descriptor.
        opened.write(text)
    fresh.replace(path)
