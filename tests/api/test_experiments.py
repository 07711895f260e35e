"""Experiments: creation, names, lifecycle, tags, search, datasets."""

from typing import Any

import pytest
from tests.api.protocol import (
    AJAX,
    accepted,
    not_found,
    offset_token,
    refused,
    unique,
    values,
)
from tests.fixtures.server import Answered, Server


def get(server: Server, experiment: str) -> dict[str, Any]:
    return accepted(server.get("experiments/get", experiment_id=experiment))["experiment"]


def create(server: Server, name: str, **fields: object) -> Answered:
    return server.post("experiments/create", {"name": name, **fields})


def search(server: Server, **fields: object) -> list[str]:
    answer = accepted(server.post("experiments/search", {"max_results": 1000, **fields}))
    return [each["name"] for each in answer.get("experiments", [])]


def test_experiment_0_is_there_from_the_start(server: Server):
    found = get(server, "0")
    assert found["name"] == "Default"
    assert found["artifact_location"] == "mlflow-artifacts:/0"


def test_a_new_experiment_is_found_by_id_and_by_name(server: Server):
    name = unique("new")
    tags = [{"key": "team", "value": "a"}, {"key": "bare"}]
    number = accepted(create(server, name, tags=tags))["experiment_id"]
    found = get(server, number)
    created, updated = found.pop("creation_time"), found.pop("last_update_time")
    assert isinstance(created, int)
    assert created == updated
    assert sorted(found.pop("tags"), key=str) == [
        {"key": "bare", "value": ""},
        {"key": "team", "value": "a"},
    ]
    assert found == {
        "experiment_id": number,
        "name": name,
        "artifact_location": f"mlflow-artifacts:/{number}",
        "lifecycle_stage": "active",
        "workspace": "default",
    }
    by_name = server.get("experiments/get-by-name", experiment_name=name)
    assert by_name.json["experiment"]["experiment_id"] == number


def test_ids_grow(server: Server):
    first, second = (server.create_experiment(unique("growing")) for _ in range(2))
    assert int(second) > int(first)


@pytest.mark.parametrize(
    "name", ["a/b", "a@b", "#", "naïve – 実験 😀", "'; DROP TABLE runs; --", "%_"]
)
def test_a_name_may_hold_any_characters(server: Server, name: str):
    name = unique(name)
    number = server.create_experiment(name)
    found = server.get("experiments/get-by-name", experiment_name=name)
    assert found.json["experiment"]["experiment_id"] == number


def test_a_name_has_500_characters_at_most(server: Server):
    longest = unique("n").ljust(500, "x")
    accepted(create(server, longest))
    assert "500" in refused(create(server, longest + "x"))


@pytest.mark.parametrize("message", [{}, {"name": ""}, {"name": None}])
def test_a_name_must_be_given(server: Server, message: dict[str, object]):
    assert "'name'" in refused(server.post("experiments/create", message))


def test_a_name_is_taken_as_long_as_its_experiment_exists_even_deleted(server: Server):
    name = unique("taken")
    number = server.create_experiment(name)
    refused(create(server, name), 400, "RESOURCE_ALREADY_EXISTS")
    accepted(server.post("experiments/delete", {"experiment_id": number}))
    refused(create(server, name), 400, "RESOURCE_ALREADY_EXISTS")


def test_a_refused_creation_leaves_nothing_behind(server: Server):
    name = unique("half")
    refused(create(server, name, tags=[{"key": "good", "value": "1"}, {"key": "a/../b"}]))
    not_found(server.get("experiments/get-by-name", experiment_name=name))


@pytest.mark.parametrize(
    "location",
    [
        "s3://bucket/x",
        "gs://bucket/x",
        "/srv/mlruns",
        "file:///srv/x",
        "mlflow-artifacts:/some/where",
    ],
)
def test_a_location_is_kept_as_given_and_runs_lie_below_it(server: Server, location: str):
    number = accepted(create(server, unique("place"), artifact_location=location))["experiment_id"]
    assert get(server, number)["artifact_location"] == location
    run = server.create_run(number)
    assert server.get_run(run)["info"]["artifact_uri"] == f"{location}/{run}/artifacts"


