"""Webhooks and what they listen to."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from riverrun.entities.webhooks import Webhook, WebhookEvent
from riverrun.store.change import Change
from riverrun.store.engine import Row, Tx

_COLUMNS = "webhook_id, name, url, status, creation_timestamp, last_updated_timestamp, description"
AFTER_ALL = b"\xff" * 16
"""An id above every id: where a walk from the newest begins."""


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """`secret` is encrypted; None where deliveries are not signed."""

    webhook_id: bytes
    workspace: str
    name: str
    description: str
    url: str
    secret: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Fields:
    """What an update leaves in place of what was there."""

    name: str
    description: str
    url: str
    secret: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Receiver:
    """What a delivery needs of its webhook; `secret` is encrypted."""

    webhook_id: bytes
    url: str
    secret: str | None
    status: str


def public_id(webhook_id: bytes) -> str:
    return str(uuid.UUID(bytes=webhook_id))


async def count(tx: Tx, workspace: str) -> int:
    rows = await tx.fetch("SELECT count(*) FROM webhooks WHERE workspace = ?", (workspace,))
    return rows[0][0]


async def insert(tx: Tx, new: NewWebhook, change: Change) -> None:
    await tx.execute(
        "INSERT INTO webhooks (webhook_id, workspace, name, description, url, secret, status, "
        "creation_timestamp, last_updated_timestamp, created_by, updated_by) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            new.webhook_id,
            new.workspace,
            new.name,
            new.description,
            new.url,
            new.secret,
            new.status,
            change.at_ms,
            change.at_ms,
            change.by,
            change.by,
        ),
    )


async def insert_events(tx: Tx, webhook_id: bytes, events: Sequence[WebhookEvent]) -> None:
    await tx.execute_many(
        "INSERT INTO webhook_events (webhook_id, entity, action, position) VALUES (?, ?, ?, ?)",
        [(webhook_id, each.entity, each.action, place) for place, each in enumerate(events)],
    )


async def find(tx: Tx, webhook_id: bytes, *, workspace: str) -> Webhook | None:
    return await _find(tx, webhook_id, workspace, lock="")


async def take(tx: Tx, webhook_id: bytes, *, workspace: str) -> Webhook | None:
    """Finds the webhook for a change of it: holds its row to the transaction's end."""
    return await _find(tx, webhook_id, workspace, lock=tx.dialect.for_update)


async def _find(tx: Tx, webhook_id: bytes, workspace: str, *, lock: str) -> Webhook | None:
    row = await tx.one(
        f"SELECT {_COLUMNS} FROM webhooks WHERE webhook_id = ? AND workspace = ?{lock}",
        (webhook_id, workspace),
    )
    if row is None:
        return None
    (webhook,) = await _with_events(tx, [row])
    return webhook


async def page(tx: Tx, workspace: str, *, before: bytes, limit: int, offset: int) -> list[Webhook]:
    """The newest first."""
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM webhooks WHERE workspace = ? AND webhook_id < ? "
        "ORDER BY webhook_id DESC LIMIT ? OFFSET ?",
        (workspace, before, limit, offset),
    )
    return await _with_events(tx, rows)


async def _with_events(tx: Tx, rows: Sequence[Row]) -> list[Webhook]:
    events: dict[bytes, list[WebhookEvent]] = {row[0]: [] for row in rows}
    if events:
        wanted = tx.dialect.among("webhook_id", list(events))
        for webhook_id, entity, action in await tx.fetch(
            f"SELECT webhook_id, entity, action FROM webhook_events WHERE {wanted.text} "
            "ORDER BY webhook_id, position",
            wanted.binds,
        ):
            events[webhook_id].append(WebhookEvent(entity, action))
    return [_webhook(row, events[row[0]]) for row in rows]


def _webhook(row: Row, events: list[WebhookEvent]) -> Webhook:
    """Reads _COLUMNS."""
    webhook_id, name, url, status, created, updated, description = row
    return Webhook(
        webhook_id=public_id(webhook_id),
        name=name,
        url=url,
        events=events,
        status=status,
        creation_timestamp=created,
        last_updated_timestamp=updated,
        description=description,
    )


async def update(tx: Tx, webhook_id: bytes, fields: Fields, change: Change) -> None:
    await tx.execute(
        "UPDATE webhooks SET name = ?, description = ?, url = ?, secret = ?, status = ?, "
        "last_updated_timestamp = ?, updated_by = ? WHERE webhook_id = ?",
        (
            fields.name,
            fields.description,
            fields.url,
            fields.secret,
            fields.status,
            change.at_ms,
            change.by,
            webhook_id,
        ),
    )


async def delete_events(tx: Tx, webhook_id: bytes) -> None:
    await tx.execute("DELETE FROM webhook_events WHERE webhook_id = ?", (webhook_id,))


async def delete(tx: Tx, webhook_id: bytes) -> None:
    """With all that was to be delivered to it, and its history."""
    await delete_events(tx, webhook_id)
    await tx.execute("DELETE FROM webhook_deliveries WHERE webhook_id = ?", (webhook_id,))
    await tx.execute("DELETE FROM webhooks WHERE webhook_id = ?", (webhook_id,))


async def listeners(tx: Tx, entity: str, action: str, *, workspace: str) -> list[bytes]:
    """The active webhooks that listen to such events."""
    rows = await tx.fetch(
        "SELECT w.webhook_id FROM webhook_events e JOIN webhooks w ON w.webhook_id = e.webhook_id "
        "WHERE e.entity = ? AND e.action = ? AND w.workspace = ? AND w.status = 'ACTIVE'",
        (entity, action, workspace),
    )
    return [webhook_id for (webhook_id,) in rows]


async def receivers(tx: Tx, webhook_ids: Sequence[bytes]) -> dict[bytes, Receiver]:
    """Of those that are still there."""
    wanted = tx.dialect.among("webhook_id", webhook_ids)
    rows = await tx.fetch(
        f"SELECT webhook_id, url, secret, status FROM webhooks WHERE {wanted.text}",
        wanted.binds,
    )
    return {row[0]: Receiver(*row) for row in rows}


async def all_ids(tx: Tx) -> list[bytes]:
    return [webhook_id for (webhook_id,) in await tx.fetch("SELECT webhook_id FROM webhooks")]
