"""How messages are written: bodies, query strings, numbers, names, and what answers look like."""

import json
from typing import Any

import pytest
from tests.api.protocol import JSON, accepted, history, point, refused, tags, unique
from tests.fixtures.server import Answered, Server

CREATE = "/api/2.0/mlflow/experiments/create"
SEARCH = "/api/2.0/mlflow/runs/search"
GET = "/api/2.0/mlflow/experiments/get"


def send(server: Server, path: str, body: bytes, content_type: str | None) -> Answered:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return server.request("POST", path, body, headers)


# Bodies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;x=y",
        "Application/JSON",
    ],
)
def test_a_body_is_json_with_or_without_parameters(server: Server, content_type: str):
    assert accepted(send(server, SEARCH, b"{}", content_type)) == {}


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/json-patch", "multipart/form-data"]
)
def test_another_content_type_is_refused(server: Server, content_type: str | None):
    assert "application/json" in refused(send(server, SEARCH, b"{}", content_type))


def test_a_deletion_may_have_any_content_type_or_none(server: Server):
    for headers in ({}, {"Content-Type": "text/plain"}, JSON):
        path = "/api/2.0/mlflow-artifacts/artifacts/0/nothing"
        assert accepted(server.request("DELETE", path, None, headers)) == {}


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b" {} \n", b'"{}"'])
def test_what_says_nothing_is_a_message_without_fields(server: Server, body: bytes):
    assert accepted(send(server, SEARCH, body, "application/json")) == {}


@pytest.mark.parametrize("body", [b"{bad", b"[]", b"3", b"true", b'"x"', b'"\\"{}\\""', b"{} {}"])
def test_what_is_no_object_is_refused_not_taken_for_empty(server: Server, body: bytes):
    assert refused(send(server, SEARCH, body, "application/json")).startswith(
        "Invalid request body"
    )


def test_a_message_may_be_encoded_twice_as_very_old_clients_do(server: Server):
    name = unique("twice")
    body = json.dumps(json.dumps({"name": name})).encode()
    number = accepted(send(server, CREATE, body, "application/json"))["experiment_id"]
    found = server.get("experiments/get-by-name", experiment_name=name)
    assert found.json["experiment"]["experiment_id"] == number


def test_unknown_fields_are_ignored_at_every_depth(server: Server, run: str):
    message = {
        "run_id": run,
        "future": {"a": [1]},
        "metrics": [{**point("m", 1), "future": True}],
        "tags": [{"key": "t", "value": "1", "future": None}],
    }
    accepted(server.post("runs/log-batch", message))
    assert (history(server, run, "m"), tags(server, run)["t"]) == ([(1.0, 1, 0)], "1")


# Names of fields ---------------------------------------------------------------------------------


def test_optional_fields_may_be_in_camel_case_at_every_depth(server: Server, experiment: str):
    created = accepted(
        server.post(
            "runs/create",
            {
                "experimentId": experiment,
                "userId": "ada",
                "startTime": "7",
                "runName": "camel",
            },
        )
    )["run"]["info"]
    assert (created["experiment_id"], created["user_id"]) == (experiment, "ada")
    assert (created["start_time"], created["run_name"]) == (7, "camel")
    answer = accepted(server.post("runs/search", {"experimentIds": [experiment], "maxResults": 1}))
    assert len(answer["runs"]) == 1
    dataset = {"name": "n", "digest": "d", "sourceType": "local", "source": "{}"}
    inputs = {"run_id": created["run_id"], "datasets": [{"dataset": dataset}]}
    accepted(server.post("runs/log-inputs", inputs))
    found = server.get_run(created["run_id"])["inputs"]["dataset_inputs"][0]["dataset"]
    assert found["source_type"] == "local"


def test_a_required_field_counts_in_snake_case_only(server: Server, run: str):
    message = refused(server.post("runs/log-metric", {"runId": run, **point("m", 1)}))
    assert message.startswith("Missing value for required parameter 'run_id'.")
    message = refused(server.post("experiments/delete", {"experimentId": "999999"}))
    assert message.startswith("Missing value for required parameter 'experiment_id'.")


def test_one_field_in_two_spellings_is_refused(server: Server, run: str):
    both = {"run_id": run, "runId": run, **point("m", 1)}
    assert refused(server.post("runs/log-metric", both)) == (
        "Request specifies both 'run_id' and 'runId'; provide only one of them."
    )


def test_run_uuid_stands_for_run_id(server: Server, run: str):
    for message in ({"run_uuid": run}, {"run_uuid": run, "run_id": run}):
        accepted(server.post("runs/log-metric", {**message, **point("m", 1)}))
        accepted(server.post("runs/log-parameter", {**message, "key": "p", "value": "1"}))
        accepted(server.post("runs/set-tag", {**message, "key": "t", "value": "1"}))
        accepted(server.post("runs/update", {**message, "status": "RUNNING"}))
    listed = server.get("artifacts/list", run_uuid=run)
    assert accepted(listed)["root_uri"].endswith(f"/{run}/artifacts")


# Values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [5, "5", 5.0, "-5", -5, 0, "0", 2**53 + 1, str(2**53 + 1)])
def test_an_integer_is_a_number_or_its_digits(server: Server, run: str, given: float | str):
    accepted(server.post("runs/log-metric", {"run_id": run, **point("m", 1), "step": given}))
    assert history(server, run, "m") == [(1.0, 1, int(given))]


