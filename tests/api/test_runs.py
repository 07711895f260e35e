"""Runs: creation, names, status, lifecycle, search pages."""

import pytest
from tests.api.protocol import (
    NO_RUN,
    START_MS,
    accepted,
    not_found,
    offset_token,
    point,
    refused,
    tags,
    unique,
)
from tests.fixtures.server import Answered, Server

NAME_TAG = "mlflow.runName"


def create(server: Server, **fields: object) -> Answered:
    return server.post("runs/create", fields)


def search(server: Server, experiment: str, **fields: object) -> list[str]:
    """Names of the runs found."""
    answer = accepted(server.post("runs/search", {"experiment_ids": [experiment], **fields}))
    return [each["info"]["run_name"] for each in answer.get("runs", [])]


def name(server: Server, run: str) -> tuple[str, str | None]:
    """The name as the run has it, and as its tag has it."""
    return server.get_run(run)["info"]["run_name"], tags(server, run).get(NAME_TAG)


def test_a_new_run(server: Server, experiment: str):
    given = {
        "experiment_id": experiment,
        "user_id": "ada",
        "run_name": "first",
        "start_time": START_MS,
        "tags": [{"key": "a", "value": "b"}, {"key": "bare"}],
    }
    created = accepted(create(server, **given))["run"]
    run = created["info"]["run_id"]
    assert len(run) == 32
    assert bytes.fromhex(run)
    assert created["info"] == {
        "run_id": run,
        "run_uuid": run,
        "run_name": "first",
        "experiment_id": experiment,
        "user_id": "ada",
        "status": "RUNNING",
        "start_time": START_MS,
        "artifact_uri": f"mlflow-artifacts:/{experiment}/{run}/artifacts",
        "lifecycle_stage": "active",
    }
    assert created["inputs"] == {}
    assert "outputs" not in created
    assert set(created["data"]) == {"tags"}
    read = server.get_run(run)
    assert read["info"] == created["info"]
    assert (read["inputs"], read["outputs"]) == ({}, {})
    assert tags(server, run) == {"a": "b", "bare": "", NAME_TAG: "first"}


def test_a_run_is_read_by_run_uuid_too(server: Server, run: str):
    assert server.get("runs/get", run_uuid=run).json == server.get("runs/get", run_id=run).json
    assert server.get("runs/get", run_uuid="x", run_id=run).status == 200


def test_a_run_without_an_experiment_goes_to_experiment_0(server: Server):
    for fields in ({}, {"experiment_id": ""}):
        info = accepted(create(server, **fields))["run"]["info"]
        assert info["experiment_id"] == "0"
        assert info["artifact_uri"].startswith("mlflow-artifacts:/0/")
        assert info["start_time"] == 0


def test_a_run_needs_an_experiment_that_is_there(server: Server):
    assert not_found(create(server, experiment_id="999999")) == (
        "No Experiment with id=999999 exists"
    )


@pytest.mark.parametrize("run", ["deadbeef", NO_RUN, "G" * 32, "a b", "../x", "x" * 300])
def test_a_run_that_is_not_there(server: Server, run: str):
    for path, fields in (
        ("update", {}),
        ("delete", {}),
        ("restore", {}),
        ("log-metric", {"key": "k", "value": 1, "timestamp": 1}),
        ("log-parameter", {"key": "k", "value": "1"}),
        ("set-tag", {"key": "k", "value": "1"}),
        ("delete-tag", {"key": "k"}),
        ("outputs", {"models": [{"model_id": "m"}]}),
    ):
        not_found(server.post(f"runs/{path}", {"run_id": run, **fields}))
    assert not_found(server.get("runs/get", run_id=run)) == f"Run with id={run[:256]} not found"
    not_found(server.get("artifacts/list", run_id=run))
    assert accepted(server.get("metrics/get-history", run_id=run, metric_key="m")) == {}


@pytest.mark.parametrize("run", ["a b", "../x", "x" * 257])
def test_what_cannot_be_a_run_s_id_is_a_400_for_batches(server: Server, run: str):
    refused(server.post("runs/log-batch", {"run_id": run}))
    refused(server.post("runs/log-inputs", {"run_id": run}))


# Names -------------------------------------------------------------------------------------------


def test_a_name_comes_from_the_field_or_the_tag_or_is_made_up(server: Server, experiment: str):
    by_tag = server.create_run(experiment, tags=[{"key": NAME_TAG, "value": "tagged"}])
    assert name(server, by_tag) == ("tagged", "tagged")
    both = server.create_run(experiment, run_name="same", tags=[{"key": NAME_TAG, "value": "same"}])
    assert name(server, both) == ("same", "same")
    for fields in ({}, {"run_name": ""}, {"tags": [{"key": NAME_TAG, "value": ""}]}):
        made_up, tagged = name(server, server.create_run(experiment, **fields))
        assert made_up == tagged
        adjective, animal, number = made_up.split("-")
        assert adjective.isalpha()
        assert animal.isalpha()
        assert number.isdigit()


