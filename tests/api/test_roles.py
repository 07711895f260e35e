"""Roles over HTTP: groups of users, and what they are granted."""

from typing import Any

import pytest
from tests.api.accounts import THREE, Account, denied
from tests.api.protocol import accepted, not_found, refused, unique


def get(by: Account, role: int) -> Any:
    return accepted(by.get("roles/get", api=THREE, role_id=role))["role"]


def update(by: Account, role: int, **fields: str) -> Any:
    return by.patch("roles/update", {"role_id": role, **fields}, api=THREE)


def change(by: Account, permission: int, word: str) -> Any:
    message = {"role_permission_id": permission, "permission": word}
    return by.patch("roles/permissions/update", message, api=THREE)


def remove(by: Account, permission: int) -> Any:
    return by.delete("roles/permissions/remove", {"role_permission_id": permission}, api=THREE)


def unassign(by: Account, user: Account, role: int) -> Any:
    return by.delete("roles/unassign", {"username": user.name, "role_id": role}, api=THREE)


def listed(by: Account, **fields: str) -> list[int]:
    return [each["id"] for each in accepted(by.get("roles/list", api=THREE, **fields))["roles"]]


def test_a_role_lives(admin: Account):
    name = unique("team")
    message = {"name": name, "workspace": "default", "description": "who trains"}
    made = accepted(admin.post("roles/create", message, api=THREE))["role"]
    role = made["id"]
    assert made == {
        "id": role,
        "name": name,
        "workspace": "default",
        "description": "who trains",
        "permissions": [],
    }
    assert get(admin, role) == made
    renamed = accepted(update(admin, role, name=f"{name} 2"))["role"]
    assert renamed == {**made, "name": f"{name} 2"}
    described = accepted(update(admin, role, description=""))["role"]
    assert described == {**renamed, "description": ""}
    assert accepted(admin.delete("roles/delete", {"role_id": role}, api=THREE)) == {}
    assert not_found(admin.delete("roles/delete", {"role_id": role}, api=THREE)) == (
        f"Role with id={role} not found"
    )


def test_members_have_what_the_role_is_granted(admin: Account, user: Account):
    experiment, role = admin.create_experiment(), admin.new_role()
    given = accepted(admin.add(role, "experiment", experiment, "EDIT"))["role_permission"]
    assert given == {
        "id": given["id"],
        "role_id": role,
        "resource_type": "experiment",
        "resource_pattern": experiment,
        "permission": "EDIT",
    }
    assert not user.may_write(experiment)
    assignment = accepted(admin.assign(user, role))["assignment"]
    assert assignment["role_id"] == role
    assert user.may_write(experiment)
    members = accepted(admin.get("roles/users/list", api=THREE, role_id=role))["assignments"]
    assert members == [assignment]
    (shown,) = accepted(user.get("users/roles/list", api=THREE, username=user.name))["roles"]
    assert (shown["id"], shown["permissions"]) == (role, [given])
    accepted(unassign(admin, user, role))
    assert not user.may_write(experiment)
    assert "does not have role" in not_found(unassign(admin, user, role))


def test_a_permission_of_a_role_is_changed_and_removed(admin: Account, user: Account):
    experiment, role = admin.create_experiment(), admin.new_role()
    accepted(admin.assign(user, role))
    given = accepted(admin.add(role, "experiment", experiment, "EDIT"))["role_permission"]
    assert user.may_write(experiment)
    lowered = accepted(change(admin, given["id"], "READ"))["role_permission"]
    assert lowered == {**given, "permission": "READ"}
    assert not user.may_write(experiment)
    accepted(change(admin, given["id"], "DENY"))
    assert not user.may_read(experiment)
    accepted(change(admin, given["id"], "EDIT"))
    permissions = admin.get("roles/permissions/list", api=THREE, role_id=role)
    assert accepted(permissions)["role_permissions"] == [given]
    assert accepted(remove(admin, given["id"])) == {}
    assert not user.may_write(experiment)
    assert user.may_read(experiment)
    not_found(remove(admin, given["id"]))
    not_found(change(admin, given["id"], "READ"))


def test_a_deleted_role_gives_nothing_any_more(admin: Account, user: Account):
    experiment, role = admin.create_experiment(), admin.new_role()
    accepted(admin.assign(user, role))
    accepted(admin.add(role, "experiment", experiment, "EDIT"))
    assert user.may_write(experiment)
    accepted(admin.delete("roles/delete", {"role_id": role}, api=THREE))
    assert not user.may_write(experiment)


