"""The audit log: rows are appended and read, and never changed."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import LiteralString

from riverrun.store.engine import Tx

_FIELDS: tuple[LiteralString, ...] = (
    "entry_id",
    "at_ms",
    "workspace",
    "actor",
    "action",
    "outcome",
    "resource_type",
    "resource",
    "address",
    "request_id",
    "detail",
)
_COLUMNS: LiteralString = ", ".join(_FIELDS)
_AT_MAX = 2**48 - 1
DEFAULT_WORKSPACE = "default"


@dataclass(frozen=True, slots=True)
class Entry:
    """Who did what to what, from where, and whether it was let happen. `entry_id` is a UUIDv7, and
    `at_ms` its time.
    """

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
    """Which entries: since and until in milliseconds; "" is any. Of several workspaces, what
    belongs to none is beside the default one's.
    """

    actor: str = ""
    action: str = ""
    resource_type: str = ""
    resource: str = ""
    since_ms: int | None = None
    until_ms: int | None = None
    workspace: str = ""


async def append(tx: Tx, entries: Sequence[Entry]) -> None:
    """Those that are there already stay: after a lost answer nobody knows."""
    insert = tx.dialect.upsert("audit_log", _FIELDS, key=("entry_id",), changes=())
    await tx.execute_many(insert, [astuple(each) for each in entries])


async def page(tx: Tx, wanted: Wanted, *, before: bytes | None, limit: int) -> list[Entry]:
    """The newest first, all before `before`."""
    is_default = wanted.workspace == DEFAULT_WORKSPACE
    here: LiteralString = "workspace IN (?, '')" if is_default else "workspace = ?"
    conditions: list[tuple[LiteralString, object]] = [
        (here, wanted.workspace or None),
        ("actor = ?", wanted.actor or None),
        ("action = ?", wanted.action or None),
        ("resource_type = ?", wanted.resource_type or None),
        ("resource = ?", wanted.resource or None),
        ("entry_id >= ?", _first_id(wanted.since_ms)),
        ("entry_id < ?", _first_id(wanted.until_ms)),
        ("entry_id < ?", before),
    ]
    given = [(text, bind) for text, bind in conditions if bind is not None]
    where = " AND ".join(["1 = 1", *(text for text, _ in given)])
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM audit_log WHERE {where} ORDER BY entry_id DESC LIMIT ?",
        (*(bind for _, bind in given), limit),
    )
    return [Entry(*row) for row in rows]


def time_of(entry_id: bytes) -> int:
    """Milliseconds since the epoch."""
    return int.from_bytes(entry_id[:6], "big")


def _first_id(at_ms: int | None) -> bytes | None:
    """The least id of that time: ids are in the order of time, so that one index has both."""
    if at_ms is None:
        return None
    return min(max(at_ms, 0), _AT_MAX).to_bytes(6, "big") + bytes(10)
