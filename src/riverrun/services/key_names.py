from collections.abc import Awaitable, Callable, Iterable, Mapping

from riverrun.store import key_names
from riverrun.store.engine import Engine

CACHE_MAX = 200_000
"""Names kept in memory, about 30 MB at the most; beyond it the cache starts anew."""


class KeyNames:
    """Names of metrics, params and tags as ids. What is cached never changes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ids: dict[str, int] = {}

    async def create(
        self, names: Iterable[str], *, allowed: Callable[[], Awaitable[object]] | None = None
    ) -> Mapping[str, int]:
        """A mapping that has the id of each name; new ones get a transaction of their own, after
        `allowed` has raised nothing: who may not write makes no names.
        """
        ids = self._bounded()
        absent = sorted({name for name in names if name not in ids})
        if absent:
            if allowed is not None:
                await allowed()
            ids.update(await self._engine.write(lambda tx: key_names.create(tx, absent)))
        return ids

    async def find(self, names: Iterable[str]) -> dict[str, int]:
        """The ids of those names that exist: a search must not make any."""
        ids = self._bounded()
        wanted = list(names)
        absent = [name for name in wanted if name not in ids]
        if absent:
            ids.update(await self._engine.glance(lambda tx: key_names.find(tx, absent)))
        return {name: ids[name] for name in wanted if name in ids}

    def _bounded(self) -> dict[str, int]:
        """Whoever holds the old dictionary may go on using it."""
        if len(self._ids) > CACHE_MAX:
            self._ids = {}
        return self._ids
