"""API tokens and service accounts, over HTTP."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.api.accounts import PASSWORD, Account, denied, guarded
from tests.api.protocol import accepted, not_found, refused, unique
from tests.fixtures.server import Answered, Server

OWN = "/api/riverrun/v1/"
SECONDS_IN_A_DAY = 86_400


def create(account: Account, **fields: Any) -> Answered:
    return account.post("tokens", {"name": "ci", **fields}, api=OWN)


def new_token(account: Account, *scopes: str, **fields: Any) -> str:
    return accepted(create(account, scopes=scopes or ("read", "write"), **fields))["token"]


def listed(account: Account, **fields: str) -> list[Any]:
    return accepted(account.get("tokens", api=OWN, **fields))["tokens"]


def bearing(
    server: Server,
    token: str,
    path: str,
    message: Mapping[str, Any] | None = None,
    *,
    api: str = "/api/2.0/mlflow/",
) -> Answered:
    """A request with this token; a POST where there is a message."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    if message is None:
        return server.request("GET", api + path, headers=headers)
    return server.request("POST", api + path, json.dumps(message).encode(), headers)


def may_read(server: Server, token: str) -> bool:
    status = bearing(server, token, "experiments/get?experiment_id=0").status
    assert status in {200, 401, 403}
    return status == 200


def may_write(server: Server, token: str) -> bool:
    message = {"name": unique("by token")}
    status = bearing(server, token, "experiments/create", message).status
    assert status in {200, 401, 403}
    return status == 200


def may_administrate(server: Server, token: str) -> bool:
    status = bearing(server, token, "tokens", api=OWN).status
    assert status in {200, 401, 403}
    return status == 200


def test_a_token_is_shown_once_and_described_ever_after(user: Account):
    made = accepted(create(user, scopes=["write", "read"], expires_in_s=SECONDS_IN_A_DAY))
    token, info = made["token"], made["info"]
    assert token.startswith("riverrun_pat_")
    assert (info["username"], info["name"], info["hint"]) == (user.name, "ci", token[-4:])
    assert info["scopes"] == ["read", "write"]
    assert info["expiry_time"] - info["creation_time"] == SECONDS_IN_A_DAY * 1_000
    assert info["last_used_time"] is None
    answer = user.get("tokens", api=OWN)
    assert accepted(answer)["tokens"] == [info]
    assert token.encode() not in answer.body


def test_without_more_words_a_token_reads_and_writes_and_stays(user: Account):
    info = accepted(create(user))["info"]
    assert (info["scopes"], info["expiry_time"]) == (["read", "write"], None)


@pytest.mark.parametrize(
    ("scopes", "possible"),
    [
        (["read"], {may_read}),
        (["read", "write"], {may_read, may_write}),
        (["write"], {may_read, may_write}),
        (["admin"], {may_read, may_write, may_administrate}),
        (["metrics"], set[object]()),
        (["read", "metrics"], {may_read}),
    ],
)
def test_scopes_say_what_a_token_is_for(scopes: list[str], possible: set[object], user: Account):
    token = new_token(user, *scopes)
    asked = {may_read, may_write, may_administrate}
    assert {each for each in asked if each(user.server, token)} == possible


def test_a_token_of_an_admin_is_no_more_than_its_scopes(admin: Account):
    token = new_token(admin, "read", "write")
    assert not may_administrate(admin.server, token)
    audit = bearing(admin.server, token, "audit", api=OWN)
    denied(audit)


def test_a_token_may_stand_in_the_place_of_a_password(user: Account):
    token = new_token(user)
    login = base64.b64encode(f"{user.name}:{token}".encode()).decode()
    path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    answer = user.server.request("GET", path, headers={"Authorization": f"Basic {login}"})
    assert answer.status == 200
    other = base64.b64encode(f"root:{token}".encode()).decode()
    answer = user.server.request("GET", path, headers={"Authorization": f"Basic {other}"})
    refused(answer, 401, "UNAUTHENTICATED")


