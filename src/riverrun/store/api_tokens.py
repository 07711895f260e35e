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


async def find(tx: Tx, token_id: int) -> ApiToken | None:
    row = await tx.one(f"SELECT {_COLUMNS} FROM api_tokens WHERE token_id = ?", (token_id,))
    return None if row is None else _token(row)


async def of_user(tx: Tx, user_id: int) -> list[ApiToken]:
    """By id."""
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM api_tokens WHERE user_id = ? ORDER BY token_id", (user_id,)
    )
    return [_token(row) for row in rows]


async def set_last_used(tx: Tx, token_id: int, at_ms: int) -> None:
    await tx.execute(
        "UPDATE api_tokens SET last_used_time = ? WHERE token_id = ?", (at_ms, token_id)
    )


async def delete(tx: Tx, token_id: int) -> None:
    await tx.execute("DELETE FROM api_tokens WHERE token_id = ?", (token_id,))


def _token(row: Row) -> ApiToken:
    token_id, user_id, name, hint, scopes, created, expires, used = row
    return ApiToken(token_id, user_id, name, hint, tuple(scopes.split()), created, expires, used)