@pytest.mark.parametrize("given", [1.5, "1.5", "x", "", True, [1], {}, 2**63])
def test_what_is_no_integer_is_refused_and_named(server: Server, run: str, given: Any):
    message = {"run_id": run, "metrics": [{**point("m", 1), "step": given}]}
    assert "metrics[0].step" in refused(server.post("runs/log-batch", message))


@pytest.mark.parametrize(
    ("path", "field", "given"),
    [
        ("runs/create", "experiment_id", 1),
        ("runs/create", "run_name", 3),
        ("runs/create", "tags", {}),
        ("runs/create", "tags", ["x"]),
        ("runs/search", "filter", 3),
        ("runs/search", "experiment_ids", "0"),
        ("runs/search", "experiment_ids", [0]),
        ("runs/search", "order_by", "x"),
        ("runs/search", "max_results", 2**31),
        ("experiments/create", "name", 5),
        ("experiments/create", "name", ["x"]),
        ("runs/log-batch", "run_id", 5),
    ],
)
def test_a_value_of_another_type_is_refused_and_named(
    server: Server, path: str, field: str, given: Any
):
    assert f"'{field}" in refused(server.post(path, {field: given}))


def test_null_is_a_field_left_out(server: Server, experiment: str):
    message = {"experiment_ids": [experiment], "max_results": None, "order_by": None}
    assert accepted(server.post("runs/search", message)) == {}
    refused(server.post("runs/search", {"experiment_ids": [None]}))


@pytest.mark.parametrize("view", ["ALL", 3, "3"])
def test_an_enumeration_is_given_by_name_or_number(server: Server, experiment: str, view: Any):
    message = {"experiment_ids": [experiment], "run_view_type": view}
    assert accepted(server.post("runs/search", message)) == {}


@pytest.mark.parametrize("view", ["BOGUS", "all", 0, 4, "4", 1.5, True, []])
def test_an_unknown_member_of_an_enumeration_is_refused(server: Server, experiment: str, view: Any):
    message = {"experiment_ids": [experiment], "run_view_type": view}
    assert "'run_view_type'" in refused(server.post("runs/search", message))


@pytest.mark.parametrize("text", ["a\\u0000b", "\\ud800", "a\\udfffb"])
def test_text_that_no_database_stores_is_refused(server: Server, text: str):
    refused(server.post("experiments/create", f'{{"name":"{text}"}}'.encode()))


def test_a_pair_of_surrogates_is_one_character(server: Server, run: str):
    body = f'{{"run_id":"{run}","key":"t","value":"\\ud83d\\ude00"}}'.encode()
    accepted(server.post("runs/set-tag", body))
    assert tags(server, run)["t"] == "😀"


# Queries -----------------------------------------------------------------------------------------


def test_a_get_may_carry_its_message_as_a_body(server: Server):
    body = b'{"experiment_id":"0"}'
    for headers in (JSON, {}):
        answer = accepted(server.request("GET", GET, body, headers))
        assert answer["experiment"]["name"] == "Default"


def test_a_query_goes_before_the_body(server: Server):
    answer = server.request("GET", f"{GET}?experiment_id=0", b'{"experiment_id":"999999"}', JSON)
    assert accepted(answer)["experiment"]["experiment_id"] == "0"


def test_a_field_that_is_no_list_counts_once(server: Server):
    answer = server.request("GET", f"{GET}?experiment_id=0&experiment_id=999999&unknown=1")
    assert accepted(answer)["experiment"]["experiment_id"] == "0"


@pytest.mark.parametrize("query", ["experimentId=0", "experiment_id=", ""])
def test_a_query_knows_snake_case_only(server: Server, query: str):
    assert "'experiment_id'" in refused(server.request("GET", f"{GET}?{query}"))


def test_a_query_is_percent_decoded_with_plus_for_a_space(server: Server):
    name = unique("a+b c/ü&%")
    server.create_experiment(name)
    answer = server.get("experiments/get-by-name", experiment_name=name)
    assert accepted(answer)["experiment"]["name"] == name


@pytest.mark.parametrize("query", ["max_results=x", "max_results=", "max_results=1&view_type=4"])
def test_numbers_and_enumerations_in_a_query(server: Server, query: str):
    path = "/api/2.0/mlflow/experiments/search"
    refused(server.request("GET", f"{path}?{query}"))
    for fine in ("max_results=1.0", "max_results=1&view_type=3", "max_results=1&view_type=ALL"):
        accepted(server.request("GET", f"{path}?{fine}"))


# Answers -----------------------------------------------------------------------------------------


def test_an_answer_has_numbers_for_integers_and_leaves_out_what_is_unset(
    server: Server, experiment: str
):
    created = server.post("runs/create", {"experiment_id": experiment, "start_time": "5"})
    info = created.json["run"]["info"]
    assert info["start_time"] == 5
    assert "end_time" not in info
    assert created.headers["content-type"] == "application/json"


def test_an_error_has_its_code_message_state_and_class(server: Server):
    answer = server.get("experiments/get", experiment_id="999999")
    assert answer.json == {
        "error_code": "RESOURCE_DOES_NOT_EXIST",
        "message": "No Experiment with id=999999 exists",
        "sqlstate": "KAM00",
        "error_class": "RESOURCE_NOT_FOUND",
    }
    assert answer.headers["content-type"] == "application/json"
