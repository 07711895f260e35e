"""Experiments, runs and what is logged to them.

A step never imports today's schema: what it makes stays as it was on its day. On a large database
a step that locks a table for long goes into a release of its own, with a note for operators.

Servers of the release before go on during an upgrade: a step adds, and what nobody uses any more
goes in a later release. On MySQL each statement lasts by itself and may come again after an
interruption: one that changes rows must bear that.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BEGINNING = {"mysql_length": {"value": 200}, "mariadb_length": {"value": 200}}
"""They index no text without end; a later step does so nowhere."""


def upgrade() -> None:
    op.create_table(
        "datasets",
        sa.Column("dataset_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=500), nullable=False),
        sa.Column("digest", sa.String(length=36), nullable=False),
        sa.Column("source_type", sa.String(length=36), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("dataset_schema", sa.Text(), nullable=True),
        sa.Column("dataset_profile", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("dataset_id"),
        sa.UniqueConstraint("experiment_id", "name", "digest", name="datasets_by_name"),
    )
    op.create_table(
        "experiment_tags",
        sa.Column("experiment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tag_key", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("updated_by", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "tag_key"),
    )
    op.create_table(
        "experiments",
        sa.Column("experiment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("workspace", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=500), nullable=False),
        sa.Column("artifact_location", sa.String(length=2048), nullable=False),
        sa.Column("lifecycle_stage", sa.String(length=16), nullable=False),
        sa.Column("creation_time", sa.BigInteger(), nullable=False),
        sa.Column("last_update_time", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("updated_by", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id"),
        sa.UniqueConstraint("workspace", "name", name="experiments_by_name"),
    )
    op.create_table(
        "key_names",
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=250), nullable=False),
        sa.PrimaryKeyConstraint("key_id"),
        sa.UniqueConstraint("name", name="key_names_by_name"),
    )
    op.create_table(
        "latest_metrics",
        sa.Column("run_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("is_nan", sa.SmallInteger(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("min_value", sa.Double(), nullable=True),
        sa.Column("max_value", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "key_id"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "latest_metrics_by_value",
        "latest_metrics",
        ["experiment_id", "key_id", "is_nan", "value", "run_id"],
    )
    op.create_table(
        "metric_chunks",
        sa.Column("run_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("chunk_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("first_timestamp", sa.BigInteger(), nullable=False),
        sa.Column("first_step", sa.BigInteger(), nullable=False),
        sa.Column("last_timestamp", sa.BigInteger(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("min_step", sa.BigInteger(), nullable=False),
        sa.Column("max_step", sa.BigInteger(), nullable=False),
        sa.Column("nan_points", sa.Integer(), nullable=False),
        sa.Column("min_value", sa.Double(), nullable=True),
        sa.Column("min_value_step", sa.BigInteger(), nullable=True),
        sa.Column("min_value_timestamp", sa.BigInteger(), nullable=True),
        sa.Column("max_value", sa.Double(), nullable=True),
        sa.Column("max_value_step", sa.BigInteger(), nullable=True),
        sa.Column("max_value_timestamp", sa.BigInteger(), nullable=True),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "key_id", "chunk_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "metric_log",
        sa.Column("run_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "seq"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "params",
        sa.Column("run_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "key_id"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "params_by_value", "params", ["experiment_id", "key_id", "value", "run_id"], **BEGINNING
    )
    op.create_table(
        "run_documents",
        sa.Column("run_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run_inputs",
        sa.Column("run_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("dataset_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("context", sa.String(length=500), nullable=True),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "dataset_id"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "run_inputs_by_experiment",
        "run_inputs",
        ["experiment_id", "dataset_id", "context", "run_id"],
    )
    op.create_table(
        "run_models",
        sa.Column("run_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("model_id", sa.String(length=255), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "direction", "model_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("start_time", sa.BigInteger(), nullable=False),
        sa.Column("end_time", sa.BigInteger(), nullable=True),
        sa.Column("lifecycle_stage", sa.String(length=16), nullable=False),
        sa.Column("deleted_time", sa.BigInteger(), nullable=True),
        sa.Column("artifact_uri", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("written_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("updated_by", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tags",
        sa.Column("run_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("updated_by", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "key_id"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "tags_by_value", "tags", ["experiment_id", "key_id", "value", "run_id"], **BEGINNING
    )
    op.create_index(
        "runs_by_start",
        "runs",
        ["experiment_id", sa.text("start_time DESC"), "run_id", "lifecycle_stage"],
    )
