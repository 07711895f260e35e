"""Filters, orders, tokens and pages that are made to cost."""

import base64
import json
import time
from typing import Any
from urllib.parse import quote

import pytest
from tests.fixtures.server import Answered
from tests.hostile.target import Target

ANSWER_S_MAX = 3
ODD: list[Any] = [
    None,
    True,
    0,
    1,
    2,
    3,
    -1,
    1.5,
    2**63,
    -(2**63) - 1,
    10**400,
    "x",
    "\x00",
    "\ud800",
    [],
    {},
    [None],
    [True],
    [0],
    [1.5],
    [2**63],
    [1e308],
    ["x"],
    ["\x00"],
    ["\ud800"],
    ["a" * 100_000],
    [[]],
    [{}],
    [1, 2],
]


@pytest.fixture(scope="module")
def experiment_id(target: Target) -> str:
    """300 runs whose tags and params are unkind to patterns, and a metric with a long history."""
    experiment_id = target.create_experiment("searched")
    for number in range(300):
        run_id = target.create_run(experiment_id, start_time=number)
        tags = [{"key": "text", "value": "a" * 8_000}, {"key": "n", "value": str(number % 7)}]
        metrics = [{"key": "m", "value": number % 5, "timestamp": number, "step": 1}]
        params = [{"key": "p", "value": "ab" * 3_000}]
        batch = {"run_id": run_id, "tags": tags, "metrics": metrics, "params": params}
        assert target.post("runs/log-batch", batch).status == 200
    return experiment_id


def search(target: Target, experiment_id: str, **fields: Any) -> Answered:
    """An answer in time, whatever it is; never a failure of the server."""
    began = time.monotonic()
    answer = target.post("runs/search", {"experiment_ids": [experiment_id], **fields})
    assert time.monotonic() - began < ANSWER_S_MAX, fields.keys()
    assert answer.status in {200, 400}, answer.body
    if answer.status == 400:
        assert answer.error_code == "INVALID_PARAMETER_VALUE"
        assert len(answer.body) < 5_000, "An error repeats no more than it must."
    return answer


@pytest.mark.parametrize(
    "pattern",
    [
        "%a" * 40 + "%b",
        "%a" * 3_900 + "%b",
        "_" * 8_000,
        "%_" * 4_000,
        "%" * 8_000,
        "a" * 7_999 + "b",
        "(a+)+$",
        "\\%",
        "[a-z]*",
        "%'; DROP TABLE runs; --%".replace("'", ""),
    ],
)
@pytest.mark.parametrize("operator", ["LIKE", "ILIKE"])
@pytest.mark.parametrize("field", ["tags.text", "params.p", "attributes.run_name"])
def test_a_pattern_answers_in_time(
    field: str, operator: str, pattern: str, target: Target, experiment_id: str
):
    search(target, experiment_id, filter=f"{field} {operator} '{pattern}'", max_results=1)


def test_a_pattern_has_a_longest_length(target: Target, experiment_id: str):
    for length in (8_001, 60_000):
        found = search(target, experiment_id, filter=f"tags.text LIKE '{'%' * length}'")
        assert found.status == 400


