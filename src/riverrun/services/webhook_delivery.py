"""Delivers what is in the outbox, in the background, until the receiver took it or gave us up.

Any number of servers may do this on one database: each takes a delivery for as long as an attempt
may last, and what a server that died had taken is due again after that. So a message may arrive
twice, but none is lost.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from riverrun.clock import now_ms
from riverrun.errors import TrackingError
from riverrun.obs.logs import Log
from riverrun.services import limits
from riverrun.services.background import Background
from riverrun.services.outbox import Outbox
from riverrun.services.webhook_sender import Outcome, WebhookSender
from riverrun.store import webhook_deliveries as store
from riverrun.store import webhooks
from riverrun.store.engine import ConflictError, Engine, Tx, Work
from riverrun.store.webhook_deliveries import Attempt, Waiting
from riverrun.store.webhooks import Receiver

LOOK_EVERY_S = 5.0
"""How often to look without being woken: for what other servers added, or left behind."""
LOOK_AT_MOST_EVERY_S = 0.02
"""Between two looks, however often we are woken."""
MARGIN_S = 10
"""How much longer than an attempt a delivery is taken for, to write down how that ended."""
FIRST_RETRY_S = 1
RETRY_FACTOR = 8
RETRY_S_MAX = 3_600
"""Between two attempts: 1, 8, 64, 512 seconds, then an hour, and up to a quarter more by chance, so
that a receiver which comes back is not called by all at once.
"""
STOP_S_MAX = 2.0
"""How long attempts under way may go on when the server stops."""
PRUNE_EVERY_S = 3_600
PRUNED_TOGETHER = 500
"""Deliveries deleted in one transaction, so that writes need not wait."""

log = Log("riverrun.webhooks")


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """`workers` is how many attempts are under way at once, `retries` how many follow the first."""

    timeout_s: int
    retries: int
    workers: int

    @property
    def workers_per_webhook(self) -> int:
        """One receiver that is slow to answer leaves some for the others."""
        return max(1, self.workers // 3)


@dataclass(frozen=True, slots=True)
class _Taken:
    delivery_id: bytes
    receiver: Receiver
    body: str
    attempts: int


class Deliverer:
    def __init__(
        self, engine: Engine, outbox: Outbox, sender: WebhookSender, rules: DeliveryRules
    ) -> None:
        self._engine = engine
        self._outbox = outbox
        self._sender = sender
        self._rules = rules
        self._under_way: dict[asyncio.Task[None], bytes] = {}
        """Attempts, and the webhook of each."""
        self._background = Background(self._work, self._prune)

    def start(self) -> None:
        self._background.start()

    async def stop(self) -> None:
        """What cannot be finished in some seconds is delivered again after the next start."""
        await self._background.stop()
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=STOP_S_MAX)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            try:
                wait_s = await self._look()
            except (TrackingError, ConflictError) as error:
                log.error("delivery failed", reason=str(error))
                wait_s = LOOK_EVERY_S
            await asyncio.sleep(LOOK_AT_MOST_EVERY_S)
            await self._outbox.wait(wait_s)

    async def _look(self) -> float:
        """Begins all attempts that are due and that there is room for; how long until the next."""
        while free := self._rules.workers - len(self._under_way):
            busy = self._busy()
            waiting = await self._engine.read(
                lambda tx, busy=busy, free=free: store.next_waiting(tx, besides=busy, limit=free)
            )
            now = now_ms()
            due = self._within_bounds([each for each in waiting if each.due_at <= now])
            if not due:
                return min([LOOK_EVERY_S, *((each.due_at - now) / 1000 for each in waiting)])
            await self._begin(due, until_ms=now + (self._rules.timeout_s + MARGIN_S) * 1000)
        return LOOK_EVERY_S

    async def _begin(self, due: Sequence[Waiting], *, until_ms: int) -> None:
        for taken in await self._engine.write(lambda tx: _take(tx, due, until_ms)):
            task = asyncio.create_task(self._attempt(taken))
            self._under_way[task] = taken.receiver.webhook_id
            task.add_done_callback(self._ended)

    def _busy(self) -> list[bytes]:
        """The webhooks that have as many attempts under way as one may have."""
        most = self._rules.workers_per_webhook
        counts = Counter(self._under_way.values())
        return [webhook_id for webhook_id, count in counts.items() if count >= most]

    def _within_bounds(self, due: Sequence[Waiting]) -> list[Waiting]:
        counts = Counter(self._under_way.values())
        chosen: list[Waiting] = []
        for each in due:
            if counts[each.webhook_id] < self._rules.workers_per_webhook:
                counts[each.webhook_id] += 1
                chosen.append(each)
        return chosen

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._outbox.wake()
        if not task.cancelled() and (error := task.exception()):
            log.error("attempt failed", error=error)

    async def _attempt(self, taken: _Taken) -> None:
        """An attempt whose end cannot be written down is made again."""
        outcome = await self._sender.send(taken.receiver, taken.delivery_id, taken.body)
        delivery_id = webhooks.public_id(taken.delivery_id)
        try:
            await self._engine.write(self._end_of(taken, outcome))
        except TrackingError as error:
            log.error("delivery not recorded", delivery_id=delivery_id, reason=error.message)
        if outcome.error and not self._may_retry(taken, outcome):
            log.warning(
                "delivery given up",
                webhook_id=webhooks.public_id(taken.receiver.webhook_id),
                delivery_id=delivery_id,
                attempts=taken.attempts + 1,
                reason=outcome.error,
            )

    def _may_retry(self, taken: _Taken, outcome: Outcome) -> bool:
        return outcome.may_retry and taken.attempts < self._rules.retries

    def _end_of(self, taken: _Taken, outcome: Outcome) -> Work[None]:
        """The unit of work that writes down how an attempt ended."""
        attempt = Attempt(now_ms(), outcome.status, outcome.error)
        if not outcome.error:
            return lambda tx: store.end(tx, taken.delivery_id, "DELIVERED", attempt)
        if not self._may_retry(taken, outcome):
            return lambda tx: store.end(tx, taken.delivery_id, "FAILED", attempt)
        until_ms = attempt.at_ms + _pause_ms(taken.attempts, outcome.retry_after_s)
        return lambda tx: store.postpone(tx, taken.delivery_id, attempt, until_ms=until_ms)

    async def _prune(self) -> None:
        while True:
            try:
                await self.prune()
            except TrackingError as error:
                log.error("pruning failed", reason=error.message)
            await asyncio.sleep(PRUNE_EVERY_S)

    async def prune(self) -> None:
        """Leaves the history of each webhook as long as it may be, in number and in age."""
        old = (now_ms() - limits.WEBHOOK_HISTORY_DAYS_MAX * 86_400_000 << 80).to_bytes(16, "big")
        for webhook_id in await self._engine.read(webhooks.all_ids):
            while await self._engine.write(lambda tx, of=webhook_id: _prune(tx, of, old)):
                pass


async def _take(tx: Tx, due: Sequence[Waiting], until_ms: int) -> list[_Taken]:
    """Those that nobody else took first. What is due for a webhook that is gone goes, too."""
    # In the order of their ids, so that two servers never wait for each other in a circle.
    in_order = sorted(due, key=attrgetter("delivery_id"))
    ours = [each for each in in_order if await store.take(tx, each, until_ms=until_ms)]
    if not ours:
        return []
    receivers = await webhooks.receivers(tx, sorted({each.webhook_id for each in ours}))
    contents = await store.contents(tx, [each.delivery_id for each in ours])
    taken: list[_Taken] = []
    for each in ours:
        receiver = receivers.get(each.webhook_id)
        if receiver is None:
            await store.delete(tx, [each.delivery_id])
        elif receiver.status != "ACTIVE":
            disabled = Attempt(each.due_at, None, "The webhook was disabled in the meantime.")
            await store.end(tx, each.delivery_id, "FAILED", disabled)
        else:
            taken.append(_Taken(each.delivery_id, receiver, *contents[each.delivery_id]))
    return taken


async def _prune(tx: Tx, webhook_id: bytes, old: bytes) -> bool:
    """Deletes some of what is too much; whether there may be more."""
    most = await store.nth_newest(tx, webhook_id, limits.WEBHOOK_HISTORY_MAX)
    ids = await store.older(
        tx, webhook_id, than=max(old, most) if most else old, limit=PRUNED_TOGETHER
    )
    if ids:
        await store.delete(tx, ids)
    return len(ids) == PRUNED_TOGETHER


def _pause_ms(attempts: int, retry_after_s: int) -> int:
    """Before the next attempt, after so many and one more; at least what the receiver asked for."""
    planned_s = min(FIRST_RETRY_S * RETRY_FACTOR**attempts, RETRY_S_MAX)
    chance = 1 + os.urandom(1)[0] / 1024
    return round(max(planned_s * chance, min(retry_after_s, RETRY_S_MAX)) * 1000)
