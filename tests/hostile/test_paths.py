"""Paths of artifacts, sent as they are: every spelling of a way out of the folder."""

import re
from urllib.parse import quote

import pytest
from tests.hostile.target import Target, json_of, status_of

from riverrun.api.route import Route
from riverrun.api.routes import routes

OPEN = [route for route in routes() if route.path.endswith("*")]
SHAPED = [route for route in routes() if "{" in route.path]
LISTS = "/api/2.0/mlflow-artifacts/artifacts"
LEAKED = (b"SQLite format", b"root:x:")
"""How the database and /etc/passwd begin."""
UPS = [
    "..",
    "%2e%2e",
    "%2E%2e",
    ".%2e",
    "%252e%252e",
    "%25252e%25252e",
    "..%00",
    "..%5c",
    "%c0%ae%c0%ae",
    "%e0%80%ae%e0%80%ae",
    "..;",
    "%2e%2e%23",
]
SLASHES = ["/", "%2f", "%252f", "%5c", "\\", "//", "/./"]
OUTSIDE = [
    "/etc/passwd",
    "//etc/passwd",
    "%2fetc%2fpasswd",
    "%252fetc%252fpasswd",
    "file:///etc/passwd",
    "file:%2f%2f%2fetc/passwd",
    "C:/Windows/win.ini",
    "C:%5cWindows%5cwin.ini",
    "\\\\host\\share",
    "~/.ssh/id_rsa",
    "%00",
    "a%00b",
    "a%0ab",
    "%ff",
    "a#b",
    "a%23b",
    "s3://bucket/key",
    "http://169.254.169.254/latest/meta-data",
    "mlflow-artifacts:/1/x",
    "1/../../../../etc/passwd",
    "1/a/%2e%2e/%2e%2e/%2e%2e/mlflow.db",
    "1/..",
    "..",
    ".",
    "%2e",
    "/",
    "%2f",
]


def spelled() -> list[str]:
    climbs = [slash.join([up] * 4 + ["mlflow.db"]) for up in UPS for slash in SLASHES]
    below = [f"1{slash}{up}{slash}{up}{slash}mlflow.db" for up in UPS for slash in SLASHES]
    return [*climbs, *below, *OUTSIDE]


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.fixture(scope="module")
def secret(target: Target) -> bytes:
    """What every one of these paths is after: the database beside the artifacts, and this file."""
    whole = b"the secret beside the artifacts"
    (target.folder / "secret.txt").write_bytes(whole)
    answer = target.request("PUT", f"{LISTS}/1/inside.txt", b"inside")
    assert answer.status == 200
    return whole


def everything_outside(target: Target) -> dict[str, bytes]:
    return {
        str(path.relative_to(target.folder)): path.read_bytes()
        for path in target.folder.rglob("*")
        if path.is_file()
        and path.parts[-1] not in {"server.log", "mlflow.db", "mlflow.db-shm"}
        and not path.name.endswith("-wal")
        and "mlartifacts" not in path.parts
    }


@pytest.mark.parametrize("route", OPEN, ids=name_of)
def test_no_spelling_leads_out_of_the_folder(route: Route, target: Target, secret: bytes):
    before = everything_outside(target)
    body = b'{"path":"x","num_parts":1,"parts":[]}' if route.method in {"POST", "PUT"} else b""
    headers = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    for prefix in route.paths:
        for path in spelled():
            line = f"{route.method} {prefix.removesuffix('*')}{path} HTTP/1.1"
            raw = target.raw(line.replace(" a#b", "a%23b"), *headers, body=body)
            assert not any(leak in raw for leak in (*LEAKED, secret)), line
            assert status_of(raw) in {0, 200, 400, 404, 405, 501}, (line, raw)
            if status_of(raw) == 200:
                assert route.method in {"PUT", "DELETE"}, (line, raw)
            elif b"error_code" in raw:
                assert len(raw) < 3_000, raw
    assert everything_outside(target) == before
    assert not (target.folder.parent / "mlflow.db").exists()
    assert target.is_alive()


def test_what_an_odd_path_wrote_lies_inside(target: Target, secret: bytes):
    """A path that is taken is taken literally: it names a file below the folder."""
    root = (target.folder / "mlartifacts").resolve()
    assert all(path.resolve().is_relative_to(root) for path in root.rglob("*"))
    assert not any(path.is_symlink() for path in root.rglob("*"))


