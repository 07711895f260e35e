"""Webhooks: life, what arrives at a receiver, retries, test calls and history."""

import base64
import hashlib
import hmac
import json
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.api.protocol import JSON, START_MS, accepted, not_found, offset_token, refused, unique
from tests.fixtures.databases import Databases
from tests.fixtures.receiver import Arrived, Receiver, Reply, receiving, until
from tests.fixtures.server import Answered, Server, serving

from riverrun.entities.webhooks import EVENTS

PATH = "/api/2.0/mlflow/webhooks"
OPEN = {
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
    "MLFLOW_WEBHOOK_REQUEST_TIMEOUT": "2",
    "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "1",
}
"""A server that may call this machine, and does not wait long."""
MLFLOW = {**JSON, "User-Agent": "mlflow-python-client/3.17.2"}
NO_WEBHOOK = str(uuid.UUID(int=0))
CREATED = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
FINISHED = {"entity": "RUN", "action": "FINISHED"}
FAILED = {"entity": "RUN", "action": "FAILED"}
SECRET = "a secret that nobody is told"


def with_key(number: int) -> dict[str, str]:
    """An open server whose key for secrets does not lie beside its database."""
    key = base64.urlsafe_b64encode(bytes([number]) * 32).decode()
    return {**OPEN, "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": key}


