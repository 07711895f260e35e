"""`riverrun db distribute`: the schema on more than one machine."""

import asyncio

import click

from riverrun.errors import InvalidState
from riverrun.settings import database_at, process_environment
from riverrun.store import migrate
from riverrun.store.urls import DatabaseUrl


@click.command()
@click.argument("url")
@click.option(
    "--shards",
    type=click.IntRange(1, 1024),
    help="Parts of each table: 2 to 4 for each worker that you ever expect. [default: 8]",
)
def distribute(url: str, shards: int | None) -> None:
    """Spread the schema in the PostgreSQL database at URL over the workers of its Citus cluster;
    URL leads to the coordinator. What is distributed already stays as it is.
    """
    database = database_at(url, process_environment({}))
    if not isinstance(database, DatabaseUrl) or database.kind != "postgresql":
        raise InvalidState("Only a PostgreSQL database with Citus can be distributed.")
    asyncio.run(_distribute(database, shards))
    click.echo("The schema is distributed.")


async def _distribute(database: DatabaseUrl, shards: int | None) -> None:
    migrate.require_head(await migrate.version_networked(database))
    from riverrun.store.distribute import distribute  # noqa: PLC0415 - Imports SQLAlchemy.

    async for table in distribute(database, shards=shards):
        click.echo(f"{table} is distributed.")
