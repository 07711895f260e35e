"""Users over HTTP: who may make, change, remove and see whom."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.api.accounts import ADMIN_PASSWORD, PASSWORD, THREE, Account, denied, guarded
from tests.api.protocol import accepted, not_found, refused, unique
from tests.fixtures.databases import Databases
from tests.fixtures.server import Answered, Server

ANOTHER = "another good password"


def update_password(
    by: Account, of: Account, password: str, current: str | None = None
) -> Answered:
    message = {"username": of.name, "password": password}
    if current is not None:
        message["current_password"] = current
    return by.patch("users/update-password", message)


def with_password(account: Account, password: str) -> Account:
    return Account(account.server, account.name, password)


def test_an_admin_makes_users_and_they_are_told_in_the_words_of_all_clients(admin: Account):
    name = unique("alice")
    made = accepted(admin.post("users/create", {"username": name, "password": PASSWORD}))["user"]
    assert made == {
        "id": made["id"],
        "username": name,
        "is_admin": False,
        "experiment_permissions": [],
        "registered_model_permissions": [],
        "scorer_permissions": [],
        "roles": [],
    }
    alice = Account(admin.server, name, PASSWORD)
    assert accepted(alice.get("users/get", username=name))["user"] == made
    assert accepted(alice.get("users/current")) == {
        "user": {"id": made["id"], "username": name, "is_admin": False},
        "is_basic_auth": True,
    }


def test_what_a_user_has_made_is_among_the_permissions(user: Account):
    experiment = user.create_experiment()
    model = unique("model")
    accepted(user.post("registered-models/create", {"name": model}))
    told = accepted(user.get("users/get", username=user.name))["user"]
    (own,) = told["roles"]
    assert own["name"] == f"__user_{told['id']}__"
    assert told["experiment_permissions"] == [
        {"experiment_id": experiment, "user_id": told["id"], "permission": "MANAGE"}
    ]
    assert told["registered_model_permissions"] == [
        {"name": model, "user_id": told["id"], "permission": "MANAGE", "workspace": "default"}
    ]
    listed = accepted(user.get("users/current/permissions", api=THREE))
    shared = {"permission": "MANAGE", "role_id": own["id"], "role_name": own["name"]}
    assert listed == {
        "is_admin": False,
        "permissions": [
            {
                **shared,
                "workspace": "default",
                "resource_type": "experiment",
                "resource_pattern": experiment,
            },
            {
                **shared,
                "workspace": "default",
                "resource_type": "registered_model",
                "resource_pattern": model,
            },
        ],
    }
    same = user.get("users/permissions/list", api=THREE, username=user.name)
    assert accepted(same) == listed


def test_only_admins_make_and_remove_users(admin: Account, user: Account):
    name = unique("eve")
    denied(user.post("users/create", {"username": name, "password": PASSWORD}))
    denied(user.delete("users/delete", {"username": admin.name}))
    denied(user.patch("users/update-admin", {"username": user.name, "is_admin": True}))
    not_found(admin.get("users/get", username=name))


def test_a_name_is_taken_once(admin: Account, user: Account):
    message = {"username": user.name, "password": ANOTHER}
    assert (
        refused(admin.post("users/create", message), code="RESOURCE_ALREADY_EXISTS")
        == f"User (username={user.name}) already exists."
    )
    assert user.get("users/current").status == 200, "the password is the first one"


def test_of_many_who_ask_for_one_name_one_gets_it(admin: Account):
    message = {"username": unique("alice"), "password": PASSWORD}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(admin.post, ["users/create"] * 4, [message] * 4))
    codes = sorted("" if each.status == 200 else each.error_code for each in answers)
    assert codes == ["", *["RESOURCE_ALREADY_EXISTS"] * 3]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "Missing value for required parameter 'username'"),
        ("a:b", "must not contain a colon"),
        (" alice", "no space at either end"),
        ("alice ", "no space at either end"),
        ("ali\nce", "printable characters"),
        ("x" * 256, "exceeds the maximum length of 255"),
    ],
)
def test_names_that_are_none(admin: Account, name: str, reason: str):
    assert reason in refused(admin.post("users/create", {"username": name, "password": PASSWORD}))


def test_names_as_people_have_them(admin: Account):
    for name in (unique("Zoë Müller"), unique("名前"), unique("x" * 240)[:255]):
        made = admin.new_user(name)
        assert accepted(made.get("users/current"))["user"]["username"] == name


def test_the_case_and_the_accents_of_a_name_count(admin: Account):
    name = unique("jose")
    users = [admin.new_user(each) for each in (name, name.upper(), name.replace("e", "é"))]
    told = [accepted(each.get("users/current"))["user"] for each in users]
    assert len({each["id"] for each in told}) == 3
    assert Account(admin.server, name.title(), PASSWORD).get("users/current").status == 401


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "Missing value for required parameter 'password'"),
        ("short", "at least 12 characters"),
        ("x" * 11, "at least 12 characters"),
        ("x" * 1025, "at most 1024 characters"),
        ("password1234", "everybody knows"),
        ("Admin_Password_Change_In_Production", "everybody knows"),
        ("a-name-of-a-user", "must differ from the user name"),
    ],
)
def test_passwords_that_are_none(admin: Account, password: str, reason: str):
    message = {"username": "a-name-of-a-user", "password": password}
    said = refused(admin.post("users/create", message))
    assert reason in said
    assert not password or password not in said
    not_found(admin.get("users/get", username="a-name-of-a-user"))


@pytest.mark.parametrize("password", [12345678901234, ["very secret"], {"very": "secret"}])
def test_an_error_does_not_repeat_what_stood_where_a_password_belongs(
    admin: Account, password: object
):
    answer = admin.post("users/create", {"username": "somebody", "password": password})
    assert answer.status == 400
    assert b"secret" not in answer.body
    assert b"12345678901234" not in answer.body
    answer = admin.post("users/create", {"username": "somebody", "password": "secret\x00secret"})
    assert answer.status == 400
    assert b"secret" not in answer.body


def test_the_longest_and_the_shortest_password(admin: Account):
    for password in ("p" * 6 + "q" * 6, "ä" * 1024):
        name = unique("alice")
        accepted(admin.post("users/create", {"username": name, "password": password}))
        assert Account(admin.server, name, password).get("users/current").status == 200


def test_who_is_shown_whom(admin: Account, user: Account):
    other = admin.new_user()
    denied(user.get("users/get", username=other.name))
    denied(user.get("users/permissions/list", api=THREE, username=other.name))
    denied(user.get("users/roles/list", api=THREE, username=other.name))
    assert accepted(admin.get("users/get", username=other.name))["user"]["username"] == other.name
    listed = accepted(user.get("users/list"))["users"]
    assert {admin.name, user.name, other.name} <= {each["username"] for each in listed}
    assert set(listed[0]) == {"id", "username", "is_admin", "roles"}


def test_roles_in_the_list_are_shown_to_their_users_and_to_admins(admin: Account, user: Account):
    other = admin.new_user()
    role = admin.new_role()
    accepted(admin.assign(other, role))
    accepted(admin.assign(user, role))

    def roles(by: Account, of: Account) -> list[int]:
        (found,) = [
            each for each in accepted(by.get("users/list"))["users"] if each["username"] == of.name
        ]
        return [each["id"] for each in found["roles"]]

    assert roles(admin, other) == roles(admin, user) == roles(user, user) == [role]
    assert roles(user, other) == []


def test_a_user_changes_the_own_password_with_the_current_one(user: Account):
    assert (
        refused(update_password(user, user, ANOTHER))
        == "Current password is required when changing your own password."
    )
    wrong = update_password(user, user, ANOTHER, current="not the password")
    assert refused(wrong) == "Current password does not match."
    assert (
        refused(update_password(user, user, PASSWORD, current=PASSWORD))
        == "New password must differ from the current password."
    )
    refused(update_password(user, user, "short", current=PASSWORD))
    assert user.get("users/current").status == 200
    assert accepted(update_password(user, user, ANOTHER, current=PASSWORD)) == {}
    assert user.get("users/current").status == 401
    assert with_password(user, ANOTHER).get("users/current").status == 200


def test_who_guesses_the_current_password_has_to_pause(user: Account):
    answers = [update_password(user, user, ANOTHER, current=f"guess {n}") for n in range(8)]
    assert answers[0].status == 400
    paused = [each for each in answers if each.status == 429]
    assert paused
    assert int(paused[0].headers["retry-after"]) >= 1


def test_passwords_of_others_are_changed_by_admins(admin: Account, user: Account):
    other = admin.new_user()
    denied(update_password(other, user, ANOTHER))
    denied(update_password(other, user, ANOTHER, current=PASSWORD))
    accepted(update_password(admin, user, ANOTHER))
    assert user.get("users/current").status == 401
    assert with_password(user, ANOTHER).get("users/current").status == 200
    not_found(admin.patch("users/update-password", {"username": "nobody", "password": ANOTHER}))


def test_an_admin_needs_the_current_password_for_the_own_one_too(admin: Account):
    boss = admin.new_user(is_admin=True)
    refused(update_password(boss, boss, ANOTHER))
    accepted(update_password(boss, boss, ANOTHER, current=PASSWORD))


def test_admins_come_and_go(admin: Account, user: Account):
    promote = {"username": user.name, "is_admin": True}
    assert accepted(admin.patch("users/update-admin", promote)) == {}
    assert accepted(admin.patch("users/update-admin", promote)) == {}, "twice is once"
    accepted(user.get("roles/list", api=THREE))
    accepted(admin.patch("users/update-admin", {**promote, "is_admin": False}))
    denied(user.get("roles/list", api=THREE))
    refused(admin.patch("users/update-admin", {"username": user.name}))
    not_found(admin.patch("users/update-admin", {"username": "nobody", "is_admin": True}))


def test_who_is_deleted_is_out_at_once_and_what_they_made_stays(admin: Account, user: Account):
    experiment = user.create_experiment()
    accepted(admin.delete("users/delete", {"username": user.name}))
    assert user.get("users/current").status == 401
    assert admin.may_read(experiment)
    not_found(admin.delete("users/delete", {"username": user.name}))
    again = admin.new_user(user.name)
    assert not again.may_write(experiment)
    assert accepted(again.get("users/get", username=user.name))["user"]["roles"] == []


def test_nobody_deletes_oneself(admin: Account):
    said = refused(admin.delete("users/delete", {"username": admin.name}), code="BAD_REQUEST")
    assert said == (
        "Users cannot delete their own account. Ask another admin to delete this user instead."
    )


def test_the_last_admin_stays(tmp_path: Path):
    with guarded(tmp_path) as admin:
        demote = {"username": admin.name, "is_admin": False}
        assert "last admin" in refused(admin.patch("users/update-admin", demote))
        other = admin.new_user(is_admin=True)
        accepted(other.patch("users/update-admin", demote))
        assert "last admin" in refused(
            other.patch("users/update-admin", {"username": other.name, "is_admin": False})
        )
        denied(admin.delete("users/delete", {"username": other.name}))


def test_of_two_admins_who_demote_each_other_one_is_left(tmp_path: Path, databases: Databases):
    with guarded(tmp_path, database=databases.new_database()) as first:
        second = first.new_user(is_admin=True)

        def demote(by: Account, of: Account) -> int:
            message = {"username": of.name, "is_admin": False}
            return by.patch("users/update-admin", message).status

        with ThreadPoolExecutor(2) as pool:
            statuses = sorted(pool.map(demote, (first, second), (second, first)))
        # The slower one is no admin any more, or the last one, as it may fall.
        assert statuses in ([200, 400], [200, 403])
        left = [each for each in (first, second) if each.get("roles/list", api=THREE).status == 200]
        assert len(left) == 1


def test_without_access_control_there_are_no_users(server: Server):
    answer = server.post("users/create", {"username": "alice", "password": PASSWORD})
    assert refused(answer, code="FEATURE_DISABLED").endswith("start it with --auth.")
    assert server.get("users/list").error_code == "FEATURE_DISABLED"


def test_what_is_done_to_users_is_in_the_audit_log(admin: Account):
    name = unique("alice")
    alice = admin.new_user(name, is_admin=True)
    accepted(update_password(alice, alice, ANOTHER, current=PASSWORD))
    accepted(admin.delete("users/delete", {"username": name}))
    log = accepted(admin.get("audit", api="/api/riverrun/v1/", resource=name, resource_type="user"))
    told = [(each["action"], each["actor"]) for each in log["entries"] if each["action"] != "login"]
    assert told == [
        ("user.delete", admin.name),
        ("user.password", name),
        ("user.admin", admin.name),
        ("user.create", admin.name),
    ]
    assert PASSWORD not in str(log)
    assert ANOTHER not in str(log)
    assert ADMIN_PASSWORD not in admin.server.log
    assert PASSWORD not in admin.server.log
