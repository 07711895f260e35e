"""Databases on servers: made, upgraded by many at once, interrupted, left alone."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import create_mock_engine
from sqlalchemy.sql.ddl import ExecutableDDLElement
from tests.fixtures.databases import Databases, DatabaseServer, PgBouncer
from tests.store.cutting import cut_after

from riverrun.errors import InvalidState, TemporarilyUnavailable, TrackingError
from riverrun.store import ddl, migrate, steps
from riverrun.store.credentials import Password
from riverrun.store.migrate import HEAD, VERSION_TABLE
from riverrun.store.schema import metadata
from riverrun.store.urls import DatabaseUrl, parse

SHAPES = {
    "postgresql": """
        SELECT 'column', attrelid::regclass::text, attname, format_type(atttypid, atttypmod),
               attnotnull::text, collname
        FROM pg_attribute LEFT JOIN pg_collation ON pg_collation.oid = attcollation
        WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace
                           AND relkind IN ('r', 'v')) AND attnum > 0
        UNION ALL
        SELECT 'index', tablename, indexname, indexdef, NULL, NULL FROM pg_indexes
        WHERE schemaname = 'public'
    """,
    "mysql": """
        SELECT 'column', table_name, column_name, column_type, is_nullable, collation_name, extra
        FROM information_schema.columns WHERE table_schema = DATABASE()
        UNION ALL
        SELECT 'index', table_name, index_name, seq_in_index, non_unique, sub_part,
               CONCAT(column_name, COALESCE(collation, ''))
        FROM information_schema.statistics WHERE table_schema = DATABASE()
        UNION ALL
        SELECT 'table', table_name, engine, row_format, table_collation, NULL, NULL
        FROM information_schema.tables WHERE table_schema = DATABASE()
    """,
}
MOCKED = {"postgresql": "postgresql://", "mysql": "mariadb://"}


on_postgres = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
on_mariadb = pytest.mark.parametrize("database_kind", ["mariadb"], indirect=True)
on_servers = pytest.mark.parametrize("database_kind", ["postgresql", "mariadb"], indirect=True)


@pytest.fixture
def server(databases: Databases) -> DatabaseServer:
    assert isinstance(databases, DatabaseServer)
    return databases


def ensure(uri: str, *, upgrade: bool = True) -> None:
    asyncio.run(migrate.ensure_networked(parse(uri), upgrade=upgrade))


def version(uri: str) -> str:
    return asyncio.run(migrate.version_networked(parse(uri)))


def shape(server: DatabaseServer, uri: str) -> list[tuple[str, ...]]:
    rows = server.execute(SHAPES[parse(uri).kind], uri)
    return sorted(row for row in rows if row[1] != VERSION_TABLE)


def fresh_schema(dialect: str) -> str:
    statements: list[str] = []

    def note(statement: ExecutableDDLElement, *_: object, **__: object) -> None:
        statements.append(str(statement.compile(dialect=engine.dialect)))

    engine = create_mock_engine(dialect, note)
    metadata.create_all(engine, checkfirst=False)
    return ";\n".join(statements)


def new(server: DatabaseServer) -> str:
    return server.new_database()


def missing(server: DatabaseServer) -> str:
    """The URL of a database that is not there yet."""
    taken = server.new_database()
    return server.url(f"missing_{parse(taken).database}")


def hand_over(server: DatabaseServer, uri: str) -> None:
    """What the administrator made becomes the user's."""
    if server.scheme == "postgresql":
        tables = server.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", uri)
        for (table,) in tables:
            server.execute(f'ALTER TABLE {table} OWNER TO "{parse(uri).user}"', uri)


def sentence(expected: type[TrackingError], act: Callable[..., object], *arguments: Any) -> str:
    with pytest.raises(expected) as error:
        act(*arguments)
    return error.value.message


# Made and upgraded -------------------------------------------------------------------------------


@on_servers
def test_all_steps_together_make_the_schema(server: DatabaseServer):
    migrated, fresh = server.new_database(), server.new_database()
    ensure(migrated)
    server.execute(fresh_schema(MOCKED[server.scheme]), fresh)
    assert shape(server, migrated) == shape(server, fresh)
    assert len(shape(server, migrated)) > 200