def test_the_query_of_a_location_stays_at_the_end_of_a_run_s_uri(server: Server):
    answer = create(server, unique("query"), artifact_location="s3://bucket/x?endpoint=a")
    run = server.create_run(answer.json["experiment_id"])
    uri = server.get_run(run)["info"]["artifact_uri"]
    assert uri == f"s3://bucket/x/{run}/artifacts?endpoint=a"


@pytest.mark.parametrize(
    "location",
    [
        "runs:/abc/x",
        "http://attacker/x",
        "ftp://attacker/x",
        "hdfs://attacker/x",
        "abfss://container@attacker/x",
        "mlflow-artifacts://attacker:1/x",
        "s3://bucket/x#fragment",
        "s3://bucket/x?k=../v",
        "s3://bucket/" + "x" * 2037,
    ],
)
def test_a_location_that_leads_astray_is_refused(server: Server, location: str):
    refused(create(server, unique("astray"), artifact_location=location))


def test_a_location_of_2048_characters_is_the_longest(server: Server):
    accepted(create(server, unique("long"), artifact_location="s3://bucket/".ljust(2048, "x")))


@pytest.mark.parametrize("number", ["999999", "-1"])
def test_an_experiment_that_is_not_there(server: Server, number: str):
    assert not_found(server.get("experiments/get", experiment_id=number)) == (
        f"No Experiment with id={number} exists"
    )
    for path in ("delete", "restore"):
        not_found(server.post(f"experiments/{path}", {"experiment_id": number}))
    not_found(server.post("experiments/update", {"experiment_id": number, "new_name": "x"}))
    tag = {"experiment_id": number, "key": "a", "value": "1"}
    not_found(server.post("experiments/set-experiment-tag", tag))
    not_found(server.post("experiments/delete-experiment-tag", tag))


@pytest.mark.parametrize("number", ["abc", "1e3", "1.0", "9" * 30])
def test_an_id_that_is_no_integer(server: Server, number: str):
    assert "must be a valid integer" in refused(server.get("experiments/get", experiment_id=number))
    refused(server.post("experiments/delete", {"experiment_id": number}))
    refused(server.post("runs/create", {"experiment_id": number}))
    refused(server.post("runs/search", {"experiment_ids": [number]}))


def test_a_name_that_is_not_there(server: Server):
    answer = server.get("experiments/get-by-name", experiment_name="nobody's")
    assert not_found(answer) == "Could not find experiment with name 'nobody's'"


# Lifecycle --------------------------------------------------------------------------------------


def test_renaming(server: Server, experiment: str):
    name = unique("renamed")
    assert (
        accepted(server.post("experiments/update", {"experiment_id": experiment, "new_name": name}))
        == {}
    )
    found = get(server, experiment)
    assert found["name"] == name
    assert found["last_update_time"] >= found["creation_time"]


def test_renaming_to_its_own_name_is_no_error(server: Server, experiment: str):
    message = {"experiment_id": experiment, "new_name": get(server, experiment)["name"]}
    assert accepted(server.post("experiments/update", message)) == {}


def test_renaming_to_a_taken_name(server: Server, experiment: str):
    before = get(server, experiment)
    message = {"experiment_id": experiment, "new_name": "Default"}
    refused(server.post("experiments/update", message), 400, "RESOURCE_ALREADY_EXISTS")
    assert get(server, experiment) == before


def test_renaming_a_deleted_experiment_is_a_400_that_no_client_retries(
    server: Server, experiment: str
):
    server.post("experiments/delete", {"experiment_id": experiment})
    message = {"experiment_id": experiment, "new_name": unique("x")}
    refused(server.post("experiments/update", message), 400, "INVALID_STATE")


