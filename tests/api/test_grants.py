"""What users and roles are granted, over HTTP: words, patterns, and who may grant."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.api.accounts import THREE, Account, denied
from tests.api.protocol import accepted, not_found, refused, unique


def effective(by: Account, user: Account, resource_type: str, resource: str) -> tuple[bool, str]:
    answer = accepted(
        by.get(
            "users/permissions/get",
            api=THREE,
            username=user.name,
            resource_type=resource_type,
            resource_id=resource,
        )
    )
    return answer["allowed"], answer["permission"]


def test_an_admin_grants_and_revokes(admin: Account, user: Account):
    experiment = admin.create_experiment()
    assert user.may_read(experiment), "the default is READ"
    assert not user.may_write(experiment)
    assert accepted(admin.grant(user, "experiment", experiment, "EDIT")) == {}
    assert user.may_write(experiment)
    assert accepted(admin.revoke(user, "experiment", experiment)) == {}
    assert not user.may_write(experiment)


@pytest.mark.parametrize(
    ("word", "allowed"), [("READ", False), ("USE", True), ("EDIT", True), ("MANAGE", True)]
)
def test_what_is_granted_is_told(admin: Account, user: Account, word: str, *, allowed: bool):
    experiment = admin.create_experiment()
    assert effective(user, user, "experiment", experiment) == (False, "READ")
    accepted(admin.grant(user, "experiment", experiment, word))
    assert effective(user, user, "experiment", experiment) == (allowed, word)
    assert effective(admin, user, "experiment", experiment) == (allowed, word)
    assert effective(admin, admin, "experiment", experiment) == (True, "MANAGE")


def test_what_is_missing_is_nobodys(admin: Account, user: Account):
    assert effective(user, user, "experiment", "999999999") == (False, "NO_PERMISSIONS")
    assert effective(admin, user, "registered_model", unique("none")) == (False, "READ")
    assert effective(admin, user, "scorer", "x") == (False, "READ")


def test_deny_takes_away_at_once_whatever_else_is_granted(admin: Account, user: Account):
    experiment = admin.create_experiment()
    accepted(admin.grant(user, "experiment", experiment, "EDIT"))
    assert user.may_write(experiment)
    role = admin.new_role()
    accepted(admin.assign(user, role))
    accepted(admin.add(role, "experiment", experiment, "DENY"))
    assert not user.may_read(experiment)
    assert effective(admin, user, "experiment", experiment) == (False, "NO_PERMISSIONS")


def test_the_same_grant_twice_is_an_error_and_changes_nothing(admin: Account, user: Account):
    experiment = admin.create_experiment()
    accepted(admin.grant(user, "experiment", experiment, "EDIT"))
    said = refused(
        admin.grant(user, "experiment", experiment, "DENY"), code="RESOURCE_ALREADY_EXISTS"
    )
    assert said == (
        f"Permission for user={user.name} on resource_type=experiment, "
        f"resource_id={experiment} already exists."
    )
    assert user.may_write(experiment)


def test_of_many_equal_grants_at_once_one_is_made(admin: Account, user: Account):
    experiment = admin.create_experiment()

    def grant(word: str) -> int:
        return admin.grant(user, "experiment", experiment, word).status

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(grant, ["READ", "USE", "EDIT", "MANAGE"]))
    assert statuses == [200, 400, 400, 400]


def test_what_was_not_granted_is_not_revoked(admin: Account, user: Account):
    experiment = admin.create_experiment()
    assert not_found(admin.revoke(user, "experiment", experiment)).endswith("not found.")
    ghost = Account(admin.server, "nobody", "")
    assert not_found(admin.grant(ghost, "experiment", experiment, "READ")) == (
        "User with username=nobody not found"
    )


def test_who_manages_an_experiment_grants_on_it(admin: Account, user: Account):
    experiment, other = user.create_experiment(), admin.new_user()
    assert not other.may_write(experiment)
    accepted(user.grant(other, "experiment", experiment, "EDIT"))
    assert other.may_write(experiment)
    denied(other.grant(other, "experiment", experiment, "MANAGE"))
    denied(other.revoke(user, "experiment", experiment))
    accepted(user.revoke(other, "experiment", experiment))
    assert not other.may_write(experiment)


def test_who_manages_a_model_grants_on_it(admin: Account, user: Account):
    name, other = unique("model"), admin.new_user()
    accepted(user.post("registered-models/create", {"name": name}))
    update = {"name": name, "description": "x"}
    denied(other.patch("registered-models/update", update))
    accepted(user.grant(other, "registered_model", name, "EDIT"))
    accepted(other.patch("registered-models/update", update))
    denied(other.grant(other, "prompt", name, "MANAGE"))


@pytest.mark.parametrize(
    ("resource_type", "pattern"),
    [
        ("experiment", "*"),
        ("experiment", "team-*"),
        ("experiment", "a name"),
        ("experiment", "999999999"),
        ("registered_model", "*"),
        ("registered_model", "no such model"),
        ("prompt", "p*"),
        ("workspace", "*"),
        ("scorer", "x"),
    ],
)
def test_who_manages_one_thing_grants_nothing_else(user: Account, resource_type: str, pattern: str):
    user.create_experiment()
    denied(user.grant(user, resource_type, pattern, "MANAGE"))
    denied(user.revoke(user, resource_type, pattern))


def test_patterns_are_about_names(admin: Account, user: Account):
    prefix = unique("team")
    inside = admin.create_experiment(f"{prefix}/one")
    outside = admin.create_experiment(f"other {prefix}/one")
    accepted(admin.grant(user, "experiment", f"{prefix}/*", "EDIT"))
    assert user.may_write(inside)
    assert not user.may_write(outside)
    named = unique("exactly [this]_%?")
    exact = admin.create_experiment(named)
    accepted(admin.grant(user, "experiment", named, "EDIT"))
    assert user.may_write(exact)
    accepted(admin.revoke(user, "experiment", named))
    assert not user.may_write(exact)


def test_what_is_granted_on_a_model_with_a_star_in_its_name_can_be_revoked(
    admin: Account, user: Account
):
    name = unique("mo*el")
    accepted(user.post("registered-models/create", {"name": name}))
    accepted(admin.revoke(user, "registered_model", name))
    not_found(admin.revoke(user, "registered_model", name))
    denied(user.patch("registered-models/update", {"name": name, "description": "x"}))


def test_an_id_is_the_same_with_zeros_before_it(admin: Account, user: Account):
    experiment = admin.create_experiment()
    accepted(admin.grant(user, "experiment", f"000{experiment}", "EDIT"))
    assert user.may_write(experiment)
    accepted(admin.revoke(user, "experiment", experiment))


@pytest.mark.parametrize(
    ("resource_type", "pattern", "word", "reason"),
    [
        ("experiment", "1", "EDITOR", "Invalid permission 'EDITOR'"),
        ("experiment", "1", "edit", "Invalid permission 'edit'"),
        ("experiment", "1", "NO_PERMISSIONS", "Invalid permission 'NO_PERMISSIONS'"),
        ("experiments", "1", "EDIT", "Invalid resource type 'experiments'"),
        ("experiment", "", "EDIT", "Missing value for required parameter 'resource_id'"),
        ("experiment", "9" * 19, "EDIT", "Invalid experiment ID"),
        ("experiment", "a" * 501, "EDIT", "exceeds the maximum length of 500"),
        ("experiment", "*a*b*c*d*e*f*g*h*", "EDIT", "it has 9 '*'"),
        ("run", "x", "EDIT", "only '*' is possible"),
        ("workspace", "default", "USE", "only '*' is possible"),
        ("workspace", "*", "READ", "Invalid permission 'READ' for resource type 'workspace'"),
        ("workspace", "*", "DENY", "Invalid permission 'DENY' for resource type 'workspace'"),
        ("run", "*", "DENY", "has no effect on this server: give it on the 'experiment'"),
        ("prompt_version", "*", "DENY", "give it on the 'prompt'"),
    ],
)
def test_what_cannot_be_granted(
    admin: Account, user: Account, resource_type: str, pattern: str, word: str, reason: str
):
    assert reason in refused(admin.grant(user, resource_type, pattern, word))


@pytest.mark.parametrize(
    "resource_type",
    [
        *("scorer", "gateway_secret", "gateway_endpoint", "gateway_model_definition", "mcp_server"),
        *("run", "trace", "assessment", "logged_model", "review_queue"),
        *("registered_model_version", "prompt_version", "scorer_version", "mcp_server_version"),
    ],
)
def test_what_there_is_not_can_be_granted_all_the_same(
    admin: Account, user: Account, resource_type: str
):
    accepted(admin.grant(user, resource_type, "*", "EDIT"))
    listed = accepted(user.get("users/current/permissions", api=THREE))["permissions"]
    assert [(each["resource_type"], each["permission"]) for each in listed] == [
        (resource_type, "EDIT")
    ]
    accepted(admin.revoke(user, resource_type, "*"))


def test_who_manages_the_workspace_grants_everything_but_makes_no_users(
    admin: Account, user: Account
):
    experiment, other = admin.create_experiment(), admin.new_user()
    accepted(admin.grant(user, "workspace", "*", "MANAGE"))
    accepted(user.grant(other, "experiment", experiment, "EDIT"))
    assert other.may_write(experiment)
    accepted(user.grant(other, "registered_model", f"{unique('m')}*", "EDIT"))
    accepted(user.get("users/get", username=other.name))
    denied(user.post("users/create", {"username": unique("x"), "password": "good password 1"}))
    denied(user.patch("users/update-admin", {"username": user.name, "is_admin": True}))
    accepted(admin.revoke(user, "workspace", "*"))
    denied(user.grant(other, "experiment", experiment, "MANAGE"))


def test_grants_are_in_the_audit_log(admin: Account, user: Account):
    experiment = admin.create_experiment()
    accepted(admin.grant(user, "experiment", experiment, "EDIT"))
    accepted(admin.revoke(user, "experiment", experiment))
    log = admin.get(
        "audit", api="/api/riverrun/v1/", resource_type="experiment", resource=experiment
    )
    told = [(each["action"], each["detail"]) for each in accepted(log)["entries"]]
    assert told[:2] == [
        ("revoke", f"EDIT from user {user.name}"),
        ("grant", f"EDIT to user {user.name}"),
    ]
