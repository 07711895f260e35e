"""Every field of every message, with every type that it has not."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from msgspec import inspect
from tests.fixtures.server import Answered
from tests.hostile.target import Target

from riverrun.api.route import Route, Source
from riverrun.api.routes import routes

JSON = {"Content-Type": "application/json"}
Wrong = tuple[str, Any]
"""The name of the innermost field that is wrong, and the value of the outermost."""

ROUTES = [route for route in routes() if route.source is not Source.FILE]
POSTS = [route for route in ROUTES if route.source is Source.JSON]
GETS = [route for route in ROUTES if route.source is Source.QUERY]


@pytest.fixture(scope="module")
def target(with_workspaces: Target) -> Target:
    return with_workspaces


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


def path_of(route: Route) -> str:
    return re.sub(r"\{[^}]+\}|\*", "1", route.paths[0])


def send(target: Target, route: Route, message: object) -> Answered:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return target.request(route.method, path_of(route), body, JSON)


def members(kind: inspect.Type) -> list[inspect.Type]:
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return [each for each in kinds if not isinstance(each, inspect.NoneType)]


def fields_of(struct: type) -> dict[str, inspect.Type]:
    """Without what is optional: a null is a field left out."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return {field.encode_name: members(field.type)[0] for field in info.fields}


def required_of(struct: type) -> dict[str, Any]:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return {
        field.encode_name: valid(members(field.type)[0]) for field in info.fields if field.required
    }


def valid(kind: inspect.Type) -> Any:
    match kind:
        case inspect.StrType():
            return "text"
        case inspect.StructType():
            return required_of(kind.cls)
        case _:
            return 1


def wrong_values(name: str, kind: inspect.Type) -> Iterator[Wrong]:
    values: list[Any]
    match kind:
        case inspect.StrType():
            values = [7, 1.5, True, [], {}]
        case inspect.IntType():
            values = [
                "x",
                "",
                "1x",
                1.5,
                True,
                [],
                {},
                int(kind.le or 0) + 1,
                int(kind.ge or 0) - 1,
            ]
        case inspect.FloatType():
            values = ["x", "", True, [], {}]
        case inspect.BoolType():
            values = ["perhaps", 7, 1.5, [], {}]
        case inspect.EnumType():
            values = ["BOGUS", "", 99, 0, -1, 1.5, True, [], {}]
        case inspect.ListType():
            values = [7, "x", True, {}]
            yield from ((inner, [value]) for inner, value in wrong_values(name, kind.item_type))
        case inspect.StructType():
            values = [7, "x", True, []]
            whole = required_of(kind.cls)
            for inner, inner_kind in fields_of(kind.cls).items():
                for deepest, value in wrong_values(inner, inner_kind):
                    yield deepest, {**whole, inner: value}
        case _:
            raise AssertionError(f"What is wrong for {kind}?")
    yield from ((name, value) for value in values)


def assert_named(answer: Answered, name: str, value: Any) -> None:
    assert answer.status == 400, (name, value, answer.body)
    assert answer.error_code == "INVALID_PARAMETER_VALUE", (name, value)
    assert name in answer.json["message"], (name, value, answer.body)


@pytest.mark.parametrize("route", POSTS, ids=name_of)
def test_a_wrong_type_is_refused_and_named(route: Route, target: Target):
    before = target.get("experiments/search", max_results=50_000).body
    for field, kind in fields_of(route.message).items():
        for name, value in wrong_values(field, kind):
            assert_named(send(target, route, {field: value}), name, value)
    assert target.get("experiments/search", max_results=50_000).body == before


@pytest.mark.parametrize("route", GETS, ids=name_of)
def test_a_wrong_type_in_the_query_is_refused_and_named(route: Route, target: Target):
    for field, kind in fields_of(route.message).items():
        if isinstance(kind, inspect.IntType):
            texts = ["x", "1x", "1.5", "true", "[]", "1e999", "9" * 30, "-" + "9" * 5000]
        elif isinstance(kind, inspect.EnumType):
            texts = ["BOGUS", "99", "-1", "[]"]
        elif isinstance(kind, inspect.BoolType):
            texts = ["perhaps", "7", "[]"]
        else:
            continue
        for text in texts:
            query = urlencode({field: text})
            assert_named(target.request(route.method, f"{path_of(route)}?{query}"), field, text)


