"""What all servers on one database share, and nobody else is shown."""

from riverrun.store.engine import Tx


async def find(tx: Tx, name: str) -> str | None:
    row = await tx.one("SELECT value FROM server_keys WHERE name = ?", (name,))
    return None if row is None else row[0]


async def take(tx: Tx, name: str) -> str | None:
    """For a change: holds the row, if it is there, to the transaction's end."""
    row = await tx.one(
        f"SELECT value FROM server_keys WHERE name = ?{tx.dialect.for_update}", (name,)
    )
    return None if row is None else row[0]


async def insert(tx: Tx, name: str, value: str) -> None:
    """Raises ConflictError when there is one."""
    await tx.execute("INSERT INTO server_keys (name, value) VALUES (?, ?)", (name, value))


async def delete(tx: Tx, name: str) -> None:
    await tx.execute("DELETE FROM server_keys WHERE name = ?", (name,))


async def ensure(tx: Tx, name: str, value: str) -> str:
    """The value that there is, or this one from now on."""
    upsert = tx.dialect.upsert("server_keys", ("name", "value"), key=("name",), changes=())
    await tx.execute(upsert, (name, value))
    found = await find(tx, name)
    return value if found is None else found


async def put(tx: Tx, name: str, value: str) -> None:
    upsert = tx.dialect.upsert("server_keys", ("name", "value"), key=("name",))
    await tx.execute(upsert, (name, value))
