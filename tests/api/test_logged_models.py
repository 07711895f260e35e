"""Logged models: life, params, tags, metrics, artifacts and search."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
from tests.api.protocol import (
    AJAX,
    JSON,
    accepted,
    history,
    latest,
    not_found,
    offset_token,
    pairs,
    point,
    refused,
    unique,
    values,
)
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


# Artifacts ---------------------------------------------------------------------------------------


@pytest.fixture
def stored(server: Server, experiment: str) -> str:
    """A model with two files."""
    model = create(server, experiment, name="stored")
    root = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/models/{model}/artifacts"
    for path in ("MLmodel", "data/model.pkl"):
        accepted(server.request("PUT", f"{root}/{path}", f"bytes of {path}".encode()))
    return model


def test_directories_are_listed_below_the_models_root(server: Server, experiment: str, stored: str):
    uri = f"mlflow-artifacts:/{experiment}/models/{stored}/artifacts"
    path = f"logged-models/{stored}/artifacts/directories"
    assert accepted(server.get(path)) == {
        "root_uri": uri,
        "files": [
            {"path": "MLmodel", "is_dir": False, "file_size": 16},
            {"path": "data", "is_dir": True},
        ],
    }
    assert accepted(server.get(path, artifact_directory_path="data")) == {
        "root_uri": uri,
        "files": [{"path": "data/model.pkl", "is_dir": False, "file_size": 23}],
    }
    assert accepted(server.get(path, artifact_directory_path="MLmodel")) == {"root_uri": uri}


def test_a_file_is_read_through_the_web_ui_path(server: Server, stored: str):
    path = f"logged-models/{stored}/artifacts/files"
    answer = server.get(path, prefix=AJAX, artifact_file_path="data/model.pkl")
    assert (answer.status, answer.body) == (200, b"bytes of data/model.pkl")
    assert "attachment" in answer.headers["content-disposition"]
    not_found(server.get(path, prefix=AJAX, artifact_file_path="none"))
    assert "artifact_file_path" in refused(server.get(path, prefix=AJAX))
    assert server.get(path, artifact_file_path="MLmodel").status == 404


@pytest.mark.parametrize("path", ["../x", "%2e%2e/x", "/etc/passwd", "a/../../x"])
def test_a_path_does_not_leave_the_model(server: Server, stored: str, path: str):
    files = f"logged-models/{stored}/artifacts/files"
    refused(server.get(files, prefix=AJAX, artifact_file_path=path))
    directories = f"logged-models/{stored}/artifacts/directories"
    refused(server.get(directories, artifact_directory_path=path))


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


# Search ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def zoo(server: Server) -> str:
    """An experiment with models a, b and c, made in this order, and a deleted one."""
    experiment = server.create_experiment(unique("zoo"))
    run = server.create_run(experiment)
    a = create(
        server, experiment, name="a", model_type="tree", source_run_id=run, tags=tag("env", "Prod")
    )
    b = create(server, experiment, name="b", params=tag("depth", "10"), tags=tag("env", "dev"))
    c = create(server, experiment, name="c", params=tag("depth", "9"))
    finalize(server, b)
    delete(server, create(server, experiment, name="deleted"))
    accepted(
        log_batch(
            server,
            run,
            measured("acc", 0.9, a, timestamp=1, dataset_name="train", dataset_digest="1"),
            measured("acc", 0.1, a, timestamp=2, dataset_name="test", dataset_digest="2"),
            measured("acc", 0.5, b, timestamp=1, dataset_name="train", dataset_digest="2"),
            measured("acc", "NaN", c, timestamp=1),
            measured("val acc", 1, a),
        )
    )
    return experiment


def tag(key: str, value: str) -> list[dict[str, str]]:
    return [{"key": key, "value": value}]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "cba"),
        ("name = 'a'", "a"),
        ("name != 'a' AND name LIKE '_'", "cb"),
        ("attributes.name ILIKE 'A'", "a"),
        ("name IN ('a', 'c')", "ca"),
        ("name NOT IN ('a', 'c')", "b"),
        ("model_type = 'tree'", "a"),
        ("source_run_id != ''", "a"),
        ("status = 'READY'", "b"),
        ("status = 'LOGGED_MODEL_READY'", "b"),
        ("status IN ('LOGGED_MODEL_PENDING')", "ca"),
        ("status LIKE 'PEND%'", "ca"),
        ("creation_time > 0 AND creation_timestamp_ms > 0 AND creation_timestamp > 0", "cba"),
        ("last_updated_timestamp < 5 or last_updated_time < 5", ""),
        ("metrics.acc > 0.8", "a"),
        ("metrics.acc > 0.8 AND metrics.acc < 0.2", "a"),
        ("metrics.acc != 0.5", "ca"),
        ("metrics.acc IS NULL", ""),
        ("metrics.`val acc` = 1", "a"),
        ("metrics.never > 0", ""),
        ("metrics.never IS NULL", "cba"),
        ("params.depth = '10'", "b"),
        ("params.depth > 8", "cb"),
        ("params.depth = 10", "b"),
        ("tags.env LIKE 'Pr%'", "a"),
        ("tags.env ILIKE 'D%' OR tags.env IS NULL", "cb"),
        ("NOT tags.env = 'dev'", "ca"),
        ("tags.env != 'dev' and not (name = 'a')", ""),
    ],
)
def test_a_filter_finds_models(server: Server, zoo: str, text: str, names: str):
    assert found(server, zoo, filter=text) == list(names)


def test_a_filter_finds_a_model_by_its_id(server: Server, zoo: str):
    ids = {
        model["info"]["name"]: model["info"]["model_id"]
        for model in accepted(search(server, zoo))["models"]
    }
    assert found(server, zoo, filter=f"model_id = '{ids['b']}'") == ["b"]
    assert found(server, zoo, filter=f"model_id != '{ids['b']}'") == ["c", "a"]
    assert found(server, zoo, filter=f"model_id IN ('{ids['a']}', 'x', '')") == ["a"]
    assert found(server, zoo, filter=f"model_id LIKE '{ids['a'][:-1]}_'") == ["a"]
    assert found(server, zoo, filter="model_id LIKE 'm-%'") == ["c", "b", "a"]
    assert found(server, zoo, filter=f"model_id = '{ids['a'][2:]}'") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("color = 'red'", "unknown attribute field 'color'"),
        ("run.name = 'a'", "unknown entity 'run'"),
        ("name = 1", "expected text in quotes"),
        ("metrics.acc > 'x'", "metrics are numeric"),
        ("min(metrics.acc) > 1", "min() takes a metric of a run"),
        ("name = ", "expected a number or a text"),
        ("name ~ 'a'", "unexpected '~'"),
    ],
)
def test_a_filter_that_says_nothing_is_refused(server: Server, zoo: str, text: str, words: str):
    assert words in refused(search(server, zoo, filter=text))


@pytest.mark.parametrize(
    ("datasets", "text", "names"),
    [
        ([{"dataset_name": "train"}], "", "ba"),
        ([{"dataset_name": "train", "dataset_digest": "1"}], "", "a"),
        ([{"dataset_name": "train", "dataset_digest": ""}], "", "ba"),
        ([{"dataset_name": "test"}], "metrics.acc > 0.5", ""),
        ([{"dataset_name": "test"}], "metrics.acc < 0.5", "a"),
        ([{"dataset_name": "test"}, {"dataset_name": "train"}], "metrics.acc >= 0.5", "ba"),
        ([{"dataset_name": "train"}], "tags.env = 'dev'", "b"),
        ([{"dataset_name": "none"}], "", ""),
        ([{"dataset_name": "train"}], "metrics.acc IS NULL", "c"),
    ],
)
def test_datasets_limit_which_metrics_count(
    server: Server, zoo: str, datasets: list[dict[str, str]], text: str, names: str
):
    assert found(server, zoo, datasets=datasets, filter=text) == list(names)


@pytest.mark.parametrize("datasets", [[{"dataset_digest": "1"}], [{}], [{"dataset_name": ""}]])
def test_datasets_need_a_name(server: Server, zoo: str, datasets: list[dict[str, str]]):
    assert "`dataset_name`" in refused(search(server, zoo, datasets=datasets))


def test_too_many_datasets_are_refused(server: Server, zoo: str):
    assert "at most 100" in refused(search(server, zoo, datasets=[{"dataset_name": "d"}] * 101))


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ([], "cba"),
        ([{"field_name": "name"}], "abc"),
        ([{"field_name": "name", "ascending": False}], "cba"),
        ([{"field_name": "attributes.creation_time", "ascending": True}], "abc"),
        ([{"field_name": "status", "ascending": False}], "bca"),
        ([{"field_name": "model_id"}], "abc"),
        # The newest value counts: 0.1 of a, then 0.5 of b, then the NaN of c.
        ([{"field_name": "metrics.acc"}], "abc"),
        ([{"field_name": "metrics.acc", "ascending": False}], "bac"),
        ([{"field_name": "metrics.acc", "dataset_name": "train"}], "bac"),
        ([{"field_name": "metrics.acc", "ascending": False, "dataset_name": "train"}], "abc"),
        ([{"field_name": "metrics.acc", "dataset_digest": "2", "ascending": False}], "bac"),
        ([{"field_name": "metrics.val acc"}], "acb"),
        ([{"field_name": "metrics.never"}, {"field_name": "name"}], "abc"),
        ([{"field_name": "metrics.acc"}, {"field_name": "metrics.acc"}], "abc"),
    ],
)
def test_models_come_in_order(server: Server, zoo: str, order: list[dict[str, Any]], names: str):
    assert found(server, zoo, order_by=order) == list(names)
    assert walked(server, zoo, order_by=order) == list(names)


def walked(server: Server, experiment: str, **fields: Any) -> list[str]:
    """The names found page by page, one model a page."""
    names: list[str] = []
    token = None
    while True:
        more = {} if token is None else {"page_token": token}
        page = accepted(search(server, experiment, max_results=1, **fields, **more))
        names += [model["info"]["name"] for model in page.get("models", [])]
        token = page.get("next_page_token")
        if token is None:
            return names


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([{"field_name": "params.depth"}], "have no order"),
        ([{"field_name": "tags.env"}], "have no order"),
        ([{"field_name": "color"}], "unknown attribute field"),
        ([{"field_name": "metrics."}], "expected a key"),
        ([{"field_name": ""}], "'order_by.field_name'"),
        ([{"ascending": True}], "'order_by.field_name'"),
        ([{"field_name": "m" * 1001}], "more than 1000 characters"),
        ([{"field_name": "name"}] * 11, "more than 10 fields"),
        (["name"], "order_by"),
    ],
)
def test_an_order_that_is_none_is_refused(
    server: Server, zoo: str, order: list[dict[str, Any]], words: str
):
    assert words in refused(search(server, zoo, order_by=order))


def test_a_page_token_belongs_to_its_search(server: Server, zoo: str):
    token = accepted(search(server, zoo, max_results=1))["next_page_token"]
    for changed in (
        {"filter": "name != 'x'"},
        {"order_by": [{"field_name": "name"}]},
        {"datasets": [{"dataset_name": "train"}]},
        {"experiment_ids": [zoo, "0"]},
    ):
        assert "page_token" in refused(search(server, zoo, page_token=token, **changed))
    for broken in ("x", "", "e30=", token[:-4]):
        answer = search(server, zoo, page_token=broken)
        assert answer.status == (400 if broken else 200)


def test_the_pages_of_mlflows_own_tokens_are_read(server: Server, zoo: str):
    assert found(server, zoo, page_token=offset_token(2)) == ["a"]


def test_a_page_stays_in_place_while_others_write(server: Server, experiment: str):
    for name in ("a", "b", "c"):
        create(server, experiment, name=name)
    page = accepted(search(server, experiment, max_results=2))
    create(server, experiment, name="d")
    assert found(server, experiment, page_token=page["next_page_token"]) == ["a"]


def test_fifty_models_are_a_page(server: Server, experiment: str):
    for _ in range(51):
        create(server, experiment)
    page = accepted(search(server, experiment))
    assert len(page["models"]) == 50
    rest = accepted(search(server, experiment, page_token=page["next_page_token"]))
    assert len(rest["models"]) == 1
    assert "next_page_token" not in rest
    whole = accepted(search(server, experiment, max_results=100_000))
    assert whole["models"] == page["models"] + rest["models"]


def test_no_experiment_has_no_models(server: Server):
    for experiments in ([], ["999999"], None):
        answer = server.post("logged-models/search", {"experiment_ids": experiments})
        assert accepted(answer) == {}
    refused(server.post("logged-models/search", {"experiment_ids": ["x"]}))


def test_several_experiments_are_searched_together(server: Server, zoo: str, experiment: str):
    create(server, experiment, name="here")
    answer = server.post("logged-models/search", {"experiment_ids": [zoo, experiment, zoo]})
    names = [model["info"]["name"] for model in accepted(answer)["models"]]
    assert names == ["here", "c", "b", "a"]


@pytest.mark.parametrize("max_results", [-1, 2**31])
def test_a_page_of_an_impossible_size_is_refused(server: Server, zoo: str, max_results: int):
    assert "max_results" in refused(search(server, zoo, max_results=max_results))


def test_a_search_reads_models_as_they_are_read_alone(server: Server, zoo: str):
    for model in accepted(search(server, zoo))["models"]:
        assert model == read(server, model["info"]["model_id"])
