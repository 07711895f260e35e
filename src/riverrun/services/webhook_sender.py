"""One message to a webhook: signed, sent, and what came of it in words for its history."""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass

from riverrun import __version__
from riverrun.clock import now_ms
from riverrun.errors import TrackingError
from riverrun.outbound.client import Client, Received
from riverrun.outbound.guard import RefusedError, UnreachableError
from riverrun.services.webhook_secrets import SecretUnreadableError, WebhookSecrets
from riverrun.store.webhooks import Receiver, public_id


@dataclass(frozen=True, slots=True)
class Outcome:
    """`error` is empty when the receiver took the message; `may_retry` says whether it makes sense
    to send it again, `retry_after_s` for how long the receiver asks us to wait (0: not at all).
    """

    status: int | None
    body: str
    error: str
    may_retry: bool
    retry_after_s: int


class WebhookSender:
    def __init__(self, client: Client, secrets: WebhookSecrets) -> None:
        self._client = client
        self._secrets = secrets

    async def send(self, receiver: Receiver, delivery_id: bytes, body: str) -> Outcome:
        """Never without the signature that the receiver expects. Its time stamp is this attempt's;
        the delivery's id stays the same, so that receivers can tell repetitions.
        """
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"riverrun/{__version__}",
            "X-MLflow-Delivery-Id": public_id(delivery_id),
            "X-MLflow-Timestamp": str(now_ms() // 1000),
        }
        try:
            if receiver.secret is not None:
                secret = await self._secrets.decrypt(receiver.secret)
                headers["X-MLflow-Signature"] = signature(
                    secret,
                    headers["X-MLflow-Delivery-Id"],
                    headers["X-MLflow-Timestamp"],
                    body,
                )
            received = await self._client.post(receiver.url, headers, body.encode())
        except SecretUnreadableError:
            return _not_sent(
                "The webhook's secret was encrypted with another key. Update the webhook with its "
                "secret, or give the server the old key."
            )
        except RefusedError as error:
            return _not_sent(str(error))
        except UnreachableError as error:
            return Outcome(None, "", str(error), may_retry=True, retry_after_s=0)
        except TrackingError as error:  # The key, which an operator may mend.
            return Outcome(None, "", error.message, may_retry=True, retry_after_s=0)
        return _outcome(received)


def signature(secret: str, delivery_id: str, timestamp: str, body: str) -> str:
    """`v1,` and the HMAC-SHA256 of `<id>.<time>.<body>` in base64."""
    signed = f"{delivery_id}.{timestamp}.{body}".encode()
    digest = hmac.digest(secret.encode(), signed, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode('ascii')}"


def _not_sent(error: str) -> Outcome:
    return Outcome(None, "", error, may_retry=False, retry_after_s=0)


def _outcome(received: Received) -> Outcome:
    status = received.status
    error = ""
    if 300 <= status < 400:
        error = f"The receiver answered {status}, a redirect; redirects are not followed."
    elif status >= 400:
        error = f"The receiver answered {status}."
    wait = re.fullmatch(r"\s*([0-9]{1,6})\s*", received.retry_after)
    return Outcome(
        status,
        received.body.decode("utf-8", "replace").replace("\0", "\ufffd"),
        error,
        may_retry=status == 429 or status >= 500,
        retry_after_s=int(wait[1]) if wait else 0,
    )
