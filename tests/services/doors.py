"""What guards a server, on an engine of the test's."""

from riverrun.auth.levels import Level
from riverrun.services.access.authentication import Authentication
from riverrun.services.access.permissions import ACCESS_EPOCH
from riverrun.services.audit import Audit
from riverrun.services.epoch import Epoch
from riverrun.store import audit
from riverrun.store.access import users
from riverrun.store.access.users import User
from riverrun.store.audit import Wanted
from riverrun.store.engine import Engine


def authentication_on(engine: Engine) -> Authentication:
    return Authentication(
        engine,
        Epoch(engine, ACCESS_EPOCH),
        Audit(engine),
        default=Level.PUBLIC,
        requests_per_s=0,
    )


async def user_named(engine: Engine, name: str) -> User:
    found = await engine.read(lambda tx: users.find(tx, name))
    assert found is not None, name
    return found


async def recorded(engine: Engine) -> list[tuple[str, str, str]]:
    """Action, resource and detail of each entry, the first one first."""
    entries = await engine.read(lambda tx: audit.page(tx, Wanted(), before=None, limit=100))
    return [(each.action, each.resource, each.detail) for each in reversed(entries)]
