"""What clients before 3.13 call permissions of experiments and models: the same grants."""

import pytest
from tests.api.accounts import THREE, Account, denied
from tests.api.protocol import accepted, not_found, refused, unique


def user_id(user: Account) -> int:
    return accepted(user.get("users/current"))["user"]["id"]


@pytest.mark.parametrize("kind", ["experiments", "registered-models"])
def test_a_permission_lives(admin: Account, user: Account, kind: str):
    path = f"{kind}/permissions"
    if kind == "experiments":
        about, answer = {"experiment_id": admin.create_experiment()}, "experiment_permission"
        told = {**about, "user_id": user_id(user), "permission": "READ"}
    else:
        about, answer = {"name": unique("model")}, "registered_model_permission"
        told = {
            **about,
            "user_id": user_id(user),
            "permission": "READ",
            "workspace": "default",
        }
        accepted(admin.post("registered-models/create", about))
    whose = {**about, "username": user.name}
    not_found(admin.get(f"{path}/get", **whose))
    not_found(admin.patch(f"{path}/update", {**whose, "permission": "EDIT"}))
    not_found(admin.delete(f"{path}/delete", whose))
    given = {**whose, "permission": "READ"}
    assert accepted(admin.post(f"{path}/create", given)) == {answer: told}
    refused(admin.post(f"{path}/create", given), code="RESOURCE_ALREADY_EXISTS")
    assert accepted(admin.get(f"{path}/get", **whose)) == {answer: told}
    assert accepted(admin.patch(f"{path}/update", {**whose, "permission": "MANAGE"})) == {}
    accepted(user.get(f"{path}/get", **whose))
    shown = accepted(user.get("users/get", username=user.name))["user"]
    assert shown[f"{answer}s"] == [{**told, "permission": "MANAGE"}]
    assert accepted(admin.delete(f"{path}/delete", whose)) == {}
    not_found(admin.delete(f"{path}/delete", whose))


def test_no_permissions_takes_the_default_away(admin: Account, user: Account):
    experiment = admin.create_experiment()
    whose = {"experiment_id": experiment, "username": user.name}
    assert user.may_read(experiment)
    path = "experiments/permissions"
    accepted(admin.post(f"{path}/create", {**whose, "permission": "NO_PERMISSIONS"}))
    assert not user.may_read(experiment)
    accepted(admin.patch(f"{path}/update", {**whose, "permission": "READ"}))
    assert user.may_read(experiment)
    assert not user.may_write(experiment)


def test_both_families_see_the_same_grants(admin: Account, user: Account):
    experiment = admin.create_experiment()
    whose = {"experiment_id": experiment, "username": user.name}
    accepted(admin.grant(user, "experiment", experiment, "EDIT"))
    got = accepted(admin.get("experiments/permissions/get", **whose))
    assert got["experiment_permission"]["permission"] == "EDIT"
    accepted(admin.delete("experiments/permissions/delete", whose))
    not_found(admin.revoke(user, "experiment", experiment))
    accepted(admin.post("experiments/permissions/create", {**whose, "permission": "EDIT"}))
    (row,) = accepted(user.get("users/current/permissions", api=THREE))["permissions"]
    assert (row["resource_pattern"], row["permission"]) == (experiment, "EDIT")


def test_who_does_not_manage_it_neither_gives_nor_sees(admin: Account, user: Account):
    experiment, other = admin.create_experiment(), admin.new_user()
    accepted(admin.grant(user, "experiment", experiment, "EDIT"))
    whose = {"experiment_id": experiment, "username": user.name}
    path = "experiments/permissions"
    for asker in (user, other):
        denied(asker.get(f"{path}/get", **whose))
        denied(asker.post(f"{path}/create", {**whose, "permission": "MANAGE"}))
        denied(asker.patch(f"{path}/update", {**whose, "permission": "MANAGE"}))
        denied(asker.delete(f"{path}/delete", whose))
    missing = {"experiment_id": "999999999", "username": user.name}
    denied(user.get(f"{path}/get", **missing))
    accepted(admin.get(f"{path}/get", **whose))


def test_words_that_are_none(admin: Account, user: Account):
    whose = {"experiment_id": admin.create_experiment(), "username": user.name}
    for path in ("create", "update"):
        send = admin.post if path == "create" else admin.patch
        answer = send(f"experiments/permissions/{path}", {**whose, "permission": "OWN"})
        assert "Valid permissions are: READ, USE, EDIT, MANAGE, DENY, NO_PERMISSIONS" in refused(
            answer
        )
    refused(admin.post("experiments/permissions/create", whose))
