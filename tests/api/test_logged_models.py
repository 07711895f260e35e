"""Logged models: life, params, tags, metrics and paths."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
from tests.api.logged_models import (
    NO_MODEL,
    PATH,
    create,
    delete,
    delete_tag,
    finalize,
    found,
    get,
    log_batch,
    log_params,
    measured,
    patch,
    read,
    search,
    set_tags,
)
from tests.api.protocol import (
    AJAX,
    JSON,
    accepted,
    history,
    latest,
    not_found,
    pairs,
    point,
    refused,
    values,
)
from tests.fixtures.server import Answered, Server


@pytest.fixture
def model(server: Server, experiment: str) -> str:
    return create(server, experiment, name="model")


# Life --------------------------------------------------------------------------------------------


def test_a_new_model_is_pending_with_a_place_for_its_files(server: Server, experiment: str):
    message = {
        "experiment_id": experiment,
        "name": "lm",
        "model_type": "x",
        "source_run_id": "a" * 32,
        "params": [{"key": "a", "value": "1"}],
        "tags": [{"key": "t", "value": "v"}],
    }
    model = accepted(server.post("logged-models", message))["model"]
    info = model["info"]
    assert info.pop("creation_timestamp_ms") == info.pop("last_updated_timestamp_ms") > 0
    model_id = info["model_id"]
    assert model_id.startswith("m-")
    assert len(model_id) == 34
    assert model == {
        "info": {
            "model_id": model_id,
            "experiment_id": experiment,
            "name": "lm",
            "artifact_uri": f"mlflow-artifacts:/{experiment}/models/{model_id}/artifacts",
            "status": "LOGGED_MODEL_PENDING",
            "model_type": "x",
            "source_run_id": "a" * 32,
            "tags": [{"key": "t", "value": "v"}],
        },
        "data": {"params": [{"key": "a", "value": "1"}]},
    }


def test_a_model_without_a_name_gets_one_and_what_is_empty_is_said(server: Server, experiment: str):
    model = read(server, create(server, experiment, name=""))
    assert model["info"]["name"].count("-") == 2
    assert (model["info"]["model_type"], model["info"]["source_run_id"]) == ("", "")
    assert "tags" not in model["info"]
    assert model["data"] == {}


def test_two_models_may_have_one_name(server: Server, experiment: str):
    assert create(server, experiment, name="same") != create(server, experiment, name="same")


@pytest.mark.parametrize("name", ["a/b", "a:b", "a.b", "a%b", 'a"b', "a'b", "n" * 501])
def test_a_name_that_would_break_a_uri_is_refused(server: Server, experiment: str, name: str):
    answer = server.post("logged-models", {"experiment_id": experiment, "name": name})
    assert "name" in refused(answer)


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({}, 400, "Missing value for required parameter 'experiment_id'"),
        ({"experiment_id": "x"}, 400, "Invalid experiment ID 'x'"),
        ({"experiment_id": "999999999"}, 404, "No Experiment with id=999999999 exists"),
        ({"experiment_id": "0", "source_run_id": "r" * 33}, 400, "source_run_id"),
        ({"experiment_id": "0", "model_type": "t" * 501}, 400, "model_type"),
        ({"experiment_id": "0", "tags": pairs("t", 1001)}, 400, "at most 1000 tags"),
        ({"experiment_id": "0", "params": pairs("p", 1001)}, 400, "at most 1000 params"),
        ({"experiment_id": "0", "params": [{"key": "a"}, {"key": "a"}]}, 400, "Duplicate"),
        ({"experiment_id": "0", "tags": [{"key": "a/../b"}]}, 400, "resolve"),
        ({"experiment_id": "0", "tags": [{"key": "t", "value": "v" * 100_001}]}, 400, "length"),
        ({"experiment_id": "0", "name": 7}, 400, "name"),
    ],
)
def test_a_model_that_cannot_be_is_refused(
    server: Server, fields: dict[str, Any], status: int, words: str
):
    code = "RESOURCE_DOES_NOT_EXIST" if status == 404 else "INVALID_PARAMETER_VALUE"
    assert words in refused(server.post("logged-models", fields), status, code)


def test_a_deleted_experiment_takes_no_model(server: Server, experiment: str):
    accepted(server.post("experiments/delete", {"experiment_id": experiment}))
    answer = server.post("logged-models", {"experiment_id": experiment})
    assert "must be in the 'active' state" in refused(answer)


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("LOGGED_MODEL_READY", "LOGGED_MODEL_READY"),
        (3, "LOGGED_MODEL_UPLOAD_FAILED"),
        ("1", "LOGGED_MODEL_PENDING"),
    ],
)
def test_any_status_may_follow_any_other_and_again(
    server: Server, model: str, given: object, status: str
):
    before = read(server, model)["info"]
    for earlier in ("LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED", given, given):
        answer = accepted(finalize(server, model, earlier))["model"]
    assert answer["info"]["status"] == status
    assert answer == read(server, model)
    assert answer["info"]["last_updated_timestamp_ms"] >= before["last_updated_timestamp_ms"]
    assert answer["info"]["creation_timestamp_ms"] == before["creation_timestamp_ms"]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"status": 2}, "Missing value for required parameter 'model_id'"),
        ({"model_id": "m"}, "Missing value for required parameter 'status'"),
        ({"model_id": "m", "status": "DONE"}, "status"),
        ({"model_id": "m", "status": 0}, "status"),
        ({"model_id": "m", "status": 4}, "status"),
    ],
)
def test_finalizing_needs_the_model_and_a_status_in_the_body(
    server: Server, model: str, message: dict[str, Any], words: str
):
    assert words in refused(patch(server, model, message))
    assert read(server, model)["info"]["status"] == "LOGGED_MODEL_PENDING"


def test_a_deleted_model_is_gone_but_for_who_asks_for_it(server: Server, experiment: str):
    model = create(server, experiment, name="gone")
    assert accepted(delete(server, model)) == {}
    assert not_found(get(server, model)) == f"Logged model with ID '{model}' not found."
    not_found(get(server, model, allow_deleted="false"))
    not_found(server.get(f"logged-models/{model}/artifacts/directories"))
    kept = accepted(get(server, model, allow_deleted="true"))["model"]
    assert kept["info"]["name"] == "gone"
    assert found(server, experiment) == []


def test_deleting_twice_keeps_the_first_time(server: Server, model: str):
    accepted(delete(server, model))
    first = accepted(get(server, model, allow_deleted="true"))
    accepted(delete(server, model))
    assert accepted(get(server, model, allow_deleted="true")) == first


def test_a_deleted_model_can_still_be_written_to(server: Server, model: str):
    accepted(delete(server, model))
    accepted(set_tags(server, model, late="yes"))
    accepted(log_params(server, model, late="yes"))
    accepted(finalize(server, model))
    kept = accepted(get(server, model, allow_deleted="true"))["model"]
    assert kept["info"]["status"] == "LOGGED_MODEL_READY"
    assert values(kept["info"]["tags"]) == values(kept["data"]["params"]) == {"late": "yes"}


CALLS: list[Callable[[Server, str], Answered]] = [
    get,
    finalize,
    delete,
    set_tags,
    log_params,
    lambda server, model: delete_tag(server, model, "t"),
    lambda server, model: server.get(f"logged-models/{model}/artifacts/directories"),
    lambda server, model: server.get(
        f"logged-models/{model}/artifacts/files", prefix=AJAX, artifact_file_path="x"
    ),
]


@pytest.mark.parametrize("model_id", [NO_MODEL, "m-1", "model", "M-" + "0" * 32, "0" * 32])
@pytest.mark.parametrize("call", CALLS)
def test_a_model_that_is_not_there_is_not_found(
    server: Server, call: Callable[[Server, str], Answered], model_id: str
):
    assert not_found(call(server, model_id)) == f"Logged model with ID '{model_id}' not found."


# Params and tags ---------------------------------------------------------------------------------


def test_tags_merge_and_the_last_value_stands(server: Server, model: str):
    accepted(set_tags(server, model, a="1", b="1"))
    twice = [{"key": "b", "value": "2"}, {"key": "b", "value": "3"}, {"key": "c"}]
    answer = accepted(patch(server, f"{model}/tags", {"tags": twice}))["model"]
    assert values(answer["info"]["tags"]) == {"a": "1", "b": "3", "c": ""}
    assert answer == read(server, model)
    assert accepted(patch(server, f"{model}/tags", {}))["model"] == answer


def test_a_long_tag_stays_whole(server: Server, model: str):
    versions = json.dumps([{"name": "n", "version": number} for number in range(3_000)])
    accepted(set_tags(server, model, **{"mlflow.modelVersions": versions}))
    assert values(read(server, model)["info"]["tags"]) == {"mlflow.modelVersions": versions}


@pytest.mark.parametrize(
    ("key", "in_url"),
    [
        ("mlflow.modelVersions", "mlflow.modelVersions"),
        ("a/b c", "a/b%20c"),
        ("a/b c", quote("a/b c", safe="")),
        ("été", quote("été")),
        ("a:b", "a:b"),
    ],
)
def test_a_tag_is_deleted_whatever_its_key(server: Server, model: str, key: str, in_url: str):
    accepted(set_tags(server, model, **{key: "1", "kept": "1"}))
    assert accepted(delete_tag(server, model, in_url)) == {}
    assert values(read(server, model)["info"]["tags"]) == {"kept": "1"}
    assert key in not_found(delete_tag(server, model, in_url))


@pytest.mark.parametrize("key", ["never-set", "%2e%2e", "a%2525", "x" * 300])
def test_a_tag_that_is_not_there_is_not_found(server: Server, model: str, key: str):
    not_found(delete_tag(server, model, key))


@pytest.mark.parametrize("key", ["%00", "a%FF", "%ED%A0%80"])
def test_a_key_that_is_no_text_is_refused(server: Server, model: str, key: str):
    refused(delete_tag(server, model, key))


def test_params_are_written_once_and_repeated_without_harm(server: Server, model: str):
    assert accepted(log_params(server, model, a="1", b="x" * 7000)) == {}
    assert accepted(log_params(server, model, a="1", c="3")) == {}
    message = refused(log_params(server, model, d="4", a="2"))
    assert "Changing param values is not allowed" in message
    assert "value='1'" in message
    expected = {"a": "1", "b": "x" * 7000, "c": "3"}
    assert values(read(server, model)["data"]["params"]) == expected


def test_no_params_are_no_error(server: Server, model: str):
    accepted(log_params(server, model))
    assert read(server, model)["data"] == {}


def test_params_need_the_model_in_the_body(server: Server, model: str):
    answer = server.post(f"logged-models/{model}/params", {"params": [{"key": "z", "value": "1"}]})
    assert "Missing value for required parameter 'model_id'" in refused(answer)


def test_the_same_write_at_the_same_time_is_written_once(server: Server, model: str):
    with ThreadPoolExecutor(8) as pool:
        writes = [pool.submit(log_params, server, model, p="1") for _ in range(16)]
        writes += [pool.submit(set_tags, server, model, t="1") for _ in range(16)]
        assert {write.result().status for write in writes} == {200}
    stored = read(server, model)
    assert values(stored["data"]["params"]) == {"p": "1"}
    assert values(stored["info"]["tags"]) == {"t": "1"}


# Metrics -----------------------------------------------------------------------------------------


def test_a_metric_with_a_model_belongs_to_both(server: Server, run: str, model: str):
    accepted(
        log_batch(
            server,
            run,
            measured("acc", 0.5, model, dataset_name="d", dataset_digest="x"),
            measured("acc", "NaN", model, step=1),
            point("other", 1),
        )
    )
    message = {"run_id": run, **measured("loss", "Infinity", model, step=-1)}
    accepted(server.post("runs/log-metric", message))
    common = {"timestamp": 1, "model_id": model, "run_id": run}
    dataset = {"dataset_name": "d", "dataset_digest": "x"}
    assert read(server, model)["data"]["metrics"] == [
        {"key": "acc", "value": 0.5, "step": 0, **common, **dataset},
        {"key": "acc", "value": "NaN", "step": 1, **common},
        {"key": "loss", "value": 1.7976931348623157e308, "step": -1, **common},
    ]
    assert latest(server, run).keys() == {"acc", "other", "loss"}
    assert history(server, run, "acc") == [(0.5, 1, 0), ("NaN", 1, 1)]


def test_a_metric_that_comes_again_changes_nothing(server: Server, run: str, model: str):
    point = measured("acc", 0.5, model, dataset_name="d")
    for _ in range(3):
        accepted(log_batch(server, run, point, point))
    (once,) = read(server, model)["data"]["metrics"]
    assert once["value"] == 0.5


@pytest.mark.parametrize("order", [(1.0, 2.0), (2.0, 1.0)])
def test_of_two_values_at_one_place_the_greater_stands(
    server: Server, run: str, model: str, order: tuple[float, float]
):
    for value in order:
        accepted(log_batch(server, run, measured("acc", value, model)))
    (stored,) = read(server, model)["data"]["metrics"]
    assert stored["value"] == latest(server, run)["acc"][0] == 2.0


def test_values_on_two_datasets_and_of_two_runs_stand_side_by_side(
    server: Server, experiment: str, run: str, model: str
):
    accepted(log_batch(server, run, measured("acc", 1, model, dataset_name="train")))
    accepted(log_batch(server, run, measured("acc", 2, model, dataset_name="test")))
    other = server.create_run(experiment)
    accepted(log_batch(server, other, measured("acc", 3, model, dataset_name="test")))
    metrics = read(server, model)["data"]["metrics"]
    assert sorted((each["value"], each["dataset_name"], each["run_id"]) for each in metrics) == [
        (1, "train", run),
        (2, "test", run),
        (3, "test", other),
    ]


@pytest.mark.parametrize("model_id", [NO_MODEL, "m-1", "m-" + "A" * 32, "x"])
def test_an_unknown_model_refuses_the_whole_batch(server: Server, run: str, model_id: str):
    message = {
        "run_id": run,
        "metrics": [point("fine", 1), measured("acc", 1, model_id)],
        "params": [{"key": "p", "value": "1"}],
        "tags": [{"key": "t", "value": "1"}],
    }
    assert model_id in refused(server.post("runs/log-batch", message))
    refused(server.post("runs/log-metric", {"run_id": run, **measured("acc", 1, model_id)}))
    data = server.get_run(run)["data"]
    assert data.keys() == {"tags"}
    assert values(data["tags"]).keys() == {"mlflow.runName"}


@pytest.mark.parametrize("model_id", ["", None])
def test_an_empty_model_is_none(server: Server, run: str, model_id: str | None):
    accepted(log_batch(server, run, {**point("acc", 1), "model_id": model_id}))
    assert latest(server, run) == {"acc": (1, 1, 0)}


@pytest.mark.parametrize("fields", [{"dataset_name": "n" * 501}, {"dataset_digest": "d" * 37}])
def test_a_dataset_has_its_limits(server: Server, run: str, model: str, fields: dict[str, str]):
    assert "dataset" in refused(log_batch(server, run, measured("acc", 1, model, **fields)))


def test_a_model_is_read_with_the_newest_points_of_each_metric(
    server: Server, experiment: str, run: str
):
    model = create(server, experiment, name="long")
    for start in range(0, 2000, 500):
        steps = range(start, start + 500)
        points = [measured("loss", step, model, step=step, timestamp=step) for step in steps]
        accepted(log_batch(server, run, *points, measured("first", 1, model)))
    metrics = read(server, model)["data"]["metrics"]
    assert [each["step"] for each in metrics if each["key"] == "loss"] == list(range(1000, 2000))
    assert [each["value"] for each in metrics if each["key"] == "first"] == [1]
    (page,) = accepted(search(server, experiment))["models"]
    steps = [each["step"] for each in page["data"]["metrics"] if each["key"] == "loss"]
    assert steps == list(range(1900, 2000))


# Paths -------------------------------------------------------------------------------------------


def test_both_prefixes_lead_to_a_model(server: Server, model: str):
    assert server.get(f"logged-models/{model}", prefix=AJAX).json["model"] == read(server, model)


def test_the_path_says_which_model_whatever_the_body_says(
    server: Server, experiment: str, model: str
):
    other = create(server, experiment, name="other")
    message = {"model_id": other, "status": "LOGGED_MODEL_READY"}
    assert accepted(patch(server, model, message))["model"]["info"]["model_id"] == model
    assert read(server, other)["info"]["status"] == "LOGGED_MODEL_PENDING"
    assert get(server, model, model_id=other).json == get(server, model).json


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", f"{PATH}/{NO_MODEL}", "DELETE, GET, HEAD, PATCH"),
        ("PUT", f"{PATH}/{NO_MODEL}/tags", "PATCH"),
        ("GET", f"{PATH}/{NO_MODEL}/tags/a/b", "DELETE"),
        ("GET", f"{PATH}/search", "POST"),
        ("PATCH", PATH, "POST"),
    ],
)
def test_another_method_is_told_which_there_are(
    server: Server, method: str, path: str, allowed: str
):
    answer = server.request(method, path, b"{}", JSON)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", [f"{PATH}/", f"{PATH}/m-1/nothing", f"{PATH}/m-1/tags/"])
def test_a_path_that_no_route_has_is_unknown(server: Server, path: str):
    answer = server.request("GET", path)
    assert (answer.status, answer.body) == (404, b"")


def test_head_answers_as_get_without_a_body(server: Server, model: str):
    answer = server.request("HEAD", f"{PATH}/{model}")
    assert (answer.status, answer.body) == (200, b"")
    assert server.request("HEAD", f"{PATH}/{NO_MODEL}").status == 404
