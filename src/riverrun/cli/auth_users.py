"""`riverrun auth create-user|update-user|list-users|delete-user|reset-admin`."""

from typing import Any

import click

from riverrun.cli.auth import (
    OPERATOR,
    Access,
    echo_json,
    echo_table,
    json_option,
    place,
    with_access,
)
from riverrun.cli.passwords import PasswordSource, password_options
from riverrun.entities.users import ListedUser
from riverrun.services.access.account_names import OWN_ROLE_PREFIX

username_option = click.option("--username", required=True, help="The user's name.")


@click.command("create-user")
@username_option
@password_options
@click.option("--admin", is_flag=True, help="Make an admin, who may do everything.")
@place
def create_user(
    username: str,
    *,
    admin: bool,
    uri: str | None,
    **source: Any,
) -> None:
    """Make a user; without an option for it the password is asked for."""
    given = PasswordSource(**source).read(username)

    async def work(access: Access) -> None:
        await access.users.create(username, given, is_admin=admin, viewer=OPERATOR)

    with_access(uri, work)
    click.echo(f"User {username} is made{', an admin' if admin else ''}.")


@click.command("update-user")
@username_option
@password_options
@click.option("--admin/--no-admin", default=None, help="Make an admin, or one no more.")
@place
def update_user(
    username: str,
    *,
    admin: bool | None,
    uri: str | None,
    **source: Any,
) -> None:
    """Change a user's password, or whether it is an admin. With neither the password is asked for.

    A new password ends what was begun with the old one.
    """
    given = PasswordSource(**source)
    new = given.read(username) if given.is_given or admin is None else None

    async def work(access: Access) -> None:
        if new is not None:
            await access.users.update_password(username, new, current_password="", viewer=OPERATOR)
        if admin is not None:
            await access.users.update_admin(username, is_admin=admin, viewer=OPERATOR)

    with_access(uri, work)
    click.echo(f"User {username} is changed.")


@click.command("reset-admin")
@username_option
@password_options
@place
def reset_admin(
    username: str,
    *,
    uri: str | None,
    **source: Any,
) -> None:
    """Give a user a new password and make it an admin, for one who is locked out."""
    given = PasswordSource(**source).read(username)

    async def work(access: Access) -> None:
        await access.users.update_password(username, given, current_password="", viewer=OPERATOR)
        await access.users.update_admin(username, is_admin=True, viewer=OPERATOR)

    with_access(uri, work)
    click.echo(f"User {username} has the new password, and is an admin.")


@click.command("list-users")
@json_option
@place
def list_users(*, as_json: bool, uri: str | None) -> None:
    """List the users, with the groups that each is in."""

    async def work(access: Access) -> list[ListedUser]:
        return await access.users.list(viewer=OPERATOR)

    found = with_access(uri, work)
    if as_json:
        echo_json(
            [
                {
                    "id": each.id,
                    "username": each.username,
                    "is_admin": each.is_admin,
                    "groups": groups_of(each),
                }
                for each in found
            ]
        )
        return
    rows = [
        (each.username, "yes" if each.is_admin else "no", ", ".join(groups_of(each)))
        for each in found
    ]
    echo_table(("USERNAME", "ADMIN", "GROUPS"), rows)


@click.command("delete-user")
@username_option
@place
def delete_user(username: str, uri: str | None) -> None:
    """Delete a user, with its tokens and what it was granted. What it made stays."""

    async def work(access: Access) -> None:
        await access.users.delete(username, viewer=OPERATOR)

    with_access(uri, work)
    click.echo(f"User {username} is deleted.")


def groups_of(user: ListedUser) -> list[str]:
    return [role.name for role in user.roles if not role.name.startswith(OWN_ROLE_PREFIX)]


COMMANDS = (create_user, update_user, list_users, delete_user, reset_admin)
