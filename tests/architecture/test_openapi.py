"""The OpenAPI document says what the route table says."""

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
import schemathesis

from riverrun import __version__
from riverrun.api.openapi import document
from riverrun.api.route import Route, Source
from riverrun.api.routes import routes

DOCUMENT: dict[str, Any] = json.loads(document())


def shown(path: str) -> str:
    return path.replace("*", "{artifact_path}").replace(":path}", "}")


def operation(route: Route, prefix: str) -> dict[str, Any]:
    return DOCUMENT["paths"][prefix + shown(route.path)][route.method.lower()]


def test_the_document_is_valid():
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    assert (DOCUMENT["openapi"], DOCUMENT["info"]["version"]) == ("3.1.0", __version__)


def test_the_document_is_the_same_in_every_process():
    code = (
        "import sys; from riverrun.api.openapi import document; sys.stdout.buffer.write(document())"
    )
    for seed in ("1", "2"):
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, env=environ
        )
        assert run.stdout == document()


def test_it_has_every_route_under_every_prefix_and_nothing_else():
    given = {(path, method) for path, each in DOCUMENT["paths"].items() for method in each}
    assert given == {(shown(path), each.method.lower()) for each in routes() for path in each.paths}


@pytest.mark.parametrize("route", routes(), ids=lambda route: f"{route.method} {route.path}")
def test_a_route_is_described_as_it_is(route: Route):
    for prefix in route.prefixes:
        found = operation(route, prefix)
        action = f"{route.action.level.name.lower()} {route.action.resource}"
        assert found["x-riverrun-action"] == action
        assert ("requestBody" in found) == (route.source is not Source.QUERY)
        in_path = {each["name"] for each in found["parameters"] if each["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", shown(route.path)))
        if route.source is not Source.JSON:
            required = {each["name"] for each in found["parameters"] if each["required"]}
            assert required == {*route.message.required, *in_path}


def test_a_required_field_of_a_message_is_not_null_and_as_text_not_empty():
    schema = DOCUMENT["components"]["schemas"]["LogMetric"]
    assert schema["required"] == ["run_id", "key", "value", "timestamp"]
    assert schema["properties"]["key"] == {"type": "string", "minLength": 1}
    assert schema["properties"]["value"] == {"type": "number"}
    assert {"type": "null"} in schema["properties"]["step"]["anyOf"]
    assert "additionalProperties" not in schema


def test_operations_have_names_of_their_own():
    names = [each["operationId"] for path in DOCUMENT["paths"].values() for each in path.values()]
    assert len(set(names)) == len(names)


def test_every_reference_leads_somewhere():
    for reference in set(re.findall(r'"\$ref":"#/([^"]+)"', document().decode())):
        place: Any = DOCUMENT
        for step in reference.split("/"):
            place = place[step]
        assert place
