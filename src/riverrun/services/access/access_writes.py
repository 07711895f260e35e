"""How users, roles and grants are changed."""

from typing import TypeVar

from riverrun.services.access.authentication import Authentication
from riverrun.services.access.permissions import ACCESS_EPOCH
from riverrun.store import epochs
from riverrun.store.engine import ConflictError, Engine, Tx, Work

T = TypeVar("T")


class AccessWrites:
    """What is given counts at once on this server, and within a second on others. A unit of work
    that takes something away calls `bump` last.
    """

    def __init__(self, engine: Engine, authentication: Authentication) -> None:
        self._engine = engine
        self._authentication = authentication

    async def __call__(self, work: Work[T]) -> T:
        """`work` looks for what is in its way before it writes: when another one was quicker all
        the same, the second try finds it.
        """
        try:
            done = await self._engine.write(work)
        except ConflictError:
            done = await self._engine.write(work)
        self._authentication.changed()
        return done


async def bump(tx: Tx) -> None:
    """Every server forgets whom it knows and what they may do."""
    await epochs.bump(tx, ACCESS_EPOCH)
