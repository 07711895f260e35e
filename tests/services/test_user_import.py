"""Users from an MLflow server's tables, which lie in databases of every kind."""

import asyncio
from pathlib import Path

import pytest
from tests.fixtures.databases import Databases, on_sqlite, quoted
from tests.services.doors import authentication_on, recorded, user_named
from tests.store.engines import opened, play

from riverrun.auth.permissions import Permission
from riverrun.errors import InvalidState
from riverrun.services.access.first_admin import OPERATOR
from riverrun.services.access.permissions import ACCESS_EPOCH
from riverrun.services.access.user_import import import_users, was_done
from riverrun.services.access.users import Users
from riverrun.settings import database_at
from riverrun.store import epochs, migrate
from riverrun.store.access import roles
from riverrun.store.access.upstream_users import UpstreamUsers, read_users
from riverrun.store.engine import Engine

TABLES: dict[str, str] = {
    "users": "id INTEGER, username VARCHAR(255), password_hash VARCHAR(255), is_admin BOOLEAN",
    "experiment_permissions": (
        "id INTEGER, experiment_id VARCHAR(255), user_id INTEGER, permission VARCHAR(255)"
    ),
    "registered_model_permissions": (
        "id INTEGER, name VARCHAR(255), user_id INTEGER, permission VARCHAR(255)"
    ),
    "workspace_permissions": ("workspace VARCHAR(63), user_id INTEGER, permission VARCHAR(32)"),
    "roles": ("id INTEGER, name VARCHAR(255), workspace VARCHAR(63), description VARCHAR(1024)"),
    "role_permissions": (
        "id INTEGER, role_id INTEGER, resource_type VARCHAR(64), resource_pattern VARCHAR(255), "
        "permission VARCHAR(255)"
    ),
    "user_role_assignments": "id INTEGER, user_id INTEGER, role_id INTEGER",
    "alembic_version_auth": "version_num VARCHAR(32)",
}
"""As upstream's migrations make them, but for keys and indexes."""
OLDEST = ("users", "experiment_permissions", "registered_model_permissions")
WITH_ROLES = ("roles", "role_permissions", "user_role_assignments")
SCRYPT = "scrypt:32768:8:1$salt$" + "a" * 128

Rows = dict[str, list[tuple[object, ...]]]
PEOPLE: list[tuple[object, ...]] = [
    (1, "boss", SCRYPT, True),
    (4, "ada", "pbkdf2:sha256:1000$salt$" + "b" * 64, False),
    (7, "bén", None, False),
]
SINGLE: Rows = {
    "users": PEOPLE,
    "experiment_permissions": [
        (1, "12", 4, "EDIT"),
        (2, "012", 4, "READ"),
        (3, "13", 4, "NO_PERMISSIONS"),
        (4, "14", 4, "SUPERB"),
        (5, "x", 4, "READ"),
        (6, "9" * 30, 4, "READ"),
        (7, "15", 99, "READ"),
    ],
    "registered_model_permissions": [(1, "churn", 7, "MANAGE")],
}
BY_ROLES: Rows = {
    "users": PEOPLE,
    "roles": [
        (1, "__user_4__", "default", None),
        (2, "team", "default", "all of us"),
        (3, "team", "lab", None),
        (4, "__user_99__", "default", None),
    ],
    "user_role_assignments": [(1, 4, 1), (2, 4, 2), (3, 7, 2), (4, 7, 3), (5, 99, 2), (6, 1, 50)],
    "role_permissions": [
        (1, 1, "experiment", "12", "MANAGE"),
        (2, 1, "workspace", "*", "USE"),
        (3, 2, "experiment", "*", "READ"),
        (4, 2, "prompt", "*", "DENY"),
        (5, 3, "scorer", "1/x", "READ"),
        (6, 4, "experiment", "12", "MANAGE"),
        (7, 50, "experiment", "12", "MANAGE"),
    ],
}