@pytest.fixture(scope="module")
def server(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, environ = tmp_path_factory.mktemp("webhooks"), with_key(0)
    with serving(folder, database=databases.new_database(), environ=environ) as running:
        yield running


@pytest.fixture
def receiver(server: Server) -> Iterator[Receiver]:
    """What it was told of in one test is not told to the next."""
    with receiving() as running:
        yield running
    for webhook in accepted(server.get("webhooks")).get("webhooks", []):
        delete(server, webhook["webhook_id"])


def create(server: Server, url: str = "http://127.0.0.1:9/hook", **fields: Any) -> Any:
    message = {"name": "hook", "url": url, "events": [CREATED], **fields}
    return accepted(server.post("webhooks", message))["webhook"]


def get(server: Server, webhook: str) -> Answered:
    return server.get(f"webhooks/{webhook}")


def patch(server: Server, webhook: str, **fields: Any) -> Answered:
    return server.request("PATCH", f"{PATH}/{webhook}", json.dumps(fields).encode(), JSON)


def delete(server: Server, webhook: str) -> Answered:
    return server.request("DELETE", f"{PATH}/{webhook}")


def call_test(server: Server, webhook: str, **fields: Any) -> Answered:
    return server.post(f"webhooks/{webhook}/test", fields)


def deliveries(server: Server, webhook: str, **fields: object) -> Answered:
    prefix = "/api/riverrun/v1/"
    return server.get(f"webhooks/{webhook}/deliveries", prefix=prefix, **fields)


def history(server: Server, webhook: str) -> list[Any]:
    return accepted(deliveries(server, webhook)).get("deliveries", [])


def ended(server: Server, webhook: str, count: int = 1) -> list[Any]:
    """The history, once so many deliveries have come to their end."""
    until(lambda: [each["status"] for each in history(server, webhook)].count("PENDING") == 0)
    found = history(server, webhook)
    assert len(found) == count
    return found


def end(server: Server, run: str, status: str = "FINISHED", **fields: Any) -> None:
    accepted(server.post("runs/update", {"run_id": run, "status": status, **fields}))


def signed(arrived: Arrived, secret: str) -> str:
    """As docs/webhooks.md tells receivers to check it."""
    parts = (arrived.headers["x-mlflow-delivery-id"], arrived.headers["x-mlflow-timestamp"])
    text = ".".join(parts).encode() + b"." + arrived.body
    digest = hmac.new(secret.encode(), text, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


# Life --------------------------------------------------------------------------------------------


def test_a_webhook_is_told_but_for_its_secret(server: Server):
    before = time.time_ns() // 1_000_000
    webhook = create(
        server,
        "http://example.com:8080/in?token=1",
        name="to-ci",
        description="builds",
        secret=SECRET,
        events=[CREATED, FAILED],
    )
    webhook_id = webhook["webhook_id"]
    created = webhook["creation_timestamp"]
    assert before <= created <= time.time_ns() // 1_000_000
    assert webhook == {
        "webhook_id": str(uuid.UUID(webhook_id)),
        "name": "to-ci",
        "url": "http://example.com:8080/in?token=1",
        "events": [CREATED, FAILED],
        "status": "ACTIVE",
        "creation_timestamp": created,
        "last_updated_timestamp": created,
        "description": "builds",
    }
    assert accepted(get(server, webhook_id)) == {"webhook": webhook}


def test_two_webhooks_may_have_one_name(server: Server):
    assert create(server)["webhook_id"] != create(server)["webhook_id"]


def test_events_are_given_by_name_or_number_and_kept_once(server: Server):
    events = [{"entity": 2, "action": "1"}, {"entity": "MODEL_VERSION", "action": "CREATED"}]
    assert create(server, events=[*events, CREATED])["events"] == [events[1], CREATED]


def test_webhooks_are_listed_page_by_page_the_newest_first(server: Server):
    made = [create(server, name=f"hook{number}") for number in range(3)]
    first = accepted(server.get("webhooks", max_results=2))
    assert first["webhooks"] == [made[2], made[1]]
    token = first["next_page_token"]
    second = accepted(server.get("webhooks", max_results=1, page_token=token))
    assert second["webhooks"] == [made[0]]
    assert accepted(server.get("webhooks"))["webhooks"][:3] == made[::-1]


def test_the_pages_of_mlflows_own_tokens_are_read(server: Server):
    made = [create(server) for _ in range(2)]
    page = accepted(server.get("webhooks", max_results=1, page_token=offset_token(1)))
    assert page["webhooks"] == [made[0]]


@pytest.mark.parametrize(
    "fields", [{"max_results": -1}, {"max_results": 1001}, {"page_token": "x"}]
)
def test_an_impossible_page_is_refused(server: Server, fields: dict[str, Any]):
    refused(server.get("webhooks", **fields))
    refused(deliveries(server, create(server)["webhook_id"], **fields))


def test_an_update_changes_what_it_names_and_nothing_else(server: Server):
    old = create(server, description="old", events=[CREATED, FINISHED])
    webhook_id = old["webhook_id"]
    for change in (
        {"name": "renamed"},
        {"url": "https://other.example.com/"},
        {"events": [FAILED]},
        {"status": "DISABLED"},
        {"description": "new"},
    ):
        new = accepted(patch(server, webhook_id, **change, unknown="ignored"))["webhook"]
        assert new["last_updated_timestamp"] >= old["last_updated_timestamp"]
        expected = {**old, **change, "last_updated_timestamp": new["last_updated_timestamp"]}
        assert new == accepted(get(server, webhook_id))["webhook"] == expected
        old = new
    untouched = accepted(patch(server, webhook_id, name="", url="", events=[]))["webhook"]
    assert {**untouched, "last_updated_timestamp": 0} == {**old, "last_updated_timestamp": 0}
    assert "description" not in accepted(patch(server, webhook_id, description=""))["webhook"]


def test_a_deleted_webhook_is_gone(server: Server):
    webhook_id = create(server)["webhook_id"]
    assert accepted(delete(server, webhook_id)) == {}
    assert not_found(get(server, webhook_id)) == f"Webhook with ID {webhook_id} not found."
    not_found(delete(server, webhook_id))
    listed = accepted(server.get("webhooks")).get("webhooks", [])
    assert webhook_id not in {webhook["webhook_id"] for webhook in listed}


CALLS: list[Callable[[Server, str], Answered]] = [get, patch, delete, call_test, deliveries]


@pytest.mark.parametrize("webhook", [NO_WEBHOOK, "1", NO_WEBHOOK.replace("-", ""), "x" * 300])
@pytest.mark.parametrize("call", CALLS)
def test_a_webhook_that_is_not_there_is_not_found(
    server: Server, call: Callable[[Server, str], Answered], webhook: str
):
    assert not_found(call(server, webhook)) == f"Webhook with ID {webhook[:256]} not found."


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": None}, "Missing value for required parameter 'name'"),
    ({"name": ""}, "Missing value for required parameter 'name'"),
    ({"name": "-x"}, "webhook name '-x'"),
    ({"name": "x."}, "webhook name 'x.'"),
    ({"name": "a b"}, "webhook name 'a b'"),
    ({"name": "é"}, "webhook name"),
    ({"name": "n" * 64}, "webhook name"),
    ({"name": 7}, "name"),
    ({"url": None}, "Missing value for required parameter 'url'"),
    ({"url": " "}, "printable ASCII"),
    ({"url": "example.com/hook"}, "Allowed schemes are: http, https"),
    ({"url": "ftp://example.com"}, "Allowed schemes are: http, https"),
    ({"url": "file:///etc/passwd"}, "Allowed schemes are: http, https"),
    ({"url": "http://"}, "name a host"),
    ({"url": "http:///path"}, "name a host"),
    ({"url": "http://user:pass@example.com"}, "login"),
    ({"url": "http://example.com:99999"}, "cannot be read"),
    ({"url": "http://example.com:0"}, "port"),
    ({"url": "http://[::1"}, "cannot be read"),
    ({"url": "http://example.com/\r\nX: y"}, "printable ASCII"),
    ({"url": "http://exämple.com/"}, "printable ASCII"),
    ({"url": "http://127.1/"}, "usual form"),
    ({"url": "http://example.com/" + "x" * 2048}, "longer than 2048"),
    ({"events": None}, "Missing value for required parameter 'events'"),
    ({"events": []}, "cannot be empty"),
    ({"events": "MODEL_VERSION.CREATED"}, "events"),
    ({"events": [{}]}, "entity"),
    ({"events": [{"entity": "MODEL_VERSION"}]}, "action"),
    ({"events": [{"entity": "EXPERIMENT", "action": "CREATED"}]}, "entity"),
    ({"events": [{"entity": "ENTITY_UNSPECIFIED", "action": "CREATED"}]}, "entity"),
    ({"events": [{"entity": "MODEL_VERSION", "action": "SET"}]}, "Valid actions are: CREATED"),
    ({"events": [{"entity": "RUN", "action": "CREATED"}]}, "FINISHED, FAILED, KILLED"),
    ({"events": [CREATED] * 101}, "at most 100 events"),
    ({"description": "d" * 5001}, "description"),
    ({"secret": "s" * 1001}, "secret"),
    ({"status": "PAUSED"}, "status"),
]


@pytest.mark.parametrize(("fields", "words"), REFUSED)
def test_a_webhook_that_cannot_be_is_refused(server: Server, fields: dict[str, Any], words: str):
    before = accepted(server.get("webhooks"))
    message = {"name": "hook", "url": "http://example.com", "events": [CREATED], **fields}
    assert words in refused(server.post("webhooks", message))
    assert accepted(server.get("webhooks")) == before


@pytest.mark.parametrize(("fields", "words"), [each for each in REFUSED if all(each[0].values())])
def test_a_change_that_cannot_be_is_refused(server: Server, fields: dict[str, Any], words: str):
    webhook = create(server, description="kept")
    assert words in refused(patch(server, webhook["webhook_id"], **fields))
    assert accepted(get(server, webhook["webhook_id"]))["webhook"] == webhook


def test_a_workspace_has_at_most_a_hundred(tmp_path: Path, database: str):
    with serving(tmp_path, database=database, environ=OPEN) as server:
        for _ in range(100):
            create(server)
        message = {"name": "hook", "url": "http://example.com", "events": [CREATED]}
        assert "at most 100 webhooks" in refused(server.post("webhooks", message))
        page = accepted(server.get("webhooks"))
        assert len(page["webhooks"]) == 100
        assert "next_page_token" not in page


# MLflow's own clients ----------------------------------------------------------------------------


def ask_as_mlflow(server: Server, method: str, path: str = "", **fields: Any) -> Answered:
    body = json.dumps(fields).encode() if fields else None
    return server.request(method, PATH + path, body, MLFLOW)


def test_mlflows_clients_are_not_shown_what_would_break_them(server: Server):
    both = create(server, events=[FINISHED, CREATED])
    runs = create(server, events=[FINISHED])
    listed = accepted(ask_as_mlflow(server, "GET"))["webhooks"]
    assert [webhook["events"] for webhook in listed][:1] == [[CREATED]]
    assert runs["webhook_id"] not in {webhook["webhook_id"] for webhook in listed}
    shown = accepted(ask_as_mlflow(server, "GET", f"/{both['webhook_id']}"))["webhook"]
    assert shown == {**both, "events": [CREATED]}
    message = not_found(ask_as_mlflow(server, "GET", f"/{runs['webhook_id']}"))
    assert "listens to runs only" in message


def test_mlflows_clients_replace_only_the_events_that_they_see(server: Server):
    webhook_id = create(server, events=[FINISHED, CREATED])["webhook_id"]
    deleted = {"entity": "PROMPT_TAG", "action": "DELETED"}
    changed = accepted(ask_as_mlflow(server, "PATCH", f"/{webhook_id}", events=[deleted]))
    assert changed["webhook"]["events"] == [deleted]
    assert accepted(get(server, webhook_id))["webhook"]["events"] == [deleted, FINISHED]


# What arrives ------------------------------------------------------------------------------------


def test_a_run_that_ends_is_told_signed(server: Server, receiver: Receiver):
    webhook_id = create(server, receiver.url, events=[FINISHED], secret=SECRET)["webhook_id"]
    experiment = server.create_experiment(unique("told"))
    run = server.create_run(experiment, run_name="größe", user_id="me")
    end(server, run, end_time=START_MS + 1)
    (arrived,) = receiver.wait()
    told = arrived.json
    assert datetime.fromisoformat(told.pop("timestamp")).utcoffset() == timedelta(0)
    assert told == {
        "entity": "run",
        "action": "finished",
        "data": {
            "run_id": run,
            "run_name": "größe",
            "experiment_id": experiment,
            "user_id": "me",
            "status": "FINISHED",
            "start_time": START_MS,
            "end_time": START_MS + 1,
        },
    }
    assert (arrived.path, arrived.headers["content-type"]) == ("/hook", "application/json")
    assert arrived.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert abs(int(arrived.headers["x-mlflow-timestamp"]) - time.time()) < 5
    assert arrived.headers["x-mlflow-signature"] == signed(arrived, SECRET)
    (delivery,) = ended(server, webhook_id)
    assert delivery.pop("creation_timestamp") <= delivery.pop("last_attempt_timestamp")
    assert delivery == {
        "delivery_id": arrived.headers["x-mlflow-delivery-id"],
        "webhook_id": webhook_id,
        "event": FINISHED,
        "status": "DELIVERED",
        "attempts": 1,
        "response_status": 200,
    }


def test_a_run_is_told_of_when_its_status_changes(server: Server, receiver: Receiver):
    killed = {"entity": "RUN", "action": "KILLED"}
    webhook_id = create(server, receiver.url, events=[FINISHED, FAILED, killed])["webhook_id"]
    run = server.create_run()
    statuses = ["RUNNING", "FAILED", "FAILED", "SCHEDULED", "KILLED", "FINISHED", "FINISHED"]
    for status in statuses:
        end(server, run, status)
    accepted(server.post("runs/update", {"run_id": run, "run_name": "renamed"}))
    told = [each["event"]["action"] for each in ended(server, webhook_id, 3)]
    assert told == ["FINISHED", "KILLED", "FAILED"]
    assert {each.event for each in receiver.wait(3)} == {"run.finished", "run.killed", "run.failed"}


def test_only_who_listens_and_is_active_is_told(server: Server, receiver: Receiver):
    told = create(server, receiver.url, events=[CREATED, FINISHED])["webhook_id"]
    others = [
        create(server, receiver.url, events=[FAILED])["webhook_id"],
        create(server, receiver.url, events=[FINISHED], status="DISABLED")["webhook_id"],
    ]
    end(server, server.create_run())
    ended(server, told)
    assert [history(server, other) for other in others] == [[], []]
    assert len(receiver.arrived) == 1


def test_without_a_secret_nothing_is_signed(server: Server, receiver: Receiver):
    webhook_id = create(server, receiver.url, events=[FINISHED], secret=SECRET)["webhook_id"]
    accepted(patch(server, webhook_id, secret=""))
    end(server, server.create_run())
    assert "x-mlflow-signature" not in receiver.wait()[0].headers
    accepted(patch(server, webhook_id, secret="another"))
    end(server, server.create_run())
    arrived = receiver.wait(2)[1]
    assert arrived.headers["x-mlflow-signature"] == signed(arrived, "another")


def test_a_refused_change_tells_nobody(server: Server, receiver: Receiver):
    webhook_id = create(server, receiver.url, events=[FINISHED])["webhook_id"]
    run = server.create_run()
    accepted(server.post("runs/delete", {"run_id": run}))
    refused(server.post("runs/update", {"run_id": run, "status": "FINISHED"}))
    assert history(server, webhook_id) == []


def test_the_registry_tells_what_happens_to_models(server: Server, receiver: Receiver):
    create(server, receiver.url, events=every_event())
    name = f"model-{uuid.uuid4().hex[:8]}"
    version = {"name": name, "version": "1"}
    tags = [{"key": "team", "value": "a"}]
    for path, message in (
        ("registered-models/create", {"name": name, "tags": tags}),
        ("registered-models/set-tag", {"name": name, "key": "k", "value": "v"}),
        ("model-versions/create", {"name": name, "source": "s3://b/m", "tags": tags}),
        ("model-versions/set-tag", {**version, "key": "k", "value": "v"}),
        ("registered-models/alias", {**version, "alias": "champion"}),
    ):
        accepted(server.post(path, message))
    remove(server, "model-versions/delete-tag", **version, key="k")
    remove(server, "registered-models/alias", name=name, alias="champion")
    told = {each.event: each.json["data"] for each in receiver.wait(6)}
    assert told == {
        "registered_model.created": {"name": name, "tags": {"team": "a"}, "description": ""},
        "model_version.created": {
            **version,
            "source": "s3://b/m",
            "run_id": None,
            "tags": {"team": "a"},
            "description": None,
        },
        "model_version_tag.set": {**version, "key": "k", "value": "v"},
        "model_version_tag.deleted": {**version, "key": "k"},
        "model_version_alias.created": {**version, "alias": "champion"},
        "model_version_alias.deleted": {"name": name, "alias": "champion"},
    }


def test_the_registry_tells_what_happens_to_prompts(server: Server, receiver: Receiver):
    create(server, receiver.url, events=every_event())
    name = f"prompt-{uuid.uuid4().hex[:8]}"
    version = {"name": name, "version": "1"}
    is_prompt = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    text = {"key": "mlflow.prompt.text", "value": "Hello {{name}}"}
    kind = {"key": "_mlflow_prompt_type", "value": "text"}
    tags = [is_prompt, kind, {"key": "team", "value": "a"}]
    for path, message in (
        ("registered-models/create", {"name": name, "tags": tags, "description": "d"}),
        ("registered-models/set-tag", {"name": name, "key": "k", "value": "v"}),
        ("model-versions/create", {"name": name, "source": "dummy-source", "tags": [*tags, text]}),
        ("model-versions/set-tag", {**version, "key": "k", "value": "v"}),
        ("registered-models/alias", {**version, "alias": "champion"}),
    ):
        accepted(server.post(path, message))
    remove(server, "model-versions/delete-tag", **version, key="k")
    remove(server, "registered-models/delete-tag", name=name, key="k")
    remove(server, "registered-models/alias", name=name, alias="champion")
    told = {each.event: each.json["data"] for each in receiver.wait(8)}
    assert told == {
        "prompt.created": {"name": name, "tags": {"team": "a"}, "description": "d"},
        "prompt_tag.set": {"name": name, "key": "k", "value": "v"},
        "prompt_tag.deleted": {"name": name, "key": "k"},
        "prompt_version.created": {
            **version,
            "template": "Hello {{name}}",
            "tags": {"team": "a"},
            "description": None,
        },
        "prompt_version_tag.set": {**version, "key": "k", "value": "v"},
        "prompt_version_tag.deleted": {**version, "key": "k"},
        "prompt_alias.created": {**version, "alias": "champion"},
        "prompt_alias.deleted": {"name": name, "alias": "champion"},
    }


def every_event() -> list[dict[str, str]]:
    return [
        {"entity": entity, "action": action}
        for entity, actions in EVENTS.items()
        for action in actions
    ]


def remove(server: Server, path: str, **fields: str) -> None:
    body = json.dumps(fields).encode()
    accepted(server.request("DELETE", f"/api/2.0/mlflow/{path}", body, JSON))


# Retries and refusals ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_receiver_in_trouble_is_told_again(server: Server, receiver: Receiver, status: int):
    webhook_id = create(server, receiver.url, events=[FINISHED], secret=SECRET)["webhook_id"]
    receiver.replies.append(Reply(status))
    end(server, server.create_run())
    first, second = receiver.wait(2)
    assert second.at_s - first.at_s >= 0.9
    assert second.body == first.body
    ids = {each.headers["x-mlflow-delivery-id"] for each in (first, second)}
    assert len(ids) == 1
    assert second.headers["x-mlflow-signature"] == signed(second, SECRET)
    (delivery,) = ended(server, webhook_id)
    assert (delivery["status"], delivery["attempts"]) == ("DELIVERED", 2)
    assert "error_message" not in delivery


@pytest.mark.slow
def test_a_receiver_that_asks_for_time_gets_it(server: Server, receiver: Receiver):
    create(server, receiver.url, events=[FINISHED])
    receiver.replies.append(Reply(503, {"Retry-After": "3"}))
    end(server, server.create_run())
    first, second = receiver.wait(2)
    assert second.at_s - first.at_s >= 2.9


def test_while_it_waits_for_the_next_attempt_the_history_says_so(
    server: Server, receiver: Receiver
):
    webhook_id = create(server, receiver.url, events=[FINISHED])["webhook_id"]
    receiver.replies.append(Reply(503, {"Retry-After": "60"}))
    end(server, server.create_run())
    until(lambda: history(server, webhook_id)[0]["attempts"] == 1)
    (delivery,) = history(server, webhook_id)
    waits_ms = delivery["next_attempt_timestamp"] - delivery["last_attempt_timestamp"]
    assert waits_ms == 60_000
    assert (delivery["status"], delivery["response_status"]) == ("PENDING", 503)
    assert delivery["error_message"] == "The receiver answered 503."


def test_a_receiver_that_stays_in_trouble_is_given_up(server: Server, receiver: Receiver):
    webhook_id = create(server, receiver.url, events=[FINISHED])["webhook_id"]
    receiver.replies.extend([Reply(500), Reply(502)])
    end(server, server.create_run())
    (delivery,) = ended(server, webhook_id)
    assert (delivery["status"], delivery["attempts"]) == ("FAILED", 2)
    assert (delivery["response_status"], delivery["error_message"]) == (
        502,
        "The receiver answered 502.",
    )


@pytest.mark.parametrize("status", [400, 404, 410])
def test_a_receiver_that_does_not_want_it_is_not_asked_again(
    server: Server, receiver: Receiver, status: int
):
    webhook_id = create(server, receiver.url, events=[FINISHED])["webhook_id"]
    receiver.replies.append(Reply(status))
    end(server, server.create_run())
    (delivery,) = ended(server, webhook_id)
    assert (delivery["status"], delivery["attempts"]) == ("FAILED", 1)
    assert delivery["response_status"] == status


@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_is_not_followed(server: Server, receiver: Receiver, status: int):
    webhook_id = create(server, receiver.url, events=[FINISHED])["webhook_id"]
    receiver.replies.append(Reply(status, {"Location": f"http://127.0.0.1:{receiver.port}/other"}))
    end(server, server.create_run())
    (delivery,) = ended(server, webhook_id)
    assert (delivery["status"], delivery["response_status"]) == ("FAILED", status)
    assert "redirects are not followed" in delivery["error_message"]
    assert [each.path for each in receiver.arrived] == ["/hook"]


@pytest.mark.slow
def test_a_receiver_that_does_not_answer_is_not_waited_for_for_ever(
    server: Server, receiver: Receiver
):
    webhook_id = create(server, receiver.url, events=[FINISHED])["webhook_id"]
    receiver.replies.append(Reply(after_s=4))
    end(server, server.create_run())
    until(lambda: history(server, webhook_id)[0]["attempts"] == 1)
    (delivery,) = history(server, webhook_id)
    assert delivery["error_message"] == "There was no answer within 2 seconds."
    (delivery,) = ended(server, webhook_id)
    assert delivery["status"] == "DELIVERED"


def test_a_slow_receiver_does_not_hold_up_the_others(server: Server, receiver: Receiver):
    create(server, receiver.url, events=[FAILED])
    with receiving() as fast:
        webhook_id = create(server, fast.url, events=[FINISHED])["webhook_id"]
        receiver.replies.extend(Reply(after_s=1.5) for _ in range(20))
        for _ in range(20):
            end(server, server.create_run(), "FAILED")
        receiver.wait()
        started = time.monotonic()
        end(server, server.create_run())
        fast.wait()
        assert time.monotonic() - started < 1
        ended(server, webhook_id)


def test_a_webhook_disabled_in_the_meantime_is_not_called(server: Server, receiver: Receiver):
    webhook_id = create(server, receiver.url, events=[FINISHED])["webhook_id"]
    receiver.replies.append(Reply(503))
    end(server, server.create_run())
    receiver.wait()
    accepted(patch(server, webhook_id, status="DISABLED"))
    (delivery,) = ended(server, webhook_id)
    assert (delivery["status"], len(receiver.arrived)) == ("FAILED", 1)
    assert delivery["error_message"] == "The webhook was disabled in the meantime."


def test_the_history_is_read_page_by_page_the_newest_first(server: Server, receiver: Receiver):
    webhook_id = create(server, receiver.url, events=[FINISHED])["webhook_id"]
    for _ in range(5):
        end(server, server.create_run())
    whole = ended(server, webhook_id, 5)
    times = [each["creation_timestamp"] for each in whole]
    assert times == sorted(times, reverse=True)
    page = accepted(deliveries(server, webhook_id, max_results=3))
    token = page["next_page_token"]
    rest = accepted(deliveries(server, webhook_id, max_results=3, page_token=token))
    assert page["deliveries"] + rest["deliveries"] == whole
    assert "next_page_token" not in rest
    other = create(server, receiver.url)["webhook_id"]
    assert "page_token" in refused(deliveries(server, other, page_token=token))


# Test calls --------------------------------------------------------------------------------------


def result(answer: Answered) -> Any:
    return accepted(answer)["result"]


def test_a_test_call_tells_what_the_receiver_answered(server: Server, receiver: Receiver):
    webhook_id = create(
        server, receiver.url, events=[FAILED, CREATED], secret=SECRET, status="DISABLED"
    )["webhook_id"]
    receiver.replies.append(Reply(201, {}, "größe".encode()))
    assert result(call_test(server, webhook_id)) == {
        "success": True,
        "response_status": 201,
        "response_body": "größe",
    }
    (arrived,) = receiver.arrived
    assert arrived.event == "run.failed"
    assert arrived.headers["x-mlflow-signature"] == signed(arrived, SECRET)
    assert history(server, webhook_id) == []


@pytest.mark.parametrize("event", every_event(), ids=lambda event: ".".join(event.values()))
def test_every_event_can_be_tried(server: Server, receiver: Receiver, event: dict[str, str]):
    webhook_id = create(server, receiver.url)["webhook_id"]
    assert result(call_test(server, webhook_id, event=event))["success"] is True
    (arrived,) = receiver.arrived
    assert arrived.event == f"{event['entity']}.{event['action']}".lower()
    assert arrived.json["data"]


def test_a_test_call_that_fails_is_an_answer(server: Server, receiver: Receiver):
    webhook_id = create(server, receiver.url)["webhook_id"]
    receiver.replies.append(Reply(500, {}, b"no"))
    assert result(call_test(server, webhook_id)) == {
        "success": False,
        "response_status": 500,
        "response_body": "no",
        "error_message": "The receiver answered 500.",
    }
    assert len(receiver.arrived) == 1
    nobody = create(server, "http://127.0.0.1:9/")["webhook_id"]
    assert result(call_test(server, nobody)) == {
        "success": False,
        "error_message": "The connection to '127.0.0.1' failed: Connection refused.",
    }


def test_a_long_answer_to_a_test_call_is_cut(server: Server, receiver: Receiver):
    webhook_id = create(server, receiver.url)["webhook_id"]
    receiver.replies.append(Reply(200, {}, b"x" * 5_000_000))
    assert len(result(call_test(server, webhook_id))["response_body"]) == 16 * 1024


def test_a_test_call_of_an_unknown_event_is_refused(server: Server, receiver: Receiver):
    webhook_id = create(server, receiver.url)["webhook_id"]
    unknown = {"entity": "RUN", "action": "SET"}
    assert "Invalid action 'SET'" in refused(call_test(server, webhook_id, event=unknown))
    assert receiver.arrived == []


# Secrets -----------------------------------------------------------------------------------------


def test_a_secret_is_nowhere_to_be_read(tmp_path: Path):
    with serving(tmp_path, environ=OPEN) as server, receiving() as receiver:
        webhook_id = create(server, receiver.url, events=[FINISHED], secret=SECRET)["webhook_id"]
        receiver.replies.append(Reply(400))
        end(server, server.create_run())
        ended(server, webhook_id)
        answers = [get(server, webhook_id), server.get("webhooks"), deliveries(server, webhook_id)]
        assert all(SECRET.encode() not in answer.body for answer in answers)
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert {path.name for path in files} >= {"mlflow.db", "mlflow.db-wal", "server.log"}
        assert [path.name for path in files if SECRET.encode() in path.read_bytes()] == []


def test_the_key_is_for_the_server_alone(tmp_path: Path):
    with serving(tmp_path, environ=OPEN) as server:
        create(server, secret=SECRET)
    key = tmp_path / "mlflow.db.webhook-key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(base64.urlsafe_b64decode(key.read_bytes())) == 32


def test_a_server_without_secrets_has_no_key(tmp_path: Path):
    with serving(tmp_path, environ=OPEN) as server:
        create(server)
    assert not (tmp_path / "mlflow.db.webhook-key").exists()


def test_signing_goes_on_after_a_restart(tmp_path: Path):
    with serving(tmp_path, environ=OPEN) as server, receiving() as receiver:
        webhook_id = create(server, receiver.url, secret=SECRET)["webhook_id"]
        server.stop()
        server.start()
        assert result(call_test(server, webhook_id))["success"] is True
        (arrived,) = receiver.arrived
        assert arrived.headers["x-mlflow-signature"] == signed(arrived, SECRET)


def test_with_another_key_nothing_is_sent_unsigned(tmp_path: Path, database: str):
    first = serving(tmp_path, database=database, environ=with_key(0))
    with first as server, receiving() as receiver:
        webhook_id = create(server, receiver.url, events=[FINISHED], secret=SECRET)["webhook_id"]
        server.stop()
        server.environ = with_key(1)
        server.start()
        end(server, server.create_run())
        (delivery,) = ended(server, webhook_id)
        assert (delivery["status"], delivery["attempts"]) == ("FAILED", 1)
        assert "encrypted with another key" in delivery["error_message"]
        assert receiver.arrived == []
        accepted(patch(server, webhook_id, secret="new"))
        assert result(call_test(server, webhook_id))["success"] is True
    assert not (tmp_path / "mlflow.db.webhook-key").exists()


@pytest.mark.parametrize("content", [b"", b"no key\n"])
def test_a_broken_key_file_is_a_sentence(tmp_path: Path, content: bytes):
    (tmp_path / "mlflow.db.webhook-key").write_bytes(content)
    with serving(tmp_path, environ=OPEN) as server:
        message = {
            "name": "hook",
            "url": "http://example.com",
            "events": [CREATED],
            "secret": SECRET,
        }
        answer = refused(server.post("webhooks", message), 500, "INTERNAL_ERROR")
        assert "cannot be used" in answer
        create(server)


# Where it may call -------------------------------------------------------------------------------


def test_what_was_allowed_once_is_checked_again_at_every_call(tmp_path: Path, database: str):
    open_server = serving(tmp_path, database=database, environ=OPEN)
    with open_server as server, receiving() as receiver:
        webhook_id = create(server, receiver.url, events=[FINISHED])["webhook_id"]
        server.stop()
        server.environ = {"MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http"}
        server.start()
        tried = result(call_test(server, webhook_id))
        assert tried["success"] is False
        assert "127.0.0.1, which is no public address" in tried["error_message"]
        end(server, server.create_run())
        (delivery,) = ended(server, webhook_id)
        assert (delivery["status"], delivery["attempts"]) == ("FAILED", 1)
        assert delivery["error_message"] == tried["error_message"]
        assert receiver.arrived == []
