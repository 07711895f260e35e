"""The dictionary of metric, param and tag names: every name once, as a small integer."""

from collections.abc import Sequence

from riverrun.store.engine import Tx

BATCH = 5_000
"""Names asked for in one statement: below every database's limit of binds."""


async def find(tx: Tx, names: Sequence[str]) -> dict[str, int]:
    """The ids of those names that exist."""
    found: dict[str, int] = {}
    for start in range(0, len(names), BATCH):
        part = names[start : start + BATCH]
        wanted = tx.dialect.among("name", part)
        rows = await tx.fetch(
            f"SELECT name, key_id FROM key_names WHERE {wanted.text}", wanted.binds
        )
        found.update(rows)  # pyright: ignore[reportArgumentType]
    return found


async def create(tx: Tx, names: Sequence[str]) -> dict[str, int]:
    """The ids of all these names; new ones are made, but for those that somebody else makes in the
    meantime. In sorted order, so that two writers never wait in a circle.
    """
    found = await find(tx, names)
    absent = sorted(set(names) - found.keys())
    if absent:
        insert = tx.dialect.upsert("key_names", ("name",), key=("name",), changes=())
        await tx.execute_many(insert, [(name,) for name in absent])
        found.update(await find(tx, absent))
    return found