def upstream(databases: Databases, rows: Rows, *tables: str) -> str:
    """The URL of a new database with these tables, and those that have rows."""
    url = databases.new_database()
    statements: list[str] = []
    for table in dict.fromkeys([*tables, *rows]):
        statements.append(f"CREATE TABLE {table} ({TABLES[table]})")
        for row in rows.get(table, []):
            values = ", ".join(literal(each) for each in row)
            statements.append(f"INSERT INTO {table} VALUES ({values})")
    for each in statements:
        databases.execute(f"{each};", url)
    if url.startswith("postgresql"):  # The administrator made them.
        databases.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO public;", url)
    return url


def literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    return "NULL" if value is None else str(value) if isinstance(value, int) else quoted(str(value))


def found_in(url: str) -> UpstreamUsers | None:
    return asyncio.run(read_users(database_at(url, {})))


async def brought(engine: Engine, url: str) -> None:
    found = await read_users(database_at(url, {}))
    assert found is not None
    await import_users(engine, found)


async def grants(engine: Engine) -> set[tuple[str, str, str, str, bool, str]]:
    """Workspace and role (or user), what, whether it is a pattern, and the word."""
    every = await engine.read(roles.all_roles)
    names = {each.role_id: (each.workspace, each.name) for each in every}
    found = await engine.read(lambda tx: roles.grants_of_roles(tx, list(names)))
    users = {
        roles.own_name(each.id): each.username
        for each in await Users(engine, authentication_on(engine)).list(viewer=OPERATOR)
    }
    return {
        (
            names[each.role_id][0],
            users.get(names[each.role_id][1], f"role {names[each.role_id][1]}"),
            each.resource_type,
            each.pattern,
            each.is_glob,
            Permission(each.level).name,
        )
        for each in found
    }


def test_grants_of_single_resources_come_along(databases: Databases, database: str):
    async def story(engine: Engine) -> None:
        await brought(engine, upstream(databases, SINGLE, *OLDEST))
        boss, ada, ben = [await user_named(engine, name) for name in ("boss", "ada", "bén")]
        assert (boss.is_admin, boss.password_hash, boss.kind) == (True, SCRYPT, "person")
        assert (ada.is_admin, ben.password_hash) == (False, None)
        assert await grants(engine) == {
            ("default", "ada", "experiment", "12", False, "EDIT"),
            ("default", "ada", "experiment", "13", False, "NO_PERMISSIONS"),
            ("default", "bén", "registered_model", "churn", False, "MANAGE"),
        }
        [(action, _, detail)] = await recorded(engine)
        assert action == "user.import"
        assert detail.startswith("3 users, 0 roles, 3 grants, 3 left_out, from ")

    play(database, story)


def test_roles_come_along_with_their_members_and_grants(databases: Databases, database: str):
    async def story(engine: Engine) -> None:
        # What was granted before there were roles stays in the old tables, and means nothing.
        rows: Rows = {**SINGLE, **BY_ROLES, "alembic_version_auth": [("f1a2b3c4d5e6",)]}
        before = await engine.read(lambda tx: epochs.current(tx, ACCESS_EPOCH))
        await brought(engine, upstream(databases, rows))
        assert await engine.read(lambda tx: epochs.current(tx, ACCESS_EPOCH)) > before
        assert await grants(engine) == {
            ("default", "ada", "experiment", "12", False, "MANAGE"),
            ("default", "ada", "workspace", "*", True, "USE"),
            ("default", "role team", "experiment", "*", True, "READ"),
            ("default", "role team", "prompt", "*", True, "DENY"),
            ("lab", "role team", "scorer", "1/x", False, "READ"),
        }
        found = await Users(engine, authentication_on(engine)).list(viewer=OPERATOR)
        assert {
            each.username: {
                (role.workspace, role.name)
                for role in each.roles
                if not role.name.startswith("__user_")
            }
            for each in found
        } == {
            "boss": set(),
            "ada": {("default", "team")},
            "bén": {("default", "team"), ("lab", "team")},
        }

    play(database, story)


def test_a_database_between_the_two_has_grants_in_both(databases: Databases, database: str):
    async def story(engine: Engine) -> None:
        rows: Rows = {**SINGLE, **BY_ROLES, "alembic_version_auth": [("c3d4e5f6a7b8",)]}
        await brought(engine, upstream(databases, rows))
        found = await grants(engine)
        assert ("default", "ada", "experiment", "12", False, "MANAGE") in found
        assert ("default", "bén", "registered_model", "churn", False, "MANAGE") in found

    play(database, story)


