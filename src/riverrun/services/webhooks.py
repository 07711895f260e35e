"""Webhooks: who is told of what. Managing them needs MANAGE on the server."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from riverrun.auth.levels import Level
from riverrun.auth.viewer import Resource, Viewer
from riverrun.clock import new_run_id, now_ms
from riverrun.entities.webhooks import (
    EVENTS,
    Webhook,
    WebhookDelivery,
    WebhookEvent,
    WebhookTestResult,
)
from riverrun.errors import InvalidParameterValue, TemporarilyUnavailable
from riverrun.outbound.client import Client
from riverrun.outbound.guard import RefusedError, UnreachableError
from riverrun.services import limits, names
from riverrun.services.active import take_workspace
from riverrun.services.audit import Event, record
from riverrun.services.events import example
from riverrun.services.outbox import body_of
from riverrun.services.webhook_secrets import WebhookSecrets
from riverrun.services.webhook_sender import WebhookSender
from riverrun.store import webhook_deliveries
from riverrun.store import webhooks as store
from riverrun.store.change import Change
from riverrun.store.engine import Engine, Tx
from riverrun.store.paging import REAL, fingerprint, read_token, write_token


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """What a client says of a webhook that it creates; without a secret nothing is signed."""

    name: str
    url: str
    events: Sequence[WebhookEvent]
    description: str
    secret: str
    status: str


@dataclass(frozen=True, slots=True)
class WebhookChange:
    """What an update changes; None leaves as it is, and so do an empty name, URL and list of
    events. An empty description or secret is none.

    `keeps` names an entity whose events stay although `events` replaces the others.
    """

    name: str | None
    url: str | None
    events: Sequence[WebhookEvent] | None
    description: str | None
    secret: str | None
    status: str | None
    keeps: str = ""


@dataclass(frozen=True, slots=True)
class WebhookPage:
    webhooks: list[Webhook]
    next_page_token: str | None


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    deliveries: list[WebhookDelivery]
    next_page_token: str | None


class Webhooks:
    def __init__(
        self, engine: Engine, *, client: Client, secrets: WebhookSecrets, sender: WebhookSender
    ) -> None:
        self._engine = engine
        self._client = client
        self._secrets = secrets
        self._sender = sender
        self._tests = asyncio.Semaphore(limits.WEBHOOK_TESTS_MAX)

    async def create(self, new: NewWebhook, *, viewer: Viewer) -> Webhook:
        """Names need not be unique. The URL must be one that may be called today."""
        viewer.require(Level.MANAGE, None)
        names.check_webhook_name(new.name)
        _check_texts(new.description, new.secret)
        events = _events(new.events)
        await self._check_url(new.url)
        webhook = store.NewWebhook(
            webhook_id=new_run_id(),
            workspace=viewer.workspace,
            name=new.name,
            description=new.description,
            url=new.url,
            secret=await self._encrypted(new.secret),
            status=new.status,
        )
        change = Change(viewer.name, now_ms())

        async def work(tx: Tx) -> Webhook:
            await take_workspace(tx, viewer)
            if await store.count(tx, viewer.workspace) >= limits.WEBHOOKS_MAX:
                raise InvalidParameterValue(
                    f"A workspace can have at most {limits.WEBHOOKS_MAX} webhooks. Delete one that "
                    "is not needed any more."
                )
            await store.insert(tx, webhook, change)
            await store.insert_events(tx, webhook.webhook_id, events)
            return await _require(tx, webhook.webhook_id, viewer)

        return await self._engine.write(work)

    async def get(self, webhook_id: str, *, viewer: Viewer) -> Webhook:
        viewer.require(Level.MANAGE, None)
        key = names.webhook_key(webhook_id)
        return await self._engine.read(lambda tx: _require(tx, key, viewer))

    async def list(
        self, *, max_results: int | None, page_token: str | None, viewer: Viewer
    ) -> WebhookPage:
        """The newest first."""
        viewer.require(Level.MANAGE, None)
        limit = _page_size(max_results)
        query = fingerprint("webhooks", viewer.workspace)
        cursor = read_token(page_token or "", query, [None])
        before = _place(cursor.places)

        async def work(tx: Tx) -> list[Webhook]:
            return await store.page(
                tx, viewer.workspace, before=before, limit=limit + 1, offset=cursor.offset
            )

        found = await self._engine.read(work)
        token = None
        if len(found) > limit:
            last = names.webhook_key(found[limit - 1].webhook_id)
            token = write_token(query, [(REAL, last)])
        return WebhookPage(found[:limit], token)

    async def update(self, webhook_id: str, change: WebhookChange, *, viewer: Viewer) -> Webhook:
        viewer.require(Level.MANAGE, None)
        key, by = names.webhook_key(webhook_id), Change(viewer.name, now_ms())
        if change.name:
            names.check_webhook_name(change.name)
        _check_texts(change.description or "", change.secret or "")
        events = _events(change.events) if change.events else None
        await self.get(webhook_id, viewer=viewer)  # Before its URL is looked up.
        if change.url:
            await self._check_url(change.url)
        secret = await self._encrypted(change.secret or "")

        async def work(tx: Tx) -> Webhook:
            old = await _take(tx, key, viewer)
            old_secret = (await store.receivers(tx, [key]))[key].secret
            fields = store.Fields(
                name=change.name or old.name,
                description=old.description if change.description is None else change.description,
                url=change.url or old.url,
                secret=old_secret if change.secret is None else secret,
                status=change.status or old.status,
            )
            await store.update(tx, key, fields, by)
            if events is not None:
                kept = [each for each in old.events if each.entity == change.keeps]
                await store.delete_events(tx, key)
                await store.insert_events(tx, key, [*events, *kept])
            return await _require(tx, key, viewer)

        return await self._engine.write(work)

    async def delete(self, webhook_id: str, *, viewer: Viewer) -> None:
        """With its history, and what has not been delivered. A second time is an error, as it is
        upstream.
        """
        viewer.require(Level.MANAGE, None)
        key = names.webhook_key(webhook_id)

        async def work(tx: Tx) -> None:
            webhook = await _take(tx, key, viewer)
            await store.delete(tx, key)
            event = Event("webhook.delete", Resource("webhook", webhook_id), webhook.name)
            await record(tx, event, by=viewer)

        await self._engine.write(work)

    async def test(
        self, webhook_id: str, event: WebhookEvent | None, *, viewer: Viewer
    ) -> WebhookTestResult:
        """Sends an example of the event now, once, be the webhook active or not; it gets no line in
        the history. Takes as long as the receiver, within the time of an attempt.
        """
        viewer.require(Level.MANAGE, None)
        key = names.webhook_key(webhook_id)

        async def work(tx: Tx) -> tuple[Webhook, store.Receiver]:
            return await _require(tx, key, viewer), (await store.receivers(tx, [key]))[key]

        webhook, receiver = await self._engine.read(work)
        asked = _events([event])[0] if event else webhook.events[0]
        if self._tests.locked():
            raise TemporarilyUnavailable(
                "Other webhooks are being tested; try again in some seconds.", retry_after_s=5
            )
        async with self._tests:
            body = body_of(example(asked), now_ms())
            outcome = await self._sender.send(receiver, new_run_id(), body)
        return WebhookTestResult(
            success=not outcome.error,
            response_status=outcome.status,
            response_body=outcome.body if outcome.status is not None else None,
            error_message=outcome.error or None,
        )

    async def deliveries(
        self, webhook_id: str, *, max_results: int | None, page_token: str | None, viewer: Viewer
    ) -> DeliveryPage:
        """What was and is to be delivered, the newest first."""
        viewer.require(Level.MANAGE, None)
        key, limit = names.webhook_key(webhook_id), _page_size(max_results)
        query = fingerprint("webhook deliveries", key)
        before = _place(read_token(page_token or "", query, [None]).places)

        async def work(tx: Tx) -> list[tuple[bytes, WebhookDelivery]]:
            await _require(tx, key, viewer)
            return await webhook_deliveries.history(tx, key, before=before, limit=limit + 1)

        found = await self._engine.read(work)
        token = None
        if len(found) > limit:
            token = write_token(query, [(REAL, found[limit - 1][0])])
        return DeliveryPage([delivery for _, delivery in found[:limit]], token)

    async def _check_url(self, url: str) -> None:
        try:
            await self._client.check(url)
        except (RefusedError, UnreachableError) as error:
            raise InvalidParameterValue(f"Invalid webhook URL: {error}") from None

    async def _encrypted(self, secret: str) -> str | None:
        return await self._secrets.encrypt(secret) if secret else None


async def _require(tx: Tx, webhook_id: bytes, viewer: Viewer) -> Webhook:
    webhook = await store.find(tx, webhook_id, workspace=viewer.workspace)
    return _existing(webhook, webhook_id)


async def _take(tx: Tx, webhook_id: bytes, viewer: Viewer) -> Webhook:
    """As `_require`, for a change of the webhook."""
    webhook = await store.take(tx, webhook_id, workspace=viewer.workspace)
    return _existing(webhook, webhook_id)


def _existing(webhook: Webhook | None, webhook_id: bytes) -> Webhook:
    if webhook is None:
        raise names.webhook_not_found(store.public_id(webhook_id))
    return webhook


def _events(given: Sequence[WebhookEvent]) -> list[WebhookEvent]:
    """Each once, in the order given."""
    if not given:
        raise InvalidParameterValue("Webhook events cannot be empty.")
    if len(given) > limits.WEBHOOK_EVENTS_MAX:
        raise InvalidParameterValue(
            f"A call can name at most {limits.WEBHOOK_EVENTS_MAX} events. Got {len(given)}."
        )
    for each in given:
        if each.action not in EVENTS[each.entity]:
            raise InvalidParameterValue(
                f"Invalid action '{each.action}' for entity '{each.entity}'. Valid actions are: "
                f"{', '.join(EVENTS[each.entity])}."
            )
    return list({(each.entity, each.action): each for each in given}.values())


def _check_texts(description: str, secret: str) -> None:
    names.check_length(description, limits.WEBHOOK_DESCRIPTION_LENGTH_MAX, "description")
    names.check_length(secret, limits.WEBHOOK_SECRET_LENGTH_MAX, "secret")


def _page_size(max_results: int | None) -> int:
    size = max_results or limits.WEBHOOKS_PAGE_DEFAULT
    if not 1 <= size <= limits.WEBHOOKS_PAGE_MAX:
        raise InvalidParameterValue(
            f"max_results must be between 1 and {limits.WEBHOOKS_PAGE_MAX}. Got {max_results}."
        )
    return size


def _place(places: Sequence[tuple[int, bytes]] | None) -> bytes:
    """The id before which a page begins."""
    return places[0][1] if places and places[0][0] == REAL else store.AFTER_ALL
