"""The routes about users, roles and grants under generated input, by an admin and by a plain user:
without access control, which tests/hostile/test_schema.py does without, they refuse everything.
"""

# Schemathesis leaves parts of its types open.
# pyright: reportUnknownVariableType=false, reportUntypedFunctionDecorator=false

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.accounts import PASSWORD, THREE, Account, guarded
from tests.hostile.test_schema import CHECKED, SCHEMA, Case, bounded

ACCESS = "^/api/[23].0/mlflow/(users|roles|(experiments|registered-models)/permissions)/"


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with guarded(tmp_path_factory.mktemp("guarded")) as account:
        yield account
        assert '"event":"unexpected error"' not in account.server.log
        assert "Traceback" not in account.server.log


@pytest.fixture(scope="module")
def known(admin: Account) -> dict[str, Any]:
    """Fields that lead past the first check."""
    admin.new_user("plain")
    user, role = admin.new_user("known"), admin.new_role("known")
    given = admin.add(role, "experiment", "*", "READ").json["role_permission"]
    experiment = admin.create_experiment("known")
    admin.grant(user, "experiment", experiment, "READ")
    return {
        "username": user.name,
        "role_id": role,
        "role_permission_id": given["id"],
        "experiment_id": experiment,
        "resource_type": "experiment",
        "resource_id": experiment,
    }


@pytest.mark.slow
@pytest.mark.soak
@SCHEMA.include(path_regex=ACCESS).parametrize()
@bounded(short=3, long=500)
def test_no_input_breaks_a_route_about_users(case: Case, admin: Account, known: dict[str, Any]):
    for asker in (admin, Account(admin.server, "plain", PASSWORD)):
        check(case, asker)
        if isinstance(case.body, dict):
            case.body = {name: known.get(name, value) for name, value in case.body.items()}
        elif case.query:
            case.query = {name: known.get(name, value) for name, value in case.query.items()}
        check(case, asker)


def check(case: Case, asker: Account) -> None:
    login = base64.b64encode(f"{asker.name}:{asker.password}".encode()).decode()
    answer = case.call_and_validate(
        base_url=asker.server.url,
        checks=CHECKED,
        headers={"Authorization": f"Basic {login}"},
        timeout=20,
    )
    assert answer.status_code < 500, answer.text


def test_the_admin_is_still_one(admin: Account):
    assert admin.get("roles/list", api=THREE).status == 200
