"""Attacks on MLflow that became known, tried on a whole server.

Those on artifact paths and locations have tests of their own in tests/unit/test_artifact_paths.py
and tests/artifacts/test_resolve.py; those that a missing permission check made possible, in
tests/architecture/test_access.py.
"""

import stat
from urllib.parse import quote

import pytest
from tests.hostile.target import Target, status_of


@pytest.fixture(scope="module")
def run_id(target: Target) -> str:
    return target.create_run(target.create_experiment("attacked"))


def refused_location(target: Target, location: str) -> str:
    message = {"name": f"at {location}", "artifact_location": location}
    answer = target.post("experiments/create", message)
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer.body
    return answer.json["message"]


def test_cve_2023_1177_no_file_of_the_server_is_read(target: Target, run_id: str):
    for path in ("/etc/passwd", "../../../../../../etc/passwd", "file:///etc/passwd"):
        answer = target.request("GET", f"/get-artifact?run_id={run_id}&path={quote(path)}")
        assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE")


def test_cve_2023_1177_a_location_of_the_client_is_never_opened(target: Target):
    """A local folder is stored as given, for clients; the server reads nothing there."""
    experiment_id = target.post(
        "experiments/create", {"name": "at /etc", "artifact_location": "/etc"}
    ).json["experiment_id"]
    run_id = target.create_run(experiment_id)
    for answer in (
        target.get("artifacts/list", run_id=run_id),
        target.request("GET", f"/get-artifact?run_id={run_id}&path=passwd"),
        target.request(
            "POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_id={run_id}&path=x", b"x"
        ),
    ):
        assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE")


def test_cve_2023_6014_nobody_makes_an_account(target: Target):
    """Without access control there are none; with it, tests/hostile/test_cves_access.py asks."""
    user = {"username": "x", "password": "y" * 12}
    assert target.post("/signup", user, prefix="").status == 404
    for path in ("/api/2.0/mlflow/users/create", "/ajax-api/2.0/mlflow/users/create"):
        assert target.post(path, user, prefix="").error_code == "FEATURE_DISABLED"


def test_cve_2023_6568_a_content_type_is_not_repeated(target: Target):
    script = "<script>alert(1)</script>"
    answer = target.request(
        "POST", "/api/2.0/mlflow/experiments/create", b"{}", {"Content-Type": script}
    )
    assert answer.headers["content-type"] == "application/json"
    assert script.encode() not in answer.body


def test_cve_2023_6909_a_traversal_in_the_query_of_a_location(target: Target):
    refused_location(target, "s3://bucket/x?a=/../../etc")


def test_cve_2023_6974_a_location_that_makes_the_server_call_a_host(target: Target):
    refused_location(target, "http://169.254.169.254/latest/meta-data")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_cve_2023_43472_a_page_posts_what_needs_no_preflight(content_type: str, target: Target):
    body = b'{"name":"drive-by"}'
    path = "/api/2.0/mlflow/experiments/create"
    assert target.request("POST", path, body, {"Content-Type": content_type}).status == 400
    with_origin = {"Content-Type": content_type, "Origin": "https://evil.com"}
    assert target.request("POST", path, body, with_origin).status == 403
    assert target.get("experiments/get-by-name", experiment_name="drive-by").status == 404


def test_cve_2024_1483_a_location_with_a_fragment(target: Target):
    refused_location(target, "http:///#/../../../../../../../../etc")


def test_cve_2024_3848_a_location_with_a_traversal_in_its_fragment(target: Target):
    refused_location(target, "mlflow-artifacts:/1#/../../../../etc")


def test_cve_2024_4263_a_deletion_stays_inside_of_the_store(target: Target):
    """Who may delete is asked of every route in tests/architecture/test_access.py."""
    kept = "/api/2.0/mlflow-artifacts/artifacts/1/kept.txt"
    assert target.request("PUT", kept, b"kept").status == 200
    for path in ("", "/", "..", "%2e%2e", "1/..", "."):
        raw = target.raw(f"DELETE /api/2.0/mlflow-artifacts/artifacts/{path} HTTP/1.1")
        assert status_of(raw) in {400, 404, 405}, (path, raw)
    assert target.request("GET", kept).body == b"kept"


