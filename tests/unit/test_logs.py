import io
import json
import logging

import pytest

from riverrun.obs.logs import REQUEST_ID, Log, configure_logs, masked

log = Log("riverrun.test")


@pytest.fixture
def stream():
    yield io.StringIO()
    configure_logs("info", "json")


def test_json_is_one_object_a_line_with_the_events_fields(stream: io.StringIO):
    configure_logs("info", "json", stream=stream)
    log.info("migration applied", step=12, took_ms=3.4, path="a\nb\ud800")
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "event": "migration applied",
        "logger": "riverrun.test",
        "step": 12,
        "took_ms": 3.4,
        "path": "a\nb\ud800",
    }
    assert stream.getvalue().count("\n") == 1


def test_text_quotes_what_could_be_mistaken(stream: io.StringIO):
    configure_logs("info", "text", stream=stream)
    log.info(
        "run %s made\nx", run="abc", name='my "run"', empty="", path="a\nb", url="http://[::1]:1"
    )
    assert stream.getvalue().partition(" ")[2] == (
        'info    run %s made\\nx run=abc name="my \\"run\\"" empty="" path="a\\nb"'
        ' url="http://[::1]:1"\n'
    )


def test_auto_is_json_when_nobody_watches(stream: io.StringIO):
    configure_logs("info", "auto", stream=stream)
    log.info("x")
    assert json.loads(stream.getvalue())["event"] == "x"


def test_events_below_the_level_are_dropped(stream: io.StringIO):
    configure_logs("warning", "json", stream=stream)
    log.info("x")
    log.debug("x")
    assert stream.getvalue() == ""


def test_the_request_id_stands_in_every_line_of_its_request(stream: io.StringIO):
    configure_logs("debug", "json", stream=stream)
    token = REQUEST_ID.set("abc")
    log.debug("x")
    logging.getLogger("uvicorn.error").warning("Invalid %s", "request")
    REQUEST_ID.reset(token)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["request_id"] for line in lines] == ["abc", "abc"]
    assert lines[1]["event"] == "Invalid request"


def test_a_traceback_belongs_to_its_event(stream: io.StringIO):
    configure_logs("info", "json", stream=stream)
    log.error("request failed", error=ValueError("why"))
    line = json.loads(stream.getvalue())
    assert line["traceback"].endswith("ValueError: why")
    configure_logs("info", "text", stream=stream)
    log.error("request failed", error=ValueError("why"))
    assert stream.getvalue().endswith("request failed\nValueError: why\n")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://me:s3cret@db:5432/mlflow", "postgresql://me:***@db:5432/mlflow"),
        ("postgresql://me:p@ss/w:rd@db/mlflow", "postgresql://me:***@db/mlflow"),
        (
            "postgresql://me:x@/mlflow?host=/cloudsql/a:b:c",
            "postgresql://me:***@/mlflow?host=/cloudsql/a:b:c",
        ),
        ("mysql://h/d?user=me&password=s3cret&ssl=1", "mysql://h/d?user=me&password=***&ssl=1"),
        ("s3://b/x?X-Amz-Signature=abc&X-Amz-Date=1", "s3://b/x?X-Amz-Signature=***&X-Amz-Date=1"),
        ("wasbs://box@me.blob.core.windows.net/x", "wasbs://box@me.blob.core.windows.net/x"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("/data", "/data"),
        ("", ""),
    ],
)
def test_secrets_are_masked_in_uris(uri: str, shown: str):
    assert masked(uri) == shown