@pytest.mark.parametrize("route", POSTS, ids=name_of)
def test_a_required_field_is_asked_for_by_name(route: Route, target: Target):
    for body in (b"", b"{}", b"null", b"{ }", b'{"unknown": 1}'):
        answer = send(target, route, body)
        if route.message.required:
            assert_named(answer, route.message.required[0], body)
        else:
            assert answer.status in {200, 400, 404}, answer.body


@pytest.mark.parametrize("route", POSTS, ids=name_of)
@pytest.mark.parametrize(
    "body", [b"7", b"true", b"[]", b'"text"', b'"[]"', b"[[[]]]", b'[{"a":1}]']
)
def test_a_message_is_an_object(route: Route, body: bytes, target: Target):
    answer = send(target, route, body)
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert answer.json["message"].startswith("Invalid request body: ")


@pytest.mark.parametrize(
    "fields",
    [
        '"metrics":[{}]',
        '"metrics":[{"key":"k"}]',
        '"metrics":[{"key":"k","value":null,"timestamp":1}]',
        '"metrics":[null]',
        '"params":[{}]',
        '"tags":[{"value":"v"}]',
        '"tags":[[]]',
    ],
)
def test_a_part_without_what_it_needs_is_refused(fields: str, target: Target):
    answer = target.post("runs/log-batch", f'{{"run_id":"x",{fields}}}'.encode())
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE")


def test_unknown_fields_are_ignored_at_every_depth(target: Target):
    run_id = target.create_run()
    metric = {"key": "loss", "value": 1, "timestamp": 1, "what": {"is": ["this"]}}
    message: dict[str, Any] = {"run_id": run_id, "metrics": [metric], "else": [{}], "": 0}
    assert target.post("runs/log-batch", message).status == 200
    assert [point["key"] for point in target.get_run(run_id)["data"]["metrics"]] == ["loss"]


def test_ten_thousand_unknown_fields_are_ignored(target: Target):
    message = {"name": "many fields", **{f"field {number}": number for number in range(10_000)}}
    assert target.post("experiments/create", message).status == 200


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"9223372036854775807", 200),
        (b"-9223372036854775808", 200),
        (b"9223372036854775808", 400),
        (b"-9223372036854775809", 400),
        (b"1e2", 200),
        (b"1e999", 400),
        (b"-1e999", 400),
        (b"1e-999", 200),
        (b"9" * 4299, 400),
        (b"9" * 5000, 400),
        (b"NaN", 400),
        (b"Infinity", 400),
        (b'"9223372036854775807"', 200),
        (b'"9223372036854775808"', 400),
        (b"0x10", 400),
        (b"01", 400),
        (b"--1", 400),
    ],
)
def test_a_step_is_64_bits_or_an_error(text: bytes, status: int, target: Target):
    run_id = target.create_run()
    body = b'{"run_id":"%b","key":"k","value":1,"timestamp":1,"step":%b}' % (run_id.encode(), text)
    answer = target.post("runs/log-metric", body)
    assert answer.status == status, answer.body
    metrics = target.get_run(run_id)["data"].get("metrics", [])
    assert len(metrics) == (1 if status == 200 else 0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"1e308", 1e308),
        (b"-0.0", 0),
        (b"5e-324", 5e-324),
        (b"NaN", "NaN"),
        (b'"NaN"', "NaN"),
        (b"Infinity", 1.7976931348623157e308),
        (b'"-Infinity"', -1.7976931348623157e308),
        (b"1e309", None),
        (b'"1e309"', None),
        (b"9" * 309, None),
        (b"9" * 5000, None),
        (b'"0x1p3"', None),
        (b'"nan()"', None),
    ],
)
def test_a_value_is_a_double_or_an_error(text: bytes, value: object, target: Target):
    run_id = target.create_run()
    body = b'{"run_id":"%b","key":"k","value":%b,"timestamp":1}' % (run_id.encode(), text)
    answer = target.post("runs/log-metric", body)
    assert answer.status == (400 if value is None else 200), answer.body
    metrics = target.get_run(run_id)["data"].get("metrics", [])
    assert [point["value"] for point in metrics] == ([] if value is None else [value])


def test_a_negative_time_of_a_metric_is_refused(target: Target):
    run_id = target.create_run()
    point = {"run_id": run_id, "key": "k", "value": 1, "timestamp": -1}
    answer = target.post("runs/log-metric", point)
    assert (answer.status, "timestamp" in answer.json["message"]) == (400, True)


def test_the_list_of_kinds_is_complete():
    """A message with a kind of field that `wrong_values` does not know fails here, by name."""
    for route in ROUTES:
        for field, kind in fields_of(route.message).items():
            assert list(wrong_values(field, kind)), (route.path, field)
