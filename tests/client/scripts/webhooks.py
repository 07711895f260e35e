"""Webhooks by MLflow's own client: `webhooks.py RECEIVER`."""

import json
import sys

from mlflow import MlflowClient
from mlflow.entities.webhook import WebhookEvent, WebhookStatus
from mlflow.exceptions import MlflowException

client = MlflowClient()
url = sys.argv[1]
created = client.create_webhook(
    name="to-ci",
    url=url,
    events=["model_version.created", "prompt_tag.set"],
    description="builds",
    secret="shared",
)
others = [client.create_webhook(f"hook{n}", url, ["prompt.created"]) for n in range(2)]
listed = client.list_webhooks(max_results=2)
rest = client.list_webhooks(max_results=2, page_token=listed.token)
got = client.get_webhook(created.webhook_id)
first = client.test_webhook(created.webhook_id)
other = client.test_webhook(
    created.webhook_id, WebhookEvent.from_str("model_version_alias.deleted")
)
updated = client.update_webhook(
    created.webhook_id, name="renamed", events=["registered_model.created"], status="DISABLED"
)
for webhook in (created, *others):
    client.delete_webhook(webhook.webhook_id)
try:
    client.get_webhook(created.webhook_id)
    gone = None
except MlflowException as error:
    gone = error.error_code
try:
    client.create_webhook("a b", url, ["prompt.created"])
    refused = None
except MlflowException as error:
    refused = error.error_code


def shown(webhook):
    return [
        webhook.name,
        webhook.description,
        str(webhook.status),
        [str(event) for event in webhook.events],
    ]


print(
    json.dumps(
        {
            "created": shown(created),
            "active": got.status == WebhookStatus.ACTIVE,
            "same": shown(got) == shown(created) and got.url == url,
            "listed": [[each.name for each in page] for page in (listed, rest)],
            "first": [first.success, first.response_status, first.response_body],
            "other": other.success,
            "updated": shown(updated),
            "gone": gone,
            "refused": refused,
        }
    )
)