def test_deleting_and_restoring_take_all_runs_along(server: Server, experiment: str):
    kept, deleted_before = server.create_run(experiment), server.create_run(experiment)
    server.post("runs/delete", {"run_id": deleted_before})
    assert accepted(server.post("experiments/delete", {"experiment_id": experiment})) == {}
    assert get(server, experiment)["lifecycle_stage"] == "deleted"
    for run in (kept, deleted_before):
        assert server.get_run(run)["info"]["lifecycle_stage"] == "deleted"
    assert accepted(server.post("experiments/restore", {"experiment_id": experiment})) == {}
    assert get(server, experiment)["lifecycle_stage"] == "active"
    for run in (kept, deleted_before):
        assert server.get_run(run)["info"]["lifecycle_stage"] == "active"


def test_deleting_twice_and_restoring_twice_find_no_such_experiment(
    server: Server, experiment: str
):
    not_found(server.post("experiments/restore", {"experiment_id": experiment}))
    accepted(server.post("experiments/delete", {"experiment_id": experiment}))
    not_found(server.post("experiments/delete", {"experiment_id": experiment}))
    accepted(server.post("experiments/restore", {"experiment_id": experiment}))
    not_found(server.post("experiments/restore", {"experiment_id": experiment}))


def test_a_deleted_experiment_is_read_but_not_written(server: Server, experiment: str):
    name = str(get(server, experiment)["name"])
    accepted(server.post("experiments/delete", {"experiment_id": experiment}))
    by_name = accepted(server.get("experiments/get-by-name", experiment_name=name))
    assert by_name["experiment"]["lifecycle_stage"] == "deleted"
    tag = {"experiment_id": experiment, "key": "a", "value": "1"}
    for path, message in (
        ("experiments/set-experiment-tag", tag),
        ("experiments/delete-experiment-tag", tag),
        ("runs/create", {"experiment_id": experiment}),
    ):
        assert "must be in the 'active' state" in refused(server.post(path, message))


# Tags --------------------------------------------------------------------------------------------


def test_tags_are_set_overwritten_and_deleted(server: Server, experiment: str):
    def set_tag(value: str | None) -> dict[str, str]:
        message = {"experiment_id": experiment, "key": "stage", "value": value}
        accepted(server.post("experiments/set-experiment-tag", message))
        return values(get(server, experiment)["tags"])

    updated = get(server, experiment)["last_update_time"]
    assert set_tag("a") == {"stage": "a"}
    assert set_tag("b") == {"stage": "b"}
    assert set_tag(None) == {"stage": ""}
    message = {"experiment_id": experiment, "key": "stage"}
    assert accepted(server.post("experiments/delete-experiment-tag", message)) == {}
    assert "tags" not in get(server, experiment)
    not_found(server.post("experiments/delete-experiment-tag", message))
    assert get(server, experiment)["last_update_time"] == updated


def test_the_limits_of_a_tag(server: Server, experiment: str):
    def set_tag(key: str, value: str) -> Answered:
        message = {"experiment_id": experiment, "key": key, "value": value}
        return server.post("experiments/set-experiment-tag", message)

    accepted(set_tag("k" * 250, "v" * 20_000))
    refused(set_tag("k" * 251, "v"))
    refused(set_tag("k", "v" * 20_001))
    assert values(get(server, experiment)["tags"]) == {"k" * 250: "v" * 20_000}


# Search ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [None, 0, -1, 50_001])
def test_a_search_must_say_how_many(server: Server, limit: int | None):
    refused(server.post("experiments/search", {"max_results": limit}))


def test_50000_experiments_are_the_largest_page(server: Server):
    accepted(server.post("experiments/search", {"max_results": 50_000, "filter": "name = 'x'"}))


def test_nothing_found_is_an_empty_answer(server: Server):
    answer = server.post("experiments/search", {"max_results": 1, "filter": "name = 'nobody'"})
    assert accepted(answer) == {}


