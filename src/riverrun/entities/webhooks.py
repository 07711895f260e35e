from collections.abc import Mapping

import msgspec

MLFLOW_EVENTS: Mapping[str, tuple[str, ...]] = {
    "REGISTERED_MODEL": ("CREATED",),
    "MODEL_VERSION": ("CREATED",),
    "MODEL_VERSION_TAG": ("SET", "DELETED"),
    "MODEL_VERSION_ALIAS": ("CREATED", "DELETED"),
    "PROMPT": ("CREATED",),
    "PROMPT_VERSION": ("CREATED",),
    "PROMPT_TAG": ("SET", "DELETED"),
    "PROMPT_VERSION_TAG": ("SET", "DELETED"),
    "PROMPT_ALIAS": ("CREATED", "DELETED"),
    "BUDGET_POLICY": ("EXCEEDED",),
}
"""The actions of each entity that MLflow's clients know. Budgets belong to its gateway: nothing
here exceeds one, but clients may listen.
"""
RUN = "RUN"
EVENTS: Mapping[str, tuple[str, ...]] = {**MLFLOW_EVENTS, RUN: ("FINISHED", "FAILED", "KILLED")}
"""All that a webhook may listen to."""


class WebhookEvent(msgspec.Struct, frozen=True, gc=False):
    entity: str
    action: str


class Webhook(msgspec.Struct, frozen=True, omit_defaults=True):
    """`status` is ACTIVE or DISABLED, times are milliseconds. The secret is never told."""

    webhook_id: str
    name: str
    url: str
    events: list[WebhookEvent]
    status: str
    creation_timestamp: int
    last_updated_timestamp: int
    description: str = ""


class WebhookTestResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the receiver answered, or why there is no answer."""

    success: bool
    response_status: int | None = None
    response_body: str | None = None
    error_message: str | None = None


class WebhookDelivery(msgspec.Struct, frozen=True, omit_defaults=True):
    """`status` is PENDING, DELIVERED or FAILED; `next_attempt_timestamp` is there while it is
    PENDING. The last attempt's status and error stand until the next one.
    """

    delivery_id: str
    webhook_id: str
    event: WebhookEvent
    status: str
    attempts: int
    creation_timestamp: int
    last_attempt_timestamp: int | None = None
    next_attempt_timestamp: int | None = None
    response_status: int | None = None
    error_message: str | None = None
