"""Searches of logged models: filters, datasets, orders, pages."""

from typing import Any

import pytest
from tests.api.logged_models import (
    create,
    delete,
    finalize,
    found,
    log_batch,
    measured,
    read,
    search,
)
from tests.api.protocol import accepted, offset_token, refused, unique
from tests.fixtures.server import Server


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
