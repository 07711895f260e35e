"""`riverrun auth create-token|list-tokens|revoke-token`."""

from datetime import UTC, datetime

import click

from riverrun.auth.scopes import SCOPES, WRITE
from riverrun.cli.auth import (
    OPERATOR,
    Access,
    echo_json,
    echo_table,
    json_option,
    place,
    with_access,
)
from riverrun.entities.tokens import ApiToken
from riverrun.services.access.api_tokens import AskedToken
from riverrun.services.retention import read_age


def age(ctx: click.Context, param: click.Parameter, given: str | None) -> int | None:
    """In seconds."""
    del ctx, param
    if given is None:
        return None
    try:
        return read_age(given) // 1000
    except (ValueError, TypeError):
        raise click.BadParameter("expected an age such as 90d or 36h.") from None


@click.command("create-token")
@click.option("--username", required=True, help="Whose token it shall be.")
@click.option("--name", default="command line", show_default=True, help="What it is for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([*SCOPES]),
    default=(WRITE,),
    show_default=True,
    help="What it may be used for; may be repeated.",
)
@click.option("--expires-in", metavar="AGE", callback=age, help="Such as 90d. [default: never]")
@place
def create_token(
    username: str, name: str, scopes: tuple[str, ...], expires_in: int | None, uri: str | None
) -> None:
    """Make a token of a user, and print it: nobody can find it out later."""
    asked = AskedToken(name, scopes, expires_in, username)

    async def work(access: Access) -> str:
        token, _ = await access.tokens.create(asked, viewer=OPERATOR)
        return token

    click.echo(with_access(uri, work))
    click.echo("This is the only time that the token is shown.", err=True)


@click.command("list-tokens")
@click.option("--username", help="Only of this user.")
@json_option
@place
def list_tokens(username: str | None, *, as_json: bool, uri: str | None) -> None:
    """List tokens, each by its last characters."""

    async def work(access: Access) -> list[ApiToken]:
        return await access.tokens.list(username, viewer=OPERATOR)

    found = with_access(uri, work)
    if as_json:
        echo_json(found)
        return
    head = ("ID", "USERNAME", "NAME", "ENDS IN", "SCOPES", "MADE", "EXPIRES", "LAST USED")
    rows = [
        (
            str(each.token_id),
            each.username,
            each.name,
            each.hint,
            " ".join(each.scopes),
            shown(each.creation_time, ""),
            shown(each.expiry_time, "never"),
            shown(each.last_used_time, "never"),
        )
        for each in found
    ]
    echo_table(head, rows)


@click.command("revoke-token")
@click.argument("token_id")
@place
def revoke_token(token_id: str, uri: str | None) -> None:
    """Revoke the token with this id."""

    async def work(access: Access) -> None:
        await access.tokens.revoke(token_id, viewer=OPERATOR)

    with_access(uri, work)
    click.echo(f"Token {token_id} is revoked.")


def shown(time_ms: int | None, otherwise: str) -> str:
    if time_ms is None:
        return otherwise
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%MZ")


COMMANDS = (create_token, list_tokens, revoke_token)