def test_two_names_for_one_run_are_refused(server: Server, experiment: str):
    answer = create(
        server, experiment_id=experiment, run_name="a", tags=[{"key": NAME_TAG, "value": "b"}]
    )
    assert refused(answer) == (
        "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different "
        "values (run_name='a', mlflow.runName='b')."
    )


def test_the_name_and_its_tag_change_together(server: Server, run: str):
    accepted(server.post("runs/set-tag", {"run_id": run, "key": NAME_TAG, "value": "by tag"}))
    assert name(server, run) == ("by tag", "by tag")
    update = accepted(server.post("runs/update", {"run_id": run, "run_name": "by update"}))
    assert update["run_info"]["run_name"] == "by update"
    assert name(server, run) == ("by update", "by update")
    batch = {"run_id": run, "tags": [{"key": NAME_TAG, "value": "by batch"}]}
    accepted(server.post("runs/log-batch", batch))
    assert name(server, run) == ("by batch", "by batch")


def test_an_empty_name_renames_nothing(server: Server, run: str):
    before = name(server, run)
    for path, fields in (
        ("update", {"run_name": ""}),
        ("set-tag", {"key": NAME_TAG, "value": ""}),
        ("log-batch", {"tags": [{"key": NAME_TAG, "value": ""}]}),
    ):
        accepted(server.post(f"runs/{path}", {"run_id": run, **fields}))
        assert name(server, run) == before


def test_deleting_the_name_s_tag_leaves_the_name_where_no_search_looks(
    server: Server, experiment: str
):
    run = server.create_run(experiment, run_name="hidden")
    assert search(server, experiment, filter="run_name = 'hidden'") == ["hidden"]
    accepted(server.post("runs/delete-tag", {"run_id": run, "key": NAME_TAG}))
    assert name(server, run) == ("hidden", None)
    assert search(server, experiment, filter="run_name = 'hidden'") == []
    accepted(server.post("runs/update", {"run_id": run, "run_name": "found"}))
    assert name(server, run) == ("found", "found")


# Status ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "status"),
    list(enumerate(("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"), start=1)),
)
def test_a_status_is_given_by_name_or_number(server: Server, run: str, number: int, status: str):
    for given in (status, number, str(number)):
        answer = accepted(server.post("runs/update", {"run_id": run, "status": given}))
        assert answer["run_info"]["status"] == status


def test_any_status_may_follow_any_other_and_the_end_time_stays(server: Server, run: str):
    assert "end_time" not in server.get_run(run)["info"]
    ended = {"run_id": run, "status": "FINISHED", "end_time": START_MS + 5}
    info = accepted(server.post("runs/update", ended))["run_info"]
    assert (info["status"], info["end_time"]) == ("FINISHED", START_MS + 5)
    info = accepted(server.post("runs/update", {"run_id": run, "status": "RUNNING"}))["run_info"]
    assert (info["status"], info["end_time"]) == ("RUNNING", START_MS + 5)
    assert server.get_run(run)["info"] == info


def test_an_end_time_of_0_is_none(server: Server, run: str):
    server.post("runs/update", {"run_id": run, "end_time": 7})
    info = accepted(server.post("runs/update", {"run_id": run, "end_time": 0}))["run_info"]
    assert "end_time" not in info


def test_an_update_without_changes_answers_the_run(server: Server, run: str):
    answer = accepted(server.post("runs/update", {"run_id": run}))
    assert answer["run_info"] == server.get_run(run)["info"]


# Lifecycle ---------------------------------------------------------------------------------------


def test_deleting_and_restoring_are_no_errors_in_either_state(server: Server, run: str):
    for path, stage in (("restore", "active"), ("delete", "deleted"), ("restore", "active")):
        for _ in range(2):
            assert accepted(server.post(f"runs/{path}", {"run_id": run})) == {}
            assert server.get_run(run)["info"]["lifecycle_stage"] == stage


