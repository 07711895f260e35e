"""Metrics: what is stored, which point is the latest, and reading histories."""

import json
import math
import time
from dataclasses import dataclass
from typing import Any

import pytest
from tests.api.protocol import (
    AJAX,
    NO_RUN,
    accepted,
    history,
    latest,
    offset_token,
    point,
    refused,
)
from tests.fixtures.databases import Databases
from tests.fixtures.server import Answered, Server

LARGEST = 1.7976931348623157e308
Logged = tuple[float | str, int, int]
"""Value, timestamp, step."""


def log(server: Server, run: str, *points: Logged, key: str = "m") -> None:
    for value, timestamp, step in points:
        message = {"run_id": run, **point(key, value, timestamp=timestamp, step=step)}
        assert accepted(server.post("runs/log-metric", message)) == {}


def log_batch(server: Server, run: str, *points: Logged, key: str = "m") -> None:
    metrics = [point(key, value, timestamp=at, step=step) for value, at, step in points]
    for start in range(0, len(metrics), 1_000):
        message = {"run_id": run, "metrics": metrics[start : start + 1_000]}
        accepted(server.post("runs/log-batch", message))


# Values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (0, 0.0),
        (1, 1.0),
        (-0.1, -0.1),
        ("1.25", 1.25),
        ("1e5", 1e5),
        (5e-324, 5e-324),
        (10**30, 1e30),
        (LARGEST, LARGEST),
        ("NaN", "NaN"),
        ("Infinity", LARGEST),
        ("-Infinity", -LARGEST),
        (math.nan, "NaN"),
        (math.inf, LARGEST),
        (-math.inf, -LARGEST),
    ],
    ids=str,
)
def test_a_value_is_read_as_upstream_s_clients_expect(
    server: Server, run: str, given: float | str, read: float | str
):
    """The last three are bare literals, which upstream stores as 0."""
    log(server, run, (given, 7, 3))
    assert history(server, run, "m") == [(read, 7, 3)]
    assert latest(server, run) == {"m": (read, 7, 3)}


def test_minus_zero_is_zero(server: Server, run: str):
    log(server, run, (-0.0, 1, 0), (0.0, 1, 0))
    assert history(server, run, "m") == [(0.0, 1, 0)]
    assert math.copysign(1, latest(server, run)["m"][0]) == 1


@pytest.mark.parametrize("value", ["abc", "", True, [1], {}, " 1", "0x10", "1_0"])
def test_what_is_no_number_is_no_value(server: Server, run: str, value: Any):
    refused(server.post("runs/log-metric", {"run_id": run, **point("m", value)}))
    assert latest(server, run) == {}


@pytest.mark.parametrize("absent", ["key", "value", "timestamp"])
def test_a_point_is_whole(server: Server, run: str, absent: str):
    fields = {name: value for name, value in point("m", 1).items() if name != absent}
    message = refused(server.post("runs/log-metric", {"run_id": run, **fields}))
    assert message.startswith(f"Missing value for required parameter '{absent}'.")


def test_a_point_without_a_step_is_at_0(server: Server, run: str):
    accepted(
        server.post("runs/log-metric", {"run_id": run, "key": "m", "value": 1, "timestamp": 5})
    )
    batch = {"run_id": run, "metrics": [{"key": "b", "value": 1, "timestamp": 5}]}
    accepted(server.post("runs/log-batch", batch))
    assert latest(server, run) == {"m": (1.0, 5, 0), "b": (1.0, 5, 0)}


@pytest.mark.parametrize("step", [0, -7, 2**63 - 1, -(2**63)])
def test_a_step_is_any_64_bit_integer(server: Server, run: str, step: int):
    log(server, run, (1, 0, step))
    assert history(server, run, "m") == [(1.0, 0, step)]


@pytest.mark.parametrize(
    "fields",
    [{"step": 2**63}, {"step": 1.5}, {"step": True}, {"timestamp": 2**63}, {"timestamp": "x"}],
)
def test_what_is_no_64_bit_integer_is_no_step_and_no_time(
    server: Server, run: str, fields: dict[str, Any]
):
    refused(server.post("runs/log-metric", {"run_id": run, **point("m", 1), **fields}))


def test_a_time_before_1970_is_refused(server: Server, run: str):
    message = {"run_id": run, **point("m", 1, timestamp=-1)}
    assert refused(server.post("runs/log-metric", message)).startswith(
        "Invalid value -1 for parameter 'timestamp' supplied: metric 'm' (value=1.0)."
    )


# The latest point --------------------------------------------------------------------------------

