"""The API as an OpenAPI 3.1 document, made from the route table and the structs of its messages."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, cast, get_type_hints

import msgspec

from riverrun import __version__
from riverrun.api import artifacts, audit, metrics, registry, runs, server
from riverrun.api.call import Answer
from riverrun.api.route import Route, Source
from riverrun.api.routes import routes
from riverrun.wire.codec import encode
from riverrun.wire.errors import ErrorEnvelope, codes_by_status
from riverrun.wire.message import Message
from riverrun.wire.messages.artifacts import (
    ListArtifactsResponse,
    ListProxiedArtifactsResponse,
)
from riverrun.wire.messages.metrics import GetMetricHistoryBulkResponse, GetMetricHistoryResponse
from riverrun.wire.messages.registry import (
    RegisteredModelResponse,
    SearchRegisteredModelsResponse,
)
from riverrun.wire.messages.runs import GetRunResponse, SearchRunsResponse
from riverrun.wire.messages.tokens import GetAuditResponse

Json = dict[str, Any]

ABOUT = """The MLflow tracking protocol, as Riverrun serves it.

Field names may also be written in lowerCamelCase. Numbers may be sent as text, and a metric's value
as "NaN", "Infinity" or "-Infinity". Unknown fields are ignored. A path that is not listed answers
404 with an empty body.
"""

WRITTEN_AS_BYTES: Final[Mapping[Callable[..., object], type]] = {
    runs.get_run: GetRunResponse,
    runs.search_runs: SearchRunsResponse,
    metrics.get_metric_history: GetMetricHistoryResponse,
    metrics.get_metric_history_bulk: GetMetricHistoryBulkResponse,
    metrics.get_metric_history_bulk_interval: GetMetricHistoryBulkResponse,
    registry.get_registered_model: RegisteredModelResponse,
    registry.search_registered_models: SearchRegisteredModelsResponse,
    artifacts.list_artifacts: ListArtifactsResponse,
    artifacts.list_logged_model_artifacts: ListArtifactsResponse,
    artifacts.list_proxied_artifacts: ListProxiedArtifactsResponse,
    server.get_openapi: dict[str, Any],
    audit.get_audit: GetAuditResponse,
}
"""What the endpoints answer whose annotation cannot tell, since they join or stream JSON."""

REST_OF_PATH: Final = "{artifact_path}"
NO_CONTENT = 204


@cache
def document() -> bytes:
    """JSON, the same bytes at every call; made at the first."""
    return encode(describe(routes()))


def describe(table: tuple[Route, ...]) -> Json:
    schemas = Schemas(table)
    paths: Json = {}
    for route in table:
        for path in route.paths:
            shown = path.replace("*", REST_OF_PATH).replace(":path}", "}")
            paths.setdefault(shown, {})[route.method.lower()] = _operation(route, shown, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Riverrun",
            "version": __version__,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        # Relative to this document's own address, so that it holds under a static prefix too.
        "servers": [{"url": "../../.."}],
        "tags": [{"name": name} for name in dict.fromkeys(_tag(route) for route in table)],
        "paths": paths,
        "components": {"schemas": schemas.components, "responses": _error_responses(schemas)},
    }


class Schemas:
    """The JSON schemas of every message and answer in a table of routes."""

    def __init__(self, table: tuple[Route, ...]) -> None:
        messages = [route.message for route in table]
        answers = [answer for route in table if (answer := answer_type(route)) is not None]
        types = list(dict.fromkeys([*messages, *answers, ErrorEnvelope]))
        references, self.components = msgspec.json.schema_components(
            types, ref_template="#/components/schemas/{name}"
        )
        self._references = dict(zip(types, references, strict=True))
        for schema in self.components.values():
            _tidy(schema)
        for message in dict.fromkeys(messages):
            _require(self.of_message(message), message.required)

    def reference(self, kind: type) -> Json:
        return self._references[kind]

    def of_message(self, message: type[Message]) -> Json:
        name = cast("str", self._references[message]["$ref"]).rpartition("/")[2]
        return self.components[name]


def answer_type(route: Route) -> type | None:
    """What the route answers; None for a file."""
    kind = WRITTEN_AS_BYTES.get(route.endpoint) or get_type_hints(route.endpoint)["return"]
    return None if kind is Answer else kind


def _tidy(schema: Json) -> None:
    """Unknown fields are ignored, whatever the structs say to the fast decoder."""
    schema.pop("additionalProperties", None)
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())


def _require(schema: Json, names: tuple[str, ...]) -> None:
    """A required field is there, is not null, and as text not empty."""
    for name in names:
        kind = _not_null(schema["properties"][name])
        schema["properties"][name] = (
            {**kind, "minLength": 1} if kind.get("type") == "string" else kind
        )
    schema["required"] = list(names)
    if "run_uuid" in schema["properties"]:
        schema["properties"]["run_uuid"] |= {
            "deprecated": True,
            "description": "What old clients call run_id.",
        }


def _not_null(schema: Json) -> Json:
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _operation(route: Route, path: str, schemas: Schemas) -> Json:
    operation: Json = {
        "operationId": _operation_id(route.method, path),
        "summary": route.endpoint.__name__.replace("_", " ").capitalize(),
        "tags": [_tag(route)],
        "x-riverrun-action": f"{route.action.level.name.lower()} {route.action.resource}",
        "parameters": _parameters(route, path, schemas),
        "responses": {**_success(route, schemas), **_error_references()},
    }
    if route.endpoint.__doc__:
        operation["description"] = " ".join(route.endpoint.__doc__.split())
    if route.source is not Source.QUERY:
        operation["requestBody"] = _request_body(route, schemas)
    return operation


def _operation_id(method: str, path: str) -> str:
    letters = "".join(letter if letter.isalnum() else "_" for letter in path)
    return f"{method.lower()}_{letters.strip('_')}"


def _tag(route: Route) -> str:
    """The resource, which is also the module of its endpoints."""
    return route.endpoint.__module__.rpartition(".")[2].replace("_", " ")


def _parameters(route: Route, path: str, schemas: Schemas) -> list[Json]:
    in_path: list[str] = re.findall(r"\{(\w+)\}", path)
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": "One segment." if f"{{{name}}}" in route.path else "With its slashes.",
            "schema": {"type": "string", "minLength": 1},
        }
        for name in in_path
    ]
    if route.source is not Source.JSON:
        query = _query(schemas.of_message(route.message))
        parameters += [each for each in query if each["name"] not in in_path]
    return parameters


def _query(schema: Json) -> list[Json]:
    """A list is given by repeating its field."""
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema["required"],
            "schema": {key: value for key, value in _not_null(field).items() if key != "default"},
        }
        for name, field in schema["properties"].items()
    ]


def _request_body(route: Route, schemas: Schemas) -> Json:
    if route.source is Source.FILE:
        return {"required": False, "content": {"application/octet-stream": {}}}
    return {
        "required": bool(route.message.required),
        "content": {"application/json": {"schema": schemas.reference(route.message)}},
    }


def _success(route: Route, schemas: Schemas) -> Json:
    kind = answer_type(route)
    if route.status == NO_CONTENT:
        return {str(NO_CONTENT): {"description": "Done"}}
    if kind is not None:
        content = {"application/json": {"schema": schemas.reference(kind)}}
        return {str(route.status): {"description": "Success", "content": content}}
    content: Json = {"*/*": {}}
    return {
        "200": {"description": "The file", "content": content},
        "206": {"description": "The part of the file that Range asked for", "content": content},
        "302": {"description": "Where the file lies, for browsers (--redirect-downloads)"},
        "304": {"description": "The client has this version already (If-None-Match)"},
        "416": {"description": "The file has no such part"},
    }


def _error_references() -> Json:
    return {
        str(status): {"$ref": f"#/components/responses/Error{status}"}
        for status in codes_by_status()
    }


def _error_responses(schemas: Schemas) -> Json:
    envelope = {"application/json": {"schema": schemas.reference(ErrorEnvelope)}}
    return {
        f"Error{status}": {
            "description": ", ".join(codes),
            # A foreign host or origin is turned away in plain text, before the API.
            "content": envelope | {"text/plain": {}} if status == 403 else envelope,
        }
        for status, codes in codes_by_status().items()
    }