def test_a_deleted_run_is_read_but_not_written(server: Server, run: str):
    metric = point("m", 1)
    accepted(server.post("runs/log-metric", {"run_id": run, **metric}))
    accepted(server.post("runs/log-parameter", {"run_id": run, "key": "p", "value": "1"}))
    before = server.get_run(run)["data"]
    server.post("runs/delete", {"run_id": run})
    dataset = {"name": "n", "digest": "d", "source_type": "local", "source": "{}"}
    model = f'{{"artifact_path":"m","flavors":{{}},"utc_time_created":"x","run_id":"{run}"}}'
    for path, fields in (
        ("update", {}),
        ("update", {"status": "FINISHED"}),
        ("log-metric", metric),
        ("log-parameter", {"key": "p", "value": "1"}),
        ("set-tag", {"key": "a", "value": "1"}),
        ("delete-tag", {"key": NAME_TAG}),
        ("log-batch", {}),
        ("log-batch", {"tags": [{"key": "a", "value": "1"}]}),
        ("log-inputs", {"datasets": [{"dataset": dataset}]}),
        ("outputs", {"models": [{"model_id": "m", "step": 1}]}),
        ("log-model", {"model_json": model}),
    ):
        message = refused(server.post(f"runs/{path}", {"run_id": run, **fields}))
        assert "must be in the 'active' state" in message, path
    assert server.get_run(run)["data"] == before
    history = server.get("metrics/get-history", run_id=run, metric_key="m")
    assert history.json["metrics"] == [{**metric, "value": 1.0}]
    accepted(server.post("runs/restore", {"run_id": run}))
    accepted(server.post("runs/set-tag", {"run_id": run, "key": "a", "value": "1"}))


# Search pages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{}, {"experiment_ids": []}, {"experiment_ids": ["999999"]}])
def test_no_experiments_no_runs(server: Server, fields: dict[str, object]):
    assert accepted(server.post("runs/search", fields)) == {}


def test_unknown_and_repeated_experiments_change_nothing(server: Server, experiment: str):
    server.create_run(experiment, run_name="only")
    ids = [experiment, "999999", experiment]
    assert search(server, experiment, experiment_ids=ids) == ["only"]


def test_a_found_run_is_the_run_that_get_answers(server: Server, experiment: str, run: str):
    batch = {
        "run_id": run,
        "metrics": [point("m", "NaN")],
        "params": [{"key": "p", "value": "1"}],
        "tags": [{"key": "t", "value": "1"}],
    }
    accepted(server.post("runs/log-batch", batch))
    found = accepted(server.post("runs/search", {"experiment_ids": [experiment]}))
    assert found == {"runs": [server.get_run(run)]}


def test_views(server: Server, experiment: str):
    server.create_run(experiment, run_name="kept")
    gone = server.create_run(experiment, run_name="gone", start_time=START_MS + 1)
    server.post("runs/delete", {"run_id": gone})
    assert search(server, experiment) == ["kept"]
    assert search(server, experiment, run_view_type="ACTIVE_ONLY") == ["kept"]
    assert search(server, experiment, run_view_type="DELETED_ONLY") == ["gone"]
    assert search(server, experiment, run_view_type=3) == ["gone", "kept"]


def test_the_latest_start_comes_first_then_the_smaller_id(server: Server, experiment: str):
    early = server.create_run(experiment, start_time=1)
    same = sorted(server.create_run(experiment, start_time=2) for _ in range(3))
    answer = server.post("runs/search", {"experiment_ids": [experiment]})
    assert [each["info"]["run_id"] for each in answer.json["runs"]] == [*same, early]


def test_numbers_come_first_then_nan_then_what_is_missing_in_both_directions(
    server: Server, experiment: str
):
    logged: dict[str, float | str] = {"two": 2, "nan": "NaN", "one": 1, "minus": -1}
    for number, (run_name, value) in enumerate([*logged.items(), ("none", 0)]):
        run = server.create_run(experiment, run_name=run_name, start_time=number)
        if run_name != "none":
            server.post("runs/log-metric", {"run_id": run, **point("m", value)})
    ascending = ["minus", "one", "two", "nan", "none"]
    descending = ["two", "one", "minus", "nan", "none"]
    assert search(server, experiment, order_by=["metrics.m"]) == ascending
    assert search(server, experiment, order_by=["metrics.m ASC"]) == ascending
    assert search(server, experiment, order_by=["metrics.m DESC"]) == descending
    for order, expected in (("metrics.m", ascending), ("metrics.m desc", descending)):
        assert walk(server, experiment, order_by=[order]) == expected


def test_text_orders_by_code_point_with_missing_last(server: Server, experiment: str):
    for number, value in enumerate(["b", "é", "", "B", "😀", "a"]):
        run = server.create_run(experiment, run_name=value or "empty", start_time=number)
        server.post("runs/log-parameter", {"run_id": run, "key": "p", "value": value})
    server.create_run(experiment, run_name="none")
    ascending = ["empty", "B", "a", "b", "é", "😀", "none"]
    assert search(server, experiment, order_by=["params.p"]) == ascending
    assert walk(server, experiment, order_by=["params.p"]) == ascending
    descending = [*ascending[-2::-1], "none"]
    assert search(server, experiment, order_by=["params.p DESC"]) == descending


