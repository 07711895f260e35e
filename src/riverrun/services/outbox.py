"""What webhooks are to be told, written in the transaction of what happened: an event is delivered
if, and only if, what it tells of was committed.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from riverrun.clock import new_run_id
from riverrun.store import webhook_deliveries, webhooks
from riverrun.store.engine import Tx
from riverrun.store.webhook_deliveries import NewDelivery
from riverrun.wire.codec import encode


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, such as MODEL_VERSION.CREATED; `data` is what receivers read of it,
    as JSON.
    """

    entity: str
    action: str
    data: Mapping[str, object]


class Outbox:
    def __init__(self) -> None:
        self._news = asyncio.Event()

    async def add(self, tx: Tx, event: Event, *, workspace: str, at_ms: int) -> None:
        """Adds a delivery for each active webhook of the workspace that listens to such events: one
        statement, and another one if there is any.

        `at_ms` is when it happened. A unit of work that runs again leaves one delivery each all the
        same, since what its first run wrote was rolled back.
        """
        listeners = await webhooks.listeners(tx, event.entity, event.action, workspace=workspace)
        if not listeners:
            return
        body = body_of(event, at_ms)
        await webhook_deliveries.insert(
            tx,
            [
                NewDelivery(new_run_id(), webhook_id, event.entity, event.action, body, at_ms)
                for webhook_id in listeners
            ],
        )

    def wake(self) -> None:
        """Called after the commit, so that the delivery need not wait for the next look."""
        self._news.set()

    async def wait(self, timeout_s: float) -> None:
        """Returns when somebody called `wake`, at the latest after `timeout_s` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        self._news.clear()


def body_of(event: Event, at_ms: int) -> str:
    """The JSON that receivers get: names in lower case, the time in ISO 8601."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    message = {
        "entity": event.entity.lower(),
        "action": event.action.lower(),
        "timestamp": at.isoformat(timespec="milliseconds"),
        "data": event.data,
    }
    return encode(message).decode()
