"""What the tests of the API share: short ways to say a request and to read an answer."""

import base64
import json
import uuid
from typing import Any

from tests.fixtures.server import Answered, Server

AJAX = "/ajax-api/2.0/mlflow/"
JSON = {"Content-Type": "application/json"}
START_MS = 1_700_000_000_000
NO_RUN = "0" * 32


def unique(name: str) -> str:
    return f"{name} {uuid.uuid4().hex[:12]}"


def refused(answer: Answered, status: int = 400, code: str = "INVALID_PARAMETER_VALUE") -> str:
    """The message of an error that must have this status and code."""
    assert (answer.status, answer.error_code) == (status, code), answer.body[:500]
    return answer.json["message"]


def accepted(answer: Answered) -> Any:
    assert answer.status == 200, answer.body[:500]
    return answer.json


def not_found(answer: Answered) -> str:
    return refused(answer, 404, "RESOURCE_DOES_NOT_EXIST")


def point(key: str, value: float | str, *, timestamp: int = 1, step: int = 0) -> dict[str, Any]:
    return {"key": key, "value": value, "timestamp": timestamp, "step": step}


def pairs(prefix: str, count: int) -> list[dict[str, str]]:
    return [{"key": f"{prefix}{number}", "value": "1"} for number in range(count)]


def values(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Params, tags or metrics of a run by key."""
    return {item["key"]: item["value"] for item in items}


def params(server: Server, run: str) -> dict[str, str]:
    return values(server.get_run(run)["data"].get("params", []))


def tags(server: Server, run: str) -> dict[str, str]:
    return values(server.get_run(run)["data"].get("tags", []))


def latest(server: Server, run: str) -> dict[str, Any]:
    """Every metric of a run as (value, timestamp, step)."""
    metrics = server.get_run(run)["data"].get("metrics", [])
    return {each["key"]: (each["value"], each["timestamp"], each["step"]) for each in metrics}


def history(server: Server, run: str, key: str, **fields: Any) -> list[tuple[Any, int, int]]:
    """The points of one metric as (value, timestamp, step)."""
    answer = accepted(server.get("metrics/get-history", run_id=run, metric_key=key, **fields))
    return [(each["value"], each["timestamp"], each["step"]) for each in answer.get("metrics", [])]


def offset_token(offset: object) -> str:
    """A page token as upstream makes it."""
    return base64.b64encode(json.dumps({"offset": offset}).encode()).decode()