def test_cve_2024_6838_names_are_bounded(target: Target, run_id: str):
    refused_location(target, "s3://bucket/" + "a" * 100_000)
    long = "x" * 100_000
    for call, message in (
        ("experiments/create", {"name": long}),
        ("experiments/create", {"name": "t", "tags": [{"key": long, "value": "v"}]}),
        ("experiments/create", {"name": "t", "tags": [{"key": "k", "value": long}]}),
        ("experiments/update", {"experiment_id": "0", "new_name": long}),
        ("runs/create", {"experiment_id": "0", "user_id": long}),
        ("runs/update", {"run_id": run_id, "run_name": long}),
        ("runs/log-metric", {"run_id": run_id, "key": long, "value": 1, "timestamp": 1}),
        ("runs/log-parameter", {"run_id": run_id, "key": long, "value": "v"}),
        ("runs/set-tag", {"run_id": run_id, "key": long, "value": "v"}),
    ):
        answer = target.post(call, message)
        assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), call
        assert len(answer.body) < 2_000, call


def test_cve_2025_0453_there_is_no_graphql_to_flood(target: Target):
    for path in ("/graphql", "/ajax-api/2.0/graphql"):
        assert target.post(path, {"query": "{a}"}, prefix="").status == 404


def test_cve_2025_1473_there_is_no_form_to_forge(target: Target):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert target.request("POST", "/signup", b"username=x&password=y", form).status == 404


def test_cve_2025_10279_no_folder_is_open_to_other_users(target: Target, run_id: str):
    path = f"/api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/model.pkl"
    assert target.request("PUT", path, b"model").status == 200
    for each in target.folder.rglob("*"):
        assert not each.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH), each


def test_cve_2025_14279_a_rebound_name(target: Target):
    headers = {"Host": "rebound.evil.com", "Content-Type": "application/json"}
    answer = target.request("POST", "/api/2.0/mlflow/experiments/create", b"{}", headers)
    assert answer.status == 403


def test_cve_2025_52967_there_is_no_proxy_to_abuse(target: Target):
    message = {"gateway_path": "http://169.254.169.254/", "request_type": "GET"}
    assert target.post("/ajax-api/2.0/mlflow/gateway-proxy", message, prefix="").status == 404


def test_cve_2026_0545_there_are_no_jobs(target: Target):
    assert target.post("/ajax-api/3.0/jobs/", {"function_name": "x"}, prefix="").status == 404


def test_cve_2026_2614_a_tag_changes_no_validation(target: Target):
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    message = {"name": "prompted", "artifact_location": "http://evil.com/x", "tags": tags}
    assert target.post("experiments/create", message).status == 400


def test_cve_2026_2651_a_multipart_upload_names_a_path_inside(target: Target):
    for step in ("create", "complete", "abort"):
        raw = target.raw(
            f"POST /api/2.0/mlflow-artifacts/mpu/{step}/..%2f..%2fother HTTP/1.1",
            "Content-Type: application/json",
            "Content-Length: 36",
            body=b'{"path":"x","num_parts":1,"parts":[]',
        )
        assert status_of(raw) == 400, raw


INSIDE = [
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://localhost/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://192.168.0.1:8443/",
    "https://169.254.169.254/latest/meta-data/iam/security-credentials/",
    "https://169.254.169.254./latest",
    "https://[::1]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[2002:a9fe:a9fe::]/",
    "https://[fd00:ec2::254]/",
    "https://[fe80::1%25eth0]/",
    "https://example.com@127.0.0.1/",
    "https://127.0.0.1\\@example.com/",
    "http://example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_SET",
]


@pytest.mark.parametrize("url", INSIDE)
def test_cve_2026_2393_a_webhook_does_not_call_what_only_the_server_reaches(
    target: Target, url: str
):
    before = target.get("webhooks").json
    event = {"entity": "RUN", "action": "FINISHED"}
    answer = target.post("webhooks", {"name": "hook", "url": url, "events": [event]})
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert answer.json["message"].startswith("Invalid webhook URL: ")
    assert target.get("webhooks").json == before