def test_what_is_there_already(admin: Account, user: Account):
    name = unique("team")
    role = admin.new_role(name)
    code = "RESOURCE_ALREADY_EXISTS"
    message = {"name": name, "workspace": "default"}
    refused(admin.post("roles/create", message, api=THREE), code=code)
    refused(update(admin, admin.new_role(), name=name), code=code)
    accepted(admin.assign(user, role))
    refused(admin.assign(user, role), code=code)
    accepted(admin.add(role, "registered_model", "m*", "READ"))
    refused(admin.add(role, "registered_model", "m*", "EDIT"), code=code)
    accepted(update(admin, role, name=name))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": ""}, "Missing value for required parameter 'name'"),
        ({"name": " x"}, "no space at either end"),
        ({"name": "x" * 256}, "exceeds the maximum length of 255"),
        ({"name": "__user_1__"}, "names that begin with '__user_'"),
        ({"name": "team", "workspace": ""}, "Missing value for required parameter 'workspace'"),
        ({"name": "team", "description": "x" * 5001}, "exceeds the maximum length of 5000"),
    ],
)
def test_roles_that_are_none(admin: Account, fields: dict[str, str], reason: str):
    message = {"workspace": "default", **fields}
    assert reason in refused(admin.post("roles/create", message, api=THREE))


def test_what_is_missing(admin: Account, user: Account):
    nowhere = 2**31 - 1
    not_found(admin.get("roles/get", api=THREE, role_id=nowhere))
    not_found(update(admin, nowhere, name="x"))
    not_found(admin.assign(user, nowhere))
    elsewhere = {"name": "team", "workspace": "no-such-workspace"}
    not_found(admin.post("roles/create", elsewhere, api=THREE))
    not_found(admin.add(nowhere, "experiment", "1", "READ"))
    not_found(admin.assign(Account(admin.server, "nobody", ""), admin.new_role()))
    refused(update(admin, admin.new_role()))
    for given in ("", "x", 2**31, -(2**31) - 1):
        assert admin.get("roles/get", api=THREE, role_id=given).status == 400
    assert admin.get("roles/get", api=THREE, role_id=-1).status == 404


def test_others_change_no_roles(admin: Account, user: Account):
    role = admin.new_role()
    for member in (False, True):
        if member:
            accepted(admin.assign(user, role))
        denied(user.post("roles/create", {"name": "x", "workspace": "default"}, api=THREE))
        denied(update(user, role, name="x"))
        denied(user.delete("roles/delete", {"role_id": role}, api=THREE))
        denied(user.assign(user, role))
        denied(unassign(user, user, role))
        denied(user.add(role, "experiment", "*", "MANAGE"))


def test_members_see_their_roles_and_no_others(admin: Account, user: Account):
    mine, other = admin.new_role(), admin.new_role()
    accepted(admin.assign(user, mine))
    assert get(user, mine)["id"] == mine
    assert listed(user, workspace="default") == [mine]
    assert listed(user, workspace="elsewhere") == []
    denied(user.get("roles/list", api=THREE))
    for path in ("roles/get", "roles/permissions/list", "roles/users/list"):
        accepted(user.get(path, api=THREE, role_id=mine))
        denied(user.get(path, api=THREE, role_id=other))
        denied(user.get(path, api=THREE, role_id=2**31 - 1))
    assert {mine, other} <= set(listed(admin)) & set(listed(admin, workspace="default"))


def test_a_member_shares_the_own_experiment_with_the_role(admin: Account, user: Account):
    role, other = admin.new_role(), admin.new_user()
    experiment = user.create_experiment()
    denied(user.add(role, "experiment", experiment, "EDIT"))
    for account in (user, other):
        accepted(admin.assign(account, role))
    given = accepted(user.add(role, "experiment", experiment, "EDIT"))["role_permission"]["id"]
    assert other.may_write(experiment)
    denied(change(other, given, "MANAGE"))
    denied(remove(other, given))
    accepted(remove(user, given))
    assert not other.may_write(experiment)


def test_what_a_user_has_alone_is_no_role_to_change(admin: Account, user: Account):
    experiment = user.create_experiment()
    (own,) = accepted(user.get("users/get", username=user.name))["user"]["roles"]
    refused(update(admin, own["id"], name="mine now"))
    refused(admin.delete("roles/delete", {"role_id": own["id"]}, api=THREE))
    refused(admin.assign(admin.new_user(), own["id"]))
    refused(unassign(admin, user, own["id"]))
    assert user.may_write(experiment)


def test_who_manages_the_workspace_manages_its_roles(admin: Account, user: Account):
    manages = {"username": user.name, "is_admin": False}
    accepted(admin.patch("users/update-admin", manages))
    accepted(admin.grant(user, "workspace", "*", "MANAGE"))
    role = user.new_role()
    other = admin.new_user()
    accepted(user.assign(other, role))
    accepted(user.add(role, "experiment", "*", "DENY"))
    assert role in listed(user, workspace="default")
    denied(user.post("roles/create", {"name": "x", "workspace": "elsewhere"}, api=THREE))
    accepted(user.delete("roles/delete", {"role_id": role}, api=THREE))


def test_what_is_done_to_roles_is_in_the_audit_log(admin: Account, user: Account):
    name = unique("team")
    role = admin.new_role(name)
    accepted(update(admin, role, description="x"))
    accepted(admin.assign(user, role))
    accepted(unassign(admin, user, role))
    accepted(admin.delete("roles/delete", {"role_id": role}, api=THREE))
    log = admin.get("audit", api="/api/riverrun/v1/", resource_type="role", resource=name)
    assert [each["action"] for each in accepted(log)["entries"]] == [
        "role.delete",
        "role.unassign",
        "role.assign",
        "role.update",
        "role.create",
    ]