def test_places_in_workspaces_come_along(databases: Databases, database: str):
    rows: Rows = {
        "users": PEOPLE,
        "workspace_permissions": [
            ("lab", 1, "MANAGE"),
            ("lab", 4, "EDIT"),
            ("lab", 7, "READ"),
            ("shop", 7, "NO_PERMISSIONS"),
        ],
    }

    async def story(engine: Engine) -> None:
        url = upstream(databases, rows, "experiment_permissions")
        columns = f"{TABLES['registered_model_permissions']}, workspace VARCHAR(63)"
        databases.execute(f"CREATE TABLE registered_model_permissions ({columns});", url)
        databases.execute(
            "INSERT INTO registered_model_permissions VALUES (1, 'churn', 4, 'USE', 'shop');", url
        )
        if url.startswith("postgresql"):
            databases.execute("GRANT SELECT ON registered_model_permissions TO public;", url)
        await brought(engine, url)
        assert await grants(engine) == {
            ("lab", "boss", "workspace", "*", True, "MANAGE"),
            ("lab", "ada", "workspace", "*", True, "USE"),
            ("lab", "ada", "experiment", "*", True, "EDIT"),
            ("lab", "ada", "registered_model", "*", True, "EDIT"),
            ("lab", "bén", "workspace", "*", True, "USE"),
            ("shop", "ada", "registered_model", "churn", False, "USE"),
        }

    play(database, story)


def test_it_is_done_once_and_by_one_of_those_who_start_together(
    databases: Databases, database: str, database_kind: str
):
    async def story(engine: Engine) -> None:
        url = upstream(databases, SINGLE, *OLDEST)
        assert not await was_done(engine)
        if database_kind == "sqlite":
            await asyncio.gather(*(brought(engine, url) for _ in range(4)))
        else:
            async with opened(database) as other:
                await asyncio.gather(*(brought(each, url) for each in (engine, other) * 2))
        assert await was_done(engine)
        own = Users(engine, authentication_on(engine))
        await own.delete("ada", viewer=OPERATOR)
        await brought(engine, url)
        assert [each.username for each in await own.list(viewer=OPERATOR)] == ["boss", "bén"]
        actions = [action for action, _, _ in await recorded(engine)]
        assert actions == ["user.import", "user.delete"]

    play(database, story)


def test_who_is_known_here_keeps_password_and_flag(databases: Databases, database: str):
    async def story(engine: Engine) -> None:
        own = Users(engine, authentication_on(engine))
        await own.create("boss", "a new one from here", viewer=OPERATOR)
        before = await user_named(engine, "boss")
        await brought(engine, upstream(databases, SINGLE, *OLDEST))
        assert await user_named(engine, "boss") == before
        assert len(await own.list(viewer=OPERATOR)) == 3

    play(database, story)


def test_other_databases_are_none_of_an_mlflow_servers(databases: Databases, database: str):
    assert found_in(databases.new_database()) is None
    assert found_in(database) is None  # It has tables of these names, but they are ours.
    assert found_in(upstream(databases, {}, "users")) is None
    assert found_in(upstream(databases, {}, *OLDEST)) is not None


@on_sqlite
def test_a_file_is_only_read(databases: Databases, tmp_path: Path):
    missing = tmp_path / "none.db"
    assert found_in(f"sqlite:///{missing}") is None
    assert not missing.exists()
    (tmp_path / "no.db").write_bytes(b"no database" * 100)
    with pytest.raises(InvalidState, match=r"no\.db cannot be read: SQLITE_NOTADB"):
        found_in(f"sqlite:///{tmp_path}/no.db")
    url = upstream(databases, SINGLE, *OLDEST)
    file = Path(url.removeprefix("sqlite:///"))
    odd = tmp_path / "a?b#c%20.db"
    odd.write_bytes(file.read_bytes())
    before = odd.read_bytes()
    odd.chmod(0o400)
    found = asyncio.run(read_users(odd))
    assert found is not None
    assert len(found.users) == 3
    assert odd.read_bytes() == before
    assert migrate.VERSION_TABLE.encode() not in before
    assert sorted(path.name for path in tmp_path.iterdir()) == [odd.name, "no.db"]
