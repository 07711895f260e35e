"""Today's tables, as SQLAlchemy metadata: read by migrations and their tests only, never by a
request.

Rules that every table keeps (ARCHITECTURE.md, "Tables"):

- a hot table has the run, or the logged model, first in its primary key and in every unique
  constraint, and no surrogate id;
- whatever must be unique without the run lives in a small table, which the run path only reads;
- times are milliseconds since the epoch, given as parameters, never `now()`;
- a run's key everywhere is the 16 bytes of its public id.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    text,
)

from riverrun.store import schema_access  # noqa: F401 # pyright: ignore[reportUnusedImport] - Its tables belong to the schema.
from riverrun.store.tables import HOT, LOCAL, OWNED, SMALL, metadata, table

__all__ = ["HOT", "LOCAL", "OWNED", "SMALL", "metadata"]


def _run_id() -> Column[bytes]:
    return Column("run_id", LargeBinary(16), primary_key=True, nullable=False)


experiments = table(
    "experiments",
    SMALL,
    Column("experiment_id", BigInteger, primary_key=True, autoincrement=False),
    Column("workspace", String(63), nullable=False),
    Column("name", String(500), nullable=False),
    Column("artifact_location", String(2048), nullable=False),
    Column("lifecycle_stage", String(16), nullable=False),
    Column("creation_time", BigInteger, nullable=False),
    Column("last_update_time", BigInteger, nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("updated_by", String(255), nullable=False),
    UniqueConstraint("workspace", "name", name="experiments_by_name"),
)

experiment_tags = table(
    "experiment_tags",
    SMALL,
    Column("experiment_id", BigInteger, primary_key=True, autoincrement=False),
    Column("tag_key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
    Column("updated_by", String(255), nullable=False),
)

key_names = table(
    "key_names",
    SMALL,
    Column("key_id", Integer, primary_key=True),
    Column("name", String(250), nullable=False),
    UniqueConstraint("name", name="key_names_by_name"),
)

runs = table(
    "runs",
    HOT,
    _run_id(),
    Column("experiment_id", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("user_id", String(255), nullable=False),
    Column("status", String(16), nullable=False),
    Column("start_time", BigInteger, nullable=False),
    Column("end_time", BigInteger),
    Column("lifecycle_stage", String(16), nullable=False),
    Column("deleted_time", BigInteger),
    Column("artifact_uri", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("written_at", BigInteger, nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("updated_by", String(255), nullable=False),
    Index("runs_by_start", "experiment_id", text("start_time DESC"), "run_id", "lifecycle_stage"),
)

params = table(
    "params",
    HOT,
    _run_id(),
    Column("key_id", Integer, primary_key=True),
    Column("experiment_id", BigInteger, nullable=False),
    Column("value", Text, nullable=False),
    # The beginning, since values may be long; whoever looks compares the whole value, too.
    Index("params_by_value", "experiment_id", "key_id", text("substr(value, 1, 200)"), "run_id"),
)

tags = table(
    "tags",
    HOT,
    _run_id(),
    Column("key_id", Integer, primary_key=True),
    Column("experiment_id", BigInteger, nullable=False),
    Column("value", Text, nullable=False),
    Column("updated_by", String(255), nullable=False),
    # The beginning, since values may be long; whoever looks compares the whole value, too.
    Index("tags_by_value", "experiment_id", "key_id", text("substr(value, 1, 200)"), "run_id"),
)

latest_metrics = table(
    "latest_metrics",
    HOT,
    _run_id(),
    Column("key_id", Integer, primary_key=True),
    Column("experiment_id", BigInteger, nullable=False),
    Column("value", Double, nullable=False),
    Column("is_nan", SmallInteger, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("step", BigInteger, nullable=False),
    # The smallest and the largest value ever logged; NULL while every value was NaN.
    Column("min_value", Double),
    Column("max_value", Double),
    Index("latest_metrics_by_value", "experiment_id", "key_id", "is_nan", "value", "run_id"),
)

metric_log = table(
    "metric_log",
    HOT,
    _run_id(),
    # Microseconds of the write's arrival, made unique by the writer: an order, and the row's age.
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("payload", LargeBinary, nullable=False),
)

metric_chunks = table(
    "metric_chunks",
    HOT,
    _run_id(),
    Column("key_id", Integer, primary_key=True),
    Column("chunk_id", BigInteger, primary_key=True, autoincrement=False),
    Column("points", Integer, nullable=False),
    Column("first_timestamp", BigInteger, nullable=False),
    Column("first_step", BigInteger, nullable=False),
    Column("last_timestamp", BigInteger, nullable=False),
    Column("last_step", BigInteger, nullable=False),
    Column("min_step", BigInteger, nullable=False),
    Column("max_step", BigInteger, nullable=False),
    Column("nan_points", Integer, nullable=False),
    # The smallest and the largest value with their places; NULL when every value is NaN.
    Column("min_value", Double),
    Column("min_value_step", BigInteger),
    Column("min_value_timestamp", BigInteger),
    Column("max_value", Double),
    Column("max_value_step", BigInteger),
    Column("max_value_timestamp", BigInteger),
    Column("payload", LargeBinary, nullable=False),
)

datasets = table(
    "datasets",
    SMALL,
    Column("dataset_id", LargeBinary(16), primary_key=True),
    Column("experiment_id", BigInteger, nullable=False),
    Column("name", String(500), nullable=False),
    Column("digest", String(36), nullable=False),
    Column("source_type", String(36), nullable=False),
    Column("source", Text, nullable=False),
    Column("dataset_schema", Text),
    Column("dataset_profile", Text),
    UniqueConstraint("experiment_id", "name", "digest", name="datasets_by_name"),
)

run_inputs = table(
    "run_inputs",
    HOT,
    _run_id(),
    Column("dataset_id", LargeBinary(16), primary_key=True),
    Column("experiment_id", BigInteger, nullable=False),
    # The value of the tag mlflow.data.context, which searches ask for; all tags as a JSON list
    # beside it.
    Column("context", String(500)),
    Column("tags", Text, nullable=False),
    Index("run_inputs_by_experiment", "experiment_id", "dataset_id", "context", "run_id"),
)

run_models = table(
    "run_models",
    HOT,
    _run_id(),
    Column("direction", String(8), primary_key=True),
    Column("model_id", String(255), primary_key=True),
    Column("step", BigInteger, nullable=False),
)

run_documents = table(
    "run_documents",
    HOT,
    _run_id(),
    Column("version", BigInteger, nullable=False),
    Column("document", LargeBinary, nullable=False),
)


def _model_id() -> Column[bytes]:
    """The 16 bytes of the public id, which begins with `m-`."""
    return Column("model_id", LargeBinary(16), primary_key=True, nullable=False)


logged_models = table(
    "logged_models",
    HOT,
    _model_id(),
    Column("experiment_id", BigInteger, nullable=False),
    Column("name", String(500), nullable=False),
    Column("status", String(16), nullable=False),
    Column("model_type", String(500), nullable=False),
    Column("source_run_id", String(32), nullable=False),
    Column("artifact_uri", Text, nullable=False),
    Column("lifecycle_stage", String(16), nullable=False),
    Column("creation_timestamp", BigInteger, nullable=False),
    Column("last_updated_timestamp", BigInteger, nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("updated_by", String(255), nullable=False),
    Index(
        "logged_models_by_creation", "experiment_id", text("creation_timestamp DESC"), "model_id"
    ),
    Index(
        "logged_models_by_name",
        "experiment_id",
        "name",
        text("creation_timestamp DESC"),
        "model_id",
    ),
    Index(
        "logged_models_by_source",
        "experiment_id",
        "source_run_id",
        text("creation_timestamp DESC"),
        "model_id",
    ),
)

logged_model_params = table(
    "logged_model_params",
    HOT,
    _model_id(),
    Column("key_id", Integer, primary_key=True),
    Column("experiment_id", BigInteger, nullable=False),
    Column("value", Text, nullable=False),
)

logged_model_tags = table(
    "logged_model_tags",
    HOT,
    _model_id(),
    Column("key_id", Integer, primary_key=True),
    Column("experiment_id", BigInteger, nullable=False),
    Column("value", Text, nullable=False),
    Column("updated_by", String(255), nullable=False),
)

logged_model_metrics = table(
    "logged_model_metrics",
    HOT,
    _model_id(),
    Column("key_id", Integer, primary_key=True),
    Column("timestamp", BigInteger, primary_key=True, autoincrement=False),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("run_id", LargeBinary(16), primary_key=True),
    # Empty where the point was measured on no dataset.
    Column("dataset_name", String(500), primary_key=True),
    Column("dataset_digest", String(36), primary_key=True),
    Column("experiment_id", BigInteger, nullable=False),
    Column("value", Double, nullable=False),
    Column("is_nan", SmallInteger, nullable=False),
)


def _registered_model_id() -> Column[bytes]:
    return Column("registered_model_id", LargeBinary(16), primary_key=True, nullable=False)


registered_models = table(
    "registered_models",
    SMALL,
    _registered_model_id(),
    Column("workspace", String(63), nullable=False),
    Column("name", String(256), nullable=False),
    Column("description", Text),
    # Whether the tag mlflow.prompt.is_prompt says so: searches leave prompts out.
    Column("is_prompt", SmallInteger, nullable=False),
    # The highest version ever made: numbers of deleted versions are not given again.
    Column("last_version", BigInteger, nullable=False),
    # Counts changes of the model, its versions, tags and aliases: an answer kept in memory holds
    # while it stays.
    Column("revision", BigInteger, nullable=False),
    Column("creation_timestamp", BigInteger, nullable=False),
    Column("last_updated_timestamp", BigInteger, nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("updated_by", String(255), nullable=False),
    UniqueConstraint("workspace", "name", name="registered_models_by_name"),
    # Searches walk it by name, and need nothing else of a model that does not match.
    Index("registered_models_by_listing", "workspace", "is_prompt", "name", "registered_model_id"),
    Index("registered_models_by_update", "workspace", "last_updated_timestamp", "name"),
)

registered_model_tags = table(
    "registered_model_tags",
    OWNED,
    _registered_model_id(),
    Column("tag_key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
    Column("updated_by", String(255), nullable=False),
    # Its beginning, since values may be long; whoever looks compares the whole value, too.
    Index(
        "registered_model_tags_by_value",
        "tag_key",
        text("substr(value, 1, 200)"),
        "registered_model_id",
    ),
)

registered_model_aliases = table(
    "registered_model_aliases",
    OWNED,
    _registered_model_id(),
    Column("alias", String(255), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("updated_by", String(255), nullable=False),
)

model_versions = table(
    "model_versions",
    OWNED,
    _registered_model_id(),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    # None, Staging, Production, Archived.
    Column("stage", String(20), nullable=False),
    Column("description", Text),
    Column("source", Text, nullable=False),
    # Where the files are, when `source` only refers to them.
    Column("storage_location", Text, nullable=False),
    # As the client gave them: they need not be ours. Empty when it gave none.
    Column("source_run_id", String(500), nullable=False),
    Column("run_link", Text, nullable=False),
    Column("logged_model_id", String(255), nullable=False),
    Column("is_prompt", SmallInteger, nullable=False),
    Column("creation_timestamp", BigInteger, nullable=False),
    Column("last_updated_timestamp", BigInteger, nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("updated_by", String(255), nullable=False),
    Index("model_versions_by_stage", "registered_model_id", "stage", "version"),
    Index(
        "model_versions_of_model_by_update",
        "registered_model_id",
        text("last_updated_timestamp DESC"),
        text("version DESC"),
    ),
    Index("model_versions_by_update", text("last_updated_timestamp DESC")),
    Index("model_versions_by_run", "source_run_id"),
    Index("model_versions_by_logged_model", "logged_model_id"),
)

model_version_tags = table(
    "model_version_tags",
    OWNED,
    _registered_model_id(),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("tag_key", String(250), primary_key=True),
    Column("value", Text, nullable=False),
    Column("updated_by", String(255), nullable=False),
    # Its beginning, since values may be long; whoever looks compares the whole value, too.
    Index(
        "model_version_tags_by_value",
        "tag_key",
        text("substr(value, 1, 200)"),
        "registered_model_id",
        "version",
    ),
)

registry_history = table(
    "registry_history",
    OWNED,
    _registered_model_id(),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("workspace", String(63), nullable=False),
    # The model's name at that time: what happened under a name is found after a deletion, too.
    Column("name", String(256), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", String(255), nullable=False),
    # What changed: created, renamed, stage, alias, tag, description, deleted, …
    Column("change", String(32), nullable=False),
    # Which version, alias or tag, if one.
    Column("version", BigInteger),
    Column("item", String(255)),
    Column("old_value", Text),
    Column("new_value", Text),
    Index("registry_history_by_name", "workspace", "name", "change", "registered_model_id"),
)

webhooks = table(
    "webhooks",
    SMALL,
    Column("webhook_id", LargeBinary(16), primary_key=True, nullable=False),
    Column("workspace", String(63), nullable=False),
    Column("name", String(63), nullable=False),
    Column("description", Text, nullable=False),
    Column("url", Text, nullable=False),
    # Encrypted; NULL where deliveries are not signed.
    Column("secret", Text),
    Column("status", String(8), nullable=False),
    Column("creation_timestamp", BigInteger, nullable=False),
    Column("last_updated_timestamp", BigInteger, nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("updated_by", String(255), nullable=False),
    Index("webhooks_by_workspace", "workspace", "webhook_id"),
)

webhook_events = table(
    "webhook_events",
    SMALL,
    Column("webhook_id", LargeBinary(16), primary_key=True, nullable=False),
    Column("entity", String(32), primary_key=True),
    Column("action", String(16), primary_key=True),
    # In the order in which the client gave them.
    Column("position", SmallInteger, nullable=False),
    Index("webhook_events_by_kind", "entity", "action", "webhook_id"),
)

# The outbox: a row is written in the transaction of what it tells of.
webhook_deliveries = table(
    "webhook_deliveries",
    LOCAL,
    Column("delivery_id", LargeBinary(16), primary_key=True, nullable=False),
    Column("webhook_id", LargeBinary(16), nullable=False),
    Column("entity", String(32), nullable=False),
    Column("action", String(16), nullable=False),
    # The JSON to send; empty once that is over.
    Column("body", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("creation_timestamp", BigInteger, nullable=False),
    # When it is to be tried next; while somebody tries it, when somebody else may.
    Column("due_at", BigInteger, nullable=False),
    Column("last_attempt_timestamp", BigInteger),
    Column("response_status", Integer),
    Column("error_message", Text),
    Index("webhook_deliveries_by_due", "status", "due_at"),
    Index("webhook_deliveries_by_webhook", "webhook_id", "delivery_id"),
)

# What replicas keep in memory counts only while its epoch stays.
epochs = table(
    "epochs",
    LOCAL,
    Column("name", String(63), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
