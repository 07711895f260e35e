"""`riverrun db`: the database by hand."""

import click

from riverrun.settings_values import SettingsError, sqlite_path


def command() -> click.Command:
    return click.Group("db", commands=[upgrade], help="Look after the database.")


@click.command()
@click.argument("uri")
def upgrade(uri: str) -> None:
    """Bring the database at URI to this release's schema, creating it when it is missing."""
    try:
        path = sqlite_path(uri)
    except ValueError as error:
        raise SettingsError(f"Cannot upgrade this database: {error}.") from None
    from riverrun.store import sqlite  # noqa: PLC0415 - only for this.

    sqlite.upgrade(path)
    click.echo("The database has this release's schema.")