LATEST: list[tuple[list[Logged], Logged]] = [
    ([(1, 100, 5), (9, 200, 4)], (1.0, 100, 5)),
    ([(1, 1, -5), (2, 2, -6)], (1.0, 1, -5)),
    ([(1, 10, 1), (2, 9, 1), (3, 11, 1)], (3.0, 11, 1)),
    ([(1, 10, 1), (2, 10, 1), (1.5, 10, 1)], (2.0, 10, 1)),
    ([(2, 10, 1), ("NaN", 10, 1)], (2.0, 10, 1)),
    ([("NaN", 10, 1), (2, 10, 1)], (2.0, 10, 1)),
    ([(-2, 10, 1), ("NaN", 10, 1)], ("NaN", 10, 1)),
    ([("NaN", 10, 1), (-2, 10, 1)], ("NaN", 10, 1)),
    ([("NaN", 10, 1), (0, 10, 1)], ("NaN", 10, 1)),
    ([(0, 10, 1), ("NaN", 10, 1)], (0.0, 10, 1)),
    ([(1, 10, 1), ("NaN", 10, 2)], ("NaN", 10, 2)),
    ([("Infinity", 1, 0), ("-Infinity", 2, 0)], (-LARGEST, 2, 0)),
]


@pytest.mark.parametrize(("points", "expected"), LATEST, ids=str)
def test_the_latest_has_the_greatest_step_then_time_then_value(
    server: Server, run: str, points: list[Logged], expected: Logged
):
    """A NaN counts as 0, and of equals the first stays; one by one or in one batch."""
    log(server, run, *points, key="single")
    log_batch(server, run, *points, key="batch")
    assert latest(server, run) == {"single": expected, "batch": expected}


def test_an_older_step_never_becomes_the_latest_and_is_kept(server: Server, run: str):
    log(server, run, (1, 5, 10), (2, 6, 9))
    assert latest(server, run) == {"m": (1.0, 5, 10)}
    assert history(server, run, "m") == [(1.0, 5, 10), (2.0, 6, 9)]


# Histories ---------------------------------------------------------------------------------------


