"""Workspaces with access control: who is a member, who manages, and who need not know."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.api.accounts import THREE, Account, denied, guarded
from tests.api.protocol import accepted, not_found, refused, unique
from tests.fixtures.databases import Databases, on_sqlite

OPEN_DEFAULT = "[mlflow]\ngrant_default_workspace_access = true\n"


@pytest.fixture(scope="module")
def root(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """The admin of a server with access control and workspaces."""
    folder = tmp_path_factory.mktemp("workspaces")
    with guarded(folder, "--enable-workspaces", database=databases.new_database()) as account:
        yield account


@pytest.fixture
def team(root: Account) -> Account:
    """The admin, in a new workspace."""
    return new_team(root)


def new_team(root: Account) -> Account:
    name = unique("team").replace(" ", "-")
    assert root.post("workspaces", {"name": name}, api=THREE).status == 201
    return root.inside(name)


def new_member(team: Account, word: str = "USE") -> Account:
    """Of the workspace, with this permission on it."""
    user = team.new_user()
    accepted(team.grant(user, "workspace", "*", word))
    return user.inside(team.workspace)


def seen(account: Account) -> list[str]:
    """The workspaces that it is told of."""
    listed = accepted(account.get("workspaces", api=THREE)).get("workspaces", [])
    return [each["name"] for each in listed]


# Members -----------------------------------------------------------------------------------------


def test_without_a_grant_there_is_no_access(root: Account, team: Account):
    experiment = team.create_experiment()
    stranger = team.new_user()
    for workspace in ("default", team.workspace):
        inside = stranger.inside(workspace)
        denied(inside.post("experiments/create", {"name": unique("x")}))
        denied(inside.post("registered-models/create", {"name": unique("x")}))
        assert not inside.may_read("0")
        assert not inside.may_read(experiment)
        assert accepted(inside.post("experiments/search", {"max_results": 9})) == {}
        assert accepted(inside.get("registered-models/search")) == {}
    assert seen(stranger) == []
    denied(stranger.get(f"workspaces/{team.workspace}", api=THREE))
    assert {"default", team.workspace} <= set(seen(root))


def test_a_member_creates_and_manages_its_own_and_reads_what_the_default_says(team: Account):
    member, other = new_member(team), new_member(team)
    experiment = member.create_experiment()
    assert member.may_write(experiment)
    assert other.may_read(experiment)
    assert not other.may_write(experiment)
    accepted(other.post("registered-models/create", {"name": "classifier"}))
    assert accepted(member.get("registered-models/get", name="classifier"))
    page = accepted(other.post("experiments/search", {"max_results": 9}))
    assert [each["experiment_id"] for each in page["experiments"]] == [experiment]
    assert seen(member) == [team.workspace]
    assert accepted(member.get(f"workspaces/{team.workspace}", api=THREE))
    denied(member.get("webhooks"))


def test_a_member_is_nobody_elsewhere(root: Account, team: Account):
    member, elsewhere = new_member(team), new_team(root)
    experiment = elsewhere.create_experiment()
    for workspace in ("", "default", elsewhere.workspace):
        inside = member.inside(workspace)
        assert not inside.may_read(experiment)
        denied(inside.post("experiments/create", {"name": "x"}))
    assert not member.may_read(experiment)
    denied(member.get(f"workspaces/{elsewhere.workspace}", api=THREE))


def test_a_grant_on_one_experiment_gives_that_and_no_more(team: Account):
    mine, others = team.create_experiment(), team.create_experiment()
    user = team.new_user().inside(team.workspace)
    accepted(team.grant(user, "experiment", mine, "EDIT"))
    assert user.may_write(mine)
    assert not user.may_read(others)
    denied(user.post("experiments/create", {"name": unique("x")}))
    page = accepted(user.post("experiments/search", {"max_results": 9}))
    assert [each["experiment_id"] for each in page["experiments"]] == [mine]
    assert seen(user) == [team.workspace]


def test_a_grant_counts_in_its_own_workspace(root: Account, team: Account):
    elsewhere = new_team(root)
    experiment = elsewhere.create_experiment()
    user = root.new_user()
    accepted(team.grant(user, "experiment", "*", "MANAGE"))
    assert not user.inside(elsewhere.workspace).may_read(experiment)
    assert not user.inside(team.workspace).may_read(experiment)
    # An admin, too, gives in a workspace what lies there.
    not_found(team.grant(user, "experiment", experiment, "READ"))


def test_who_is_no_member_any_more_is_out_at_once(team: Account):
    member, experiment = new_member(team), team.create_experiment()
    assert member.may_read(experiment)
    accepted(team.revoke(member, "workspace", "*"))
    assert not member.may_read(experiment)
    assert seen(member) == []


# Managers ----------------------------------------------------------------------------------------


def test_a_manager_does_everything_in_the_workspace_and_nothing_elsewhere(
    root: Account, team: Account
):
    manager, elsewhere = new_member(team, "MANAGE"), new_team(root)
    experiment, others = team.create_experiment(), elsewhere.create_experiment()
    assert manager.may_write(experiment)
    accepted(manager.post("experiments/delete", {"experiment_id": experiment}))
    accepted(manager.get("webhooks"))
    user = root.new_user()
    accepted(manager.grant(user, "workspace", "*", "USE"))
    assert user.inside(team.workspace).create_experiment()
    assert not manager.may_read(others)
    away = manager.inside(elsewhere.workspace)
    assert not away.may_read(others)
    denied(away.grant(user, "workspace", "*", "USE"))


def test_a_manager_describes_the_workspace_and_admins_make_and_delete_it(
    root: Account, team: Account
):
    manager, member, elsewhere = new_member(team, "MANAGE"), new_member(team), new_team(root)
    path, change = f"workspaces/{team.workspace}", {"description": "ours"}
    told = accepted(manager.patch(path, change, api=THREE))["workspace"]
    assert told["description"] == "ours"
    # Whatever workspace the request itself is in.
    accepted(manager.inside("").patch(path, change, api=THREE))
    denied(member.patch(path, change, api=THREE))
    denied(manager.patch(f"workspaces/{elsewhere.workspace}", change, api=THREE))
    denied(manager.delete(path, {}, api=THREE))
    denied(manager.post("workspaces", {"name": "another-team"}, api=THREE))


# Who may know ------------------------------------------------------------------------------------


def test_a_workspace_that_is_not_there_is_like_one_of_others(root: Account, team: Account):
    user = root.new_user()
    nowhere = "team-nobody-made"
    theirs, none = user.inside(team.workspace), user.inside(nowhere)
    for path, fields in (
        ("experiments/get", {"experiment_id": "0"}),
        ("registered-models/search", {}),
        ("webhooks", {}),
    ):
        answers = [each.get(path, **fields) for each in (theirs, none)]
        assert len({(each.status, each.body) for each in answers}) == 1
    answers = [each.post("experiments/create", {"name": "x"}) for each in (theirs, none)]
    assert len({(each.status, each.body) for each in answers}) == 1
    paths = (f"workspaces/{team.workspace}", f"workspaces/{nowhere}")
    answers = [user.get(path, api=THREE) for path in paths]
    assert len({(each.status, each.body) for each in answers}) == 1
    not_found(root.inside(nowhere).get("experiments/get", experiment_id="0"))
    not_found(root.get(f"workspaces/{nowhere}", api=THREE))
    refused(user.inside("No_Name").get("experiments/get", experiment_id="0"))


def test_a_workspace_that_is_made_again_begins_without_grants(root: Account, team: Account):
    member = new_member(team)
    role = {"name": "readers", "workspace": team.workspace}
    accepted(team.post("roles/create", role, api=THREE))
    assert root.delete(f"workspaces/{team.workspace}", {}, api=THREE).status == 204
    denied(member.post("experiments/create", {"name": "x"}))
    assert root.post("workspaces", {"name": team.workspace}, api=THREE).status == 201
    denied(member.post("experiments/create", {"name": "x"}))
    listed = accepted(root.get("roles/list", api=THREE, workspace=team.workspace))
    assert listed.get("roles", []) == []


def test_what_happens_to_workspaces_is_in_the_audit_log(root: Account, team: Account):
    path = f"workspaces/{team.workspace}"
    accepted(root.patch(path, {"description": "x"}, api=THREE))
    assert root.delete(f"{path}?mode=CASCADE", {}, api=THREE).status == 204
    fields = {"resource_type": "workspace", "resource": team.workspace}
    entries = accepted(root.get("audit", api="/api/riverrun/v1/", **fields))["entries"]
    assert [(each["action"], each["actor"], each.get("detail", "")) for each in entries] == [
        ("workspace.delete", "root", "CASCADE"),
        ("workspace.update", "root", ""),
        ("workspace.create", "root", ""),
    ]


def test_the_audit_log_of_a_workspace_tells_of_that_one(root: Account, team: Account):
    experiment = team.create_experiment()
    accepted(team.post("experiments/delete", {"experiment_id": experiment}))
    fields = {"action": "experiment.delete", "resource": experiment}
    told = accepted(team.get("audit", api="/api/riverrun/v1/", **fields))["entries"]
    assert [each["workspace"] for each in told] == [team.workspace]
    for account in (root, new_team(root)):
        assert not accepted(account.get("audit", api="/api/riverrun/v1/", **fields)).get("entries")


# The default one ---------------------------------------------------------------------------------


@on_sqlite
@pytest.mark.parametrize(("word", "status"), [("READ", 403), ("USE", 200)])
def test_the_default_workspace_can_be_everybodys(
    database_kind: str, tmp_path: Path, word: str, status: int
):
    (tmp_path / "mlflow/auth").mkdir(parents=True)
    (tmp_path / "mlflow/auth/basic_auth.ini").write_text(OPEN_DEFAULT)
    options = ("--enable-workspaces", "--default-permission", word)
    with guarded(tmp_path, *options) as root:
        user, team = root.new_user(), new_team(root)
        assert user.may_read("0")
        assert not user.may_write("0")
        assert user.post("experiments/create", {"name": "mine"}).status == status
        assert seen(user) == ["default"]
        assert not user.inside(team.workspace).may_read(team.create_experiment())
