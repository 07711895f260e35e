"""Servers that call webhooks, and short ways to ask for these, which their tests share."""

import base64
import hashlib
import hmac
import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.api.protocol import JSON, accepted
from tests.fixtures.receiver import Arrived, until
from tests.fixtures.server import Answered, Server, serving

PATH = "/api/2.0/mlflow/webhooks"
OPEN = {
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
    "MLFLOW_WEBHOOK_REQUEST_TIMEOUT": "2",
    "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "1",
}
"""A server that may call this machine, and does not wait long."""
CREATED = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
FINISHED = {"entity": "RUN", "action": "FINISHED"}
FAILED = {"entity": "RUN", "action": "FAILED"}
SECRET = "a secret that nobody is told"


def with_key(number: int) -> dict[str, str]:
    """An open server whose key for secrets does not lie beside its database."""
    key = base64.urlsafe_b64encode(bytes([number]) * 32).decode()
    return {**OPEN, "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": key}


@contextmanager
def serving_webhooks(folder: Path, database: str) -> Generator[Server]:
    """An open server on the database with this URL; the tests of a file share one."""
    with serving(folder, database=database, environ=with_key(0)) as running:
        yield running


def create(server: Server, url: str = "http://127.0.0.1:9/hook", **fields: Any) -> Any:
    message = {"name": "hook", "url": url, "events": [CREATED], **fields}
    return accepted(server.post("webhooks", message))["webhook"]


def get(server: Server, webhook: str) -> Answered:
    return server.get(f"webhooks/{webhook}")


def patch(server: Server, webhook: str, **fields: Any) -> Answered:
    return server.request("PATCH", f"{PATH}/{webhook}", json.dumps(fields).encode(), JSON)


def delete(server: Server, webhook: str) -> Answered:
    return server.request("DELETE", f"{PATH}/{webhook}")


def call_test(server: Server, webhook: str, **fields: Any) -> Answered:
    return server.post(f"webhooks/{webhook}/test", fields)


def deliveries(server: Server, webhook: str, **fields: object) -> Answered:
    prefix = "/api/riverrun/v1/"
    return server.get(f"webhooks/{webhook}/deliveries", prefix=prefix, **fields)


def history(server: Server, webhook: str) -> list[Any]:
    return accepted(deliveries(server, webhook)).get("deliveries", [])


def ended(server: Server, webhook: str, count: int = 1) -> list[Any]:
    """The history, once so many deliveries have come to their end."""
    until(lambda: [each["status"] for each in history(server, webhook)].count("PENDING") == 0)
    found = history(server, webhook)
    assert len(found) == count
    return found


def end(server: Server, run: str, status: str = "FINISHED", **fields: Any) -> None:
    accepted(server.post("runs/update", {"run_id": run, "status": status, **fields}))


def signed(arrived: Arrived, secret: str) -> str:
    """As docs/webhooks.md tells receivers to check it."""
    parts = (arrived.headers["x-mlflow-delivery-id"], arrived.headers["x-mlflow-timestamp"])
    text = ".".join(parts).encode() + b"." + arrived.body
    digest = hmac.new(secret.encode(), text, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def result(answer: Answered) -> Any:
    return accepted(answer)["result"]