def numbered(count: int) -> list[Logged]:
    """Several points for each step, times that run backwards within it, some NaN."""
    return [(n if n % 7 else "NaN", 1_000 + n // 3 - n % 2, n // 2) for n in range(count)]


def in_order(points: list[Logged]) -> list[Logged]:
    """As histories come: by time, step, value, NaN as 0."""
    return sorted(points, key=lambda each: (each[1], each[2], number(each), each[0] == "NaN"))


def by_step(points: list[Logged]) -> list[Logged]:
    """As samples come: by step, time, value, NaN as 0 and last."""
    return sorted(points, key=lambda each: (each[2], each[1], number(each), each[0] == "NaN"))


def number(each: Logged) -> float:
    return 0.0 if each[0] == "NaN" else float(each[0])


@dataclass(frozen=True)
class Series:
    server: Server
    run: str
    points: list[Logged]


@pytest.fixture(params=["as logged", "compacted"])
def series(
    request: pytest.FixtureRequest, databases: Databases, server: Server, run: str
) -> Series:
    """One metric whose points still lie in the log, or in chunks: no reader may see which."""
    points = numbered(2_500)
    log_batch(server, run, *points)
    if request.param == "compacted":
        accepted(server.post("runs/update", {"run_id": run, "status": "FINISHED"}))
        wait_until_compacted(databases, server, run)
        log_batch(server, run, *points[:10])
    return Series(server, run, points)


def wait_until_compacted(databases: Databases, server: Server, run: str) -> None:
    """The end of a run starts its compaction, which empties its log."""
    of_run = f"WHERE {databases.dialect.hex('run_id')} = '{run}'"
    for _ in range(500):
        ((rows, chunks),) = databases.execute(
            f"SELECT (SELECT count(*) FROM metric_log {of_run}), "
            f"(SELECT count(*) FROM metric_chunks {of_run})",
            server.database,
        )
        if rows == "0" and chunks != "0":
            return
        time.sleep(0.01)
    raise AssertionError("The run was not compacted.")


def test_a_history_comes_whole_and_in_order(series: Series):
    assert history(series.server, series.run, "m") == in_order(series.points)


@pytest.mark.parametrize("size", [1, 999, 2_499, 2_500, 2_501, 25_000])
def test_pages_make_the_same_history(series: Series, size: int):
    expected = in_order(series.points)
    wanted = expected if size > 1 else expected[:3]
    found: list[Logged] = []
    token: str | None = ""
    while token is not None and len(found) < len(wanted):
        query: dict[str, Any] = {
            "run_id": series.run,
            "metric_key": "m",
            "max_results": size,
            "page_token": token,
        }
        answer = accepted(series.server.get("metrics/get-history", **query))
        page = [(each["value"], each["timestamp"], each["step"]) for each in answer["metrics"]]
        assert len(page) == min(size, len(expected) - len(found))
        found += page
        token = answer.get("next_page_token")
        assert (token is None) == (len(found) == len(expected))
    assert found == wanted


def test_offsets_as_upstream_counts_them(series: Series):
    expected = in_order(series.points)
    for offset in (1, 1_234, 2_499):
        token = offset_token(offset)
        found = history(series.server, series.run, "m", max_results=5, page_token=token)
        assert found == expected[offset : offset + 5]
        assert history(series.server, series.run, "m", page_token=token) == expected[offset:]
    assert history(series.server, series.run, "m", page_token=offset_token(2_500)) == []


def test_a_point_logged_again_is_there_once(series: Series):
    log_batch(series.server, series.run, *series.points[1_000:2_000])
    log(series.server, series.run, series.points[0], series.points[7])
    assert history(series.server, series.run, "m") == in_order(series.points)


def test_other_values_at_one_place_are_other_points(server: Server, run: str):
    points: list[Logged] = [(1, 5, 5), (2, 5, 5), ("NaN", 5, 5), (-1, 5, 5), (0, 5, 5)]
    log(server, run, *points)
    assert history(server, run, "m") == [(-1, 5, 5), (0, 5, 5), ("NaN", 5, 5), (1, 5, 5), (2, 5, 5)]


def test_no_points_no_list(server: Server, run: str):
    log(server, run, (1, 1, 0))
    for fields in ({"metric_key": "never logged"}, {"run_id": NO_RUN}, {"run_id": "nobody"}):
        query = {"run_id": run, "metric_key": "m", **fields}
        assert accepted(server.get("metrics/get-history", **query)) == {}
        interval = {"run_ids": query["run_id"], "metric_key": query["metric_key"]}
        assert accepted(server.get("metrics/get-history-bulk-interval", **interval)) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_results": 0},
        {"max_results": -1},
        {"max_results": "x"},
        {"page_token": "xx"},
        {"page_token": offset_token(0)},
        {"metric_key": ""},
        {"run_id": ""},
    ],
)
def test_a_wrong_question_for_a_history(server: Server, run: str, wrong: dict[str, Any]):
    query: dict[str, Any] = {"run_id": run, "metric_key": "m", **wrong}
    refused(server.get("metrics/get-history", **query))


def test_a_history_is_read_by_run_uuid_and_after_deletion(server: Server, run: str):
    log(server, run, (1, 1, 0))
    server.post("runs/delete", {"run_id": run})
    answer = accepted(server.get("metrics/get-history", run_uuid=run, metric_key="m"))
    assert answer == {"metrics": [{"key": "m", "value": 1.0, "timestamp": 1, "step": 0}]}


# Several runs ------------------------------------------------------------------------------------


def bulk(server: Server, **query: Any) -> Answered:
    return server.get("metrics/get-history-bulk", prefix=AJAX, **query)


def interval(server: Server, **query: Any) -> list[tuple[str, Logged]]:
    answer = accepted(server.get("metrics/get-history-bulk-interval", **query))
    return with_run(answer)


def with_run(answer: Any) -> list[tuple[str, Logged]]:
    return [
        (each["run_id"], (each["value"], each["timestamp"], each["step"]))
        for each in answer.get("metrics", [])
    ]


def test_a_bulk_history_lists_run_after_run(series: Series, experiment: str):
    server = series.server
    other = server.create_run(experiment)
    log(server, other, (5, 1, 0), ("NaN", 2, 0))
    answer = accepted(bulk(server, run_id=[other, series.run, other, NO_RUN], metric_key="m"))
    expected = [
        *((series.run, each) for each in in_order(series.points)),
        (other, (5.0, 1, 0)),
        (other, ("NaN", 2, 0)),
    ]
    assert with_run(answer) == sorted(expected, key=lambda each: each[0])
    assert answer["metrics"][0].keys() == {"key", "value", "timestamp", "step", "run_id"}


def test_a_bulk_history_is_cut_over_all_runs(server: Server, experiment: str):
    runs = sorted(server.create_run(experiment) for _ in range(3))
    for run in runs:
        log(server, run, (1, 1, 0), (2, 2, 0))
    found = with_run(accepted(bulk(server, run_id=runs, metric_key="m", max_results=3)))
    assert [run for run, _ in found] == [runs[0], runs[0], runs[1]]
    everything = with_run(accepted(bulk(server, run_id=runs, metric_key="m", max_results=26_000)))
    assert len(everything) == 6


