"""The model registry: registered models, their versions, tags, aliases and history."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "registered_models",
        sa.Column("registered_model_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("is_prompt", sa.SmallInteger(), nullable=False),
        sa.Column("last_version", sa.BigInteger(), nullable=False),
        sa.Column("creation_timestamp", sa.BigInteger(), nullable=False),
        sa.Column("last_updated_timestamp", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("updated_by", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("registered_model_id"),
        sa.UniqueConstraint("workspace", "name", name="registered_models_by_name"),
    )
    op.create_index(
        "registered_models_by_listing",
        "registered_models",
        ["workspace", "is_prompt", "name", "registered_model_id"],
    )
    op.create_index(
        "registered_models_by_update",
        "registered_models",
        ["workspace", "last_updated_timestamp", "name"],
    )
    op.create_table(
        "registered_model_tags",
        sa.Column("registered_model_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("tag_key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("updated_by", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("registered_model_id", "tag_key"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "registered_model_tags_by_value",
        "registered_model_tags",
        ["tag_key", sa.text("substr(value, 1, 200)"), "registered_model_id"],
    )
    op.create_table(
        "registered_model_aliases",
        sa.Column("registered_model_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("alias", sa.String(length=255), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("updated_by", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("registered_model_id", "alias"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "model_versions",
        sa.Column("registered_model_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("stage", sa.String(length=20), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("storage_location", sa.Text(), nullable=False),
        sa.Column("source_run_id", sa.String(length=500), nullable=False),
        sa.Column("run_link", sa.Text(), nullable=False),
        sa.Column("logged_model_id", sa.String(length=255), nullable=False),
        sa.Column("is_prompt", sa.SmallInteger(), nullable=False),
        sa.Column("creation_timestamp", sa.BigInteger(), nullable=False),
        sa.Column("last_updated_timestamp", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("updated_by", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("registered_model_id", "version"),
        sqlite_with_rowid=False,
    )
    op.create_index("model_versions_by_logged_model", "model_versions", ["logged_model_id"])
    op.create_index("model_versions_by_run", "model_versions", ["source_run_id"])
    op.create_index(
        "model_versions_by_stage", "model_versions", ["registered_model_id", "stage", "version"]
    )
    op.create_index(
        "model_versions_by_update", "model_versions", [sa.text("last_updated_timestamp DESC")]
    )
    op.create_index(
        "model_versions_of_model_by_update",
        "model_versions",
        ["registered_model_id", sa.text("last_updated_timestamp DESC"), sa.text("version DESC")],
    )
    op.create_table(
        "model_version_tags",
        sa.Column("registered_model_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tag_key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("updated_by", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("registered_model_id", "version", "tag_key"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "model_version_tags_by_value",
        "model_version_tags",
        ["tag_key", sa.text("substr(value, 1, 200)"), "registered_model_id", "version"],
    )
    op.create_table(
        "registry_history",
        sa.Column("registered_model_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("change", sa.String(length=32), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("item", sa.String(length=255), nullable=True),
        sa.Column("old_value", sa.Text(), nullable=True),
        sa.Column("new_value", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("registered_model_id", "seq"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "registry_history_by_name",
        "registry_history",
        ["workspace", "name", "change", "registered_model_id"],
    )
