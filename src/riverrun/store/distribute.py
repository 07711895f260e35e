"""The schema on Citus: the tables that grow with runs and logged models, spread over its workers.

- Hot tables are distributed by the id that comes first in their keys, those of runs together and
  those of logged models together: what belongs to one run lies in one shard.
- `REFERENCE` tables are copied to every worker.
- All others stay as they are, on the coordinator. Most of them are changed in place, row by row,
  and queues among them: on a reference table Citus lets a transaction that changes a row wait for
  every other one that does, and SKIP LOCKED waits, too.

Imported only when there is something to distribute, since it imports SQLAlchemy.
"""

from collections.abc import AsyncGenerator

from asyncpg import exceptions

from riverrun.errors import InvalidState
from riverrun.obs.logs import Log
from riverrun.store import postgres_schema
from riverrun.store.schema import HOT, metadata
from riverrun.store.session import SchemaSession
from riverrun.store.urls import DatabaseUrl

SHARDS = 8
"""What a search costs grows with them, as each of them plans it; more than 2 to 4 for each worker
that one ever expects gain nothing.
"""
REFERENCE = ("key_names", "datasets")
"""Small tables that searches join with hot ones. Rows are added to them, and never changed."""
FIRST = "runs"
"""The table that tells whether the schema was ever distributed, and into how many shards."""

_EXTENSION = "SELECT extversion FROM pg_extension WHERE extname = 'citus'"
_NODE = "SELECT groupid::text FROM pg_dist_local_group"
_DISTRIBUTED = """
    SELECT relname FROM pg_dist_partition JOIN pg_class ON pg_class.oid = logicalrelid
    WHERE pg_table_is_visible(logicalrelid) AND (partmethod = 'h' OR repmodel = 't')
"""
"""Not what Citus only knows of: such tables are on the coordinator."""
_SHARDS = f"SELECT count(*)::text FROM pg_dist_shard WHERE logicalrelid = '{FIRST}'::regclass"
_HAS_COPY = "SELECT 'yes' WHERE pg_relation_size('{table}') > 0"
_DROP_COPY = "SELECT truncate_local_data_after_distributing_table('{table}')"

log = Log("riverrun.distribute")


def placements(shards: int) -> dict[str, str]:
    """For each table that does not stay, the statement that distributes it; first come those that
    others lie together with.
    """
    first: dict[str, str] = {}
    statements: dict[str, str] = {}
    for table in metadata.tables.values():
        name = table.name
        if name in REFERENCE:
            statements[name] = f"SELECT create_reference_table('{name}')"
        elif table.info["kind"] == HOT:
            owner = next(iter(table.primary_key)).name
            together = f"colocate_with => '{first.setdefault(owner, name)}'"
            if first[owner] == name:
                together = f"colocate_with => 'none', shard_count => {shards}"
            statements[name] = f"SELECT create_distributed_table('{name}', '{owner}', {together})"
    return statements


async def distribute(url: DatabaseUrl, *, shards: int | None = None) -> AsyncGenerator[str]:
    """Distributes what is not distributed yet of today's schema, each table in a transaction of its
    own, and yields its name: whoever is interrupted may begin again.

    Raises InvalidState, in one sentence for an operator, and TemporarilyUnavailable.
    """
    async with postgres_schema.opened(url, may_create=False) as session:
        await _require_coordinator(session)
        await _require_shards(session, shards)
        statements = placements(shards or SHARDS)
        for table, statement in statements.items():
            async with session.alone():
                is_new = table not in await session.fetch_texts(_DISTRIBUTED)
                if is_new:
                    await _run(session, table, statement)
            if is_new:
                yield table
        for table in statements:
            await _drop_copy(session, table)


async def distribute_new(session: SchemaSession) -> None:
    """Distributes the tables that an upgrade of a PostgreSQL schema has made, in its transaction.
    Does nothing where there is no Citus, or where the schema was never distributed.

    Raises InvalidState.
    """
    if not await session.fetch_texts(_EXTENSION):
        return
    distributed = await session.fetch_texts(_DISTRIBUTED)
    if FIRST not in distributed:
        return
    (shards,) = await session.fetch_texts(_SHARDS)
    for table, statement in placements(int(shards)).items():
        if table not in distributed:
            await _run(session, table, statement)
            log.info("table distributed", table=table)


async def _require_coordinator(session: SchemaSession) -> None:
    if not await session.fetch_texts(_EXTENSION):
        raise InvalidState(
            "The database has no Citus: install it on every node, let an administrator run CREATE "
            "EXTENSION citus in this database, and add the workers with citus_add_node."
        )
    if await session.fetch_texts(_NODE) != ["0"]:
        raise InvalidState(
            "This server is a worker of its Citus cluster: give the address of the coordinator."
        )


async def _require_shards(session: SchemaSession, shards: int | None) -> None:
    """How many they are is settled when the first table is distributed."""
    if shards is None or FIRST not in await session.fetch_texts(_DISTRIBUTED):
        return
    (found,) = await session.fetch_texts(_SHARDS)
    if int(found) != shards:
        raise InvalidState(
            f"The tables are distributed in {found} shards, not in {shards}: leave --shards out, "
            "or change their number with Citus's alter_distributed_table."
        )


async def _drop_copy(session: SchemaSession, table: str) -> None:
    """Citus copies rows to the shards, and leaves the old ones where nobody sees them."""
    if await session.fetch_texts(_HAS_COPY.format(table=table)):
        async with session.alone():
            await _run(session, table, _DROP_COPY.format(table=table))


async def _run(session: SchemaSession, table: str, statement: str) -> None:
    try:
        await session.execute(statement)
    except exceptions.PostgresError as error:
        # What is wrong with a cluster, only Citus can say; it tells an operator, not a client.
        reason = str(error).partition("\n")[0]
        raise InvalidState(
            f"Citus cannot distribute the table {table}: {reason}. What was distributed stays so; "
            "run `riverrun db distribute` again when this is put right."
        ) from error
