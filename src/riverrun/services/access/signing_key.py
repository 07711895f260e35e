"""The key that signs cookies: one for all servers on a database."""

from riverrun.auth.passwords import random_secret
from riverrun.store import server_keys
from riverrun.store.engine import Engine

SIGNING_KEY = "signing_key"


async def signing_key(engine: Engine, given: str | None) -> str:
    """The one that the settings give, else the database's, which is made once."""
    if given:
        return given
    found = await engine.read(lambda tx: server_keys.find(tx, SIGNING_KEY))
    if found is not None:
        return found
    made = random_secret()
    return await engine.write(lambda tx: server_keys.ensure(tx, SIGNING_KEY, made))
