"""MLflow's own client for users and roles, of releases from both families; and one without rights
who just works, through unmodified clients.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.accounts import Account, guarded
from tests.fixtures.environments import AUTH_CLIENTS, Environment

pytestmark = pytest.mark.client

BEFORE_ROLES = ("mlflow-2.22", "mlflow-3.11")
USERS = {
    "made": ["alice", False, "REDACTED"],
    "same": True,
    "again": "RESOURCE_ALREADY_EXISTS",
    "short": "INVALID_PARAMETER_VALUE",
    "first": "alice",
    "passwords": [401, "alice"],
    "admin": True,
    "gone": "RESOURCE_DOES_NOT_EXIST",
    "oneself": "BAD_REQUEST",
}
PERMISSIONS = [
    "READ",
    "READ",
    "RESOURCE_ALREADY_EXISTS",
    ["NO_PERMISSIONS"],
    "RESOURCE_DOES_NOT_EXIST",
    "RESOURCE_DOES_NOT_EXIST",
]
ROLES: dict[str, Any] = {
    "made": ["team", "default", "who trains", []],
    "again": "RESOURCE_ALREADY_EXISTS",
    "given": ["experiment", "team-*", "EDIT"],
    "same": True,
    "raised": "MANAGE",
    "permissions": [True],
    "role": "trainers",
    "list_roles": ["trainers"],
    "list_all_roles": ["trainers"],
    "assigned": [True, True],
    "users": [True],
    "of bob": ["trainers"],
    "left": [[], []],
    "gone": "RESOURCE_DOES_NOT_EXIST",
}
THINGS_THERE_ARE_NOT = ("gateway", "scorer", "workspace")
"""Of 3.11: what only upstream's server grants on."""


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[Account]:
    with guarded(tmp_path) as account:
        yield account


def login(account: Account) -> dict[str, str]:
    return {
        "MLFLOW_TRACKING_USERNAME": account.name,
        "MLFLOW_TRACKING_PASSWORD": account.password,
    }


@pytest.mark.parametrize("client", AUTH_CLIENTS, indirect=True)
def test_the_client_for_users_has_its_way(client: Environment, admin: Account, tmp_path: Path):
    url = admin.server.url
    told = client.run("accounts.py", url=url, folder=tmp_path, environ=login(admin)).told
    left: list[str] = told.pop("not asked")
    expected: dict[str, Any] = {"users": USERS}
    if client.name in BEFORE_ROLES:
        expected |= {"experiments": PERMISSIONS, "models": PERMISSIONS}
    else:
        denied = [[False, "READ"], [True, "EDIT"]]
        codes = ["RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"]
        expected |= {"grants": [*denied, *codes], "roles": ROLES}
    assert told == expected
    assert [each for each in left if not any(word in each for word in THINGS_THERE_ARE_NOT)] == []


@pytest.mark.parametrize("client", AUTH_CLIENTS, indirect=True)
def test_who_was_granted_nothing_works_in_what_is_the_own(
    client: Environment, admin: Account, tmp_path: Path
):
    user, others = admin.new_user("alice"), admin.create_experiment("of the admin")
    given = ("mine", others)
    url = admin.server.url
    ended = client.run("plain_user.py", *given, url=url, folder=tmp_path, environ=login(user))
    assert ended.told == {
        "predicted": [2, 4],
        "found": [{"lr": "0.1"}, {"loss": 0.5}],
        "text": "hello",
        "seen": "active",
        "create run": 403,
        "rename": 403,
        "delete": 403,
        "missing": 403,
    }
