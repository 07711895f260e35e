"""`riverrun auth grant|revoke`: what users and groups may do with what."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import click

from riverrun.auth.viewer import EXPERIMENT, REGISTERED_MODEL, WORKSPACE, Viewer
from riverrun.cli.auth import Access, operator, place, with_access, workspace_option
from riverrun.cli.auth_groups import group_named
from riverrun.entities.users import RolePermission
from riverrun.errors import ResourceAlreadyExists, ResourceDoesNotExist
from riverrun.services.access.grant_rules import LEGACY_GRANTABLE, permission_of, what_of
from riverrun.store.access.roles import What

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Receiver:
    """One of the two."""

    username: str | None
    group: str | None

    def check(self) -> None:
        if (self.username is None) == (self.group is None):
            raise click.UsageError("Give either --username or --group.")

    @property
    def shown(self) -> str:
        return f"group {self.group}" if self.username is None else f"user {self.username}"


def target_options(function: F) -> F:
    """Whom, and what it is about; given as `username`, `group` and the four kinds of things."""
    for option in (
        click.option("--whole-workspace", is_flag=True, help="The workspace: USE or MANAGE."),
        click.option("--prompt", metavar="PATTERN", help="A prompt's name, or names with * in it."),
        click.option("--model", metavar="PATTERN", help="A model's name, or names with * in it."),
        click.option(
            "--experiment", metavar="PATTERN", help="An experiment's id, or names with * in it."
        ),
        click.option("--group", help="The group that it is about."),
        click.option("--username", help="The user that it is about."),
    ):
        function = option(function)
    return function


@click.command()
@target_options
@click.option(
    "--permission",
    required=True,
    type=click.Choice(LEGACY_GRANTABLE, case_sensitive=False),
    help="What is allowed, or DENY.",
)
@workspace_option
@place
def grant(
    username: str | None,
    group: str | None,
    permission: str,
    workspace: str,
    uri: str | None,
    **about: str | bool | None,
) -> None:
    """Say what a user or a group may do with an experiment, a model or a prompt. What was said of
    the same before is replaced.
    """
    receiver, what = Receiver(username, group), what_from(about)
    receiver.check()
    given = permission_of(permission.upper(), what, words=LEGACY_GRANTABLE)

    async def work(access: Access) -> None:
        viewer = operator(workspace)
        if receiver.group is not None:
            await grant_to_group(access, receiver.group, what, given.name, viewer)
            return
        name = receiver.username or ""
        try:
            await access.grants.grant(name, what, given, viewer=viewer)
        except ResourceAlreadyExists:
            await access.grants.update(name, what, given, viewer=viewer)

    with_access(uri, work)
    click.echo(f"The {receiver.shown} has {given.name} on {shown(what)}.")


@click.command()
@target_options
@workspace_option
@place
def revoke(
    username: str | None,
    group: str | None,
    workspace: str,
    uri: str | None,
    **about: str | bool | None,
) -> None:
    """Take back what `grant` gave; the default permission applies again."""
    receiver, what = Receiver(username, group), what_from(about)
    receiver.check()

    async def work(access: Access) -> None:
        viewer = operator(workspace)
        if receiver.group is not None:
            await revoke_from_group(access, receiver.group, what, viewer)
        else:
            await access.grants.revoke(receiver.username or "", what, viewer=viewer)

    with_access(uri, work)
    click.echo(f"The {receiver.shown} has no grant on {shown(what)} any more.")


async def grant_to_group(access: Access, group: str, what: What, word: str, viewer: Viewer) -> None:
    role = await group_named(access, group, viewer)
    before = _found(role.permissions, what)
    if before is None:
        permission = permission_of(word, what, words=LEGACY_GRANTABLE)
        await access.grants.add(role.id, what, permission, viewer=viewer)
    else:
        await access.grants.change(before.id, word, viewer=viewer)


async def revoke_from_group(access: Access, group: str, what: What, viewer: Viewer) -> None:
    """Raises ResourceDoesNotExist when nothing was granted."""
    role = await group_named(access, group, viewer)
    before = _found(role.permissions, what)
    if before is None:
        raise ResourceDoesNotExist(f"The group {group} was granted nothing on {shown(what)}.")
    await access.grants.remove(before.id, viewer=viewer)


def _found(permissions: list[RolePermission], what: What) -> RolePermission | None:
    about = (what.resource_type, what.pattern)
    return next(
        (each for each in permissions if (each.resource_type, each.resource_pattern) == about), None
    )


def what_from(about: dict[str, str | bool | None]) -> What:
    """Raises UsageError unless one of the options was given."""
    kinds = {"experiment": EXPERIMENT, "model": REGISTERED_MODEL, "prompt": "prompt"}
    given = [(kind, str(about[name])) for name, kind in kinds.items() if about[name] is not None]
    if about["whole_workspace"]:
        given.append((WORKSPACE, "*"))
    if len(given) != 1:
        raise click.UsageError("Give one of --experiment, --model, --prompt, --whole-workspace.")
    [(kind, pattern)] = given
    return what_of(kind, pattern)


def shown(what: What) -> str:
    return f"{what.resource_type.replace('_', ' ')} {what.pattern}"


COMMANDS = (grant, revoke)
