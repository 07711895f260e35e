"""The probes and the landing page."""

from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest
from tests.fixtures.asgi import call

from riverrun import __version__
from riverrun.obs.health import PROBE_PATHS, probes
from riverrun.ui.landing import LandingPage


async def ready() -> str | None:
    return None


async def not_ready() -> str | None:
    return "The database cannot be reached."


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz"])
def test_a_server_that_is_well_says_so(path: str):
    answer = call(probes(ready)[path])
    assert (answer.status, answer.body) == (200, b"OK")
    assert answer.header("cache-control") == "no-store"


def test_a_server_that_is_not_ready_is_alive_and_says_why():
    answers = {path: call(probes(not_ready)[path]) for path in PROBE_PATHS}
    assert [answers[path].status for path in PROBE_PATHS] == [200, 200, 503, 200]
    assert answers["/readyz"].body == b"The database cannot be reached."


def test_the_version_is_the_protocols_and_ours_stands_beside_it():
    answer = call(probes(ready)["/version"])
    assert answer.body == b"3.17.2"
    assert answer.header("x-riverrun-version") == __version__


def page(host: str = "localhost:5000", **scope: Any) -> str:
    return call(LandingPage(prefix="/p"), headers={"host": host}, **scope).body.decode()


def test_the_page_points_a_client_at_the_address_that_the_browser_used():
    text = page("ml.example.com", scheme="https", root_path="/team")
    assert "export MLFLOW_TRACKING_URI=https://ml.example.com/team/p\n" in text
    assert 'mlflow.set_tracking_uri("https://ml.example.com/team/p")' in text
    assert "set_tracking_uri(&quot;http" not in text


@pytest.mark.parametrize("host", ["", "$(reboot)", '"><script>', "a b", "x;reboot", "é"])
def test_a_host_that_a_shell_or_a_browser_would_obey_is_not_repeated(host: str):
    assert "export MLFLOW_TRACKING_URI=http://127.0.0.1:5000/p\n" in page(host)


def test_the_page_allows_itself_nothing_but_its_style():
    answer = call(LandingPage(), headers={"host": "localhost"})
    style = answer.body.split(b"<style>")[1].split(b"</style>")[0]
    style_hash = b64encode(sha256(style).digest()).decode()
    assert answer.header("content-security-policy") == (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; base-uri 'none'; form-action 'none'"
    )
    assert answer.header("content-type") == "text/html; charset=utf-8"
    assert b"<script" not in answer.body
