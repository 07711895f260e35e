import asyncio
import random
import string
from typing import Any

import pytest
from tests.fixtures.asgi import Answer, Echo, call, exchange

from riverrun.asgi.middleware.hosts import HostCheck, HostRule, OriginRule, parse_authority

RUNS = "/api/2.0/mlflow/runs/create"


def server(
    *hosts: str,
    platform: tuple[str, ...] = (),
    origins: tuple[str, ...] = (),
    prefix: str = "",
    x_frame_options: str = "SAMEORIGIN",
) -> HostCheck:
    return HostCheck(
        Echo(),
        hosts=HostRule(hosts or None, platform=platform),
        origins=OriginRule(origins),
        x_frame_options=x_frame_options,
        prefix=prefix,
    )


def status(app: HostCheck, host: str) -> int:
    return call(app, headers={"host": host}).status


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:5000",
        "127.0.0.1:5000",
        "127.8.9.1",
        "0.0.0.0:5000",
        "[::1]:5000",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:192.168.1.7]",
        "[fd00::12]:80",
        "[fe80::1]",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255:8080",
        "192.168.0.7",
        "169.254.10.1",
        "mlflow",
        "mlflow-service:5000",
        "mlflow_server",
        "tracking.corp.internal",
        "laptop.local",
        "laptop.local.",
        "mlflow.team.svc",
        "mlflow.team.svc.cluster.local:5000",
    ],
)
def test_the_default_list_lets_near_hosts_in(host: str):
    assert status(server(), host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.com",
        "evil.com:5000",
        "8.8.8.8",
        "172.32.0.1",
        "172.15.0.1",
        "[2001:db8::1]",
        "[::ffff:8.8.8.8]",
        "localhost.evil.com",
        "127.0.0.1.evil.com",
        "10.evil.com",
        "evil.com.",
        "evilinternal",  # A name without a dot: see below.
        "internal.evil.com",
        "evil-internal.com",
        "x.run.app",
        "evil@127.0.0.1",
        "127.0.0.1@evil.com",
        "evil.com\\@localhost",
        "localhost#.evil.com",
        "localhost, evil.com",
        "localhost evil.com",
        "localhost/",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "127.1",
        "0177.0.0.1",
        "127.0.0.01",
        "127.0.0.1.",
        "1.2.3.4.5",
        "localhost:",
        "localhost:x",
        "localhost:123456",
        "[::1",
        "::1",
        "[::1%25eth0]",
        ".internal",
        "a..internal",
        "",
        "local\u00f6",
        "a" * 64,
        "x" * 1000,
    ],
)
def test_others_are_kept_out(host: str):
    near = {"evilinternal", "127.0.0.1."}
    assert status(server(), host) == (200 if host in near else 403)


def test_the_refusal_names_the_host_and_the_option():
    answer = call(server(), headers={"host": "ml.example.com:8443"})
    assert answer.status == 403
    assert answer.header("content-type") == "text/plain; charset=utf-8"
    assert answer.body.decode() == (
        "Host ml.example.com:8443 is not allowed (possible DNS rebinding). To let it in, name it in"
        " the server's option --allowed-hosts (or MLFLOW_SERVER_ALLOWED_HOSTS), such as"
        " --allowed-hosts 'ml.example.com:8443,localhost:*'"
    )


def test_the_refusal_repeats_nothing_that_a_terminal_or_a_browser_would_obey():
    body = call(server(), headers={"host": "<script>\x1b[2J\u00e9.com"}).body.decode()
    assert body.startswith("Host <script>?[2J??.com is not allowed")


def test_no_host_and_two_hosts_are_refused():
    assert call(server()).status == 403
    twice = [("host", "localhost"), ("host", "localhost")]
    assert call(server(), headers=twice).status == 403


def test_a_star_turns_the_check_off():
    assert status(server("*"), "evil.com") == 200
    assert status(server("localhost", "*"), "0x7f.1") == 200
    assert call(server("*")).status == 200


def test_a_list_replaces_the_default():
    app = server("ml.example.com", "*.Corp.example:8443", "192.168.*", "[::1]:*", "fd00::*")
    allowed = [
        "ml.example.com",
        "ML.example.com.:5000",
        "a.b.corp.example:8443",
        "192.168.1.1:9",
        "[::1]:5000",
        "[fd00::7]",
    ]
    refused = [
        "localhost",
        "example.com",
        "ml.example.com.evil.com",
        "a.corp.example",
        "a.corp.example:80",
        "192.168.evil.com",
        "10.0.0.1",
    ]
    assert [status(app, host) for host in allowed] == [200] * len(allowed)
    assert [status(app, host) for host in refused] == [403] * len(refused)


def test_hosts_of_the_platform_join_the_default_list():
    app = server(platform=("*.run.app", "tracking.up.railway.app"))
    assert status(app, "mlflow-abc-ew.a.run.app") == 200
    assert status(app, "tracking.up.railway.app") == 200
    assert status(app, "other.up.railway.app") == 403
    assert status(app, "run.app") == 403


@pytest.mark.parametrize("prefix", ["", "/team/mlflow"])
@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz", "/version"])
def test_probes_are_let_in_under_any_host_and_prefix(prefix: str, path: str):
    app = server(prefix="/team/mlflow")
    assert call(app, path=prefix + path, headers={"host": "35.191.0.1"}).status == 200
    assert call(app, path=prefix + path).status == 200
    assert call(app, path=prefix + path + "/x", headers={"host": "35.191.0.1"}).status == 403


def test_what_is_parsed_is_a_name_an_address_and_a_port():
    parsed = parse_authority("ML.Example.com.:80")
    assert parsed is not None
    assert (parsed.name, parsed.port, parsed.address) == ("ml.example.com", "80", None)