def test_a_bulk_history_with_nan_is_json_that_anybody_reads(server: Server, run: str):
    log(server, run, ("NaN", 1, 0))
    answer = bulk(server, run_id=run, metric_key="m")

    def refuse(literal: str) -> None:
        raise AssertionError(f"{literal} is no JSON")

    point_ = json.loads(answer.body, parse_constant=refuse)["metrics"][0]
    assert point_ == {"key": "m", "value": "NaN", "timestamp": 1, "step": 0, "run_id": run}


def test_a_bulk_history_of_nothing_is_an_empty_list(server: Server, run: str):
    for query in ({"run_id": run, "metric_key": "m"}, {"run_id": "nobody", "metric_key": "m"}):
        assert accepted(bulk(server, **query)) == {"metrics": []}


@pytest.mark.parametrize(
    "wrong", [{"run_id": []}, {"metric_key": ""}, {"max_results": "x"}, {"run_id": [NO_RUN] * 101}]
)
def test_a_wrong_question_for_a_bulk_history(server: Server, wrong: dict[str, Any]):
    accepted(bulk(server, run_id=[NO_RUN] * 100, metric_key="m"))
    refused(bulk(server, **{"run_id": [NO_RUN], "metric_key": "m", **wrong}))


def sample(points: list[Logged], count: int) -> list[Logged]:
    """Upstream's rule: the first of each of `count` equal buckets, and the last point always."""
    if len(points) <= count:
        return points
    size, larger = divmod(len(points), count)
    starts = [n * size + min(n, larger) for n in range(count)]
    chosen = [points[start] for start in starts]
    if starts[-1] != len(points) - 1:
        chosen[-1] = points[-1]
    return chosen


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100, 2_499, 2_500])
@pytest.mark.parametrize("prefix", ["/api/2.0/mlflow/", AJAX])
def test_a_sample_of_a_series(series: Series, count: int, prefix: str):
    query: dict[str, Any] = {"run_ids": series.run, "metric_key": "m", "max_results": count}
    found = interval(series.server, prefix=prefix, **query)
    assert found == [(series.run, each) for each in sample(by_step(series.points), count)]


def test_a_sample_between_two_steps(series: Series):
    query: dict[str, Any] = {"run_ids": series.run, "metric_key": "m"}
    within = [each for each in by_step(series.points) if 10 <= each[2] <= 50]
    found = interval(series.server, start_step=10, end_step=50, **query)
    assert [each for _, each in found] == within
    found = interval(series.server, start_step=10, end_step=50, max_results=5, **query)
    assert [each for _, each in found] == sample(within, 5)
    assert interval(series.server, start_step=9_000, end_step=9_001, **query) == []


def test_samples_come_in_the_order_of_the_runs_asked_for(server: Server, experiment: str):
    runs = [server.create_run(experiment) for _ in range(3)]
    for run in runs:
        log(server, run, (1, 1, 0))
    for order in (runs, runs[::-1]):
        asked = [*order, NO_RUN, "nobody"]
        assert [run for run, _ in interval(server, run_ids=asked, metric_key="m")] == order


@pytest.mark.parametrize(
    "wrong",
    [
        {"run_ids": []},
        {"run_ids": [NO_RUN] * 101},
        {"metric_key": ""},
        {"max_results": 0},
        {"max_results": 2_501},
        {"max_results": "x"},
        {"start_step": 1},
        {"end_step": 1},
        {"start_step": 2, "end_step": 1},
    ],
)
def test_a_wrong_question_for_samples(server: Server, wrong: dict[str, Any]):
    query: dict[str, Any] = {"run_ids": [NO_RUN] * 100, "metric_key": "m", "max_results": 2_500}
    accepted(server.get("metrics/get-history-bulk-interval", **query))
    refused(server.get("metrics/get-history-bulk-interval", **{**query, **wrong}))


def test_a_history_longer_than_one_part_is_streamed_whole(server: Server, run: str):
    points: list[Logged] = [(n, n, n) for n in range(25_001)]
    log_batch(server, run, *points)
    assert history(server, run, "m") == points
    assert history(server, run, "m", max_results=25_001) == points
    paged = accepted(
        server.get("metrics/get-history", run_id=run, metric_key="m", max_results=25_000)
    )
    assert len(paged["metrics"]) == 25_000
    rest = history(server, run, "m", max_results=25_000, page_token=paged["next_page_token"])
    assert rest == points[25_000:]
