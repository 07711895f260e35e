"""The audit log: rows are appended and read, and never changed."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import LiteralString

from riverrun.store.engine import Tx

_COLUMNS: LiteralString = (
    "entry_id, at_ms, workspace, actor, action, outcome, resource_type, resource, address, "
    "request_id, detail"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """Who did what to what, from where, and whether it was let happen."""

    entry_id: bytes
    at_ms: int
    workspace: str
    actor: str
    action: str
    outcome: str
    resource_type: str
    resource: str
    address: str
    request_id: str
    detail: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries: those before `before`, since and until in milliseconds; "" is any."""

    actor: str = ""
    action: str = ""
    resource_type: str = ""
    resource: str = ""
    since_ms: int | None = None
    until_ms: int | None = None
    before: bytes | None = None


async def append(tx: Tx, entries: Sequence[Entry]) -> None:
    marks = ", ".join("?" * len(fields(Entry)))
    await tx.execute_many(
        f"INSERT INTO audit_log ({_COLUMNS}) VALUES ({marks})",
        [
            (
                each.entry_id,
                each.at_ms,
                each.workspace,
                each.actor,
                each.action,
                each.outcome,
                each.resource_type,
                each.resource,
                each.address,
                each.request_id,
                each.detail,
            )
            for each in entries
        ],
    )


async def page(tx: Tx, wanted: Wanted, *, limit: int) -> list[Entry]:
    """The newest first."""
    conditions: list[tuple[LiteralString, object]] = [
        ("actor = ?", wanted.actor or None),
        ("action = ?", wanted.action or None),
        ("resource_type = ?", wanted.resource_type or None),
        ("resource = ?", wanted.resource or None),
        ("at_ms >= ?", wanted.since_ms),
        ("at_ms < ?", wanted.until_ms),
        ("entry_id < ?", wanted.before),
    ]
    given = [(text, bind) for text, bind in conditions if bind is not None]
    where = " AND ".join(["1 = 1", *(text for text, _ in given)])
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM audit_log WHERE {where} ORDER BY entry_id DESC LIMIT ?",
        (*(bind for _, bind in given), limit),
    )
    return [Entry(*row) for row in rows]