def test_random_headers_never_break_the_check():
    draw = random.Random(7)
    alphabet = string.printable + "[]:.@0123456789xé"
    app = server()
    for _ in range(2000):
        host = "".join(draw.choices(alphabet, k=draw.randrange(12)))
        scope = {"type": "http", "method": "GET", "path": "/", "scheme": "http"}
        headers = [(b"host", host.encode("latin-1")), (b"origin", host.encode("latin-1"))]
        asyncio.run(exchange(app, {**scope, "headers": headers}))


# Origins


def post(
    app: HostCheck,
    origin: str,
    *,
    host: str = "localhost:5000",
    method: str = "POST",
    **scope: Any,
) -> Answer:
    return call(app, method, RUNS, headers={"host": host, "origin": origin}, **scope)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_foreign_pages_may_not_change_state(method: str):
    for origin in ("https://evil.com", "null", "", "http://localhost.evil.com", "http://mlflow:81"):
        answer = post(server(), origin, host="mlflow", method=method)
        assert answer.status == 403
        assert answer.body.startswith(b"Cross-origin request blocked: ")
        assert answer.header("access-control-allow-origin") is None


def test_the_rule_holds_on_every_path():
    headers = {"host": "localhost", "origin": "null"}
    for path in ("/api/2.0/x", "//api/2.0/x", "/p/ajax-api/2.0/x", "/graphql", "/"):
        assert call(server(prefix="/p"), "POST", path, headers=headers).status == 403


def test_requests_without_an_origin_pass():
    assert call(server(), "POST", RUNS, headers={"host": "localhost"}).status == 200


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("http", "mlflow.team.svc:5000", "http://mlflow.team.svc:5000"),
        ("http", "mlflow", "http://mlflow:80"),
        ("https", "mlflow:443", "https://mlflow"),
        ("https", "MLflow", "HTTPS://mlflow"),
    ],
)
def test_the_servers_own_pages_may(scheme: str, host: str, origin: str):
    answer = post(server(), origin, host=host, scheme=scheme)
    assert answer.status == 200
    assert answer.header("access-control-allow-origin") is None


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("http", "mlflow:5000", "http://mlflow"),
        ("http", "mlflow", "https://mlflow"),
        ("http", "mlflow:443", "http://mlflow"),
    ],
)
def test_another_port_or_scheme_is_another_origin(scheme: str, host: str, origin: str):
    assert post(server(), origin, host=host, scheme=scheme).status == 403


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:8"])
def test_pages_of_this_machine_may(origin: str):
    answer = post(server(), origin)
    assert answer.status == 200
    assert answer.header("access-control-allow-origin") == origin
    assert answer.header("access-control-allow-credentials") == "true"
    assert answer.header("vary") == "origin"


def test_origins_of_the_operator_may_with_wildcards():
    app = server(origins=("https://App.example.com/", "https://*.corp.example"))
    assert post(app, "https://app.example.com").status == 200
    assert post(app, "https://app.example.com:443").status == 200
    assert post(app, "https://a.corp.example").status == 200
    assert post(app, "https://corp.example").status == 403
    assert post(app, "https://corp.example.evil.com").status == 403
    assert post(app, "http://app.example.com").status == 403


def test_a_star_allows_every_origin_and_no_credentials():
    answer = post(server(origins=("*",)), "https://evil.com")
    assert answer.status == 200
    assert answer.header("access-control-allow-origin") == "*"
    assert answer.header("access-control-allow-credentials") is None


def test_null_is_let_in_only_when_it_is_listed():
    assert post(server(origins=("null",)), "null").status == 200
    assert post(server(origins=("https://*",)), "null").status == 403


def test_two_origins_are_foreign():
    pairs = [("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://localhost")]
    assert call(server(), "POST", RUNS, headers=pairs).status == 403


def test_foreign_pages_may_read_only_what_browsers_withhold_from_them():
    answer = post(server(), "https://evil.com", method="GET")
    assert answer.status == 200
    assert answer.header("access-control-allow-origin") is None


def preflight(app: HostCheck, origin: str) -> Answer:
    headers = {
        "host": "localhost",
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    return call(app, "OPTIONS", RUNS, headers=headers)


def test_a_preflight_of_an_allowed_origin_is_answered_here():
    answer = preflight(server(), "http://localhost:3000")
    assert answer.status == 204
    assert answer.header("access-control-allow-origin") == "http://localhost:3000"
    assert "PATCH" in str(answer.header("access-control-allow-methods"))
    assert answer.header("access-control-allow-headers") == "content-type"


def test_a_preflight_of_a_foreign_origin_is_refused():
    answer = preflight(server(), "https://evil.com")
    assert answer.status == 403
    assert answer.header("access-control-allow-methods") is None


def test_options_without_the_preflight_headers_reach_the_application():
    assert (
        call(server(), "OPTIONS", "/", headers={"host": "localhost", "origin": "x"}).body == b"{}"
    )


# Protective headers


def test_every_answer_carries_the_protective_headers():
    for host in ("localhost", "evil.com"):
        answer = call(server(), headers={"host": host})
        assert answer.header("x-content-type-options") == "nosniff"
        assert answer.header("x-frame-options") == "SAMEORIGIN"


def test_framing_is_the_operators_choice():
    denied = call(server(x_frame_options="DENY"), headers={"host": "localhost"})
    assert denied.header("x-frame-options") == "DENY"
    anyone = call(server(x_frame_options="NONE"), headers={"host": "localhost"})
    assert anyone.header("x-frame-options") is None
    assert anyone.header("x-content-type-options") == "nosniff"


def test_two_answers_do_not_share_their_headers():
    app = server()
    for _ in range(2):
        assert post(app, "http://localhost:1").header("vary") == "origin"
        assert len(call(app, headers={"host": "localhost"}).headers) == 4
