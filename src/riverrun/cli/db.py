"""`riverrun db`: the database by hand."""

import click

from riverrun.settings_values import SettingsError, store_value


def command() -> click.Command:
    return click.Group("db", commands=[upgrade], help="Look after the database.")


@click.command()
@click.argument("uri")
def upgrade(uri: str) -> None:
    """Bring the database at URI to this release's schema, creating it when it is missing."""
    try:
        store_value(uri)
    except ValueError as error:
        raise SettingsError(f"Cannot upgrade this database: {error}.") from None
    from riverrun.store import migrate  # noqa: PLC0415 - SQLAlchemy and Alembic; only for this.

    migrate.upgrade(uri)
    click.echo("The database has this release's schema.")