def test_mysql_and_mariadb_differ_only_in_the_name_of_their_collation():
    mysql, mariadb = (
        [text.replace("`", "").replace(ddl.COLLATIONS[dialect], "collation") for text in texts]
        for dialect in ("mysql", "mariadb")
        for texts in [steps.statements(dialect, since="", version_table=VERSION_TABLE)]
    )
    assert mysql == mariadb


@on_servers
def test_a_missing_database_is_created(server: DatabaseServer):
    uri = missing(server)
    ensure(uri)
    assert version(uri) == HEAD


@on_servers
def test_a_second_start_changes_nothing(server: DatabaseServer):
    uri = server.new_database()
    ensure(uri)
    before = shape(server, uri)
    ensure(uri)
    ensure(uri, upgrade=False)
    assert shape(server, uri) == before


@on_servers
def test_a_current_database_is_opened_without_the_migration_libraries(server: DatabaseServer):
    uri = server.new_database()
    ensure(uri)
    code = (
        "import asyncio, sys; from riverrun.store import migrate, urls; "
        "asyncio.run(migrate.ensure_networked(urls.parse(sys.argv[1]))); "
        "print(sorted({'sqlalchemy', 'alembic'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, uri], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@on_servers
def test_an_older_schema_is_brought_up_to_date(server: DatabaseServer):
    uri = server.new_database()
    statements = steps.statements(
        "postgresql" if server.scheme == "postgresql" else "mariadb",
        since="",
        version_table=VERSION_TABLE,
    )
    first = next(n for n, text in enumerate(statements) if "'0001'" in text)
    server.execute(";\n".join(statements[: first + 1]), uri)
    hand_over(server, uri)
    server.execute("INSERT INTO key_names (name) VALUES ('kept')", uri)
    assert version(uri) == "0001"
    ensure(uri)
    whole = server.new_database()
    ensure(whole)
    assert shape(server, uri) == shape(server, whole)
    assert server.execute("SELECT name FROM key_names", uri) == [("kept",)]


async def ten_at_once(url: DatabaseUrl) -> None:
    await asyncio.gather(*(migrate.ensure_networked(url) for _ in range(10)))


@on_servers
@pytest.mark.parametrize("find", [missing, new])
def test_ten_at_once_upgrade_it_once(
    server: DatabaseServer,
    find: Callable[[DatabaseServer], str],
    caplog: pytest.LogCaptureFixture,
):
    uri = find(server)
    with caplog.at_level(logging.INFO, "riverrun.migrate"):
        asyncio.run(ten_at_once(parse(uri)))
    assert [record.message for record in caplog.records] == ["schema upgraded"]
    assert version(uri) == HEAD


@on_postgres
def test_ten_at_once_come_through_a_pooler(
    server: DatabaseServer, pgbouncer: PgBouncer, caplog: pytest.LogCaptureFixture
):
    uri = pgbouncer.new_database()
    with caplog.at_level(logging.INFO, "riverrun.migrate"):
        asyncio.run(ten_at_once(parse(uri)))
    assert [record.message for record in caplog.records] == ["schema upgraded"]
    assert version(uri) == HEAD


# Interrupted -------------------------------------------------------------------------------------


async def interrupted(url: DatabaseUrl, after: int) -> bool:
    async with cut_after(url, after) as (through, cutter):
        try:
            await migrate.ensure_networked(through)
        except TemporarilyUnavailable:
            assert cutter.has_cut
            return True
    return False


@pytest.mark.slow
@on_mariadb
def test_an_upgrade_of_mariadb_goes_on_where_it_was_cut(server: DatabaseServer):
    """Cut before each of its statements in turn, always on the same database."""
    uri, whole = server.new_database(), server.new_database()
    url = parse(uri)
    cuts, after, reached = 0, 0, version(uri)
    while asyncio.run(interrupted(url, after)):
        before, reached = reached, version(uri)
        after = after + 1 if reached == before else 0
        cuts += 1
    assert cuts > len(metadata.tables)
    ensure(whole)
    assert shape(server, uri) == shape(server, whole)
    assert version(uri) == HEAD


@on_postgres
def test_an_upgrade_of_postgresql_that_was_cut_leaves_nothing(server: DatabaseServer):
    uri = server.new_database()
    for after in (0, 1, 17, 40):
        assert asyncio.run(interrupted(parse(uri), after))
        assert shape(server, uri) == []
    ensure(uri)
    assert version(uri) == HEAD


# What the columns hold ---------------------------------------------------------------------------

NAMES = sorted(["a", "a ", "a\t", "A", "ä", "a\u0308", "\uff61", "\U0001f642", "z", "Z", "a b", ""])


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@on_servers
def test_text_compares_by_code_point_to_its_last_space(server: DatabaseServer):
    uri = server.new_database()
    ensure(uri)
    rows = ", ".join(f"({literal(name)})" for name in NAMES)
    server.execute(f"INSERT INTO key_names (name) VALUES {rows}", uri)
    hexadecimal = {
        "postgresql": "encode(convert_to(name, 'UTF8'), 'hex')",
        "mysql": "lower(hex(name))",
    }
    found = server.execute(
        f"SELECT concat('=', {hexadecimal[server.scheme]}) FROM key_names ORDER BY name", uri
    )
    assert [bytes.fromhex(name[1:]).decode() for (name,) in found] == NAMES
    assert server.execute("SELECT count(*) FROM key_names WHERE name = 'a'", uri) == [("1",)]


@on_servers
def test_the_longest_keys_and_values_are_taken(server: DatabaseServer):
    """Four bytes each, and nothing that could be compressed."""
    uri = server.new_database()
    ensure(uri)
    random = "".join(chr(0x10000 + n * 7919 % 0xF0000) for n in range(8_000))
    zeros = (
        "decode(repeat('00', 16), 'hex')" if server.scheme == "postgresql" else "repeat('\\0', 16)"
    )
    name, workspace, key = random[:500], random[:63], random[:250]
    by = random[:255]
    server.execute(
        f"INSERT INTO experiments VALUES (1, '{workspace}', '{name}', 'x', 'active', 1, 1, '', '');"
        f"INSERT INTO experiment_tags VALUES (1, '{key}', '{random}', '{by}');"
        f"INSERT INTO key_names (name) VALUES ('{key}');"
        f"INSERT INTO params VALUES ({zeros}, 1, 1, '{random}');"
        f"INSERT INTO tags VALUES ({zeros}, 1, 1, '{random}', '{by}');"
        f"INSERT INTO datasets VALUES ({zeros}, 1, '{name}', '{random[:36]}', '', '', NULL, NULL);"
        f"INSERT INTO logged_model_metrics VALUES ({zeros}, 1, 1, 1, {zeros}, '{name}',"
        f" '{random[:36]}', 1, 0.5, 0);"
        f"INSERT INTO registered_model_tags VALUES ({zeros}, '{key}', '{random}', '');"
        f"INSERT INTO model_version_tags VALUES ({zeros}, 1, '{key}', '{random}', '')",
        uri,
    )
    assert server.execute(
        f"SELECT count(*) FROM params JOIN tags ON tags.value = params.value "
        f"WHERE params.value = '{random}'",
        uri,
    ) == [("1",)]


# Left alone --------------------------------------------------------------------------------------


@on_servers
def test_a_server_that_may_not_upgrade_says_what_to_do(server: DatabaseServer):
    uri = server.new_database()
    assert sentence(InvalidState, lambda: ensure(uri, upgrade=False)) == (
        f"The database has no schema yet, this release needs {HEAD}, and this server may not "
        "change it: run `riverrun db upgrade`, or start without --no-upgrade."
    )
    assert shape(server, uri) == []


@on_servers
def test_a_missing_database_is_not_created_by_who_may_not_upgrade(server: DatabaseServer):
    uri = missing(server)
    said = sentence(InvalidState, lambda: ensure(uri, upgrade=False))
    assert said.startswith(f"The database '{parse(uri).database}' does not exist on ")
    assert sentence(InvalidState, version, uri) == said


SOMETHING_ELSE = (
    "The database holds tables of something else. Give a --backend-store-uri of its own."
)
UPSTREAM = (
    "The database holds the schema of an MLflow server. Riverrun keeps its own beside it: "
    "give another --backend-store-uri; bringing the data over comes with `riverrun import`."
)
NEWER = (
    f"The database has the schema 9999 of a newer Riverrun; this one knows {HEAD}. Upgrade "
    "Riverrun, or restore the backup from before its upgrade."
)


@on_servers
@pytest.mark.parametrize(
    ("statements", "says"),
    [
        (["CREATE TABLE customers (id INTEGER PRIMARY KEY)"], SOMETHING_ELSE),
        (["CREATE VIEW everything AS SELECT 1 AS one"], SOMETHING_ELSE),
        (
            [
                "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
                "CREATE TABLE experiments (experiment_id INTEGER NOT NULL PRIMARY KEY)",
            ],
            UPSTREAM,
        ),
        (
            [
                f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
                f"INSERT INTO {VERSION_TABLE} VALUES ('9999')",
            ],
            NEWER,
        ),
    ],
)
def test_what_is_not_ours_is_refused(server: DatabaseServer, statements: list[str], says: str):
    uri = server.new_database()
    server.execute("; ".join(statements), uri)
    hand_over(server, uri)
    before = shape(server, uri)
    assert sentence(InvalidState, ensure, uri) == says
    assert sentence(InvalidState, version, uri) == says
    assert shape(server, uri) == before


@on_postgres
def test_views_of_an_extension_belong_to_nobody_else(server: DatabaseServer):
    uri = server.new_database()
    server.execute("CREATE EXTENSION pg_stat_statements", uri)
    ensure(uri)
    assert version(uri) == HEAD


@on_servers
def test_a_wrong_password_is_told(server: DatabaseServer):
    url = replace(parse(server.new_database()), password=Password("wrong"))
    with pytest.raises(InvalidState) as error:
        asyncio.run(migrate.ensure_networked(url))
    assert error.value.message == (
        f"The database server of {url.shown} refuses the user {url.user!r}: check the user name, "
        "the password and the server's rules for this host."
    )


@on_servers
def test_an_unknown_host_is_told(server: DatabaseServer):
    url = replace(parse(server.new_database()), host="nowhere.invalid")
    with pytest.raises(TemporarilyUnavailable) as error:
        asyncio.run(migrate.ensure_networked(url))
    assert error.value.message.startswith(f"The database server of {url.shown} cannot be reached: ")


@on_servers
def test_an_account_without_rights_is_told(server: DatabaseServer):
    uri = server.new_database()
    url = parse(uri)
    guest = f"guest_of_{url.database}"
    by = "PASSWORD" if server.scheme == "postgresql" else "IDENTIFIED BY"
    server.execute(f"CREATE USER {guest} {by} 'secret'")
    if server.scheme == "mysql":
        server.execute(f"GRANT SELECT ON {url.database}.* TO {guest}")
    known = replace(url, user=guest, password=Password("secret"))
    unknown = replace(known, database="nowhere")
    if server.scheme == "postgresql":
        says = [
            (
                f"The user '{guest}' may not create tables in the database '{url.database}': let "
                "it own the database, or grant it CREATE and USAGE on its schema."
            ),
            (
                f"The database 'nowhere' does not exist on {unknown.shown}, and cannot be created "
                f"from here: let an administrator create it and give it to the user '{guest}'; a "
                "pooler must know it, too."
            ),
        ]
    else:
        says = [
            f"The user '{guest}' lacks rights on {each.shown}: it needs all rights on the database."
            for each in (known, unknown)
        ]
    for each, said in zip((known, unknown), says, strict=True):
        with pytest.raises(InvalidState) as error:
            asyncio.run(migrate.ensure_networked(each))
        assert error.value.message == said
    assert shape(server, uri) == []


@on_postgres
def test_a_pooler_that_knows_no_such_database_is_told(server: DatabaseServer, pgbouncer: PgBouncer):
    uri = pgbouncer.url("nowhere")
    assert sentence(InvalidState, ensure, uri) == (
        f"The database 'nowhere' does not exist on {parse(uri).shown}, and cannot be created from "
        "here: let an administrator create it and give it to the user 'river@run'; a pooler must "
        "know it, too."
    )


@on_postgres
def test_a_database_that_cannot_hold_every_text_is_refused(server: DatabaseServer):
    owner = parse(server.new_database()).user
    server.execute(
        f"CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0 OWNER \"{owner}\""
    )
    uri = server.url("latin")
    assert sentence(InvalidState, ensure, uri) == (
        "The database has the encoding LATIN1, which cannot hold every text: create it with "
        "ENCODING 'UTF8'."
    )
    assert shape(server, uri) == []
