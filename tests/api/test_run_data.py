"""Params, tags, batches, inputs, outputs and log-model."""

import json
from typing import Any

import pytest
from tests.api.protocol import accepted, latest, not_found, pairs, params, point, refused, tags
from tests.fixtures.server import Answered, Server

GOOD_KEYS = [
    "a",
    "a/b",
    "a.b",
    "a-b",
    "a b",
    "a:b",
    "a_b",
    "a..",
    "été ñ",
    "実験",
    "k" * 250,
    "é" * 250,
]
BAD_KEYS = [
    "a@b",
    "a\\b",
    "a\nb",
    "a\n",
    "a#b",
    "😀",
    ".",
    "..",
    "../a",
    "...",
    "..a",
    "/a",
    "a//b",
    "a/",
    "a/./b",
    "./a",
    "a/../b",
    "k" * 251,
]


def log_param(server: Server, run: str, key: str, value: str | None) -> Answered:
    return server.post("runs/log-parameter", {"run_id": run, "key": key, "value": value})


def set_tag(server: Server, run: str, key: str, value: str | None) -> Answered:
    return server.post("runs/set-tag", {"run_id": run, "key": key, "value": value})


def log_batch(server: Server, run: str, **items: list[dict[str, Any]]) -> Answered:
    return server.post("runs/log-batch", {"run_id": run, **items})


def logged(server: Server, run: str) -> dict[str, Any]:
    return server.get_run(run)["data"]


# Keys --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", GOOD_KEYS)
def test_a_key_for_metrics_params_and_tags(server: Server, run: str, key: str):
    accepted(server.post("runs/log-metric", {"run_id": run, **point(key, 1)}))
    accepted(log_param(server, run, key, "1"))
    accepted(set_tag(server, run, key, "1"))
    assert latest(server, run) == {key: (1.0, 1, 0)}
    assert params(server, run) == {key: "1"}
    assert tags(server, run)[key] == "1"


@pytest.mark.parametrize("key", ["", *BAD_KEYS])
def test_no_key_for_metrics_params_and_tags(server: Server, run: str, key: str):
    before = logged(server, run)
    refused(server.post("runs/log-metric", {"run_id": run, **point(key, 1)}))
    refused(log_param(server, run, key, "1"))
    refused(set_tag(server, run, key, "1"))
    refused(log_batch(server, run, metrics=[point(key, 1)]))
    refused(log_batch(server, run, params=[{"key": key, "value": "1"}]))
    refused(log_batch(server, run, tags=[{"key": key, "value": "1"}]))
    assert logged(server, run) == before


@pytest.mark.parametrize("key", ["a@b", "😀", "..", "a#b"])
def test_a_new_run_takes_tags_that_later_calls_would_refuse(
    server: Server, experiment: str, key: str
):
    run = server.create_run(experiment, tags=[{"key": key, "value": "1"}])
    assert tags(server, run)[key] == "1"


@pytest.mark.parametrize("key", ["", "k" * 251])
def test_a_new_run_takes_no_tag_without_a_key_or_with_a_longer_one(
    server: Server, experiment: str, key: str
):
    tag = {"key": key, "value": "1"}
    refused(server.post("runs/create", {"experiment_id": experiment, "tags": [tag]}))
    assert accepted(server.post("runs/search", {"experiment_ids": [experiment]})) == {}


# Params ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["1", "", "é😀\u2028", "v" * 6_000, 'it\'s "quoted" \\ %_'])
def test_a_param_is_read_as_it_was_written(server: Server, run: str, value: str):
    accepted(log_param(server, run, "p", value))
    accepted(log_param(server, run, "p", value))
    assert params(server, run) == {"p": value}


def test_a_param_without_a_value_is_empty(server: Server, run: str):
    accepted(server.post("runs/log-parameter", {"run_id": run, "key": "p"}))
    accepted(log_batch(server, run, params=[{"key": "q"}]))
    assert params(server, run) == {"p": "", "q": ""}
    refused(log_param(server, run, "p", "now there is one"))


def test_a_param_never_changes(server: Server, run: str):
    accepted(log_param(server, run, "p", "1"))
    message = refused(log_param(server, run, "p", "2"))
    assert message == (
        "Changing param values is not allowed. Param with key='p' was already logged with "
        f"value='1' for run ID='{run}'. Attempted logging new value '2'."
    )
    assert params(server, run) == {"p": "1"}


