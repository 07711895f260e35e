"""What replicas know of each other's changes: a number in the database that each change raises."""

import asyncio
from time import monotonic

from riverrun.store import epochs
from riverrun.store.engine import Engine

AGE_S_MAX = 0.5
"""How long a change of another replica may go unnoticed; with the reading, under a second."""


class Epoch:
    """One number, read when somebody asks, twice a second at most for all who ask."""

    def __init__(self, engine: Engine, name: str, *, age_s_max: float = AGE_S_MAX) -> None:
        self._engine = engine
        self._name = name
        self._age_s_max = age_s_max
        self._reading: asyncio.Task[int] | None = None
        self._read_at = 0.0

    async def current(self) -> int:
        """As of a second ago at most, or of a reading that is under way.

        Raises as the engine does; a failure counts for as long as a number would.
        """
        now = monotonic()
        reading = self._reading
        if reading is not None and reading.done() and now - self._read_at < self._age_s_max:
            return reading.result()
        if reading is None or reading.done():
            reading = self._reading = asyncio.create_task(self._read())
            self._read_at = now
        # One who leaves must not take the others' answer along.
        return await asyncio.shield(reading)

    def forget(self) -> None:
        """Who changed something here need not wait for the next reading."""
        self._reading = None

    async def _read(self) -> int:
        return await self._engine.glance(lambda tx: epochs.current(tx, self._name))
