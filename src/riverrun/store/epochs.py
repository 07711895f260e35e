"""Epochs: numbers that count changes of what replicas keep in memory.

Who changes something of the kind bumps its epoch in the same transaction; who keeps something of
the kind drops it when the epoch is another one. Other numbers that only rise stand here, too.
"""

from riverrun.store.engine import Tx


async def current(tx: Tx, name: str) -> int:
    """0 as long as nothing has changed."""
    row = await tx.one("SELECT value FROM epochs WHERE name = ?", (name,))
    return 0 if row is None else row[0]


async def bump(tx: Tx, name: str) -> None:
    """Holds the epoch's row: a transaction bumps last, and several epochs in the order of their
    names.
    """
    upsert = tx.dialect.upsert(
        "epochs", ("name", "value"), key=("name",), changes=(("value", "old(value) + 1"),)
    )
    await tx.execute(upsert, (name, 1))


async def raise_to(tx: Tx, name: str, value: int) -> None:
    """Makes it at least `value`."""
    greater = "CASE WHEN new(value) > old(value) THEN new(value) ELSE old(value) END"
    upsert = tx.dialect.upsert(
        "epochs", ("name", "value"), key=("name",), changes=(("value", greater),)
    )
    await tx.execute(upsert, (name, value))