@pytest.mark.parametrize(
    "text",
    [
        " AND ".join(["metrics.m > 0"] * 100),
        " AND ".join(["tags.n = '1'"] * 201),
        " OR ".join([f"params.p{n} = '1'" for n in range(200)]),
        " AND ".join(["metrics.m > 0"] * 10_000),
        "(" * 12 + "metrics.m > 0" + ")" * 12,
        "(" * 10_000 + "metrics.m > 0" + ")" * 10_000,
        "NOT " * 10_000 + "metrics.m > 0",
        "(" * 100_000,
        ")" * 100_000,
        "'" * 100_001,
        "`" * 99_999,
        '"' * 99_999,
        "\\" * 100_000,
        "a" * 262_144,
        "a" * 1_900_000,
        " " * 262_000,
        " " * 1_900_000,
        "." * 100_000,
        "=" * 100_000,
        "metrics.m > " + "9" * 100_000,
        "metrics.m > 1e" + "9" * 1_000,
        "metrics.m > -" + "-" * 10_000 + "1",
        "metrics.m > 0." + "0" * 100_000 + "1",
        "attributes.start_time > 9223372036854775808",
        "attributes.start_time > -9223372036854775809",
        "attributes.start_time > 1e400",
        "attributes.run_id IN (" + ",".join(["'x'"] * 5_000) + ")",
        "attributes.run_id IN (" + ",".join(["'x'"] * 20_000) + ")",
        "attributes.run_id IN ()",
        "tags.`" + "k" * 10_000 + "` = 'x'",
        "tags.text = '" + "a" * 200_000 + "'",
        "metrics.m BETWEEN 5 AND",
        "metrics.m > 0 AND",
        "AND",
        "metrics.m > 0; DROP TABLE runs",
        "tags.n = '1' OR 1 = 1",
        "tags.n = '1' UNION SELECT * FROM runs",
        "tags.n = '1'--",
        "tags.n = '1' /* */",
        "metrics.m > 0 \u2028 AND metrics.m > 0",
        "métrique.m > 0",
        "tags.\U0001f600 = '1'",
        "\ufeffmetrics.m > 0",
        "metrics.m > ٣",
        "metrics.m \uff1e 0",
    ],
    ids=lambda text: text[:40] if text.isascii() else "unicode",
)
def test_a_filter_answers_in_time(text: str, target: Target, experiment_id: str):
    search(target, experiment_id, filter=text, max_results=1)
    answer = target.post("experiments/search", {"max_results": 1, "filter": text})
    assert answer.status in {200, 400}, answer.body


def test_a_filter_that_fails_left_everything_where_it_was(target: Target, experiment_id: str):
    found = search(target, experiment_id, max_results=1_000)
    assert len(found.json["runs"]) == 300


@pytest.mark.parametrize(
    "order_by",
    [
        ["metrics.m"] * 2,
        ["metrics.m"] * 10_000,
        [f"metrics.m{number}" for number in range(10)],
        [f"metrics.m{number}" for number in range(11)],
        [f"tags.t{number} DESC" for number in range(100_000)],
        ["metrics.m " * 100_000],
        ["metrics.m, metrics.n"],
        ["metrics.m DESC; DROP TABLE runs"],
        ["1"],
        [""],
        ["random()"],
        ["metrics.`" + "k" * 2_000 + "`"],
        ["(" * 100_000],
        ["\u2028"],
    ],
    ids=lambda order: f"{len(order)} {order[0][:30]}" if order[0].isascii() else "unicode",
)
def test_an_order_answers_in_time(order_by: list[str], target: Target, experiment_id: str):
    search(target, experiment_id, order_by=order_by, max_results=1)
    answer = target.post("experiments/search", {"max_results": 1, "order_by": order_by})
    assert answer.status in {200, 400}, answer.body


@pytest.mark.parametrize("max_results", [0, -1, 50_001, 2**31 - 1, -(2**31)])
def test_a_page_has_a_size(max_results: int, target: Target, experiment_id: str):
    assert search(target, experiment_id, max_results=max_results).status == 400
    answer = target.get("experiments/search", max_results=max_results)
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE")


def test_the_largest_page_is_served(target: Target, experiment_id: str):
    assert len(search(target, experiment_id, max_results=50_000).json["runs"]) == 300
    assert target.get("experiments/search", max_results=50_000).status == 200


def test_ten_thousand_experiments_are_searched_in_time(target: Target, experiment_id: str):
    ids = [*map(str, range(1_000_000, 1_010_000)), experiment_id]
    assert len(search(target, experiment_id, experiment_ids=ids, max_results=2).json["runs"]) == 2
    too_many = ["1"] * 50_001
    assert search(target, experiment_id, experiment_ids=too_many).status == 400


