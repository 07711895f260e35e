"""Webhooks. The webhook is named by the path."""

from enum import StrEnum
from typing import ClassVar

import msgspec

from riverrun.entities.webhooks import Webhook, WebhookDelivery, WebhookTestResult
from riverrun.wire.message import Int32, Message, Part


class WebhookEntity(StrEnum):
    """The last one is Riverrun's own."""

    REGISTERED_MODEL = "REGISTERED_MODEL"
    MODEL_VERSION = "MODEL_VERSION"
    MODEL_VERSION_TAG = "MODEL_VERSION_TAG"
    MODEL_VERSION_ALIAS = "MODEL_VERSION_ALIAS"
    PROMPT = "PROMPT"
    PROMPT_VERSION = "PROMPT_VERSION"
    PROMPT_TAG = "PROMPT_TAG"
    PROMPT_VERSION_TAG = "PROMPT_VERSION_TAG"
    PROMPT_ALIAS = "PROMPT_ALIAS"
    BUDGET_POLICY = "BUDGET_POLICY"
    RUN = "RUN"


class WebhookAction(StrEnum):
    """The last three are Riverrun's own."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"
    SET = "SET"
    EXCEEDED = "EXCEEDED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


class WebhookStatus(StrEnum):
    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"


class WebhookEventInput(Part, frozen=True, gc=False):
    entity: WebhookEntity
    action: WebhookAction


class WebhookResponse(msgspec.Struct, frozen=True):
    webhook: Webhook


class CreateWebhook(Message, frozen=True):
    required: ClassVar = ("name", "url", "events")
    name: str | None = None
    description: str | None = None
    url: str | None = None
    events: list[WebhookEventInput] | None = None
    secret: str | None = None
    status: WebhookStatus | None = None


class ListWebhooks(Message, frozen=True):
    max_results: Int32 | None = None
    page_token: str | None = None


class ListWebhooksResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    webhooks: list[Webhook] = []
    next_page_token: str | None = None


class GetWebhook(Message, frozen=True):
    webhook_id: str = ""


class UpdateWebhook(Message, frozen=True):
    """What is absent stays; an empty secret or description is none."""

    webhook_id: str = ""
    name: str | None = None
    description: str | None = None
    url: str | None = None
    events: list[WebhookEventInput] | None = None
    secret: str | None = None
    status: WebhookStatus | None = None


class DeleteWebhook(Message, frozen=True):
    webhook_id: str = ""


class TestWebhook(Message, frozen=True):
    """Without an event, the first one that the webhook listens to."""

    webhook_id: str = ""
    event: WebhookEventInput | None = None


class TestWebhookResponse(msgspec.Struct, frozen=True):
    result: WebhookTestResult


class ListWebhookDeliveries(Message, frozen=True):
    webhook_id: str = ""
    max_results: Int32 | None = None
    page_token: str | None = None


class ListWebhookDeliveriesResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """The newest first."""

    deliveries: list[WebhookDelivery] = []
    next_page_token: str | None = None
