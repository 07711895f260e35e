"""What leaves the coordinator when a schema is spread over a Citus cluster, and how.

No package has Citus, so its part is played by functions and tables of the same names.
"""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Table, UniqueConstraint
from tests.fixtures.databases import PostgresServer

import riverrun.store
from riverrun.errors import InvalidState
from riverrun.store import migrate, schema_access
from riverrun.store.databases import driver_of
from riverrun.store.distribute import REFERENCE, distribute, placements
from riverrun.store.schema import HOT, SMALL, metadata
from riverrun.store.urls import parse

TABLES = metadata.tables
HOT_TABLES = [table for table in TABLES.values() if table.info["kind"] == HOT]
STATEMENTS = """
SELECT create_reference_table('key_names')
SELECT create_distributed_table('runs', 'run_id', colocate_with => 'none', shard_count => 8)
SELECT create_distributed_table('params', 'run_id', colocate_with => 'runs')
SELECT create_distributed_table('tags', 'run_id', colocate_with => 'runs')
SELECT create_distributed_table('latest_metrics', 'run_id', colocate_with => 'runs')
SELECT create_distributed_table('metric_log', 'run_id', colocate_with => 'runs')
SELECT create_distributed_table('metric_chunks', 'run_id', colocate_with => 'runs')
SELECT create_reference_table('datasets')
SELECT create_distributed_table('run_inputs', 'run_id', colocate_with => 'runs')
SELECT create_distributed_table('run_models', 'run_id', colocate_with => 'runs')
SELECT create_distributed_table('run_documents', 'run_id', colocate_with => 'runs')
SELECT create_distributed_table('logged_models', 'model_id', colocate_with => 'none', shard_count => 8)
SELECT create_distributed_table('logged_model_params', 'model_id', colocate_with => 'logged_models')
SELECT create_distributed_table('logged_model_tags', 'model_id', colocate_with => 'logged_models')
SELECT create_distributed_table('logged_model_metrics', 'model_id', colocate_with => 'logged_models')
"""  # noqa: E501 - As they are sent.
CITUS = """
CREATE SCHEMA citus;
ALTER DATABASE {database} SET search_path = public, citus;
SET search_path = citus;
CREATE TABLE pg_dist_local_group (groupid int);
INSERT INTO pg_dist_local_group VALUES (0);
CREATE TABLE pg_dist_partition (logicalrelid regclass PRIMARY KEY, partmethod "char", repmodel "char");
CREATE TABLE pg_dist_shard (logicalrelid regclass, shardid bigint);
CREATE TABLE refused (name text);
CREATE FUNCTION create_reference_table(name regclass) RETURNS void LANGUAGE sql
    AS $$INSERT INTO citus.pg_dist_partition VALUES (name, 'n', 't')$$;
CREATE FUNCTION create_distributed_table(
    name regclass, owner text, colocate_with text DEFAULT 'default', shard_count int DEFAULT 32
) RETURNS void LANGUAGE plpgsql AS $$BEGIN
    IF EXISTS (SELECT FROM citus.refused AS r WHERE r.name = create_distributed_table.name::text) THEN
        RAISE EXCEPTION 'connection to the remote node failed' USING DETAIL = 'of no interest';
    END IF;
    INSERT INTO citus.pg_dist_partition VALUES (name, 'h', 's');
    INSERT INTO citus.pg_dist_shard
        SELECT name, n FROM generate_series(1, CASE colocate_with WHEN 'none' THEN shard_count ELSE
            (SELECT count(*) FROM citus.pg_dist_shard WHERE logicalrelid = colocate_with::regclass)
        END) AS n;
END$$;
CREATE FUNCTION truncate_local_data_after_distributing_table(name regclass) RETURNS void
    LANGUAGE plpgsql AS $$BEGIN EXECUTE format('TRUNCATE %s', name); END$$;
GRANT ALL ON SCHEMA citus TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA citus TO PUBLIC;
INSERT INTO pg_extension SELECT 99999, 'citus', 10, oid, false, '13.2-1', NULL, NULL
    FROM pg_namespace WHERE nspname = 'citus';
"""  # noqa: E501