@pytest.mark.parametrize(
    "given", ["x", "", "-1", "1.5", "9" * 18, "9" * 19, "9" * 5_000, "٣", "1 "]
)
def test_an_experiments_id_is_a_number(given: str, target: Target):
    answer = target.get("experiments/get", experiment_id=given)
    assert answer.status == (404 if given in {"-1", "9" * 18} else 400), answer.body


def tokens_of(document: dict[str, Any]) -> list[str]:
    """The token with each of its places, and each pair of them, replaced by what is odd."""
    kept: list[Any] = document["k"]
    changed: list[dict[str, Any]] = [{**document, "k": value} for value in ODD]
    for index in range(len(kept)):
        before, behind = kept[:index], kept[index + 1 :]
        changed += [{**document, "k": [*before, value, *behind]} for value in ODD]
    changed += [{**document, "k": [value] * len(kept)} for value in ODD]
    changed += [{"offset": value} for value in ODD]
    changed += [{**document, "q": value} for value in ODD]
    return [base64.b64encode(json.dumps(each).encode()).decode() for each in changed]


def decoded(token: str) -> dict[str, Any]:
    return json.loads(base64.b64decode(token.replace("-", "+").replace("_", "/") + "=="))


@pytest.mark.parametrize(
    "order_by",
    [[], ["metrics.m"], ["params.p DESC"], ["tags.n"], ["attributes.end_time"], ["metrics.absent"]],
    ids=str,
)
def test_a_forged_token_of_a_run_search_breaks_nothing(
    order_by: list[str], target: Target, experiment_id: str
):
    first = search(target, experiment_id, order_by=order_by, max_results=2)
    for token in tokens_of(decoded(first.json["next_page_token"])):
        search(target, experiment_id, order_by=order_by, max_results=2, page_token=token)


@pytest.mark.parametrize("order_by", [[], ["name"], ["last_update_time DESC"]], ids=str)
def test_a_forged_token_of_an_experiment_search_breaks_nothing(
    order_by: list[str], target: Target, experiment_id: str
):
    target.create_experiment(f"one more for {order_by}")
    message = {"max_results": 1, "order_by": order_by}
    first = target.post("experiments/search", message)
    for token in tokens_of(decoded(first.json["next_page_token"])):
        answer = target.post("experiments/search", {**message, "page_token": token})
        assert answer.status in {200, 400}, (decoded(token), answer.body)


def test_a_forged_token_of_a_history_breaks_nothing(target: Target):
    run_id = target.create_run()
    points = [{"key": "m", "value": n, "timestamp": n, "step": n} for n in range(5)]
    assert target.post("runs/log-batch", {"run_id": run_id, "metrics": points}).status == 200
    path = f"metrics/get-history?run_id={run_id}&metric_key=m&max_results=2"
    first = target.get(path)
    for token in tokens_of(decoded(first.json["next_page_token"])):
        answer = target.get(f"{path}&page_token={quote(token, safe='')}")
        assert answer.status in {200, 400}, (decoded(token), answer.body)


@pytest.mark.parametrize(
    "token",
    ["x", "=", "%", "e30=", "W10=", "bnVsbA==", "MQ==", "InRleHQi", "A" * 1_000_000, "é", "a b"],
    ids=lambda token: token[:10],
)
def test_what_is_no_token_is_refused(token: str, target: Target, experiment_id: str):
    assert search(target, experiment_id, page_token=token).status == 400


def test_a_token_with_deep_json_is_refused(target: Target, experiment_id: str):
    deep = base64.b64encode(b'{"q":' + b"[" * 50_000).decode()
    assert search(target, experiment_id, page_token=deep).status == 400


def test_histories_of_many_runs_have_a_limit(target: Target):
    query = "&".join(["run_ids=" + "0" * 32] * 101)
    path = f"/api/2.0/mlflow/metrics/get-history-bulk-interval?metric_key=m&{query}"
    assert target.request("GET", path).status == 400
