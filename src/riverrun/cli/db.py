"""`riverrun db`: the database by hand."""

import asyncio
from pathlib import Path

import click

from riverrun.cli.distribute import distribute
from riverrun.settings import database_at, process_environment
from riverrun.store import migrate


def command() -> click.Command:
    commands = [upgrade, check, current, history, distribute]
    return click.Group("db", commands=commands, help="Look after the database.")


@click.command()
@click.argument("url")
def upgrade(url: str) -> None:
    """Bring the database at URL to this release's schema, creating it when it is missing."""
    database = database_at(url, process_environment({}))
    if isinstance(database, Path):
        from riverrun.store import sqlite  # noqa: PLC0415 - Only for this.

        sqlite.upgrade(database)
    else:
        asyncio.run(migrate.ensure_networked(database))
    click.echo("The database has this release's schema.")


@click.command()
@click.argument("url")
def check(url: str) -> None:
    """Say whether the database at URL has this release's schema; the exit code is 1 if not."""
    migrate.require_head(version(url))
    click.echo("The database has this release's schema.")


@click.command()
@click.argument("url")
def current(url: str) -> None:
    """Print the version of the schema in the database at URL, or `none`."""
    click.echo(version(url) or "none")


@click.command()
@click.argument("url")
def history(url: str) -> None:
    """List the steps that make the schema, and which of them the database at URL has had."""
    found = version(url)
    from riverrun.store import steps  # noqa: PLC0415 - Imports SQLAlchemy.

    for step, about in steps.history():
        click.echo(f"{step}  {'done ' if step <= found else 'to do'}  {about}")


def version(url: str) -> str:
    """Empty for none. Raises InvalidState or TemporarilyUnavailable."""
    database = database_at(url, process_environment({}))
    if isinstance(database, Path):
        from riverrun.store import sqlite  # noqa: PLC0415 - Only for this.

        return sqlite.schema_version(database)
    return asyncio.run(migrate.version_networked(database))
