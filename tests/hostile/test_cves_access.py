"""Attacks on the access control of MLflow's servers that became known, tried on a server with it,
below a prefix and without one. Every route is asked by everybody in
tests/architecture/test_access.py.
"""

import asyncio
import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.fixtures.people import Person, add_person, grant
from tests.fixtures.server import Answered, free_port
from tests.hostile.target import Target, status_of
from tests.store.engines import opened

from riverrun.auth.permissions import Permission

TESTS = Path(__file__).parents[1]
PROXY = "/api/2.0/mlflow-artifacts"
SERVER_SIDE = [
    "cve_2023_1177",
    "cve_2023_6014",
    "cve_2023_6018",
    "cve_2023_6568",
    "cve_2023_6730",
    "cve_2023_6831",
    "cve_2023_6909",
    "cve_2023_6974",
    "cve_2023_6977",
    "cve_2023_43472",
    "cve_2024_0520",
    "cve_2024_1483",
    "cve_2024_1558",
    "cve_2024_1560",
    "cve_2024_1594",
    "cve_2024_2928",
    "cve_2024_3848",
    "cve_2024_4263",
    "cve_2024_6838",
    "cve_2025_0453",
    "cve_2025_1473",
    "cve_2025_1474",
    "cve_2025_10279",
    "cve_2025_11200",
    "cve_2025_11201",
    "cve_2025_14279",
    "cve_2025_14297",
    "cve_2025_15381",
    "cve_2025_52967",
    "cve_2026_0545",
    "cve_2026_2033",
    "cve_2026_2393",
    "cve_2026_2614",
    "cve_2026_2635",
    "cve_2026_2651",
    "ghsa_3p64",
    "ghsa_4qq5",
    "afine",
    "mlflow_oidc_auth_52",
]
"""What became known of MLflow's server and concerns what this one does."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """A server with access control, and on it a run of alice's with a file: bob may read its
    experiment, carol may edit it, mallory may nothing.
    """

    target: Target
    prefix: str
    people: Mapping[str, Person]
    experiment_id: str
    run_id: str
    model_id: str

    @property
    def file(self) -> str:
        return f"{self.experiment_id}/{self.run_id}/artifacts/secret.txt"

    def send(
        self,
        who: str,
        method: str,
        path: str,
        body: bytes | None = None,
        **headers: str,
    ) -> Answered:
        """`path` as it stands in the URL, after the prefix; nobody's name is no login."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if who:
            given["Authorization"] = f"Bearer {self.people[who].token}"
        if body is not None:
            given.setdefault("Content-Type", "application/json")
        return self.target.request(method, self.prefix + path, body, given)


async def populated(database: Path) -> dict[str, Person]:
    async with opened(f"sqlite:///{database}") as engine:
        people = {name: await add_person(engine, name) for name in ("alice", "bob", "mallory")}
        people["carol"] = await add_person(engine, "carol")
        people["root"] = await add_person(engine, "root", is_admin=True)
        for name, permission in (("bob", Permission.READ), ("carol", Permission.EDIT)):
            await grant(engine, people[name].user_id, "experiment", "alice*", permission)
    return people


@pytest.fixture(scope="module", params=["", "/team"])
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    prefix: str = request.param
    folder = tmp_path_factory.mktemp("guarded")
    people = asyncio.run(populated(folder / "mlflow.db"))
    options = ("--auth", "--default-permission", "NO_PERMISSIONS", "--static-prefix", prefix)
    target = Target(folder, free_port(), options)
    try:
        target.start()
        yield filled(Guarded(target, prefix, people, "", "", ""))
        assert '"event":"unexpected error"' not in target.log
    finally:
        target.kill()


def filled(bare: Guarded) -> Guarded:
    def make(path: str, body: bytes) -> Answered:
        made = bare.send("alice", "POST", f"/api/2.0/mlflow/{path}", body)
        assert made.status == 200, made
        return made

    experiment_id = make("experiments/create", b'{"name":"alice 1"}').json["experiment_id"]
    within = b'{"experiment_id":"%b"}' % experiment_id.encode()
    run_id = make("runs/create", within).json["run"]["info"]["run_id"]
    model_id = make("logged-models", within).json["model"]["info"]["model_id"]
    house = Guarded(bare.target, bare.prefix, bare.people, experiment_id, run_id, model_id)
    for path in (house.file, f"{experiment_id}/models/{model_id}/artifacts/secret.txt"):
        put = house.send("alice", "PUT", f"{PROXY}/artifacts/{path}", b"<script>secret</script>")
        assert put.status == 200, put
    return house


def assert_denied(answer: Answered) -> None:
    assert (answer.status, answer.error_code) == (403, "PERMISSION_DENIED"), answer
    assert b"secret" not in answer.body


