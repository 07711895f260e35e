"""The first admin: from the settings, and after that whenever they give another password."""

from dataclasses import dataclass, field

from riverrun.auth.viewer import DEFAULT_WORKSPACE, Resource, Viewer
from riverrun.clock import now_ms
from riverrun.obs.logs import Log
from riverrun.services.audit import Audit, Event
from riverrun.services.authentication import Authentication
from riverrun.services.permissions import ACCESS_EPOCH
from riverrun.store import epochs, server_keys, users
from riverrun.store.engine import Engine, Tx
from riverrun.store.users import PERSON, NewUser

CONFIGURED = "admin_password"
"""The server key with a hash of the password that the settings gave last."""
OPERATOR = Viewer("", DEFAULT_WORKSPACE, all_powerful=True)

log = Log("riverrun.access")


@dataclass(frozen=True, slots=True)
class ConfiguredAdmin:
    """What the settings say of the admin."""

    username: str
    password: str = field(repr=False)


async def ensure_admin(
    engine: Engine, audit: Audit, admin: ConfiguredAdmin, authentication: Authentication
) -> None:
    """Makes the admin that the settings name, or gives it the password that they give now.

    A password that was changed here since stays as long as the settings repeat what they said.
    """
    said_before = await engine.read(lambda tx: server_keys.find(tx, CONFIGURED))
    if said_before and await authentication.is_hash_of(said_before, admin.password):
        return
    hashed = await authentication.hashed(admin.password)
    at_ms = now_ms()

    async def work(tx: Tx) -> str:
        if await server_keys.find(tx, CONFIGURED) != said_before:
            return ""  # Another server on this database was first.
        user = await users.take(tx, admin.username)
        if user is None:
            new = NewUser(admin.username, PERSON, hashed, is_admin=True, created_by="", at_ms=at_ms)
            await users.insert(tx, new)
        else:
            await users.set_password(tx, user.user_id, hashed, at_ms=at_ms)
            await users.set_admin(tx, user.user_id, is_admin=True)
        await server_keys.put(tx, CONFIGURED, hashed)
        what = "user.create" if user is None else "user.password"
        event = Event(what, Resource("user", admin.username), "from the settings")
        await audit.record(tx, event, by=OPERATOR)
        await epochs.bump(tx, ACCESS_EPOCH)
        return what

    done = await engine.write(work)
    if done:
        log.info("admin from the settings", username=admin.username, done=done)
