"""A file as an answer: headers that keep a browser from running it, conditions, ranges, and the way
to the bucket.
"""

from email.message import Message
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlencode

import pytest
from tests.api.files import CONTENT, PROXY, Files
from tests.api.protocol import accepted, unique
from tests.fixtures.clouds import cloud
from tests.fixtures.server import Answered

from riverrun.services.direct_transfers import TransferRules

SCRIPT = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(document.cookie)</script></svg>"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# What a browser does with it ---------------------------------------------------------------------


def links_to(files: Files, name: str) -> list[Answered]:
    """The file by every route that sends it."""
    server = files.server
    model = unique("m")
    accepted(server.post("registered-models/create", {"name": model}))
    source = f"mlflow-artifacts:/{files.root}"
    version = {"name": model, "source": source, "run_id": files.run}
    accepted(server.post("model-versions/create", version))
    of_version = urlencode({"name": model, "version": "1", "path": name})
    logged = {"experiment_id": files.experiment, "name": "m"}
    model_id = accepted(server.post("logged-models", logged))["model"]["info"]["model_id"]
    copy = f"{PROXY}/{files.experiment}/models/{model_id}/artifacts/{name}"
    assert server.request("PUT", copy, SCRIPT).status == 200
    of_model = urlencode({"artifact_file_path": name})
    page = "/ajax-api/2.0/mlflow/logged-models"
    return [
        files.read(name),
        files.get_artifact(run_id=files.run, path=name),
        server.request("GET", f"/model-versions/get-artifact?{of_version}"),
        server.request("GET", f"{page}/{model_id}/artifacts/files?{of_model}"),
    ]


@pytest.mark.parametrize("name", ["a.html", "a.svg", "a.xhtml", "a.xml", "a.htm", "a"])
def test_a_script_in_a_file_never_runs_under_our_name(files: Files, name: str):
    """Saved and not shown; shown in spite of that, it is in a sandbox without an origin."""
    files.put(name, SCRIPT)
    for answer in links_to(files, name):
        assert (answer.status, answer.body) == (200, SCRIPT)
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.txt", "text/plain"),
        ("a.html", "text/html"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "image/png"),
        ("a.json", "text/plain"),
        ("a.yaml", "text/plain"),
        ("MLmodel", "text/plain"),
        ("a.pkl", "application/octet-stream"),
        ("none", "application/octet-stream"),
    ],
)
def test_a_download_is_an_attachment_that_no_browser_runs(files: Files, name: str, media_type: str):
    files.put(name)
    for answer in (files.read(name), files.get_artifact(run_uuid=files.run, path=name)):
        assert answer.headers["content-type"].split(";")[0] == media_type
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    "name",
    [
        'say "hi".txt',
        "it's; filename=evil.html",
        "a,b=c&d.txt",
        "100%.txt",
        "%22.html",
        "r\u00e9sum\u00e9.txt",
        "\u5b9f\u9a13 \U0001f600.txt",
        "line\u2028break.txt",
    ],
)
def test_a_file_is_saved_under_its_own_name(files: Files, name: str):
    files.put(name)
    for answer in (files.read(name), files.get_artifact(run_id=files.run, path=name)):
        header = Message()
        header["content-disposition"] = answer.headers["content-disposition"]
        assert header.get_content_disposition() == "attachment"
        assert header.get_filename() == name


@pytest.mark.parametrize("name", ["a%0d%0aSet-Cookie:%20x.txt", "a%0ab", "a%00b", "a%c2%85b"])
def test_a_name_with_a_line_break_does_not_come_in(files: Files, name: str):
    assert files.call_raw("PUT", name, b"x").status == 400
    assert files.call_raw("GET", name).status == 400
    assert files.list() is None


# Conditions and ranges ---------------------------------------------------------------------------


def test_head_tells_what_get_would(files: Files):
    files.put("f")
    got, told = files.read("f"), files.call("HEAD", "f")
    assert (told.status, told.body) == (200, b"")
    for name in ("content-length", "content-type", "etag", "last-modified", "accept-ranges"):
        assert told.headers[name] == got.headers[name], name
    assert files.call("HEAD", "missing").status == 404


def test_what_has_not_changed_is_not_sent_again(files: Files):
    files.put("f", b"one")
    etag = files.read("f").headers["etag"]
    again = files.read("f", If_None_Match=etag)
    assert (again.status, again.body) == (304, b"")
    assert "content-length" not in again.headers  # It would be the file's.
    files.put("f", b"two")
    assert files.read("f", If_None_Match=etag).body == b"two"


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ("{etag}", 304),
        ("W/{etag}", 304),
        ('"other", {etag}', 304),
        ('"a,b",W/{etag} , "c"', 304),
        ("*", 304),
        ('"other"', 200),
        ('"other", W/"another"', 200),
        ('"*"', 200),
        ("", 200),
        ("nonsense", 200),
    ],
)
def test_any_of_the_versions_that_a_client_has_is_not_sent_again(
    files: Files, condition: str, status: int
):
    files.put("f")
    etag = files.read("f").headers["etag"]
    for method in ("GET", "HEAD"):
        answer = files.call(method, "f", None, If_None_Match=condition.format(etag=etag))
        assert answer.status == status
        assert answer.headers["etag"] == etag