def usernames(guarded: Guarded) -> set[str]:
    listed = guarded.send("root", "GET", "/api/2.0/mlflow/users/list").json["users"]
    return {each["username"] for each in listed}


def test_ghsa_4qq5_cve_2023_6014_nobody_makes_an_account_but_admins(guarded: Guarded):
    before = usernames(guarded)
    body = b'{"username":"eve","password":"long enough for all"}'
    for path in (
        "/api/2.0/mlflow/users/create",
        "/ajax-api/2.0/mlflow/users/create",
        "//api/2.0/mlflow/users/create",
    ):
        is_there = not (guarded.prefix and path.startswith("//"))
        assert guarded.send("", "POST", path, body).status == (401 if is_there else 404)
        for who in ("alice", "mallory"):
            assert guarded.send(who, "POST", path, body).status == (403 if is_there else 404)
        assert guarded.send("", "HEAD", path).status in {404, 405}
    for path in ("/signup", "/api/2.0/mlflow/users/create-ui", "/api/2.0/mlflow/users/create/"):
        assert guarded.send("", "POST", path, body).status == 404
    assert usernames(guarded) == before


def test_cve_2024_4263_who_may_read_or_edit_deletes_no_artifacts(guarded: Guarded):
    for who in ("mallory", "bob", "carol"):
        assert_denied(guarded.send(who, "DELETE", f"{PROXY}/artifacts/{guarded.file}"))
        folder = guarded.file.rpartition("/")[0]
        assert_denied(guarded.send(who, "DELETE", f"{PROXY}/artifacts/{folder}"))
        assert_denied(guarded.send(who, "DELETE", f"{PROXY}/artifacts/{guarded.experiment_id}"))
    assert guarded.send("bob", "GET", f"{PROXY}/artifacts/{guarded.file}").status == 200


def test_cve_2025_1473_a_page_cannot_make_an_account_in_its_visitors_name(guarded: Guarded):
    before = usernames(guarded)
    form = b"username=eve&password=long+enough+for+all"
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain"):
        for path in ("/signup", "/api/2.0/mlflow/users/create"):
            answer = guarded.send("root", "POST", path, form, Content_Type=kind)
            assert answer.status in {400, 404}, answer
    body = b'{"username":"eve","password":"long enough for all"}'
    for origin in ("https://evil.example.com", "null"):
        answer = guarded.send("root", "POST", "/api/2.0/mlflow/users/create", body, Origin=origin)
        assert answer.status == 403
    assert usernames(guarded) == before


def test_cve_2025_14297_no_route_is_left_out(guarded: Guarded):
    """Those whose checks MLflow had forgotten; all of them are in the table of access."""
    run, experiment = guarded.run_id, guarded.experiment_id
    assert guarded.send("mallory", "POST", "/graphql", b'{"query":"{a}"}').status == 404
    for path in (
        f"/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id={run}&metric_key=m",
        f"/api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids={run}&metric_key=m",
        f"/get-artifact?run_id={run}&path=secret.txt",
        f"{PROXY}/presigned/{guarded.file}",
        f"{PROXY}/artifacts?path={experiment}",
        f"{PROXY}/artifacts",
        f"/api/riverrun/v1/runs/{run}/artifacts.zip",
        f"/api/riverrun/v1/experiments/{experiment}/storage",
    ):
        assert_denied(guarded.send("mallory", "GET", path))
        assert_denied(guarded.send("mallory", "GET", path.replace(run, "0" * 32)))
        assert guarded.send("", "GET", path).status == 401
        assert guarded.send("mallory", "HEAD", path).status == 403
    datasets = b'{"experiment_ids":["%b"]}' % experiment.encode()
    path = "/ajax-api/2.0/mlflow/experiments/search-datasets"
    assert guarded.send("mallory", "POST", path, datasets).body == b"{}"


def test_cve_2025_15381_there_are_no_traces_to_write_into(guarded: Guarded):
    for path in (
        "/api/2.0/mlflow/traces",
        "/api/3.0/mlflow/traces",
        "/api/3.0/mlflow/traces/tr-1/assessments",
        "/api/2.0/mlflow/traces/tr-1/tags",
        "/v1/traces",
    ):
        for who in ("", "mallory"):
            assert guarded.send(who, "POST", path, b"{}").status == 404
            assert guarded.send(who, "PATCH", path, b"{}").status == 404


def test_cve_2026_0545_there_are_no_jobs(guarded: Guarded):
    for path in ("/ajax-api/3.0/jobs", "/ajax-api/3.0/jobs/", "/ajax-api/3.0/jobs/search"):
        for who in ("", "mallory", "root"):
            assert guarded.send(who, "POST", path, b'{"function_name":"os.system"}').status == 404


