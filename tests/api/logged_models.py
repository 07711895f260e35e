"""Short ways to ask for logged models, which their tests share."""

import json
from typing import Any

from tests.api.protocol import JSON, accepted, point
from tests.fixtures.server import Answered, Server

PATH = "/api/2.0/mlflow/logged-models"
NO_MODEL = "m-" + "0" * 32


def create(server: Server, experiment: str, **fields: Any) -> str:
    answer = server.post("logged-models", {"experiment_id": experiment, **fields})
    return accepted(answer)["model"]["info"]["model_id"]


def get(server: Server, model: str, **fields: Any) -> Answered:
    return server.get(f"logged-models/{model}", **fields)


def read(server: Server, model: str) -> Any:
    return accepted(get(server, model))["model"]


def patch(server: Server, path: str, message: object) -> Answered:
    return server.request("PATCH", f"{PATH}/{path}", json.dumps(message).encode(), JSON)


def finalize(server: Server, model: str, status: object = "LOGGED_MODEL_READY") -> Answered:
    return patch(server, model, {"model_id": model, "status": status})


def delete(server: Server, model: str) -> Answered:
    return server.request("DELETE", f"{PATH}/{model}")


def set_tags(server: Server, model: str, **tags: str) -> Answered:
    given = [{"key": key, "value": value} for key, value in tags.items()]
    return patch(server, f"{model}/tags", {"tags": given})


def delete_tag(server: Server, model: str, key: str) -> Answered:
    """`key` as it stands in the URL."""
    return server.request("DELETE", f"{PATH}/{model}/tags/{key}")


def log_params(server: Server, model: str, **params: str) -> Answered:
    given = [{"key": key, "value": value} for key, value in params.items()]
    return server.post(f"logged-models/{model}/params", {"model_id": model, "params": given})


def search(server: Server, experiment: str, **fields: Any) -> Answered:
    return server.post("logged-models/search", {"experiment_ids": [experiment], **fields})


def found(server: Server, experiment: str, **fields: Any) -> list[str]:
    """The names of the models that a search finds."""
    models = accepted(search(server, experiment, **fields)).get("models", [])
    return [model["info"]["name"] for model in models]


def log_batch(server: Server, run: str, *metrics: dict[str, Any]) -> Answered:
    return server.post("runs/log-batch", {"run_id": run, "metrics": metrics})


def measured(key: str, value: float | str, model: str, **fields: Any) -> dict[str, Any]:
    step, timestamp = fields.pop("step", 0), fields.pop("timestamp", 1)
    return {**point(key, value, step=step, timestamp=timestamp), "model_id": model, **fields}
