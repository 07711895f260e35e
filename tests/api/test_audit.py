"""The audit log over HTTP: what a request leaves in it, and who may read it."""

import base64
import json
import time
from typing import Any

import pytest
from tests.api.accounts import ADMIN_PASSWORD, Account, denied
from tests.api.protocol import accepted, refused, unique
from tests.fixtures.server import Answered, Server

OWN = "/api/riverrun/v1/"
JSON_LINES = "application/x-ndjson"


def audit(account: Account, **filters: object) -> list[Any]:
    """The newest first."""
    return accepted(account.get("audit", api=OWN, max_results=1_000, **filters))["entries"]


def lines(answer: Answered) -> list[Any]:
    assert (answer.status, answer.headers["content-type"]) == (200, JSON_LINES)
    return [json.loads(line) for line in answer.body.splitlines()]


def eventually(account: Account, count: int, **filters: object) -> list[Any]:
    """Entries that are written a moment after the request."""
    deadline = time.monotonic() + 5
    while len(found := audit(account, **filters)) < count:
        assert time.monotonic() < deadline, found
    assert len(found) == count
    return found


def test_who_deletes_what_from_where_is_on_record(admin: Account, user: Account):
    experiment = user.create_experiment()
    created = accepted(user.post("runs/create", {"experiment_id": experiment}))
    run = created["run"]["info"]["run_id"]
    deletion = user.post("runs/delete", {"run_id": run})
    accepted(deletion)
    accepted(user.post("experiments/delete", {"experiment_id": experiment}))
    of_run, of_experiment = reversed(audit(admin, actor=user.name)[:2])
    assert of_run == {
        "id": of_run["id"],
        "time": of_run["time"],
        "workspace": "default",
        "actor": user.name,
        "action": "run.delete",
        "outcome": "allowed",
        "resource_type": "run",
        "resource": run,
        "address": "127.0.0.1",
        "request_id": deletion.headers["x-request-id"],
        "detail": f"experiment {experiment}",
    }
    assert of_experiment["action"] == "experiment.delete"
    assert audit(admin, resource_type="run", resource=run) == [of_run]


def test_logins_that_fail_and_those_that_do_not(admin: Account, user: Account):
    accepted(user.get("experiments/get", experiment_id=0))
    wrong = Account(user.server, user.name, "wrong password")
    answer = wrong.get("experiments/get", experiment_id=0)
    assert answer.status == 401
    found = eventually(admin, 2, actor=user.name, action="login")
    assert [each["outcome"] for each in found] == ["denied", "allowed"]
    assert found[0]["request_id"] == answer.headers["x-request-id"]


def test_a_denial_is_on_record(admin: Account, user: Account):
    other = admin.new_user()
    experiment = other.create_experiment()
    answer = user.post("experiments/delete", {"experiment_id": experiment})
    denied(answer)
    (entry,) = eventually(admin, 1, actor=user.name, action="access")
    assert (entry["outcome"], entry["resource_type"]) == ("denied", "experiment")
    assert entry["request_id"] == answer.headers["x-request-id"]
    assert "MANAGE" in entry["detail"]


def test_tokens_and_service_accounts_are_on_record(admin: Account):
    name = unique("robot")
    accepted(admin.post("service-accounts", {"name": name}, api=OWN))
    made = accepted(admin.post("tokens", {"name": "ci", "username": name}, api=OWN))
    token_id = made["info"]["token_id"]
    accepted(admin.delete(f"tokens/{token_id}", {}, api=OWN))
    of_token = audit(admin, resource_type="token", resource=str(token_id))
    revoked, created = of_token[:2]
    assert (revoked["action"], created["action"]) == ("token.revoke", "token.create")
    assert created["detail"] == f"ci (...{made['token'][-4:]}) of {name}: read, write"
    (service,) = audit(admin, resource=name, action="service.create")
    assert service["actor"] == "root"


def test_webhooks_and_files_are_on_record(admin: Account):
    event = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
    hook = {"name": "hook", "url": "https://8.8.8.8/", "events": [event]}
    webhook = accepted(admin.post("webhooks", hook))["webhook"]["webhook_id"]
    accepted(admin.delete(f"webhooks/{webhook}", {}))
    assert audit(admin, action="webhook.delete")[0]["resource"] == webhook
    experiment = admin.create_experiment()
    path = f"{experiment}/x/artifacts/{unique('file').replace(' ', '-')}"
    accepted(admin.delete(path, {}, api="/api/2.0/mlflow-artifacts/artifacts/"))
    assert audit(admin, action="artifact.delete")[0]["resource"] == path


def test_pages_and_lines_say_the_same(admin: Account):
    for _ in range(5):
        experiment = admin.create_experiment()
        accepted(admin.post("experiments/delete", {"experiment_id": experiment}))
    wanted = {"action": "experiment.delete", "actor": "root"}
    found: list[Any] = []
    token = ""
    while True:
        page = accepted(admin.get("audit", api=OWN, max_results=2, page_token=token, **wanted))
        found += page["entries"]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert len(found) >= 5
    assert found == sorted(found, key=lambda each: each["id"], reverse=True)
    assert lines(admin.get("audit", api=OWN, format="jsonl", **wanted)) == found
    login = base64.b64encode(f"root:{ADMIN_PASSWORD}".encode()).decode()
    accepting = admin.server.request(
        "GET",
        f"{OWN}audit?action=experiment.delete&actor=root",
        headers={"Authorization": f"Basic {login}", "Accept": JSON_LINES},
    )
    assert lines(accepting) == found
    since, until = found[3]["time"], found[0]["time"]
    chosen = audit(admin, since=since, until=until, **wanted)
    assert chosen == [each for each in found if since <= each["time"] < until]


def test_lines_of_nothing_are_none(admin: Account):
    assert lines(admin.get("audit", api=OWN, format="jsonl", actor="nobody")) == []


def test_the_log_is_for_admins(admin: Account, user: Account):
    for answer in (
        user.get("audit", api=OWN),
        user.get("audit", api=OWN, format="jsonl"),
        user.get("audit", api=OWN, actor=user.name),
    ):
        denied(answer)
    assert admin.server.request("GET", f"{OWN}audit").status == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_results": 0},
        {"max_results": 1_001},
        {"page_token": "x"},
        {"format": "csv"},
        {"since": "yesterday"},
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: dict[str, object], admin: Account):
    refused(admin.get("audit", api=OWN, **wrong))


def test_without_access_control_it_is_kept_too(server: Server, run: str):
    accepted(server.post("runs/delete", {"run_id": run}))
    entry, *others = server.get("audit", prefix=OWN, resource_type="run", resource=run).json[
        "entries"
    ]
    assert others == []
    assert (entry["action"], entry["actor"], entry["address"]) == ("run.delete", "", "127.0.0.1")