def test_a_batch_names_every_param_that_would_change(server: Server, run: str):
    accepted(log_batch(server, run, params=[*pairs("p", 3)]))
    changed = [{"key": f"p{number}", "value": "2"} for number in range(2)]
    message = refused(log_batch(server, run, params=[*changed, {"key": "p2", "value": "1"}]))
    assert message == (
        "Changing param values is not allowed. Params were already logged="
        "'[{'key': 'p0', 'old_value': '1', 'new_value': '2'}, "
        f"{{'key': 'p1', 'old_value': '1', 'new_value': '2'}}]' for run ID='{run}'."
    )


def test_a_longer_param_is_cut_and_compared_cut(server: Server, run: str):
    accepted(log_param(server, run, "p", "v" * 6_001))
    assert params(server, run) == {"p": "v" * 6_000}
    accepted(log_param(server, run, "p", "v" * 6_000 + "something else"))
    refused(log_param(server, run, "p", "v" * 5_999))


def test_a_batch_gives_a_param_once(server: Server, run: str):
    for second in ("1", "2"):
        twice = [{"key": "p", "value": "1"}, {"key": "p", "value": second}]
        assert refused(log_batch(server, run, params=twice)).startswith(
            "Duplicate parameter keys have been submitted: ['p']."
        )
    assert params(server, run) == {}


# Tags --------------------------------------------------------------------------------------------


def test_the_last_tag_stands(server: Server, run: str):
    for value in ("1", "2", "", "é😀"):
        accepted(set_tag(server, run, "t", value))
        assert tags(server, run)["t"] == value
    accepted(server.post("runs/set-tag", {"run_id": run, "key": "t"}))
    assert tags(server, run)["t"] == ""
    twice = [{"key": "t", "value": "first"}, {"key": "t", "value": "last"}]
    accepted(log_batch(server, run, tags=twice))
    assert tags(server, run)["t"] == "last"


@pytest.mark.parametrize("key", ["t", "mlflow.note.content"])
def test_a_longer_tag_is_cut(server: Server, run: str, key: str):
    accepted(set_tag(server, run, key, "v" * 8_001))
    assert tags(server, run)[key] == "v" * 8_000
    accepted(log_batch(server, run, tags=[{"key": key, "value": "w" * 8_001}]))
    assert tags(server, run)[key] == "w" * 8_000


def test_deleting_a_tag(server: Server, run: str):
    accepted(set_tag(server, run, "t", "1"))
    assert accepted(server.post("runs/delete-tag", {"run_id": run, "key": "t"})) == {}
    assert "t" not in tags(server, run)
    for key in ("t", "never set", "a@b"):
        message = not_found(server.post("runs/delete-tag", {"run_id": run, "key": key}))
        assert message == f"No tag with name: {key} in run with id {run}"


def test_tags_and_params_and_metrics_of_one_key_are_apart(server: Server, run: str):
    accepted(
        log_batch(
            server,
            run,
            metrics=[point("k", 1)],
            params=[{"key": "k", "value": "2"}],
            tags=[{"key": "k", "value": "3"}],
        )
    )
    accepted(server.post("runs/delete-tag", {"run_id": run, "key": "k"}))
    assert (latest(server, run), params(server, run)) == ({"k": (1.0, 1, 0)}, {"k": "2"})


# Batches -----------------------------------------------------------------------------------------


def test_an_empty_batch_is_no_error(server: Server, run: str):
    before = logged(server, run)
    assert accepted(log_batch(server, run)) == {}
    assert accepted(log_batch(server, run, metrics=[], params=[], tags=[])) == {}
    assert logged(server, run) == before


@pytest.mark.parametrize(
    ("counts", "too_many"),
    [
        ((1_000, 0, 0), None),
        ((0, 100, 0), None),
        ((0, 0, 100), None),
        ((800, 100, 100), None),
        ((1_001, 0, 0), "1000 metrics. Got 1001 metrics."),
        ((0, 101, 0), "100 params. Got 101 params."),
        ((0, 0, 101), "100 tags. Got 101 tags."),
        ((801, 100, 100), "1000 metrics, params, and tags. Got 1001 metrics, params, and tags."),
    ],
)
def test_a_batch_has_its_limits(
    server: Server, run: str, counts: tuple[int, int, int], too_many: str | None
):
    metrics = [point("m", number, step=number) for number in range(counts[0])]
    answer = log_batch(
        server, run, metrics=metrics, params=pairs("p", counts[1]), tags=pairs("t", counts[2])
    )
    if too_many is None:
        accepted(answer)
        found = len(params(server, run)), len(tags(server, run)) - 1
        assert found == counts[1:]
    else:
        assert f"can contain at most {too_many}" in refused(answer)
        assert set(logged(server, run)) == {"tags"}