def test_cve_2026_2651_a_multipart_upload_needs_edit_on_the_experiment(guarded: Guarded):
    body = b'{"path":"secret.txt","num_parts":1,"upload_id":"x","parts":[]}'
    folder = guarded.file.rpartition("/")[0]
    for step in ("create", "complete", "abort"):
        for path in (folder, f"{folder}/", quote(folder, safe="")):
            url = f"{PROXY}/mpu/{step}/{path}"
            assert guarded.send("", "POST", url, body).status == 401
            for who in ("mallory", "bob"):
                assert_denied(guarded.send(who, "POST", url, body))
            # A store on disk takes no parts, and says so to those who may ask.
            assert guarded.send("carol", "POST", url, body).status == 501
        astray = f"{PROXY}/mpu/{step}/0/..%2f{folder}"
        assert guarded.send("mallory", "POST", astray, body).status in {400, 403}


def test_ghsa_3p64_who_may_read_a_run_logs_no_inputs_to_it(guarded: Guarded):
    dataset = b'{"name":"forged","digest":"1","source_type":"x","source":"y"}'
    body = b'{"run_id":"%b","datasets":[{"dataset":%b}]}' % (guarded.run_id.encode(), dataset)
    for who in ("mallory", "bob"):
        assert_denied(guarded.send(who, "POST", "/api/2.0/mlflow/runs/log-inputs", body))
    search = b'{"experiment_ids":["%b"]}' % guarded.experiment_id.encode()
    path = "/api/2.0/mlflow/experiments/search-datasets"
    assert guarded.send("alice", "POST", path, search).body == b"{}"


def test_afine_files_of_logged_models_are_guarded_and_run_in_no_browser(guarded: Guarded):
    model, file = guarded.model_id, "artifact_file_path=secret.txt"
    one = f"/ajax-api/2.0/mlflow/logged-models/{model}/artifacts/files?{file}"
    for path in (
        one,
        f"/api/2.0/mlflow/logged-models/{model}/artifacts/directories",
        f"/api/riverrun/v1/logged-models/{model}/artifacts.zip",
        f"{PROXY}/artifacts/{guarded.experiment_id}/models/{model}/artifacts/secret.txt",
    ):
        assert guarded.send("", "GET", path).status == 401
        assert_denied(guarded.send("mallory", "GET", path))
        assert guarded.send("bob", "GET", path).status == 200
    headers = guarded.send("bob", "GET", one).headers
    assert headers["content-disposition"].startswith("attachment")
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]


def test_mlflow_oidc_auth_52_a_prefix_leads_around_nothing(guarded: Guarded):
    search = "/api/2.0/mlflow/experiments/search?max_results=10"
    assert guarded.send("", "GET", search).status == 401
    target = guarded.target
    without = target.request("GET", search)
    assert without.status == (404 if guarded.prefix else 401)
    for path in (f"{PROXY}/artifacts/{guarded.file}", f"/team{PROXY}/artifacts/{guarded.file}"):
        for given in (path, "/" + path, path.replace("/api", "/ajax-api")):
            assert target.request("GET", given).status in {401, 404}, given
            assert target.request("PUT", given, b"x").status in {401, 404}, given


@pytest.mark.parametrize("username", ["admin", "root", "mlflow"])
@pytest.mark.parametrize("password", ["password1234", "password", "admin", ""])
def test_cve_2026_2635_no_default_password_lets_in(guarded: Guarded, username: str, password: str):
    pair = base64.b64encode(f"{username}:{password}".encode()).decode()
    path = "/api/2.0/mlflow/users/current"
    answer = guarded.send("", "GET", path, Authorization=f"Basic {pair}")
    assert answer.status in {401, 429}


@pytest.mark.parametrize("variable", ["MLFLOW_ADMIN_PASSWORD", "MLFLOW_AUTH_ADMIN_PASSWORD"])
@pytest.mark.parametrize("password", ["password1234", "admin_password"])
def test_cve_2026_2635_no_server_starts_with_a_default_password(
    variable: str, password: str, tmp_path: Path
):
    target = Target(tmp_path, free_port(), ("--auth",), {variable: password})
    target.spawn()
    assert target.process is not None
    assert target.process.wait(timeout=30) != 0
    assert variable in target.log
    assert password not in target.log


@pytest.mark.parametrize("password", ["", " ", "short", "            ", "password1234"])
def test_cve_2025_1474_cve_2025_11200_a_user_has_a_password_worth_the_name(
    guarded: Guarded, password: str
):
    before = usernames(guarded)
    body = b'{"username":"weak","password":"%b"}' % password.encode()
    answer = guarded.send("root", "POST", "/api/2.0/mlflow/users/create", body)
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert usernames(guarded) == before