hot_tables = pytest.mark.parametrize("table", HOT_TABLES, ids=lambda table: table.name)


# The rules ---------------------------------------------------------------------------------------


def test_these_statements_distribute_the_schema():
    assert list(placements(8).values()) == STATEMENTS.strip().splitlines()


def test_only_hot_and_reference_tables_leave_the_coordinator():
    assert set(placements(8)) == {table.name for table in HOT_TABLES} | set(REFERENCE)


@hot_tables
def test_what_lies_together_has_keys_of_one_type(table: Table):
    owner = next(iter(table.primary_key))
    others = [next(iter(other.primary_key)) for other in HOT_TABLES]
    assert {repr(other.type) for other in others if other.name == owner.name} == {repr(owner.type)}


@hot_tables
def test_citus_can_keep_what_is_unique_in_a_hot_table(table: Table):
    """It checks each shard by itself."""
    owner = next(iter(table.primary_key)).name
    unique = [
        list(each.columns) for each in table.constraints if isinstance(each, UniqueConstraint)
    ]
    unique += [list(index.columns) for index in table.indexes if index.unique]
    assert [columns for columns in unique if owner not in {column.name for column in columns}] == []


@hot_tables
def test_no_number_of_a_hot_table_comes_from_a_sequence(table: Table):
    """Those of two workers would be in no order."""
    assert table.autoincrement_column is None


@pytest.mark.parametrize("name", REFERENCE)
def test_a_reference_table_is_only_added_to(name: str):
    """Citus lets one transaction at a time change a row of it, whichever row; and its row locks
    wait where they should be skipped. Only an experiment that goes for good takes its rows along.
    """
    assert TABLES[name].info["kind"] == SMALL
    changed = re.compile(rf"\b(?:UPDATE|DELETE FROM|MERGE INTO)\s+{name}\b")
    locked = re.compile(rf"\bFROM {name}\b[^;]*\bFOR (?:UPDATE|SHARE)\b")
    folder = Path(riverrun.store.__file__ or "").parent
    for path in folder.rglob("*.py"):
        text = path.read_text()
        if path.name == "removal.py":
            text = text.replace("DELETE FROM datasets WHERE experiment_id = ?", "")
        assert not changed.search(text), path.name
        assert not locked.search(text.replace('"\n', "")), path.name


# The command -------------------------------------------------------------------------------------


@pytest.fixture
def database(postgres_server: PostgresServer) -> str:
    """The URL of a database with today's schema."""
    url = postgres_server.new_database()
    asyncio.run(migrate.ensure_networked(parse(url)))
    return url


@pytest.fixture
def on_citus(postgres_server: PostgresServer, database: str) -> str:
    postgres_server.execute(CITUS.format(database=parse(database).database), database)
    return database


def distributed(url: str, *, shards: int | None = None) -> list[str]:
    """What was."""

    async def story() -> list[str]:
        return [table async for table in distribute(parse(url), shards=shards)]

    return asyncio.run(story())


def refusal(url: str, *, shards: int | None = None) -> str:
    with pytest.raises(InvalidState) as error:
        distributed(url, shards=shards)
    return error.value.message


def shards_of(server: PostgresServer, url: str) -> Iterator[tuple[str, int]]:
    rows = server.execute(
        "SELECT logicalrelid, count(*) FROM citus.pg_dist_shard GROUP BY 1 ORDER BY 1", url
    )
    return ((name, int(count)) for name, count in rows)


def test_a_schema_is_distributed_once(postgres_server: PostgresServer, on_citus: str):
    assert distributed(on_citus, shards=4) == list(placements(4))
    assert distributed(on_citus) == []
    assert dict(shards_of(postgres_server, on_citus)) == {table.name: 4 for table in HOT_TABLES}


