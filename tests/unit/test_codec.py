"""The reader of messages, without a server."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riverrun.errors import InvalidParameterValue
from riverrun.wire.codec import Reader, encode
from riverrun.wire.message import Empty
from riverrun.wire.messages.experiments import CreateExperiment, ViewType
from riverrun.wire.messages.metrics import GetMetricHistory, GetMetricHistoryBulk
from riverrun.wire.messages.runs import (
    LogBatch,
    LogMetric,
    MetricInput,
    RunStatus,
    SearchRuns,
    UpdateRun,
)

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
log_metric = Reader(LogMetric)
log_batch = Reader(LogBatch)
search_runs = Reader(SearchRuns)


def metric(**fields: Any) -> bytes:
    return json.dumps({"run_id": "r", "key": "k", "value": 1, "timestamp": 1, **fields}).encode()


def message(reader: Reader[Any], body: bytes) -> str:
    """What is wrong with a body."""
    with pytest.raises(InvalidParameterValue) as refusal:
        reader.body(body)
    return refusal.value.message


def spoiled(body: bytes) -> bytes:
    """The same message with an unknown field, which only the tolerant path reads."""
    return b'{"unknown":0,' + body.lstrip()[1:]


# Both paths read the same ------------------------------------------------------------------------


@given(
    step=INT64,
    timestamp=INT64,
    value=st.floats(allow_nan=False),
    key=TEXT.filter(bool),
    as_text=st.booleans(),
)
def test_the_fast_and_the_tolerant_path_agree(
    step: int, timestamp: int, value: float, key: str, *, as_text: bool
):
    number = str if as_text else int
    body = metric(key=key, value=value, step=number(step), timestamp=number(timestamp))
    expected = LogMetric(run_id="r", key=key, value=value, timestamp=timestamp, step=step)
    assert log_metric.body(body) == expected
    assert log_metric.body(spoiled(body)) == expected


@given(st.lists(st.tuples(TEXT.filter(bool), st.floats(), INT64), max_size=5))
def test_every_double_and_every_text_comes_through(points: list[tuple[str, float, int]]):
    """Python writes NaN and Infinity bare."""
    metrics = [
        {"key": key, "value": value, "timestamp": at, "step": at} for key, value, at in points
    ]
    body = json.dumps({"run_id": "r", "metrics": metrics}).encode()
    read = log_batch.body(body).metrics
    assert repr(read) == repr([MetricInput(key, value, at, at) for key, value, at in points])


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_in_json_may_be_quoted_or_bare(text: str):
    bare = metric().replace(b'"value": 1', f'"value": {text}'.encode())
    for body in (metric(value=text), bare, spoiled(bare)):
        assert repr(log_metric.body(body).value) == repr(float(text))


# Integers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "read"),
    [
        (5, 5),
        ("5", 5),
        (5.0, 5),
        (-0.0, 0),
        (2**63 - 1, 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
    ],
)
def test_an_integer(given_: float | str, read: int):
    for body in (metric(step=given_), spoiled(metric(step=given_))):
        assert log_metric.body(body).step == read


@pytest.mark.parametrize("given_", [1.5, "1.5", "x", "", True, False, 2**63, -(2**63) - 1, [], {}])
def test_no_integer(given_: Any):
    for body in (metric(step=given_), spoiled(metric(step=given_))):
        assert "'step'" in message(log_metric, body)


@pytest.mark.parametrize(("given_", "is_fine"), [(2**31 - 1, True), (2**31, False)])
def test_a_page_s_size_has_32_bits(given_: int, *, is_fine: bool):
    body = json.dumps({"max_results": given_}).encode()
    if is_fine:
        assert search_runs.body(body).max_results == given_
    else:
        assert "32 bits" in message(search_runs, body)


def test_a_number_beyond_a_double_is_refused():
    for digits in (b"1e400", b"1" + b"0" * 5_000):
        message(log_metric, metric().replace(b'"value": 1', b'"value": ' + digits))


# Enumerations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "status"), list(enumerate(RunStatus, start=1)))
def test_an_enumeration_by_name_and_number(number: int, status: RunStatus):
    reader = Reader(UpdateRun)
    for written in (status.value, number, str(number)):
        body = json.dumps({"run_id": "r", "status": written}).encode()
        assert reader.body(body).status is status


@pytest.mark.parametrize("given_", [0, 6, "0", "6", "finished", "BOGUS", "", True, 1.5, -1])
def test_no_member_of_an_enumeration(given_: Any):
    body = json.dumps({"run_id": "r", "status": given_}).encode()
    assert "'status'" in message(Reader(UpdateRun), body)


# Names -------------------------------------------------------------------------------------------


def test_camel_case_is_read_where_a_field_is_optional():
    body = b'{"experimentIds":["1"],"runViewType":3,"maxResults":"7","orderBy":[],"pageToken":"t"}'
    assert search_runs.body(body) == SearchRuns(
        experiment_ids=["1"],
        run_view_type=ViewType.ALL,
        max_results=7,
        order_by=[],
        page_token="t",
    )


def test_camel_case_is_read_inside_of_lists():
    body = b'{"run_id":"r","metrics":[{"key":"k","value":1,"timestamp":1,"modelId":"m"}]}'
    metrics = log_batch.body(body).metrics
    assert metrics is not None
    assert metrics[0].model_id == "m"


def test_two_spellings_of_one_field_are_refused():
    assert message(search_runs, b'{"maxResults":1,"max_results":1}') == (
        "Request specifies both 'max_results' and 'maxResults'; provide only one of them."
    )


@pytest.mark.parametrize("body", [b"{}", b"", b"null", b'{"name":""}', b'{"name":null}'])
def test_a_required_field_is_asked_for(body: bytes):
    assert message(Reader(CreateExperiment), body) == (
        "Missing value for required parameter 'name'. See the API docs for more information about "
        "request parameters."
    )


def test_zero_and_false_are_values():
    assert log_metric.body(metric(value=0, timestamp=0)).value == 0


def test_a_run_may_be_named_by_run_uuid():
    body = metric().replace(b"run_id", b"run_uuid")
    assert log_metric.body(body).run == "r"
    assert Reader(GetMetricHistory).query(b"run_uuid=u&metric_key=k").run == "u"


def test_a_field_inside_a_list_is_named_with_its_place():
    body = b'{"run_id":"r","metrics":[{"key":"a","value":1,"timestamp":1},{"key":"b","value":1}]}'
    assert message(log_batch, body).startswith(
        "Missing value for required parameter 'metrics[1].timestamp'."
    )
    body = b'{"run_id":"r","params":[{"key":"a","value":3}]}'
    assert message(log_batch, body).startswith(
        "Invalid value 3 for parameter 'params[0].value' supplied: expected a string. "
        "Hint: Value was of type 'int'."
    )


def test_a_long_value_is_not_repeated_whole():
    assert len(message(log_metric, metric(step="x" * 10_000))) < 600


# Bodies ------------------------------------------------------------------------------------------


def test_json_inside_a_json_string_is_opened_once():
    twice = json.dumps(metric().decode()).encode()
    assert log_metric.body(twice) == log_metric.body(metric())
    assert "expected a JSON object" in message(log_metric, json.dumps(twice.decode()).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"{bad",
        b"[]",
        b"3",
        b"true",
        b'"x"',
        b'{"run_id":"\xff"}',
        b"\xff\xfe{\x00}\x00",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"run_id":"r","key":' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"unknown":' + b"9" * 10_000 + b"}",
    ],
)
def test_what_is_no_object_is_refused(body: bytes):
    message(log_metric, body)


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(body: bytes):
    try:
        read = search_runs.body(body)
    except InvalidParameterValue:
        return
    assert isinstance(read, SearchRuns)


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "\udfffa"])
def test_text_that_no_database_stores(text: str):
    for fields in ({"key": text}, {"unknown": {"deep": [text]}}, {text: 1}):
        message(log_metric, metric(**fields))


def test_a_backslash_before_u0000_is_text():
    r"""`\\u0000` in JSON is a backslash and five characters."""
    assert log_metric.body(metric(key="a\\u0000b")).key == "a\\u0000b"


# Queries -----------------------------------------------------------------------------------------


def test_a_query():
    query = b"run_id=a&run_id=b%20c&metric_key=x%2By+z&max_results=5.0&unknown=1"
    assert Reader(GetMetricHistoryBulk).query(query) == GetMetricHistoryBulk(
        run_id=["a", "b c"], metric_key="x+y z", max_results=5
    )


def test_the_first_of_a_repeated_field_counts():
    read = Reader(GetMetricHistory).query(b"run_id=a&run_id=b&metric_key=k&metric_key=l")
    assert (read.run, read.metric_key) == ("a", "k")


def test_a_query_has_a_most_of_fields():
    most = b"&".join(b"run_id=r" for _ in range(1_999)) + b"&metric_key=k"
    read = Reader(GetMetricHistoryBulk).query(most)
    assert len(read.run_id or ()) == 1_999
    with pytest.raises(InvalidParameterValue):
        Reader(GetMetricHistoryBulk).query(most + b"&run_id=r")


@pytest.mark.parametrize(
    "query", [b"metric_key=%ff", b"metric_key=%00", b"metric_key=k&max_results=x"]
)
def test_a_query_that_cannot_be_read(query: bytes):
    with pytest.raises(InvalidParameterValue):
        Reader(GetMetricHistory).query(b"run_id=r&" + query)


def test_a_message_without_fields_takes_anything():
    assert Reader(Empty).query(b"a=1&b") == Empty()
    assert Reader(Empty).body(b'{"a":[1]}') == Empty()


# Answers -----------------------------------------------------------------------------------------


def test_an_answer_is_compact():
    assert encode({"a": [1, "é"], "b": ViewType.ALL}) == '{"a":[1,"é"],"b":"ALL"}'.encode()