def test_searching_by_view_filter_and_order(server: Server):
    stem = unique("search")
    names = [f"{stem} {letter}" for letter in "abc"]
    numbers = [server.create_experiment(name) for name in names]
    server.post("experiments/delete", {"experiment_id": numbers[1]})
    mine = f"name LIKE '{stem}%'"
    by_name = ["name ASC"]
    assert search(server, filter=mine, order_by=by_name) == [names[0], names[2]]
    assert search(server, filter=mine, order_by=by_name, view_type="ALL") == names
    assert search(server, filter=mine, view_type="DELETED_ONLY") == [names[1]]
    assert search(server, filter=mine, view_type=2) == [names[1]]
    assert search(server, filter=mine, order_by=["experiment_id DESC"], view_type=3) == names[::-1]
    shouted = f"name ILIKE '{stem.upper()}%'"
    assert search(server, filter=shouted, order_by=by_name) == [names[0], names[2]]


def test_the_newest_experiment_comes_first_unless_asked_otherwise(server: Server):
    stem = unique("newest")
    names = [f"{stem} {number}" for number in range(3)]
    for name in names:
        server.create_experiment(name)
    found = search(server, filter=f"name LIKE '{stem}%'")
    assert sorted(found) == names
    times = [
        server.get("experiments/get-by-name", experiment_name=name).json["experiment"][
            "creation_time"
        ]
        for name in found
    ]
    assert times == sorted(times, reverse=True)


def test_search_works_with_get_too(server: Server):
    query: dict[str, Any] = {
        "max_results": 5,
        "order_by": ["name DESC", "experiment_id"],
        "view_type": "ALL",
    }
    by_get = accepted(server.get("experiments/search", **query))
    assert by_get == accepted(server.post("experiments/search", query))


def test_pages_follow_each_other_by_token_and_by_upstream_s_offset(server: Server):
    stem = unique("page")
    names = [f"{stem} {number}" for number in range(5)]
    for name in names:
        server.create_experiment(name)
    query = {"max_results": 2, "filter": f"name LIKE '{stem}%'", "order_by": ["name"]}
    found: list[str] = []
    token = ""
    while True:
        answer = accepted(server.post("experiments/search", {**query, "page_token": token}))
        found += [each["name"] for each in answer["experiments"]]
        if "next_page_token" not in answer:
            break
        token = answer["next_page_token"]
    assert found == names
    third = server.post("experiments/search", {**query, "page_token": offset_token(2)})
    assert [each["name"] for each in third.json["experiments"]] == names[2:4]


@pytest.mark.parametrize(
    "wrong",
    [
        {"filter": "bogus = 'x'"},
        {"filter": "name > "},
        {"filter": "name = 3"},
        {"order_by": ["bogus"]},
        {"page_token": "xxx"},
        {"page_token": offset_token(0)},
        {"view_type": "BOGUS"},
        {"view_type": 4},
    ],
)
def test_a_wrong_search_is_refused(server: Server, wrong: dict[str, object]):
    refused(server.post("experiments/search", {"max_results": 1, **wrong}))


# Datasets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["/api/2.0/mlflow/", AJAX])
def test_datasets_of_experiments_with_each_context_once(
    server: Server, experiment: str, prefix: str
):
    dataset = {"name": "d", "digest": "1", "source_type": "local", "source": "{}"}
    context = [{"key": "mlflow.data.context", "value": "train"}]
    for tags in (context, context, []):
        message = {
            "run_id": server.create_run(experiment),
            "datasets": [{"dataset": dataset, "tags": tags}],
        }
        accepted(server.post("runs/log-inputs", message))
    message = {"experiment_ids": [experiment]}
    found = accepted(server.post("experiments/search-datasets", message, prefix=prefix))
    summary = {"experiment_id": experiment, "name": "d", "digest": "1"}
    assert sorted(found["dataset_summaries"], key=len) == [summary, {**summary, "context": "train"}]


def test_datasets_of_1_to_20_experiments(server: Server):
    refused(server.post("experiments/search-datasets", {}))
    refused(server.post("experiments/search-datasets", {"experiment_ids": []}))
    many = [str(number) for number in range(900_000, 900_021)]
    refused(server.post("experiments/search-datasets", {"experiment_ids": many}))
    assert accepted(server.post("experiments/search-datasets", {"experiment_ids": many[1:]})) == {}
