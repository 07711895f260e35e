"""Short ways to ask the model registry, which its tests share."""

import json
import time
from typing import Any
from urllib.parse import quote, urlencode

from tests.api.protocol import JSON, accepted, unique
from tests.fixtures.server import Answered, Server

API = "/api/2.0/mlflow/"
OWN = "/api/riverrun/v1/"
S3 = "s3://bucket/model"
IS_PROMPT = "mlflow.prompt.is_prompt"
PROMPT = [{"key": IS_PROMPT, "value": "true"}]
NO_LOGGED_MODEL = "m-" + "0" * 32


def send(server: Server, method: str, path: str, message: object, *, prefix: str = API) -> Answered:
    return server.request(method, prefix + path, json.dumps(message).encode(), JSON)


def later() -> None:
    """So that what follows has another time of change."""
    time.sleep(0.003)


# Registered models -------------------------------------------------------------------------------


def create_model(server: Server, name: str = "", **fields: Any) -> str:
    name = name or unique("model")
    accepted(server.post("registered-models/create", {"name": name, **fields}))
    return name


def get_model(server: Server, name: str) -> Answered:
    return server.get("registered-models/get", name=name)


def read_model(server: Server, name: str) -> Any:
    return accepted(get_model(server, name))["registered_model"]


def updated_at(server: Server, name: str) -> int:
    return read_model(server, name)["last_updated_timestamp"]


def update_model(server: Server, name: str, **fields: Any) -> Answered:
    return send(server, "PATCH", "registered-models/update", {"name": name, **fields})


def rename(server: Server, name: str, new_name: str) -> Answered:
    return server.post("registered-models/rename", {"name": name, "new_name": new_name})


def delete_model(server: Server, name: str) -> Answered:
    return send(server, "DELETE", "registered-models/delete", {"name": name})


def latest_versions(server: Server, name: str, *stages: str) -> Any:
    """Those of the answer, by stage."""
    message = {"name": name, "stages": stages} if stages else {"name": name}
    answer = accepted(server.post("registered-models/get-latest-versions", message))
    return {each["current_stage"]: each for each in answer.get("model_versions", [])}


def set_model_tag(server: Server, name: str, key: str, value: str) -> Answered:
    return server.post("registered-models/set-tag", {"name": name, "key": key, "value": value})


def delete_model_tag(server: Server, name: str, key: str) -> Answered:
    return send(server, "DELETE", "registered-models/delete-tag", {"name": name, "key": key})


def set_alias(server: Server, name: str, alias: str, version: str) -> Answered:
    message = {"name": name, "alias": alias, "version": version}
    return server.post("registered-models/alias", message)


def get_by_alias(server: Server, name: str, alias: str) -> Answered:
    return server.get("registered-models/alias", name=name, alias=alias)


def delete_alias(server: Server, name: str, alias: str) -> Answered:
    return send(server, "DELETE", "registered-models/alias", {"name": name, "alias": alias})


def search_models(server: Server, filter_text: str = "", **fields: Any) -> Answered:
    return server.get("registered-models/search", filter=filter_text, **fields)


# Versions ----------------------------------------------------------------------------------------


def ask_for_version(server: Server, name: str, source: str = S3, **fields: Any) -> Answered:
    return server.post("model-versions/create", {"name": name, "source": source, **fields})


def create_version(server: Server, name: str, source: str = S3, **fields: Any) -> Any:
    return accepted(ask_for_version(server, name, source, **fields))["model_version"]


def get_version(server: Server, name: str, version: object) -> Answered:
    return server.get("model-versions/get", name=name, version=version)


def read_version(server: Server, name: str, version: object) -> Any:
    return accepted(get_version(server, name, version))["model_version"]


def update_version(server: Server, name: str, version: str, **fields: Any) -> Answered:
    message = {"name": name, "version": version, **fields}
    return send(server, "PATCH", "model-versions/update", message)


def transition(
    server: Server, name: str, version: str, stage: str, *, archive: bool = False
) -> Answered:
    message = {
        "name": name,
        "version": version,
        "stage": stage,
        "archive_existing_versions": archive,
    }
    return server.post("model-versions/transition-stage", message)


def delete_version(server: Server, name: str, version: str) -> Answered:
    return send(server, "DELETE", "model-versions/delete", {"name": name, "version": version})


def set_version_tag(server: Server, name: str, version: str, key: str, value: str) -> Answered:
    message = {"name": name, "version": version, "key": key, "value": value}
    return server.post("model-versions/set-tag", message)


def delete_version_tag(server: Server, name: str, version: str, key: str) -> Answered:
    message = {"name": name, "version": version, "key": key}
    return send(server, "DELETE", "model-versions/delete-tag", message)


def download_uri(server: Server, name: str, version: object) -> Answered:
    return server.get("model-versions/get-download-uri", name=name, version=version)


def get_artifact(server: Server, name: str, version: object, path: str) -> Answered:
    query = urlencode({"name": name, "version": version, "path": path})
    return server.request("GET", f"/model-versions/get-artifact?{query}")


def search_versions(server: Server, filter_text: str = "", **fields: Any) -> Answered:
    return server.get("model-versions/search", filter=filter_text, **fields)


# What searches find of the models whose names begin with a word ----------------------------------


def of(word: str, text: str = "") -> str:
    """The filter, limited to models whose names begin with the word."""
    limit = f"name LIKE '{word}%'"
    return f"{limit} AND ({text})" if text else limit


def models(server: Server, word: str, text: str = "", **fields: Any) -> list[str]:
    """The names that a search finds, without the word that they begin with."""
    answer = accepted(search_models(server, of(word, text), **fields))
    names = [model["name"] for model in answer.get("registered_models", [])]
    return [name.removeprefix(word) for name in names]


def versions(server: Server, word: str, text: str = "", **fields: Any) -> list[str]:
    """As `models`: the name and the number of each version."""
    answer = accepted(search_versions(server, of(word, text), **fields))
    found = answer.get("model_versions", [])
    return [f"{each['name'].removeprefix(word)}{each['version']}" for each in found]


# Runs, logged models, history --------------------------------------------------------------------


def upload(server: Server, uri: str, path: str, body: bytes) -> None:
    """Writes a file below an `mlflow-artifacts:` URI, as clients do."""
    below = f"{uri.removeprefix('mlflow-artifacts:/')}/{path}"
    url = f"/api/2.0/mlflow-artifacts/artifacts/{below}"
    assert server.request("PUT", url, body).status == 200


def artifact_uri(server: Server, run: str) -> str:
    return server.get_run(run)["info"]["artifact_uri"]


def create_logged_model(server: Server, experiment: str, **fields: Any) -> Any:
    message = {"experiment_id": experiment, **fields}
    return accepted(server.post("logged-models", message))["model"]["info"]


def get_history(server: Server, name: str, **fields: Any) -> Answered:
    path = f"registered-models/{quote(name, safe='')}/history"
    return server.get(path, prefix=OWN, **fields)


def changes_of(server: Server, name: str, **fields: Any) -> list[dict[str, Any]]:
    """The newest change first, without its time."""
    changes = accepted(get_history(server, name, **fields)).get("changes", [])
    assert all(change.pop("timestamp") > 0 for change in changes)
    return changes