@pytest.mark.parametrize(
    ("bad", "where"),
    [
        ({"metrics": [{"key": "m", "timestamp": 1}]}, "metrics[1].value"),
        ({"metrics": [{"key": "m", "value": 1}]}, "metrics[1].timestamp"),
        ({"metrics": [{"value": 1, "timestamp": 1}]}, "metrics[1].key"),
        ({"metrics": [point("m", "many")]}, "metrics[1].value"),
        ({"metrics": [point("m", True)]}, "metrics[1].value"),
        ({"metrics": [point("m", 1, timestamp=-1)]}, "timestamp"),
        ({"metrics": [{**point("m", 1), "step": 1.5}]}, "metrics[1].step"),
        ({"metrics": [point("a//b", 1)]}, "a//b"),
        ({"params": [{"value": "1"}]}, "params[1].key"),
        ({"params": [{"key": "p", "value": 3}]}, "params[1].value"),
        ({"params": [{"key": "old", "value": "changed"}]}, "Changing param values"),
        ({"tags": [{"value": "1"}]}, "tags[1].key"),
        ({"tags": [{"key": "t", "value": 3}]}, "tags[1].value"),
        ({"tags": [{"key": "k" * 251, "value": "1"}]}, "250"),
    ],
)
def test_a_batch_with_one_bad_item_changes_nothing(
    server: Server, run: str, bad: dict[str, list[dict[str, Any]]], where: str
):
    """The bad one comes last, behind good ones of every kind."""
    accepted(log_param(server, run, "old", "1"))
    before = logged(server, run)
    good: dict[str, list[dict[str, Any]]] = {
        "metrics": [point("good", 1)],
        "params": [{"key": "good", "value": "1"}],
        "tags": [{"key": "good", "value": "1"}],
    }
    items = {kind: [*good[kind], *bad.get(kind, [])] for kind in good}
    assert where in refused(log_batch(server, run, **items))
    assert logged(server, run) == before
    answer = server.get("metrics/get-history", run_id=run, metric_key="good")
    assert accepted(answer) == {}


# Inputs and outputs ------------------------------------------------------------------------------


def dataset(**fields: str) -> dict[str, str]:
    return {"name": "n", "digest": "d", "source_type": "local", "source": "{}", **fields}


def log_inputs(server: Server, run: str, *datasets: dict[str, Any], **more: Any) -> Answered:
    return server.post("runs/log-inputs", {"run_id": run, "datasets": [*datasets], **more})


def inputs(server: Server, run: str) -> Any:
    return server.get_run(run)["inputs"]


def test_a_dataset_of_a_run(server: Server, run: str):
    context = {"key": "mlflow.data.context", "value": "train"}
    full = dataset(schema="S", profile="P")
    accepted(log_inputs(server, run, {"dataset": full, "tags": [context]}))
    assert inputs(server, run) == {"dataset_inputs": [{"dataset": full, "tags": [context]}]}


def test_datasets_come_in_the_order_they_were_logged(server: Server, run: str):
    digests = ["z", "a", "m", "b"]
    accepted(log_inputs(server, run, *({"dataset": dataset(digest=each)} for each in digests)))
    accepted(log_inputs(server, run, {"dataset": dataset(digest="0")}))
    found = [each["dataset"]["digest"] for each in inputs(server, run)["dataset_inputs"]]
    assert found == [*digests, "0"]


def test_the_first_account_of_a_dataset_stands(server: Server, experiment: str, run: str):
    first, later = dataset(schema="S"), dataset(schema="other", source="elsewhere")
    context = {"key": "mlflow.data.context", "value": "train"}
    accepted(log_inputs(server, run, {"dataset": first, "tags": [context]}))
    accepted(log_inputs(server, run, {"dataset": later, "tags": [{**context, "value": "test"}]}))
    assert inputs(server, run) == {"dataset_inputs": [{"dataset": first, "tags": [context]}]}
    second = server.create_run(experiment)
    accepted(log_inputs(server, second, {"dataset": later}))
    assert inputs(server, second) == {"dataset_inputs": [{"dataset": first}]}


def test_a_dataset_of_another_experiment_is_another_one(server: Server, run: str):
    accepted(log_inputs(server, run, {"dataset": dataset(schema="S")}))
    other = server.create_run("0")
    accepted(log_inputs(server, other, {"dataset": dataset(schema="T")}))
    assert inputs(server, other)["dataset_inputs"][0]["dataset"]["schema"] == "T"


