"""Deliveries of webhooks: what arrives at a receiver, retries, history and test calls."""

import json
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.api.protocol import JSON, START_MS, accepted, refused, unique
from tests.api.webhooks import (
    CREATED,
    FAILED,
    FINISHED,
    OPEN,
    SECRET,
    call_test,
    create,
    delete,
    deliveries,
    end,
    ended,
    history,
    patch,
    result,
    serving_webhooks,
    signed,
)
from tests.fixtures.databases import Databases
from tests.fixtures.receiver import Receiver, Reply, receiving, until
from tests.fixtures.server import Server, serving

from riverrun.entities.webhooks import EVENTS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("webhooks")
    with serving_webhooks(folder, databases.new_database()) as running:
        yield running


@pytest.fixture
def receiver(server: Server) -> Iterator[Receiver]:
    """What it was told of in one test is not told to the next."""
    with receiving() as running:
        yield running
    for webhook in accepted(server.get("webhooks")).get("webhooks", []):
        delete(server, webhook["webhook_id"])


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
