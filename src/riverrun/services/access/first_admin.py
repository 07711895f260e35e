"""The first admin: from the settings, and after that whenever they give another password."""

from dataclasses import dataclass, field

from riverrun.auth.viewer import DEFAULT_WORKSPACE, Resource, Viewer
from riverrun.clock import now_ms
from riverrun.obs.logs import Log
from riverrun.services.access.authentication import Authentication
from riverrun.services.access.permissions import ACCESS_EPOCH
from riverrun.services.audit import Event, record
from riverrun.store import epochs, server_keys
from riverrun.store.access import users
from riverrun.store.access.users import PERSON, NewUser
from riverrun.store.engine import Engine, Tx

CONFIGURED = "admin_password"
"""The server key with a hash of the name and the password that the settings gave last."""
OPERATOR = Viewer("", DEFAULT_WORKSPACE, all_powerful=True)

log = Log("riverrun.access")


@dataclass(frozen=True, slots=True)
class ConfiguredAdmin:
    """What the settings say of the admin."""

    username: str
    password: str = field(repr=False)

    @property
    def said(self) -> str:
        return f"{self.username}:{self.password}"


async def ensure_admin(
    engine: Engine, admin: ConfiguredAdmin, authentication: Authentication
) -> None:
    """Makes the admin that the settings name, or gives it the password that they give now, which
    ends what its old one began.

    A password that was changed here since stays as long as the settings repeat what they said.
    """
    said_before = await engine.read(lambda tx: server_keys.find(tx, CONFIGURED))
    if said_before and await authentication.is_hash_of(said_before, admin.said):
        return
    hashed = await authentication.hashed(admin.password)
    said = await authentication.hashed(admin.said)
    at_ms = now_ms()

    async def work(tx: Tx) -> str:
        if await server_keys.take(tx, CONFIGURED) != said_before:
            return ""  # Another server on this database was first.
        if said_before is None:
            await server_keys.insert(tx, CONFIGURED, said)
        else:
            await server_keys.put(tx, CONFIGURED, said)
        user = await users.take(tx, admin.username)
        if user is None:
            new = NewUser(admin.username, PERSON, hashed, is_admin=True, created_by="", at_ms=at_ms)
            await users.insert(tx, new)
        else:
            await users.set_password(tx, user.user_id, hashed, at_ms=at_ms)
            await users.set_admin(tx, user.user_id, is_admin=True)
        what = "user.create" if user is None else "user.password"
        event = Event(what, Resource("user", admin.username), "from the settings")
        await record(tx, event, by=OPERATOR)
        await epochs.bump(tx, ACCESS_EPOCH)
        return what

    done = await engine.write(work)
    if done:
        authentication.changed()
        log.info("admin from the settings", username=admin.username, done=done)