def test_a_dataset_without_a_digest_has_an_empty_one(server: Server, run: str):
    accepted(log_inputs(server, run, {"dataset": {"name": "n", "source_type": "s", "source": ""}}))
    assert inputs(server, run)["dataset_inputs"][0]["dataset"]["digest"] == ""


@pytest.mark.parametrize(
    ("field", "length_max"),
    [
        ("name", 500),
        ("digest", 36),
        ("source", 65_535),
        ("schema", 1_048_575),
        ("profile", 16_777_215),
    ],
)
def test_the_limits_of_a_dataset(server: Server, run: str, field: str, length_max: int):
    given = {"dataset": dataset(**{field: "x" * length_max})}
    too_long = {"dataset": dataset(**{"digest": "other", field: "x" * (length_max + 1)})}
    assert str(length_max) in refused(log_inputs(server, run, {"dataset": dataset()}, too_long))
    assert inputs(server, run) == {}
    accepted(log_inputs(server, run, given))
    assert inputs(server, run) == {"dataset_inputs": [given]}


def test_the_limits_of_an_input_s_tags(server: Server, run: str):
    longest = {"key": "k" * 255, "value": "v" * 500}
    accepted(log_inputs(server, run, {"dataset": dataset(), "tags": [longest]}))
    assert inputs(server, run)["dataset_inputs"][0]["tags"] == [longest]
    for tag in ({"key": "k" * 256, "value": "v"}, {"key": "k", "value": "v" * 501}):
        refused(log_inputs(server, run, {"dataset": dataset(digest="e"), "tags": [tag]}))
    assert len(inputs(server, run)["dataset_inputs"]) == 1


def test_nothing_to_log_is_no_error(server: Server, run: str):
    assert accepted(log_inputs(server, run)) == {}
    assert accepted(server.post("runs/log-inputs", {"run_id": run})) == {}
    assert inputs(server, run) == {}


def test_models_that_go_in_and_come_out(server: Server, experiment: str, run: str):
    accepted(log_inputs(server, run, models=[{"model_id": "m-in"}]))
    made = [{"model_id": "m-1", "step": 3}, {"model_id": "m-2"}]
    assert accepted(server.post("runs/outputs", {"run_id": run, "models": made})) == {}
    found = server.get_run(run)
    assert found["inputs"] == {"model_inputs": [{"model_id": "m-in"}]}
    outputs = sorted(found["outputs"]["model_outputs"], key=str)
    assert outputs == [{"model_id": "m-1", "step": 3}, {"model_id": "m-2", "step": 0}]
    refused(server.post("runs/outputs", {"run_id": run}))


# log-model ---------------------------------------------------------------------------------------

HISTORY = "mlflow.log-model.history"


def model(run: str, path: str = "model") -> dict[str, Any]:
    return {"artifact_path": path, "flavors": {"f": {}}, "utc_time_created": "t", "run_id": run}


def test_log_model_keeps_a_history_in_a_tag(server: Server, run: str):
    descriptions = [model(run, "first"), model(run, "second")]
    for each in descriptions:
        message = {"run_id": run, "model_json": json.dumps(each)}
        assert accepted(server.post("runs/log-model", message)) == {}
    assert json.loads(tags(server, run)[HISTORY]) == descriptions


def test_a_long_history_of_models_is_not_cut(server: Server, run: str):
    for number in range(3):
        each = model(run, f"{number}" + "x" * 7_000)
        accepted(server.post("runs/log-model", {"run_id": run, "model_json": json.dumps(each)}))
    assert len(json.loads(tags(server, run)[HISTORY])) == 3


@pytest.mark.parametrize("text", ["", "x", "[]", "3", '"x"', "{}", "[" * 100_000])
def test_a_model_must_be_described(server: Server, run: str, text: str):
    refused(server.post("runs/log-model", {"run_id": run, "model_json": text}))
    assert HISTORY not in tags(server, run)


@pytest.mark.parametrize("absent", ["artifact_path", "flavors", "utc_time_created", "run_id"])
def test_a_model_s_description_is_whole(server: Server, run: str, absent: str):
    text = json.dumps({key: value for key, value in model(run).items() if key != absent})
    message = refused(server.post("runs/log-model", {"run_id": run, "model_json": text}))
    assert message == f"Model json is missing mandatory fields: ['{absent}']"
