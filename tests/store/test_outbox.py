"""The outbox on a real database: written with its cause, delivered by whoever is there."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
from tests.fixtures.counting import CountingEngine
from tests.fixtures.receiver import Receiver, Reply, receiving
from tests.store.engines import play

from riverrun.clock import new_run_id, now_ms
from riverrun.entities.webhooks import WebhookDelivery, WebhookEvent
from riverrun.outbound.client import Client
from riverrun.outbound.guard import Rules
from riverrun.services import limits
from riverrun.services.outbox import Event, Outbox
from riverrun.services.webhook_delivery import Deliverer, DeliveryRules
from riverrun.services.webhook_secrets import WebhookSecrets
from riverrun.services.webhook_sender import WebhookSender
from riverrun.store import webhook_deliveries as store
from riverrun.store import webhooks
from riverrun.store.change import Change
from riverrun.store.engine import Engine, Tx
from riverrun.store.webhook_deliveries import Attempt, NewDelivery, Waiting
from riverrun.store.webhooks import AFTER_ALL, NewWebhook

T = TypeVar("T")
EVENT = Event("RUN", "FINISHED", {"run_id": "r"})
RULES = DeliveryRules(timeout_s=2, retries=3, workers=4)


async def listen(engine: Engine, url: str = "http://127.0.0.1:9/", *, status: str = "ACTIVE"):
    """A webhook for runs that finish; its id."""
    new = NewWebhook(new_run_id(), "default", "hook", "", url, None, status)

    async def work(tx: Tx) -> None:
        await webhooks.insert(tx, new, Change("", now_ms()))
        await webhooks.insert_events(tx, new.webhook_id, [WebhookEvent("RUN", "FINISHED")])

    await engine.write(work)
    return new.webhook_id


async def add(engine: Engine, outbox: Outbox, event: Event = EVENT) -> None:
    at_ms = now_ms()
    await engine.write(lambda tx: outbox.add(tx, event, workspace="default", at_ms=at_ms))


async def history(engine: Engine, webhook_id: bytes) -> list[WebhookDelivery]:
    rows = await engine.read(
        lambda tx: store.history(tx, webhook_id, before=AFTER_ALL, limit=10_000)
    )
    return [delivery for _, delivery in rows]


def deliverer(engine: Engine, outbox: Outbox, rules: DeliveryRules = RULES) -> Deliverer:
    client = Client(Rules(("http",), allow_private=True), timeout_s=rules.timeout_s)
    return Deliverer(engine, outbox, WebhookSender(client, WebhookSecrets(None, None)), rules)


@asynccontextmanager
async def delivering(*deliverers: Deliverer):
    for each in deliverers:
        each.start()
    try:
        yield
    finally:
        for each in deliverers:
            await each.stop()


async def until(happens: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(15):
        while not await happens():  # noqa: ASYNC110 - The database has no event.
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("listeners", "statements"), [(0, 1), (1, 2), (60, 2)])
def test_an_event_costs_the_same_however_many_listen(
    database: str, listeners: int, statements: int
):
    async def story(engine: Engine) -> None:
        ids = [await listen(engine) for _ in range(listeners)]
        await listen(engine, status="DISABLED")
        counting = CountingEngine(engine)
        await add(counting, Outbox())
        assert len(counting.asked) == statements
        for webhook_id in ids:
            assert [each.status for each in await history(engine, webhook_id)] == ["PENDING"]

    play(database, story)


@pytest.mark.parametrize(
    ("event", "workspace"),
    [
        (Event("RUN", "FAILED", {}), "default"),
        (Event("MODEL", "FINISHED", {}), "default"),
        (EVENT, "b"),
    ],
)
def test_who_does_not_listen_is_not_told(database: str, event: Event, workspace: str):
    async def story(engine: Engine) -> None:
        webhook_id = await listen(engine)
        await engine.write(lambda tx: Outbox().add(tx, event, workspace=workspace, at_ms=1))
        assert await history(engine, webhook_id) == []

    play(database, story)


def test_a_work_that_fails_tells_nobody(database: str):
    async def story(engine: Engine) -> None:
        webhook_id = await listen(engine)

        async def work(tx: Tx) -> None:
            await Outbox().add(tx, EVENT, workspace="default", at_ms=now_ms())
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await engine.write(work)
        assert await history(engine, webhook_id) == []

    play(database, story)


def test_a_work_that_runs_twice_tells_once(database: str):
    """Beside one that fails after it wrote: the engine rolls both back and runs each again."""

    async def story(engine: Engine) -> None:
        webhook_id = await listen(engine)
        runs: list[str] = []

        async def good(tx: Tx) -> None:
            runs.append("good")
            await Outbox().add(tx, EVENT, workspace="default", at_ms=now_ms())

        async def bad(tx: Tx) -> None:
            await Outbox().add(tx, EVENT, workspace="default", at_ms=now_ms())
            raise ZeroDivisionError

        ended = await asyncio.gather(
            *(engine.write(work, key=bytes(16)) for work in (good, bad, good, bad)),
            return_exceptions=True,
        )
        assert [type(each) for each in ended] == [type(None), ZeroDivisionError] * 2
        assert len(runs) > 2
        assert len(await history(engine, webhook_id)) == 2

    play(database, story)


def test_two_servers_share_the_work(database: str):
    """Each message is sent once as long as nobody dies."""

    async def story(engine: Engine) -> None:
        with receiving() as receiver:
            webhook_id = await listen(engine, receiver.url)
            outboxes = [Outbox(), Outbox()]
            for _ in range(40):
                await add(engine, outboxes[0])
            async with delivering(*(deliverer(engine, outbox) for outbox in outboxes)):
                await until(lambda: all_delivered(engine, webhook_id))
            told = [each.headers["x-mlflow-delivery-id"] for each in receiver.arrived]
            assert len(told) == len(set(told)) == 40

    play(database, story)


async def all_delivered(engine: Engine, webhook_id: bytes) -> bool:
    return {each.status for each in await history(engine, webhook_id)} == {"DELIVERED"}


def test_of_two_that_take_a_delivery_one_has_it(database: str):
    async def story(engine: Engine) -> None:
        await listen(engine)
        await add(engine, Outbox())
        (waiting,) = await engine.read(lambda tx: store.next_waiting(tx, besides=[], limit=9))
        taken = [
            await engine.write(lambda tx: store.take(tx, waiting, until_ms=now_ms() + 50))
            for _ in range(2)
        ]
        assert taken == [True, False]
        (later,) = await engine.read(lambda tx: store.next_waiting(tx, besides=[], limit=9))
        assert later.due_at > now_ms()

    play(database, story)


def test_what_a_dead_server_had_taken_is_delivered(database: str):
    async def story(engine: Engine) -> None:
        with receiving() as receiver:
            webhook_id = await listen(engine, receiver.url)
            await add(engine, Outbox())
            (waiting,) = await engine.read(lambda tx: store.next_waiting(tx, besides=[], limit=9))
            until_ms = now_ms() + 700
            assert await engine.write(lambda tx: store.take(tx, waiting, until_ms=until_ms))
            async with delivering(deliverer(engine, Outbox())):
                await until(lambda: all_delivered(engine, webhook_id))
            assert now_ms() >= until_ms
            assert len(receiver.arrived) == 1

    play(database, story)


def test_an_end_that_comes_late_changes_nothing(database: str):
    """A server that was too slow finds that another one has delivered meanwhile."""

    async def story(engine: Engine) -> None:
        webhook_id = await listen(engine)
        await add(engine, Outbox())
        (waiting,) = await engine.read(lambda tx: store.next_waiting(tx, besides=[], limit=9))
        key = waiting.delivery_id
        good, bad = Attempt(1, 200, ""), Attempt(2, 500, "late")
        await engine.write(lambda tx: store.end(tx, key, "DELIVERED", good))
        await engine.write(lambda tx: store.end(tx, key, "FAILED", bad))
        await engine.write(lambda tx: store.postpone(tx, key, bad, until_ms=5))
        (delivery,) = await history(engine, webhook_id)
        assert (delivery.status, delivery.attempts, delivery.error_message) == (
            "DELIVERED",
            1,
            None,
        )

    play(database, story)


def test_a_webhook_has_so_many_attempts_under_way_and_no_more(database: str):
    async def story(engine: Engine) -> None:
        with receiving() as receiver:
            receiver.replies.extend(Reply(after_s=0.3) for _ in range(30))
            webhook_id = await listen(engine, receiver.url)
            outbox = Outbox()
            rules = DeliveryRules(timeout_s=5, retries=0, workers=6)
            for _ in range(6):
                await add(engine, outbox)
            async with delivering(deliverer(engine, outbox, rules)):
                await until(lambda: all_delivered(engine, webhook_id))
            assert most_at_once(receiver, 0.3) == rules.workers_per_webhook == 2

    play(database, story)


def most_at_once(receiver: Receiver, took_s: float) -> int:
    times = [each.at_s for each in receiver.arrived]
    return max(sum(start <= other < start + took_s for other in times) for start in times)


def test_what_is_due_for_a_webhook_that_is_gone_goes_too(database: str):
    async def story(engine: Engine) -> None:
        ghost = new_run_id()
        new = NewDelivery(new_run_id(), ghost, "RUN", "FINISHED", "{}", now_ms())
        await engine.write(lambda tx: store.insert(tx, [new]))

        async def is_gone() -> bool:
            return await history(engine, ghost) == []

        async with delivering(deliverer(engine, Outbox())):
            await until(is_gone)

    play(database, story)


def test_a_deleted_webhook_leaves_nothing(database: str):
    async def story(engine: Engine) -> None:
        webhook_id = await listen(engine)
        await add(engine, Outbox())
        await engine.write(lambda tx: webhooks.delete(tx, webhook_id))
        for table in ("webhooks", "webhook_events", "webhook_deliveries"):
            sql = f"SELECT count(*) FROM {table}"
            assert await engine.read(lambda tx, sql=sql: tx.fetch(sql)) == [(0,)]

    play(database, story)


DAY_MS = 86_400_000


def aged_id(days: float, number: int) -> bytes:
    return (int(now_ms() - days * DAY_MS) << 80 | number).to_bytes(16, "big")


async def fill(engine: Engine, webhook_id: bytes, ids: list[bytes]) -> None:
    async def work(tx: Tx) -> None:
        await store.insert(
            tx, [NewDelivery(key, webhook_id, "RUN", "FINISHED", "{}", now_ms()) for key in ids]
        )
        for key in ids[1:]:
            await store.end(tx, key, "DELIVERED", Attempt(1, 200, ""))

    await engine.write(work)


async def kept(engine: Engine, webhook_id: bytes) -> list[bytes]:
    rows = await engine.read(
        lambda tx: store.history(tx, webhook_id, before=AFTER_ALL, limit=10_000)
    )
    return [key for key, _ in rows][::-1]


def test_a_long_history_keeps_its_newest_lines_and_what_is_pending(database: str):
    async def story(engine: Engine) -> None:
        webhook_id = await listen(engine)
        ids = [aged_id(1, number) for number in range(limits.WEBHOOK_HISTORY_MAX + 700)]
        await fill(engine, webhook_id, ids)
        await deliverer(engine, Outbox()).prune()
        expected = [ids[0], *ids[-limits.WEBHOOK_HISTORY_MAX :]]
        assert await kept(engine, webhook_id) == expected

    play(database, story)


def test_an_old_history_goes_but_for_what_is_pending(database: str):
    async def story(engine: Engine) -> None:
        webhook_id, other = await listen(engine), await listen(engine)
        old = [aged_id(limits.WEBHOOK_HISTORY_DAYS_MAX + 1, number) for number in range(3)]
        young = [aged_id(limits.WEBHOOK_HISTORY_DAYS_MAX - 1, number) for number in range(3)]
        await fill(engine, webhook_id, [*old, *young])
        await fill(engine, other, [aged_id(0, number) for number in range(2)])
        await deliverer(engine, Outbox()).prune()
        assert await kept(engine, webhook_id) == [old[0], *young]
        assert len(await kept(engine, other)) == 2

    play(database, story)


def test_a_taken_delivery_belongs_to_who_saw_its_time(database: str):
    async def story(engine: Engine) -> None:
        await listen(engine)
        await add(engine, Outbox())
        (waiting,) = await engine.read(lambda tx: store.next_waiting(tx, besides=[], limit=9))
        stale = Waiting(waiting.delivery_id, waiting.webhook_id, waiting.due_at - 1)
        assert not await engine.write(lambda tx: store.take(tx, stale, until_ms=now_ms()))

    play(database, story)


def test_waking_ends_the_wait_and_waits_end_by_themselves():
    async def story() -> None:
        outbox = Outbox()
        outbox.wake()
        async with asyncio.timeout(1):
            await outbox.wait(60)
        await outbox.wait(0.01)

    asyncio.run(story())