def walk(server: Server, experiment: str, **fields: object) -> list[str]:
    """All runs, two a page."""
    found: list[str] = []
    query = {"experiment_ids": [experiment], "max_results": 2, **fields}
    token = ""
    while True:
        answer = accepted(server.post("runs/search", {**query, "page_token": token}))
        assert 1 <= len(answer["runs"]) <= 2
        found += [each["info"]["run_name"] for each in answer["runs"]]
        if "next_page_token" not in answer:
            return found
        token = answer["next_page_token"]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_pages_end_where_the_runs_end(server: Server, experiment: str, count: int):
    names = [f"run {number}" for number in range(count)]
    for number, each in enumerate(names):
        server.create_run(experiment, run_name=each, start_time=-number)
    assert walk(server, experiment) == names


def test_a_page_does_not_shift_when_a_run_comes_in_between(server: Server, experiment: str):
    for number in range(4):
        server.create_run(experiment, run_name=f"run {number}", start_time=number)
    query = {"experiment_ids": [experiment], "max_results": 2}
    first = accepted(server.post("runs/search", query))
    server.create_run(experiment, run_name="late", start_time=9)
    token = first["next_page_token"]
    second = accepted(server.post("runs/search", {**query, "page_token": token}))
    assert [each["info"]["run_name"] for each in second["runs"]] == ["run 1", "run 0"]


def test_upstream_s_offset_tokens_are_understood(server: Server, experiment: str):
    for number in range(4):
        server.create_run(experiment, run_name=f"run {number}", start_time=-number)
    assert search(server, experiment, page_token=offset_token(3)) == ["run 3"]
    assert search(server, experiment, page_token=offset_token(4)) == []


@pytest.mark.parametrize("token", ["xxx", "é", "e30=", offset_token(0), offset_token(-1)])
def test_a_token_that_no_search_gave_is_refused(server: Server, experiment: str, token: str):
    answer = server.post("runs/search", {"experiment_ids": [experiment], "page_token": token})
    assert "page_token" in refused(answer)


@pytest.mark.parametrize("limit", [0, -1, 50_001])
def test_a_page_has_1_to_50000_runs(server: Server, experiment: str, limit: int):
    query = {"experiment_ids": [experiment]}
    refused(server.post("runs/search", {**query, "max_results": limit}))
    assert accepted(server.post("runs/search", {**query, "max_results": 50_000})) == {}
    assert accepted(server.post("runs/search", {**query, "max_results": 1})) == {}


def test_a_long_page_is_the_same_as_a_short_one(server: Server, experiment: str):
    """Above 2000 runs a page is streamed."""
    for number in range(3):
        server.create_run(experiment, start_time=number)
    query = {"experiment_ids": [experiment]}
    short = accepted(server.post("runs/search", query))
    assert accepted(server.post("runs/search", {**query, "max_results": 50_000})) == short


def test_an_order_names_each_field_once(server: Server, experiment: str):
    query = {"experiment_ids": [experiment], "order_by": ["metrics.a", "metrics.a DESC"]}
    assert "metrics.a comes twice" in refused(server.post("runs/search", query))


@pytest.mark.parametrize(
    ("filter_text", "found"),
    [
        ("metrics.m > 1 and params.p = 'x'", ["b"]),
        ("METRICS.m >= 1 AND tags.t = 'u'", None),
        ("metrics.m >= 1 AND tags.t = 'u'", ["a"]),
        ("tags.t != 'u'", ["b"]),
        ("params.p IS NULL", ["a"]),
        ("attributes.status = 'RUNNING'", ["b", "a"]),
        ("status = 'running'", []),
        ("metrics.m = 'x'", None),
        ("foo.bar = 1", None),
        ("experiment_id = '1'", None),
        ("run_name LIKE 'A%'", []),
        ("run_name ILIKE 'A%'", ["a"]),
    ],
)
def test_a_filter_reaches_the_search(
    server: Server, experiment: str, filter_text: str, found: list[str] | None
):
    first = server.create_run(experiment, run_name="a", start_time=1)
    second = server.create_run(experiment, run_name="b", start_time=2)
    for run, value, tag in ((first, 1, "u"), (second, 2, "v")):
        batch = {
            "run_id": run,
            "metrics": [point("m", value)],
            "tags": [{"key": "t", "value": tag}],
        }
        accepted(server.post("runs/log-batch", batch))
    server.post("runs/log-parameter", {"run_id": second, "key": "p", "value": "x"})
    if found is None:
        refused(server.post("runs/search", {"experiment_ids": ["0"], "filter": filter_text}))
    else:
        assert search(server, experiment, filter=filter_text) == found


def test_names_of_experiments_do_not_mix(server: Server):
    numbers = [server.create_experiment(unique("apart")) for _ in range(2)]
    for number, experiment in enumerate(numbers):
        server.create_run(experiment, run_name=f"of {number}", start_time=number)
    assert search(server, numbers[0]) == ["of 0"]
    assert search(server, numbers[0], experiment_ids=numbers) == ["of 1", "of 0"]
