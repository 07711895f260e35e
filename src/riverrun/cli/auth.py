"""`riverrun auth`: users, tokens, grants and groups, by the operator, beside a running server."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import click
import msgspec

from riverrun.auth.levels import Level
from riverrun.auth.viewer import DEFAULT_WORKSPACE, Viewer
from riverrun.cli.beside import opened_beside
from riverrun.services.access.api_tokens import ApiTokens
from riverrun.services.access.authentication import Authentication
from riverrun.services.access.grants import Grants
from riverrun.services.access.permissions import ACCESS_EPOCH
from riverrun.services.access.roles import Roles
from riverrun.services.access.users import Users
from riverrun.services.audit import Audit
from riverrun.services.epoch import Epoch

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])

OPERATOR = Viewer(name="", workspace=DEFAULT_WORKSPACE, all_powerful=True, address="riverrun auth")
"""The audit log tells by the address that it was a command."""


def command() -> click.Command:
    from riverrun.cli import auth_grants, auth_groups, auth_tokens, auth_users  # noqa: PLC0415

    commands = (
        *auth_users.COMMANDS,
        *auth_tokens.COMMANDS,
        *auth_grants.COMMANDS,
        auth_groups.groups,
    )
    return Ordered("auth", commands=commands, help="Look after users, tokens, grants and groups.")


class Ordered(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """As they were given, which keeps together what belongs together."""
        del ctx
        return list(self.commands)


@dataclass(frozen=True, slots=True)
class Access:
    """What the commands work with."""

    users: Users
    roles: Roles
    grants: Grants
    tokens: ApiTokens


@asynccontextmanager
async def opened_access(uri: str | None) -> AsyncGenerator[Access]:
    async with opened_beside(uri) as engine:
        authentication = Authentication(
            engine,
            Epoch(engine, ACCESS_EPOCH),
            Audit(engine),
            default=Level.PUBLIC,
            requests_per_s=0,
        )
        try:
            yield Access(
                users=Users(engine, authentication),
                roles=Roles(engine, authentication),
                grants=Grants(engine, authentication),
                tokens=ApiTokens(engine, authentication),
            )
        finally:
            await authentication.close()


def with_access(uri: str | None, work: Callable[[Access], Awaitable[T]]) -> T:
    async def worked() -> T:
        async with opened_access(uri) as access:
            return await work(access)

    return asyncio.run(worked())


def operator(workspace: str) -> Viewer:
    return replace(OPERATOR, workspace=workspace)


def place(function: F) -> F:
    """The option that every command has."""
    return click.option(
        "--backend-store-uri",
        "uri",
        metavar="URL",
        help="The server's database. [MLFLOW_BACKEND_STORE_URI]",
    )(function)


def workspace_option(function: F) -> F:
    return click.option(
        "--workspace", default=DEFAULT_WORKSPACE, show_default=True, help="Where it counts."
    )(function)


def json_option(function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")(function)


def echo_json(rows: Sequence[object]) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2))


def echo_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