def test_a_client_that_goes_by_the_date_gets_a_later_file_only(files: Files):
    files.put("f")
    found = files.read("f").headers
    at_s = parsedate_to_datetime(found["last-modified"]).timestamp()
    for offset_s, status in ((0, 304), (3600, 304), (-1, 200)):
        since = formatdate(at_s + offset_s, usegmt=True)
        assert files.read("f", If_Modified_Since=since).status == status
        # A tag is more exact, so that the date beside it does not count.
        both = files.read("f", If_Modified_Since=since, If_None_Match='"other"')
        assert both.status == 200
    for nonsense in ("yesterday", "", "Sun, 99 Nov 2026 99:99:99 GMT", "0", "9" * 400):
        assert files.read("f", If_Modified_Since=nonsense).status == 200


@pytest.mark.parametrize(
    ("span", "start", "end"),
    [
        ("bytes=0-1", 0, 2),
        ("bytes=2-", 2, 10),
        ("bytes=-3", 7, 10),
        ("bytes=0-", 0, 10),
        ("bytes=9-", 9, 10),
        ("bytes=0-99", 0, 10),
        ("bytes=-99", 0, 10),
        ("bytes=3-3", 3, 4),
        ("Bytes=3-3", 3, 4),
    ],
)
def test_a_range_is_answered_with_its_bytes(files: Files, span: str, start: int, end: int):
    files.put("f")
    for answer in (files.read("f", Range=span), files.call("HEAD", "f", None, Range=span)):
        assert answer.status == 206
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/10"
        assert answer.headers["content-length"] == str(end - start)
    assert files.read("f", Range=span).body == CONTENT[start:end]


@pytest.mark.parametrize("span", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_a_range_behind_the_end_is_a_416(files: Files, span: str):
    files.put("f")
    answer = files.read("f", Range=span)
    assert (answer.status, answer.body) == (416, b"")
    assert answer.headers["content-range"] == "bytes */10"


@pytest.mark.parametrize("span", ["bytes=3-1", "bytes=0-0,2-3", "items=0-1", "bytes=", "x"])
def test_a_range_that_says_nothing_is_ignored(files: Files, span: str):
    files.put("f")
    answer = files.read("f", Range=span)
    assert (answer.status, answer.body) == (200, CONTENT)
    assert "content-range" not in answer.headers


def test_a_range_of_a_file_that_has_changed_is_the_whole_file(files: Files):
    files.put("f")
    etag = files.read("f").headers["etag"]
    assert files.read("f", Range="bytes=0-1", If_Range=etag).status == 206
    files.put("f", b"changed")
    answer = files.read("f", Range="bytes=0-1", If_Range=etag)
    assert (answer.status, answer.body) == (200, b"changed")


def test_a_range_of_a_file_that_is_known_by_its_date_alone_is_the_whole_file(files: Files):
    """Of two versions in one second the date would make a file that never was."""
    files.put("f")
    date = files.read("f").headers["last-modified"]
    for condition in (date, "Thu, 01 Jan 2099 00:00:00 GMT", "nonsense"):
        answer = files.read("f", Range="bytes=0-1", If_Range=condition)
        assert (answer.status, answer.body) == (200, CONTENT)
    weak = "W/" + files.read("f").headers["etag"]
    assert files.read("f", Range="bytes=0-1", If_Range=weak).status == 200


def test_a_file_that_the_client_has_is_not_sent_in_ranges_either(files: Files):
    files.put("f")
    etag = files.read("f").headers["etag"]
    assert files.read("f", Range="bytes=0-1", If_None_Match=etag).status == 304


# Straight from the bucket ------------------------------------------------------------------------

SERVED = "gs://kept"
LINK = f"{PROXY}/1/f.html"
NAVIGATION = {"sec-fetch-mode": "navigate", "accept": "text/html,*/*;q=0.8"}
OLD_BROWSER = {"accept": "text/html,application/xhtml+xml"}
PAGE = {"sec-fetch-mode": "cors", "accept": "*/*"}


@pytest.mark.anyio
@pytest.mark.parametrize("headers", [NAVIGATION, OLD_BROWSER])
async def test_by_default_a_browser_gets_the_file_itself(tmp_path: Path, headers: dict[str, str]):
    async with cloud(tmp_path, SERVED, rules=TransferRules(reach="always")) as running:
        await running.call("PUT", LINK, body=CONTENT)
        answer = await running.call("GET", LINK, headers=headers)
        assert (answer.status, answer.body) == (200, CONTENT)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("headers", "status"), [(NAVIGATION, 302), (OLD_BROWSER, 302), (PAGE, 200), ({}, 200)]
)
async def test_a_browser_that_follows_a_link_may_be_sent_to_the_bucket(
    tmp_path: Path, headers: dict[str, str], status: int
):
    async with cloud(tmp_path, SERVED, rules=TransferRules(redirects=True)) as running:
        await running.call("PUT", LINK, body=CONTENT)
        answer = await running.call("GET", LINK, headers=headers)
        assert answer.status == status
        if status == 302:
            assert answer.headers["location"] == (
                "https://storage.example.com/1/f.html?expires=300"
            )
            assert answer.headers["cache-control"] == "no-store"
        missing = await running.call("GET", f"{PROXY}/1/none", headers=headers)
        assert missing.status == 404


@pytest.mark.anyio
@pytest.mark.parametrize(
    "host", ["storage.example.com", "Storage.example.com:5000", "storage.example.com:443", "["]
)
async def test_no_browser_is_sent_to_a_bucket_under_our_own_name(tmp_path: Path, host: str):
    """A page from there would run as one of ours, whatever the port."""
    async with cloud(tmp_path, SERVED, rules=TransferRules(redirects=True)) as running:
        await running.call("PUT", LINK, body=SCRIPT)
        answer = await running.call("GET", LINK, headers={**NAVIGATION, "host": host})
        assert (answer.status, answer.body) == (200, SCRIPT)
        assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