def test_cve_2025_14279_a_rebound_name_reaches_nothing_with_a_login(guarded: Guarded):
    path = "/api/2.0/mlflow/users/current"
    assert guarded.send("alice", "GET", path, Host="rebound.evil.com").status == 403
    assert guarded.send("alice", "GET", path).status == 200


SPELLINGS = (
    "//api/2.0/mlflow/{}",
    "///api/2.0/mlflow/{}",
    "/api//2.0/mlflow/{}",
    "/api/2.0/mlflow//{}",
    "/API/2.0/mlflow/{}",
    "/%61pi/2.0/mlflow/{}",
    "/api/2.0/mlflow/./{}",
    "/health/../api/2.0/mlflow/{}",
    "/health/..%2fapi/2.0/mlflow/{}",
    "/health;/api/2.0/mlflow/{}",
    "/static-files/../api/2.0/mlflow/{}",
    "/api/2.0/mlflow/{}/",
    "/api/2.0/mlflow/{}%00",
    "/api/2.0/mlflow/{};x=1",
    "/api/2.0/mlflow/{}%2f..%2fget",
    "\\api\\2.0\\mlflow\\{}",
    "http://localhost/api/2.0/mlflow/{}",
)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_a_path_leads_around_the_login(guarded: Guarded, spelling: str):
    path = guarded.prefix + spelling.format("experiments/search")
    for method in ("GET", "HEAD", "get", "OPTIONS", "TRACE", "FOO"):
        raw = guarded.target.raw(f"{method} {path}?max_results=10 HTTP/1.1")
        assert b"alice 1" not in raw, raw
        assert not raw or status_of(raw) in {400, 401, 403, 404, 405, 501}, raw


@pytest.mark.parametrize(
    "header",
    [
        "X-Original-URL: /health",
        "X-Rewrite-URL: /health",
        "X-HTTP-Method-Override: GET",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-User: root",
        "X-Forwarded-Prefix: /health",
        "X-Remote-User: root",
        "X-MLflow-User: root",
        "Proxy-Authorization: Basic cm9vdDpyb290",
        "Cookie: session=root",
        "Authorization: Basic",
        "Authorization: Basic !!!",
        "Authorization: Basic cm9vdA==",
        "Authorization: Basic Og==",
        "Authorization: Bearer",
        "Authorization: Bearer null",
        "Authorization: Bearer riverrun_pat_",
        "Authorization: Negotiate x",
        "Authorization:",
    ],
)
def test_no_header_but_a_login_lets_in(guarded: Guarded, header: str):
    path = f"{guarded.prefix}/api/2.0/mlflow/experiments/search?max_results=10"
    raw = guarded.target.raw(f"GET {path} HTTP/1.1", header)
    assert status_of(raw) in {401, 429}, raw
    assert b"alice 1" not in raw


def test_of_two_logins_none_hides_behind_the_other(guarded: Guarded):
    """A proxy may have judged the other one."""
    path = f"{guarded.prefix}/api/2.0/mlflow/users/current"
    tokens = [f"Authorization: Bearer {guarded.people[name].token}" for name in ("bob", "root")]
    raw = guarded.target.raw(f"GET {path} HTTP/1.1", *tokens)
    assert status_of(raw) in {400, 401}, raw


def test_users_are_told_the_same_of_what_is_not_there_and_what_is_not_theirs(guarded: Guarded):
    """Else ids and names could be counted."""
    for path, there, missing in (
        ("experiments/get?experiment_id={}", guarded.experiment_id, "999999"),
        ("runs/get?run_id={}", guarded.run_id, "0" * 32),
        ("logged-models/{}", guarded.model_id, f"m-{'0' * 32}"),
        ("metrics/get-history?metric_key=m&run_id={}", guarded.run_id, "0" * 32),
        ("metrics/get-history?metric_key=m&run_id={}", guarded.run_id, "nonsense"),
        ("artifacts/list?run_id={}", guarded.run_id, "0" * 32),
    ):
        answers = [
            guarded.send("mallory", "GET", f"/api/2.0/mlflow/{path.format(each)}")
            for each in (there, missing)
        ]
        assert_denied(answers[0])
        assert answers[0].body == answers[1].body, path


@pytest.fixture(scope="module")
def names_of_tests() -> str:
    texts = [path.read_text() for path in TESTS.rglob("test_*.py")]
    return "\n".join(re.findall(r"^(?:async )?def (test_\w+)", "\n".join(texts), re.MULTILINE))


@pytest.mark.parametrize("advisory", SERVER_SIDE)
def test_each_known_attack_on_a_server_is_a_test_that_is_named_after_it(
    names_of_tests: str, advisory: str
):
    assert re.search(rf"^test_\w*{advisory}(?![0-9])", names_of_tests, re.MULTILINE)
