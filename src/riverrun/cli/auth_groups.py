"""`riverrun auth groups`: roles, under the name that most people give them."""

from collections.abc import Sequence

import click

from riverrun.auth.viewer import Viewer
from riverrun.cli.auth import (
    OPERATOR,
    Access,
    Ordered,
    echo_json,
    echo_table,
    json_option,
    operator,
    place,
    with_access,
    workspace_option,
)
from riverrun.entities.users import Role
from riverrun.errors import ResourceDoesNotExist
from riverrun.services.access.account_names import OWN_ROLE_PREFIX

name_argument = click.argument("name")
username_argument = click.argument("username")


async def groups_in(access: Access, viewer: Viewer) -> list[Role]:
    found = await access.roles.list([viewer.workspace], viewer=viewer)
    return [each for each in found if not each.name.startswith(OWN_ROLE_PREFIX)]


async def group_named(access: Access, name: str, viewer: Viewer) -> Role:
    """Raises ResourceDoesNotExist."""
    for each in await groups_in(access, viewer):
        if each.name == name:
            return each
    raise ResourceDoesNotExist(f"There is no group {name} in the workspace {viewer.workspace}.")


@click.command()
@name_argument
@click.option("--description", help="What it is for.")
@workspace_option
@place
def create(name: str, description: str | None, workspace: str, uri: str | None) -> None:
    """Make a group, without members and grants."""

    async def work(access: Access) -> None:
        viewer = operator(workspace)
        await access.roles.create(name, workspace=workspace, description=description, viewer=viewer)

    with_access(uri, work)
    click.echo(f"Group {name} is made.")


@click.command()
@name_argument
@workspace_option
@place
def delete(name: str, workspace: str, uri: str | None) -> None:
    """Delete a group, with what it was granted; its members stay users."""

    async def work(access: Access) -> None:
        viewer = operator(workspace)
        await access.roles.delete((await group_named(access, name, viewer)).id, viewer=viewer)

    with_access(uri, work)
    click.echo(f"Group {name} is deleted.")


@click.command("list")
@workspace_option
@json_option
@place
def list_groups(workspace: str, *, as_json: bool, uri: str | None) -> None:
    """List the groups, with their members and what they were granted."""

    async def work(access: Access) -> list[tuple[Role, list[str]]]:
        viewer = operator(workspace)
        names = {each.id: each.username for each in await access.users.list(viewer=OPERATOR)}
        found: list[tuple[Role, list[str]]] = []
        for role in await groups_in(access, viewer):
            assigned = await access.roles.members(role.id, viewer=viewer)
            found.append((role, [names.get(each.user_id, "") for each in assigned]))
        return found

    found = with_access(uri, work)
    if as_json:
        echo_json([_as_json(role, members) for role, members in found])
        return
    rows = [(role.name, ", ".join(members), _granted(role)) for role, members in found]
    echo_table(("GROUP", "MEMBERS", "GRANTS"), rows)


@click.command()
@name_argument
@username_argument
@workspace_option
@place
def add(name: str, username: str, workspace: str, uri: str | None) -> None:
    """Add a user to a group."""

    async def work(access: Access) -> None:
        viewer = operator(workspace)
        role = await group_named(access, name, viewer)
        await access.roles.assign(username, role.id, viewer=viewer)

    with_access(uri, work)
    click.echo(f"User {username} is in the group {name}.")


@click.command()
@name_argument
@username_argument
@workspace_option
@place
def remove(name: str, username: str, workspace: str, uri: str | None) -> None:
    """Take a user out of a group."""

    async def work(access: Access) -> None:
        viewer = operator(workspace)
        role = await group_named(access, name, viewer)
        await access.roles.unassign(username, role.id, viewer=viewer)

    with_access(uri, work)
    click.echo(f"User {username} is in the group {name} no more.")


def _granted(role: Role) -> str:
    return ", ".join(
        f"{each.permission} on {each.resource_type} {each.resource_pattern}"
        for each in role.permissions
    )


def _as_json(role: Role, members: Sequence[str]) -> dict[str, object]:
    return {
        "id": role.id,
        "name": role.name,
        "workspace": role.workspace,
        "description": role.description,
        "members": members,
        "permissions": role.permissions,
    }


groups = Ordered(
    "groups",
    commands=(create, delete, list_groups, add, remove),
    help="Look after groups, which are called roles in the protocol.",
)
