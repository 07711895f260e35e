"""Webhooks. MLflow's own clients fail at an event that they do not know: they are shown webhooks
without those of runs.
"""

import msgspec

from riverrun.api.call import Call
from riverrun.entities.webhooks import RUN, Webhook, WebhookEvent
from riverrun.errors import ResourceDoesNotExist
from riverrun.services.webhooks import NewWebhook, WebhookChange
from riverrun.wire.message import Empty
from riverrun.wire.messages import webhooks as m


async def create_webhook(call: Call, message: m.CreateWebhook) -> m.WebhookResponse:
    new = NewWebhook(
        name=message.name or "",
        url=message.url or "",
        events=_events(message.events),
        description=message.description or "",
        secret=message.secret or "",
        status=(message.status or m.WebhookStatus.ACTIVE).value,
    )
    webhook = await call.services.webhooks.create(new, viewer=call.viewer)
    return m.WebhookResponse(_required(call, webhook))


async def list_webhooks(call: Call, message: m.ListWebhooks) -> m.ListWebhooksResponse:
    page = await call.services.webhooks.list(
        max_results=message.max_results, page_token=message.page_token, viewer=call.viewer
    )
    shown = [_shown(call, webhook) for webhook in page.webhooks]
    return m.ListWebhooksResponse([each for each in shown if each.events], page.next_page_token)


async def get_webhook(call: Call, message: m.GetWebhook) -> m.WebhookResponse:
    webhook = await call.services.webhooks.get(message.webhook_id, viewer=call.viewer)
    return m.WebhookResponse(_required(call, webhook))


async def update_webhook(call: Call, message: m.UpdateWebhook) -> m.WebhookResponse:
    change = WebhookChange(
        name=message.name,
        url=message.url,
        events=_events(message.events),
        description=message.description,
        secret=message.secret,
        status=message.status.value if message.status else None,
        keeps=RUN if _is_mlflow(call) else "",
    )
    webhook = await call.services.webhooks.update(message.webhook_id, change, viewer=call.viewer)
    return m.WebhookResponse(_required(call, webhook))


async def delete_webhook(call: Call, message: m.DeleteWebhook) -> Empty:
    await call.services.webhooks.delete(message.webhook_id, viewer=call.viewer)
    return Empty()


async def test_webhook(call: Call, message: m.TestWebhook) -> m.TestWebhookResponse:
    event = _event(message.event) if message.event else None
    return m.TestWebhookResponse(
        await call.services.webhooks.test(message.webhook_id, event, viewer=call.viewer)
    )


async def list_webhook_deliveries(
    call: Call, message: m.ListWebhookDeliveries
) -> m.ListWebhookDeliveriesResponse:
    page = await call.services.webhooks.deliveries(
        message.webhook_id,
        max_results=message.max_results,
        page_token=message.page_token,
        viewer=call.viewer,
    )
    return m.ListWebhookDeliveriesResponse(page.deliveries, page.next_page_token)


def _events(given: list[m.WebhookEventInput] | None) -> list[WebhookEvent]:
    return [_event(each) for each in given or ()]


def _event(given: m.WebhookEventInput) -> WebhookEvent:
    return WebhookEvent(given.entity.value, given.action.value)


def _is_mlflow(call: Call) -> bool:
    return call.headers.get(b"user-agent", b"").startswith(b"mlflow-")


def _shown(call: Call, webhook: Webhook) -> Webhook:
    if not _is_mlflow(call):
        return webhook
    known = [each for each in webhook.events if each.entity != RUN]
    return msgspec.structs.replace(webhook, events=known)


def _required(call: Call, webhook: Webhook) -> Webhook:
    shown = _shown(call, webhook)
    if not shown.events:
        raise ResourceDoesNotExist(
            f"Webhook with ID {webhook.webhook_id} listens to runs only, which MLflow's clients do "
            "not know. Read it with another client, such as curl."
        )
    return shown
