"""The key that signs cookies, on databases of every kind."""

import asyncio

from tests.store.engines import play

from riverrun.services.access.signing_key import signing_key
from riverrun.store.engine import Engine


def test_it_is_made_once_also_by_many_at_once(database: str):
    async def story(engine: Engine) -> None:
        keys = await asyncio.gather(*(signing_key(engine, None) for _ in range(8)))
        assert len(set(keys)) == 1
        assert await signing_key(engine, None) == keys[0]
        assert len(keys[0]) == 43

    play(database, story)


def test_one_that_is_given_is_used_and_not_kept(database: str):
    async def story(engine: Engine) -> None:
        assert await signing_key(engine, "given") == "given"
        made = await signing_key(engine, "")
        assert made not in {"given", ""}
        assert await signing_key(engine, "given") == "given"

    play(database, story)
