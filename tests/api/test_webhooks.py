"""Webhooks: life, limits, and what MLflow's own clients see of them."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.protocol import JSON, accepted, not_found, offset_token, refused
from tests.api.webhooks import (
    CREATED,
    FAILED,
    FINISHED,
    OPEN,
    PATH,
    SECRET,
    call_test,
    create,
    delete,
    deliveries,
    get,
    patch,
    serving_webhooks,
)
from tests.fixtures.databases import Databases
from tests.fixtures.server import Answered, Server, serving

MLFLOW = {**JSON, "User-Agent": "mlflow-python-client/3.17.2"}
NO_WEBHOOK = str(uuid.UUID(int=0))


@pytest.fixture(scope="module")
def server(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("webhooks")
    with serving_webhooks(folder, databases.new_database()) as running:
        yield running


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
