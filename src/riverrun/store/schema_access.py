"""Access control's tables, and workspaces: a part of `schema.py`, whose rules they keep."""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
)

from riverrun.store.tables import LOCAL, SMALL, table

users = table(
    "users",
    SMALL,
    Column("user_id", Integer, primary_key=True),
    Column("username", String(255), nullable=False),
    # person or service: services have tokens and no password.
    Column("kind", String(16), nullable=False),
    # NULL for those who cannot log in with one.
    Column("password_hash", Text),
    Column("is_admin", SmallInteger, nullable=False),
    Column("creation_time", BigInteger, nullable=False),
    Column("password_time", BigInteger, nullable=False),
    Column("created_by", String(255), nullable=False),
    UniqueConstraint("username", name="users_by_name"),
)

# Groups of users in one workspace. Each user has one alone, too, for what is granted directly.
roles = table(
    "roles",
    SMALL,
    Column("role_id", Integer, primary_key=True),
    Column("workspace", String(63), nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", Text),
    # Whose own role it is, if somebody's.
    Column("user_id", Integer),
    UniqueConstraint("workspace", "name", name="roles_by_name"),
    Index("roles_by_user", "user_id"),
)

role_members = table(
    "role_members",
    SMALL,
    Column("user_id", Integer, primary_key=True, autoincrement=False),
    Column("role_id", Integer, primary_key=True, autoincrement=False),
    Index("role_members_by_role", "role_id"),
)

grants = table(
    "grants",
    SMALL,
    Column("grant_id", Integer, primary_key=True),
    Column("role_id", Integer, nullable=False),
    Column("workspace", String(63), nullable=False),
    # experiment, registered_model, prompt, workspace, …
    Column("resource_type", String(32), nullable=False),
    # An experiment's id or a model's name; or a glob of names.
    Column("pattern", String(500), nullable=False),
    Column("is_glob", SmallInteger, nullable=False),
    # The pattern as a number, where it is one experiment.
    Column("experiment_id", BigInteger),
    # -1 is DENY, 0 NO_PERMISSIONS, then READ, USE, EDIT, MANAGE.
    Column("level", SmallInteger, nullable=False),
    UniqueConstraint("role_id", "resource_type", "pattern", "is_glob", name="grants_by_pattern"),
    Index("grants_by_resource", "workspace", "resource_type", "pattern"),
)

api_tokens = table(
    "api_tokens",
    SMALL,
    Column("token_id", Integer, primary_key=True),
    Column("user_id", Integer, nullable=False),
    Column("name", String(255), nullable=False),
    # SHA-256 of the whole token.
    Column("hash", LargeBinary(32), nullable=False),
    # Its last characters, by which a person knows it again.
    Column("hint", String(8), nullable=False),
    Column("scopes", String(255), nullable=False),
    Column("creation_time", BigInteger, nullable=False),
    Column("expiry_time", BigInteger),
    Column("last_used_time", BigInteger),
    UniqueConstraint("hash", name="api_tokens_by_hash"),
    Index("api_tokens_by_user", "user_id"),
)
# A revocation that is sent twice must not meet a token that was made in between.
api_tokens.dialect_options["sqlite"]["autoincrement"] = True

# Append-only: nothing here updates a row, or deletes one.
audit_log = table(
    "audit_log",
    LOCAL,
    # A UUIDv7: the order of what happened.
    Column("entry_id", LargeBinary(16), primary_key=True, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("workspace", String(63), nullable=False),
    Column("actor", String(255), nullable=False),
    # What happened, such as login, denied, grant, token.create.
    Column("action", String(63), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("resource_type", String(32), nullable=False),
    Column("resource", String(500), nullable=False),
    Column("address", String(63), nullable=False),
    Column("request_id", String(128), nullable=False),
    Column("detail", Text, nullable=False),
    Index("audit_log_by_actor", "actor", "entry_id"),
    Index("audit_log_by_action", "action", "entry_id"),
    Index("audit_log_by_resource", "resource_type", "resource", "entry_id"),
)

workspaces = table(
    "workspaces",
    SMALL,
    Column("name", String(63), primary_key=True),
    Column("description", Text),
    # Where its experiments keep their artifacts; NULL for a folder of the server's root.
    Column("default_artifact_root", Text),
    Column("creation_time", BigInteger, nullable=False),
    Column("created_by", String(255), nullable=False),
)

# What all servers on this database share and nobody reads: the key of cookies, for one.
server_keys = table(
    "server_keys",
    LOCAL,
    Column("name", String(63), primary_key=True),
    Column("value", Text, nullable=False),
)