def test_shards_are_few_where_nobody_says_how_many(postgres_server: PostgresServer, on_citus: str):
    distributed(on_citus)
    assert dict(shards_of(postgres_server, on_citus))["runs"] == 8


def test_what_was_interrupted_goes_on_where_it_was(postgres_server: PostgresServer, on_citus: str):
    postgres_server.execute("INSERT INTO citus.refused VALUES ('tags')", on_citus)
    assert refusal(on_citus) == (
        "Citus cannot distribute the table tags: connection to the remote node failed. What was "
        "distributed stays so; run `riverrun db distribute` again when this is put right."
    )
    postgres_server.execute("DELETE FROM citus.refused", on_citus)
    before = list(placements(8))
    assert distributed(on_citus) == before[before.index("tags") :]


def test_rows_that_moved_to_a_shard_do_not_stay_behind(
    postgres_server: PostgresServer, on_citus: str
):
    postgres_server.execute("INSERT INTO key_names (name) VALUES ('loss')", on_citus)
    distributed(on_citus)
    assert postgres_server.execute("SELECT count(*) FROM key_names", on_citus) == [("0",)]


def test_the_number_of_shards_stays(on_citus: str):
    distributed(on_citus, shards=4)
    assert distributed(on_citus, shards=4) == []
    assert refusal(on_citus, shards=16) == (
        "The tables are distributed in 4 shards, not in 16: leave --shards out, or change their "
        "number with Citus's alter_distributed_table."
    )


def test_without_citus_nothing_is_distributed(database: str):
    assert refusal(database) == (
        "The database has no Citus: install it on every node, let an administrator run CREATE "
        "EXTENSION citus in this database, and add the workers with citus_add_node."
    )


def test_a_worker_is_not_asked(postgres_server: PostgresServer, on_citus: str):
    postgres_server.execute("UPDATE citus.pg_dist_local_group SET groupid = 2", on_citus)
    assert refusal(on_citus) == (
        "This server is a worker of its Citus cluster: give the address of the coordinator."
    )


# Upgrades ----------------------------------------------------------------------------------------


def upgraded(server: PostgresServer, url: str) -> list[str]:
    """What is distributed after an upgrade by one step."""
    newest = [each.name for each in vars(schema_access).values() if isinstance(each, Table)]
    server.execute(f"DROP TABLE {', '.join(newest)}", url)
    server.execute("UPDATE riverrun_schema_version SET version_num = '0007'", url)
    asyncio.run(migrate.ensure_networked(parse(url)))
    rows = server.execute("SELECT logicalrelid FROM citus.pg_dist_partition", url)
    return sorted(name for (name,) in rows)


def test_a_new_table_goes_where_the_others_are(postgres_server: PostgresServer, on_citus: str):
    distributed(on_citus, shards=4)
    for name in ("tags", "datasets"):  # As if they were new.
        forget = f"DELETE FROM citus.{{}} WHERE logicalrelid = '{name}'::regclass"
        postgres_server.execute(forget.format("pg_dist_partition"), on_citus)
        postgres_server.execute(forget.format("pg_dist_shard"), on_citus)
    assert upgraded(postgres_server, on_citus) == sorted(placements(4))
    assert dict(shards_of(postgres_server, on_citus))["tags"] == 4


def test_an_upgrade_distributes_no_schema_by_itself(postgres_server: PostgresServer, on_citus: str):
    assert upgraded(postgres_server, on_citus) == []


def test_a_server_knows_that_its_tables_may_be_distributed(on_citus: str):
    """Citus holds rows of one shard only, and takes no WITH that writes to two tables."""

    async def story() -> tuple[bool, bool]:
        driver = driver_of(parse(on_citus))
        session = await driver.connect()
        merges = await session.execute_at_once({"DELETE FROM runs WHERE run_id = ?": [(b"1",)]})
        await session.close()
        return session.is_distributed, merges

    assert asyncio.run(story()) == (True, False)