def test_a_revoked_token_ends_at_once_and_is_gone(user: Account):
    token, other = new_token(user), new_token(user)
    assert may_read(user.server, token)
    first, second = listed(user)
    accepted(user.delete(f"tokens/{first['token_id']}", {}, api=OWN))
    assert not may_read(user.server, token)
    assert may_read(user.server, other)
    assert [each["token_id"] for each in listed(user)] == [second["token_id"]]
    again = user.delete(f"tokens/{first['token_id']}", {}, api=OWN)
    not_found(again)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"name": "  "}, "1 to 255 printable"),
        ({"name": "a\nb"}, "1 to 255 printable"),
        ({"name": "a" * 256}, "1 to 255 printable"),
        ({"scopes": []}, "expected some of read, write, admin, metrics"),
        ({"scopes": ["read", "everything"]}, "'everything'"),
        ({"scopes": ["READ"]}, "'READ'"),
        ({"scopes": "read"}, "scopes"),
        ({"expires_in_s": 0}, "expires_in_s"),
        ({"expires_in_s": -1}, "expires_in_s"),
        ({"expires_in_s": 2**62}, "expires_in_s"),
        ({"expires_in_s": "soon"}, "expires_in_s"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_reason(
    fields: Mapping[str, Any], words: str, user: Account
):
    answer = create(user, **fields)
    refused(answer)
    assert words in answer.json["message"]
    assert listed(user) == []


@pytest.mark.parametrize("token_id", ["0", "-1", "x", "99999999999999999999", "1.5", "%00", "1 "])
def test_ids_that_no_token_has_are_not_found(token_id: str, user: Account):
    answer = user.delete(f"tokens/{token_id.replace(' ', '%20')}", {}, api=OWN)
    assert answer.status in {400, 404}


def test_tokens_of_others_are_out_of_reach_but_not_for_admins(admin: Account, user: Account):
    other = admin.new_user()
    new_token(other)
    denied(create(user, username=other.name))
    denied(user.get("tokens", api=OWN, username=other.name))
    (theirs,) = listed(admin, username=other.name)
    missing = user.delete(f"tokens/{theirs['token_id']}", {}, api=OWN)
    assert missing.status == 404
    assert len(listed(other)) == 1
    token = new_token(admin, username=user.name)
    assert may_write(admin.server, token)
    accepted(admin.delete(f"tokens/{theirs['token_id']}", {}, api=OWN))
    assert listed(other) == []
    for nobody in (
        create(admin, username="nobody"),
        admin.get("tokens", api=OWN, username="nobody"),
    ):
        not_found(nobody)


def test_a_token_makes_no_token_that_outlives_it(user: Account):
    maker = new_token(user, "admin", expires_in_s=1_000)
    server = user.server
    longer = {"name": "n", "scopes": ["read"], "expires_in_s": 1_001}
    answer = bearing(server, maker, "tokens", longer, api=OWN)
    refused(answer)
    assert "outlive" in answer.json["message"]
    made = accepted(bearing(server, maker, "tokens", {"name": "n"}, api=OWN))["info"]
    (first, _) = listed(user)
    assert made["expiry_time"] == first["expiry_time"]
    shorter = {**longer, "expires_in_s": 10}
    accepted(bearing(server, maker, "tokens", shorter, api=OWN))


def test_a_service_account_has_tokens_and_no_password(admin: Account):
    name = unique("robot")
    made = accepted(admin.post("service-accounts", {"name": name}, api=OWN))["service_account"]
    assert (made["name"], made["created_by"]) == (name, "root")
    robot = Account(admin.server, name, PASSWORD)
    assert robot.get("experiments/search", max_results=1).status == 401
    token = new_token(admin, "read", username=name)
    assert may_read(admin.server, token)
    found = accepted(admin.get("service-accounts", api=OWN))["service_accounts"]
    assert made in found
    accepted(admin.delete(f"service-accounts/{quote(name)}", {}, api=OWN))
    assert not may_read(admin.server, token)
    gone = admin.delete(f"service-accounts/{quote(name)}", {}, api=OWN)
    not_found(gone)


def test_service_accounts_are_for_admins(admin: Account, user: Account):
    name = unique("robot")
    denied(user.post("service-accounts", {"name": name}, api=OWN))
    denied(user.get("service-accounts", api=OWN))
    accepted(admin.post("service-accounts", {"name": name}, api=OWN))
    denied(user.delete(f"service-accounts/{quote(name)}", {}, api=OWN))
    again = admin.post("service-accounts", {"name": name}, api=OWN)
    refused(again, 400, "RESOURCE_ALREADY_EXISTS")


def test_people_and_service_accounts_share_their_names(admin: Account, user: Account):
    taken = admin.post("service-accounts", {"name": user.name}, api=OWN)
    refused(taken, 400, "RESOURCE_ALREADY_EXISTS")
    person = admin.delete(f"service-accounts/{quote(user.name)}", {}, api=OWN)
    assert person.status == 404
    assert user.get("tokens", api=OWN).status == 200


@pytest.mark.parametrize("name", ["", " ", "a:b", "a\nb", "x" * 256])
def test_names_that_nobody_can_have_are_refused(name: str, admin: Account):
    answer = admin.post("service-accounts", {"name": name}, api=OWN)
    refused(answer)


def test_without_access_control_there_are_no_tokens(server: Server):
    for answer in (
        server.post("tokens", {"name": "ci", "username": "root"}, prefix=OWN),
        server.get("tokens", prefix=OWN),
        server.post("service-accounts", {"name": "robot"}, prefix=OWN),
        server.request("DELETE", f"{OWN}tokens/1"),
    ):
        refused(answer, 400, "FEATURE_DISABLED")


def test_without_access_control_a_header_is_ignored(server: Server):
    answer = server.request(
        "GET",
        "/api/2.0/mlflow/experiments/get?experiment_id=0",
        headers={"Authorization": "Bearer nonsense"},
    )
    assert answer.status == 200


def test_too_many_requests_of_one_token_are_told_when_to_come_again(tmp_path: Path):
    with guarded(tmp_path, "--requests-per-second", "10") as admin:
        token = new_token(admin)
        answers = [
            bearing(admin.server, token, "experiments/get?experiment_id=0") for _ in range(40)
        ]
        refused = [each for each in answers if each.status == 429]
        assert refused
        assert {each.headers["retry-after"] for each in refused} == {"1"}
        assert {each.error_code for each in refused} == {"REQUEST_LIMIT_EXCEEDED"}
        assert listed(admin)
