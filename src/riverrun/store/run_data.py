"""Params and tags of runs. Rows go in in the order of their keys, so that two writers never wait in
a circle.
"""

from collections.abc import Mapping

from riverrun.store.engine import Tx


async def params(tx: Tx, run_id: bytes, key_ids: list[int]) -> dict[int, str]:
    """The values of those keys that the run has."""
    wanted = tx.dialect.among("key_id", key_ids)
    rows = await tx.fetch(
        f"SELECT key_id, value FROM params WHERE run_id = ? AND {wanted.text}",
        (run_id, *wanted.binds),
    )
    return dict(rows)  # pyright: ignore[reportArgumentType, reportUnknownVariableType]


async def insert_params(
    tx: Tx, run_id: bytes, experiment_id: int, values: Mapping[int, str]
) -> None:
    await tx.execute_many(
        "INSERT INTO params (run_id, key_id, experiment_id, value) VALUES (?, ?, ?, ?)",
        [(run_id, key, experiment_id, values[key]) for key in sorted(values)],
    )


async def set_tags(
    tx: Tx, run_id: bytes, experiment_id: int, values: Mapping[int, str], *, by: str
) -> None:
    upsert = tx.dialect.upsert(
        "tags",
        ("run_id", "key_id", "experiment_id", "value", "updated_by"),
        key=("run_id", "key_id"),
    )
    rows = [(run_id, key, experiment_id, values[key], by) for key in sorted(values)]
    await tx.execute_many(upsert, rows)


async def tag(tx: Tx, run_id: bytes, key_id: int) -> str | None:
    row = await tx.one("SELECT value FROM tags WHERE run_id = ? AND key_id = ?", (run_id, key_id))
    return None if row is None else row[0]


async def delete_tag(tx: Tx, run_id: bytes, key_id: int) -> bool:
    """Whether there was such a tag."""
    return (
        await tx.execute("DELETE FROM tags WHERE run_id = ? AND key_id = ?", (run_id, key_id)) > 0
    )
