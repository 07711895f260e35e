"""The outbox: what is to be delivered to webhooks, and what became of it.

Any server on the database may take a delivery that is due: whoever moves its time on, having seen
the old one, has it until the new one. It never takes more than one statement to take it, so a
server that dies holds nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from riverrun.entities.webhooks import WebhookDelivery, WebhookEvent
from riverrun.store.engine import Row, Tx
from riverrun.store.webhooks import public_id

_COLUMNS = (
    "delivery_id, webhook_id, entity, action, status, attempts, creation_timestamp, "
    "last_attempt_timestamp, due_at, response_status, error_message"
)


@dataclass(frozen=True, slots=True)
class NewDelivery:
    delivery_id: bytes
    webhook_id: bytes
    entity: str
    action: str
    body: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that is due, or will be, at `due_at`."""

    delivery_id: bytes
    webhook_id: bytes
    due_at: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt ended: `error` is empty when it delivered."""

    at_ms: int
    response_status: int | None
    error: str


async def insert(tx: Tx, new: Sequence[NewDelivery]) -> None:
    """Due at once."""
    await tx.execute_many(
        "INSERT INTO webhook_deliveries (delivery_id, webhook_id, entity, action, body, status, "
        "attempts, creation_timestamp, due_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                each.delivery_id,
                each.webhook_id,
                each.entity,
                each.action,
                each.body,
                "PENDING",
                0,
                each.at_ms,
                each.at_ms,
            )
            for each in new
        ],
    )


async def next_waiting(tx: Tx, *, besides: Sequence[bytes], limit: int) -> list[Waiting]:
    """The pending deliveries that are due first, those of some webhooks left out."""
    others = tx.dialect.among("webhook_id", besides, negated=True)
    rows = await tx.fetch(
        "SELECT delivery_id, webhook_id, due_at FROM webhook_deliveries "
        f"WHERE status = 'PENDING' AND {others.text} ORDER BY due_at LIMIT ?",
        (*others.binds, limit),
    )
    return [Waiting(*row) for row in rows]


async def take(tx: Tx, waiting: Waiting, *, until_ms: int) -> bool:
    """Whether it is ours until then: False when somebody else was first."""
    changed = await tx.execute(
        "UPDATE webhook_deliveries SET due_at = ? "
        "WHERE delivery_id = ? AND status = 'PENDING' AND due_at = ?",
        (until_ms, waiting.delivery_id, waiting.due_at),
    )
    return changed == 1


async def contents(tx: Tx, delivery_ids: Sequence[bytes]) -> dict[bytes, tuple[str, int]]:
    """The body of each, and the attempts made so far."""
    wanted = tx.dialect.among("delivery_id", delivery_ids)
    rows = await tx.fetch(
        f"SELECT delivery_id, body, attempts FROM webhook_deliveries WHERE {wanted.text}",
        wanted.binds,
    )
    return {delivery_id: (body, attempts) for delivery_id, body, attempts in rows}


async def end(tx: Tx, delivery_id: bytes, status: str, attempt: Attempt) -> None:
    """`status` is DELIVERED or FAILED. What somebody else has ended stays as it is."""
    await tx.execute(
        "UPDATE webhook_deliveries SET status = ?, body = '', attempts = attempts + 1, due_at = ?, "
        "last_attempt_timestamp = ?, response_status = ?, error_message = ? "
        "WHERE delivery_id = ? AND status = 'PENDING'",
        (
            status,
            attempt.at_ms,
            attempt.at_ms,
            attempt.response_status,
            attempt.error or None,
            delivery_id,
        ),
    )


async def postpone(tx: Tx, delivery_id: bytes, attempt: Attempt, *, until_ms: int) -> None:
    await tx.execute(
        "UPDATE webhook_deliveries SET attempts = attempts + 1, due_at = ?, "
        "last_attempt_timestamp = ?, response_status = ?, error_message = ? "
        "WHERE delivery_id = ? AND status = 'PENDING'",
        (until_ms, attempt.at_ms, attempt.response_status, attempt.error, delivery_id),
    )


async def history(
    tx: Tx, webhook_id: bytes, *, before: bytes, limit: int
) -> list[tuple[bytes, WebhookDelivery]]:
    """With their ids, the newest first."""
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM webhook_deliveries WHERE webhook_id = ? AND delivery_id < ? "
        "ORDER BY delivery_id DESC LIMIT ?",
        (webhook_id, before, limit),
    )
    return [(row[0], _delivery(row)) for row in rows]


def _delivery(row: Row) -> WebhookDelivery:
    """Reads _COLUMNS."""
    delivery_id, webhook_id, entity, action, status, attempts, created, tried, due, answer, why = (
        row
    )
    return WebhookDelivery(
        delivery_id=public_id(delivery_id),
        webhook_id=public_id(webhook_id),
        event=WebhookEvent(entity, action),
        status=status,
        attempts=attempts,
        creation_timestamp=created,
        last_attempt_timestamp=tried,
        next_attempt_timestamp=due if status == "PENDING" else None,
        response_status=answer,
        error_message=why,
    )


async def older(tx: Tx, webhook_id: bytes, *, than: bytes, limit: int) -> list[bytes]:
    """Deliveries that ended, the oldest first."""
    rows = await tx.fetch(
        "SELECT delivery_id FROM webhook_deliveries WHERE webhook_id = ? AND delivery_id < ? "
        "AND status <> 'PENDING' ORDER BY delivery_id LIMIT ?",
        (webhook_id, than, limit),
    )
    return [delivery_id for (delivery_id,) in rows]


async def nth_newest(tx: Tx, webhook_id: bytes, n: int) -> bytes | None:
    """The id of the n-th delivery of the webhook, the newest being the first."""
    row = await tx.one(
        "SELECT delivery_id FROM webhook_deliveries WHERE webhook_id = ? "
        "ORDER BY delivery_id DESC LIMIT 1 OFFSET ?",
        (webhook_id, n - 1),
    )
    return None if row is None else row[0]


async def delete(tx: Tx, delivery_ids: Sequence[bytes]) -> None:
    wanted = tx.dialect.among("delivery_id", delivery_ids)
    await tx.execute(f"DELETE FROM webhook_deliveries WHERE {wanted.text}", wanted.binds)
