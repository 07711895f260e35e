"""Users: people and service accounts."""

from dataclasses import dataclass
from typing import LiteralString

from riverrun.store.engine import Row, Tx

PERSON = "person"
SERVICE = "service"
_COLUMNS: LiteralString = "user_id, username, kind, password_hash, is_admin, password_time"


@dataclass(frozen=True, slots=True)
class User:
    """`password_hash` is None for those who cannot log in with a password."""

    user_id: int
    username: str
    kind: str
    password_hash: str | None
    is_admin: bool
    password_time: int


@dataclass(frozen=True, slots=True)
class NewUser:
    username: str
    kind: str
    password_hash: str | None
    is_admin: bool
    created_by: str
    at_ms: int


async def insert(tx: Tx, new: NewUser) -> User:
    """Raises ConflictError when the name is taken."""
    await tx.execute(
        "INSERT INTO users (username, kind, password_hash, is_admin, creation_time, password_time, "
        "created_by) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            new.username,
            new.kind,
            new.password_hash,
            int(new.is_admin),
            new.at_ms,
            new.at_ms,
            new.created_by,
        ),
    )
    row = await tx.one(f"SELECT {_COLUMNS} FROM users WHERE username = ?", (new.username,))
    assert row is not None  # noqa: S101 - It was inserted above.
    user = _user(row)
    # SQLite gives the id of the last user again: a request that outlived that one left something.
    await _sweep(tx, user.user_id)
    return user


async def find(tx: Tx, username: str) -> User | None:
    row = await tx.one(f"SELECT {_COLUMNS} FROM users WHERE username = ?", (username,))
    return None if row is None else _user(row)


async def find_by_id(tx: Tx, user_id: int) -> User | None:
    row = await tx.one(f"SELECT {_COLUMNS} FROM users WHERE user_id = ?", (user_id,))
    return None if row is None else _user(row)


async def take(tx: Tx, username: str) -> User | None:
    """For a change of the user: holds the row to the transaction's end."""
    row = await tx.one(
        f"SELECT {_COLUMNS} FROM users WHERE username = ?{tx.dialect.for_update}", (username,)
    )
    return None if row is None else _user(row)


async def all_users(tx: Tx) -> list[User]:
    """By id."""
    return [_user(row) for row in await tx.fetch(f"SELECT {_COLUMNS} FROM users ORDER BY user_id")]


async def service_accounts(tx: Tx) -> list[Row]:
    """Id, name, time in milliseconds and creator of each, by id."""
    return await tx.fetch(
        "SELECT user_id, username, creation_time, created_by FROM users WHERE kind = ? "
        "ORDER BY user_id",
        (SERVICE,),
    )


async def count_admins(tx: Tx) -> int:
    rows = await tx.fetch("SELECT count(*) FROM users WHERE is_admin = 1")
    return rows[0][0]


async def take_admins(tx: Tx) -> list[int]:
    """Their ids, in order; nobody else makes or unmakes one of them until the transaction ends."""
    rows = await tx.fetch(
        f"SELECT user_id FROM users WHERE is_admin = 1 ORDER BY user_id{tx.dialect.for_update}"
    )
    return [user_id for (user_id,) in rows]


async def is_empty(tx: Tx) -> bool:
    return await tx.one("SELECT user_id FROM users LIMIT 1") is None


async def set_password(tx: Tx, user_id: int, password_hash: str | None, *, at_ms: int) -> None:
    await tx.execute(
        "UPDATE users SET password_hash = ?, password_time = ? WHERE user_id = ?",
        (password_hash, at_ms, user_id),
    )


async def replace_hash(tx: Tx, user_id: int, old: str, new: str) -> None:
    """Of the same password, unless it was changed in the meantime."""
    await tx.execute(
        "UPDATE users SET password_hash = ? WHERE user_id = ? AND password_hash = ?",
        (new, user_id, old),
    )


async def set_admin(tx: Tx, user_id: int, *, is_admin: bool) -> None:
    await tx.execute("UPDATE users SET is_admin = ? WHERE user_id = ?", (int(is_admin), user_id))


async def delete(tx: Tx, user_id: int) -> None:
    """With what was granted, memberships and tokens."""
    await _sweep(tx, user_id)
    await tx.execute("DELETE FROM users WHERE user_id = ?", (user_id,))


async def _sweep(tx: Tx, user_id: int) -> None:
    await tx.execute(
        "DELETE FROM grants WHERE role_id IN (SELECT role_id FROM roles WHERE user_id = ?)",
        (user_id,),
    )
    await tx.execute("DELETE FROM roles WHERE user_id = ?", (user_id,))
    await tx.execute("DELETE FROM role_members WHERE user_id = ?", (user_id,))
    await tx.execute("DELETE FROM api_tokens WHERE user_id = ?", (user_id,))


def _user(row: Row) -> User:
    user_id, username, kind, password_hash, is_admin, password_time = row
    return User(user_id, username, kind, password_hash, bool(is_admin), password_time)