@pytest.mark.parametrize("spelling", spelled())
def test_lists_stay_inside(spelling: str, target: Target, secret: bytes):
    run_id = target.create_run()
    query = spelling.replace("#", "%23").replace(" ", "%20")
    for path in (
        f"{LISTS}?path={query}",
        f"/api/2.0/mlflow/artifacts/list?run_id={run_id}&path={query}",
        f"/get-artifact?run_id={run_id}&path={query}",
    ):
        raw = target.raw(f"GET {path} HTTP/1.1")
        assert not any(leak in raw for leak in (*LEAKED, b"mlartifacts", secret)), path
        assert status_of(raw) in {200, 400, 404}, (path, raw)
        if status_of(raw) == 200 and "mlflow-artifacts" not in path:
            assert "files" not in json_of(raw)


@pytest.mark.parametrize("times", range(1, 13))
def test_dots_encoded_again_and_again_are_refused(times: int, target: Target):
    path = "../secret.txt"
    for _ in range(times):
        path = quote(path, safe="").replace(".", "%2E")
    raw = target.raw(f"GET {LISTS}/{path} HTTP/1.1")
    assert status_of(raw) == 400
    assert json_of(raw)["error_code"] == "INVALID_PARAMETER_VALUE"


def test_a_path_that_is_not_utf8_is_refused(target: Target):
    for path in (b"%ff", b"%c3%28", b"\xff"):
        raw = target.raw(b"GET " + LISTS.encode() + b"/" + path + b" HTTP/1.1")
        assert status_of(raw) in {0, 400}, raw


@pytest.mark.parametrize(
    "path", ["a" * 256, "/".join(["a"] * 2_000), "a" * 60_000, "%41" * 20_000, "é" * 200]
)
def test_a_path_has_a_longest_length(path: str, target: Target):
    for method in ("GET", "DELETE"):
        raw = target.raw(f"{method} {LISTS}/{quote(path, safe='/%')} HTTP/1.1")
        assert status_of(raw) in {0, 400}, raw


def test_downloads_are_never_a_page_of_ours(target: Target):
    """A file that is HTML or SVG is an attachment in a sandbox, whatever it is called."""
    for name in ("x.html", "x.svg", "x.xhtml", "x.htm", "MLmodel", "x.js", 'x".html', "x;.html"):
        path = f"{LISTS}/9/{quote(name)}"
        assert target.request("PUT", path, b"<script>alert(1)</script>").status == 200
        answer = target.request("GET", path)
        assert answer.headers["content-disposition"].startswith("attachment; filename")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("sandbox")
        assert "\n" not in answer.headers["content-disposition"]


@pytest.mark.parametrize(
    "span",
    [
        "bytes=0-0",
        "bytes=-1",
        "bytes=-0",
        "bytes=6-",
        "bytes=5-2",
        "bytes=0-0,1-1",
        "bytes=" + "0-0," * 2_000,
        "bytes=" + "9" * 18 + "-",
        "bytes=" + "9" * 40 + "-",
        "bytes=-" + "9" * 18,
        "bytes=0-" + "9" * 400,
        "bytes=--1",
        "bytes=a-b",
        "lines=0-1",
        "bytes=٣-٤",
        "",
    ],
    ids=lambda span: span[:20] if span.isascii() else "unicode",
)
def test_a_range_is_served_or_not(span: str, target: Target, secret: bytes):
    raw = target.raw(f"GET {LISTS}/1/inside.txt HTTP/1.1", b"Range: " + span.encode(), timeout_s=5)
    assert status_of(raw) in {200, 206, 416}, raw
    if status_of(raw) == 206:
        assert raw.partition(b"\r\n\r\n")[2] in b"inside"


@pytest.mark.parametrize("route", SHAPED, ids=name_of)
def test_a_name_in_the_path_is_text(route: Route, target: Target):
    """What stands for `{name}` is one segment, decoded once, and looked up: nothing else."""
    segments = [*spelled(), "%00", "a%00b", "%ff", "%ed%a0%80", "a" * 60_000, "%0d%0aX:y", "'", "*"]
    for segment in segments:
        path = segment.replace("#", "%23").join(re.split(r"\{[^}]+\}", route.paths[0]))
        raw = target.raw(
            f"{route.method} {path} HTTP/1.1",
            "Content-Type: application/json",
            "Content-Length: 2",
            body=b"{}",
        )
        assert status_of(raw) in {0, 400, 404, 405}, (path[:200], raw)
        assert len(raw) < 3_000, raw
        assert b"\nx:y" not in raw.lower()
