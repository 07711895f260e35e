"""API tokens, by the SHA-256 of each."""

from dataclasses import dataclass
from typing import LiteralString

from riverrun.store.engine import Row, Tx

_COLUMNS: LiteralString = (
    "token_id, user_id, name, hint, scopes, creation_time, expiry_time, last_used_time"
)


@dataclass(frozen=True, slots=True)
class ApiToken:
    """`hint` is how it ends; times are milliseconds; `expiry_time` is None for one that stays."""

    token_id: int
    user_id: int
    name: str
    hint: str
    scopes: tuple[str, ...]
    creation_time: int
    expiry_time: int | None
    last_used_time: int | None


@dataclass(frozen=True, slots=True)
class OwnedToken:
    """With its user's name."""

    username: str
    token: ApiToken


@dataclass(frozen=True, slots=True)
class NewApiToken:
    user_id: int
    name: str
    hash: bytes
    hint: str
    scopes: tuple[str, ...]
    expiry_time: int | None
    at_ms: int


async def insert(tx: Tx, new: NewApiToken) -> ApiToken:
    await tx.execute(
        "INSERT INTO api_tokens (user_id, name, hash, hint, scopes, creation_time, expiry_time) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            new.user_id,
            new.name,
            new.hash,
            new.hint,
            " ".join(new.scopes),
            new.at_ms,
            new.expiry_time,
        ),
    )
    found = await find_by_hash(tx, new.hash)
    assert found is not None  # noqa: S101 - It was inserted above.
    return found


async def find_by_hash(tx: Tx, token_hash: bytes) -> ApiToken | None:
    row = await tx.one(f"SELECT {_COLUMNS} FROM api_tokens WHERE hash = ?", (token_hash,))
    return None if row is None else _token(row)


async def take(tx: Tx, token_id: int) -> OwnedToken | None:
    """For a change of the token: holds its row to the transaction's end."""
    row = await tx.one(
        f"SELECT {_COLUMNS} FROM api_tokens WHERE token_id = ?{tx.dialect.for_update}", (token_id,)
    )
    if row is None:
        return None
    token = _token(row)
    user = await tx.one("SELECT username FROM users WHERE user_id = ?", (token.user_id,))
    return None if user is None else OwnedToken(user[0], token)


async def listed(tx: Tx, username: str | None) -> list[OwnedToken]:
    """Those of a user, or of all, by id."""
    columns = ", ".join(f"t.{column}" for column in _COLUMNS.split(", "))
    where, binds = ("", ()) if username is None else (" WHERE u.username = ?", (username,))
    rows = await tx.fetch(
        f"SELECT u.username, {columns} FROM api_tokens t JOIN users u ON u.user_id = t.user_id"
        f"{where} ORDER BY t.token_id",
        binds,
    )
    return [OwnedToken(row[0], _token(row[1:])) for row in rows]


async def count_valid(tx: Tx, user_id: int, at_ms: int) -> int:
    """How many a user has that have not expired then."""
    rows = await tx.fetch(
        "SELECT count(*) FROM api_tokens WHERE user_id = ? "
        "AND (expiry_time IS NULL OR expiry_time > ?)",
        (user_id, at_ms),
    )
    return rows[0][0]


async def delete_expired(tx: Tx, user_id: int, *, before_ms: int) -> None:
    """Those of a user that expired before that time."""
    await tx.execute(
        "DELETE FROM api_tokens WHERE user_id = ? AND expiry_time < ?", (user_id, before_ms)
    )


async def set_last_used(tx: Tx, token_id: int, at_ms: int) -> None:
    await tx.execute(
        "UPDATE api_tokens SET last_used_time = ? WHERE token_id = ?", (at_ms, token_id)
    )


async def delete(tx: Tx, token_id: int) -> None:
    await tx.execute("DELETE FROM api_tokens WHERE token_id = ?", (token_id,))


def _token(row: Row) -> ApiToken:
    token_id, user_id, name, hint, scopes, created, expires, used = row
    return ApiToken(token_id, user_id, name, hint, tuple(scopes.split()), created, expires, used)
