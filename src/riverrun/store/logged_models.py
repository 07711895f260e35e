"""Logged models with their params, tags and metrics. Rows go in in the order of their keys, so that
two writers never wait in a circle.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from riverrun.entities.logged_models import (
    LoggedModel,
    LoggedModelData,
    LoggedModelInfo,
    LoggedModelMetric,
    LoggedModelParameter,
    LoggedModelTag,
)
from riverrun.store.change import Change
from riverrun.store.dialects import Changes
from riverrun.store.engine import Row, Tx

STATUS_PREFIX = "LOGGED_MODEL_"
"""The wire's names are the stored ones behind this."""

BATCH = 1_000
"""Models read in one statement: below every database's limit of binds."""

_COLUMNS = (
    "model_id, experiment_id, name, creation_timestamp, last_updated_timestamp, artifact_uri, "
    "status, model_type, source_run_id"
)


@dataclass(frozen=True, slots=True)
class NewLoggedModel:
    """A model as it is created: PENDING and active."""

    model_id: bytes
    experiment_id: int
    name: str
    model_type: str
    source_run_id: str
    artifact_uri: str
    created_by: str
    at_ms: int


_STATE_COLUMNS = "experiment_id, lifecycle_stage, artifact_uri, source_run_id"


@dataclass(frozen=True, slots=True)
class LoggedModelState:
    """What every call asks of a model first."""

    experiment_id: int
    lifecycle_stage: str
    artifact_uri: str
    source_run_id: str


MetricRow = tuple[bytes, int, int, int, bytes, str, str, int, float, int]
"""model_id, key_id, timestamp, step, run_id, dataset_name, dataset_digest, experiment_id, value,
is_nan. A NaN has value 0 here.
"""


def public_id(model_id: bytes) -> str:
    return f"m-{model_id.hex()}"


async def insert(tx: Tx, new: NewLoggedModel) -> None:
    await tx.execute(
        "INSERT INTO logged_models (model_id, experiment_id, name, status, model_type, "
        "source_run_id, artifact_uri, lifecycle_stage, creation_timestamp, "
        "last_updated_timestamp, created_by, updated_by) "
        "VALUES (?, ?, ?, 'PENDING', ?, ?, ?, 'active', ?, ?, ?, ?)",
        (
            new.model_id,
            new.experiment_id,
            new.name,
            new.model_type,
            new.source_run_id,
            new.artifact_uri,
            new.at_ms,
            new.at_ms,
            new.created_by,
            new.created_by,
        ),
    )


async def state(tx: Tx, model_id: bytes) -> LoggedModelState | None:
    row = await tx.one(
        f"SELECT {_STATE_COLUMNS} FROM logged_models WHERE model_id = ?", (model_id,)
    )
    return None if row is None else LoggedModelState(*row)


async def take(tx: Tx, model_id: bytes) -> LoggedModelState | None:
    """Finds the model for a change of it, and holds it."""
    row = await tx.take("logged_models", "model_id", model_id, _STATE_COLUMNS)
    return None if row is None else LoggedModelState(*row)


async def experiments_of(tx: Tx, model_ids: Sequence[bytes]) -> dict[bytes, int]:
    """The experiments of those models that exist, deleted ones too."""
    marks = _marks(model_ids)
    rows = await tx.fetch(
        f"SELECT model_id, experiment_id FROM logged_models WHERE model_id IN ({marks})", model_ids
    )
    return dict(rows)  # pyright: ignore[reportArgumentType, reportUnknownVariableType]


async def set_status(tx: Tx, model_id: bytes, status: str, change: Change) -> None:
    await tx.execute(
        "UPDATE logged_models SET status = ?, last_updated_timestamp = ?, updated_by = ? "
        "WHERE model_id = ?",
        (status.removeprefix(STATUS_PREFIX), change.at_ms, change.by, model_id),
    )


async def delete(tx: Tx, model_id: bytes, change: Change) -> None:
    """Only its stage of life changes."""
    await tx.execute(
        "UPDATE logged_models SET lifecycle_stage = 'deleted', last_updated_timestamp = ?, "
        "updated_by = ? WHERE model_id = ?",
        (change.at_ms, change.by, model_id),
    )


async def params(tx: Tx, model_id: bytes, key_ids: Sequence[int]) -> dict[int, str]:
    """The values of those keys that the model has."""
    if not key_ids:
        return {}
    rows = await tx.fetch(
        "SELECT key_id, value FROM logged_model_params "
        f"WHERE model_id = ? AND key_id IN ({_marks(key_ids)})",
        (model_id, *key_ids),
    )
    return dict(rows)  # pyright: ignore[reportArgumentType, reportUnknownVariableType]


async def insert_params(
    tx: Tx, model_id: bytes, experiment_id: int, values: Mapping[int, str]
) -> None:
    await tx.execute_many(
        "INSERT INTO logged_model_params (model_id, key_id, experiment_id, value) "
        "VALUES (?, ?, ?, ?)",
        [(model_id, key, experiment_id, values[key]) for key in sorted(values)],
    )


async def tag(tx: Tx, model_id: bytes, key_id: int) -> str | None:
    row = await tx.one(
        "SELECT value FROM logged_model_tags WHERE model_id = ? AND key_id = ?", (model_id, key_id)
    )
    return None if row is None else row[0]


async def set_tags(
    tx: Tx, model_id: bytes, experiment_id: int, values: Mapping[int, str], *, by: str
) -> None:
    upsert = tx.dialect.upsert(
        "logged_model_tags",
        ("model_id", "key_id", "experiment_id", "value", "updated_by"),
        key=("model_id", "key_id"),
    )
    rows = [(model_id, key, experiment_id, values[key], by) for key in sorted(values)]
    await tx.execute_many(upsert, rows)


async def delete_tag(tx: Tx, model_id: bytes, key_id: int) -> bool:
    """Whether there was such a tag."""
    deleted = await tx.execute(
        "DELETE FROM logged_model_tags WHERE model_id = ? AND key_id = ?", (model_id, key_id)
    )
    return deleted > 0


_METRIC_KEY = (
    "model_id",
    "key_id",
    "timestamp",
    "step",
    "run_id",
    "dataset_name",
    "dataset_digest",
)
_GREATER = "new(value) > old(value)"
# The value last, since on some databases a change sees earlier ones.
_METRIC_CHANGES: Changes = (
    ("is_nan", f"CASE WHEN {_GREATER} THEN new(is_nan) ELSE old(is_nan) END"),
    ("value", f"CASE WHEN {_GREATER} THEN new(value) ELSE old(value) END"),
)


async def upsert_metrics(tx: Tx, rows: Iterable[MetricRow]) -> None:
    """Of two values at the same place the greater stands, whichever came first."""
    upsert = tx.dialect.upsert(
        "logged_model_metrics",
        (*_METRIC_KEY, "experiment_id", "value", "is_nan"),
        key=_METRIC_KEY,
        changes=_METRIC_CHANGES,
    )
    # One statement may not change a row twice.
    greatest = {row[: len(_METRIC_KEY)]: row for row in sorted(rows)}
    await tx.execute_many(upsert, list(greatest.values()))


# Reading -----------------------------------------------------------------------------------------


async def find_all(
    tx: Tx, model_ids: Sequence[bytes], *, points_per_metric: int
) -> list[LoggedModel]:
    """Those of the models that exist, in the given order, with the newest points of each metric."""
    models: dict[bytes, LoggedModel] = {}
    for start in range(0, len(model_ids), BATCH):
        part = model_ids[start : start + BATCH]
        models.update(await _find_part(tx, part, points_per_metric))
    return [models[model_id] for model_id in model_ids if model_id in models]


async def _find_part(
    tx: Tx, model_ids: Sequence[bytes], points_per_metric: int
) -> dict[bytes, LoggedModel]:
    marks = _marks(model_ids)
    rows = await tx.fetch(
        f"SELECT {_COLUMNS} FROM logged_models WHERE model_id IN ({marks})", model_ids
    )
    params = _by_model(await tx.fetch(_PARAMS.format(marks=marks), model_ids))
    tags = _by_model(await tx.fetch(_TAGS.format(marks=marks), model_ids))
    metrics = _by_model(
        await tx.fetch(_METRICS.format(marks=marks), (*model_ids, points_per_metric))
    )
    return {
        row[0]: LoggedModel(
            _info(row, [LoggedModelTag(*tag) for tag in tags[row[0]]]),
            LoggedModelData(
                [LoggedModelParameter(*param) for param in params[row[0]]],
                [_metric(row[0], metric) for metric in metrics[row[0]]],
            ),
        )
        for row in rows
    }


_PARAMS = (
    "SELECT p.model_id, k.name, p.value FROM logged_model_params p "
    "JOIN key_names k ON k.key_id = p.key_id WHERE p.model_id IN ({marks}) "
    "ORDER BY p.model_id, p.key_id"
)
_TAGS = (
    "SELECT t.model_id, k.name, t.value FROM logged_model_tags t "
    "JOIN key_names k ON k.key_id = t.key_id WHERE t.model_id IN ({marks}) "
    "ORDER BY t.model_id, t.key_id"
)
_METRICS = (
    "SELECT m.model_id, k.name, m.value, m.is_nan, m.timestamp, m.step, m.run_id, "
    "m.dataset_name, m.dataset_digest FROM ("
    "SELECT x.*, row_number() OVER (PARTITION BY x.model_id, x.key_id "
    "ORDER BY x.timestamp DESC, x.step DESC) AS age "
    "FROM logged_model_metrics AS x WHERE x.model_id IN ({marks})"
    ") AS m JOIN key_names AS k ON k.key_id = m.key_id WHERE m.age <= ? "
    "ORDER BY m.model_id, m.key_id, m.timestamp, m.step, m.run_id, m.dataset_name, "
    "m.dataset_digest"
)


def _by_model(rows: Iterable[Row]) -> "defaultdict[bytes, list[Any]]":
    """The rows of each model, without its id."""
    found: defaultdict[bytes, list[Any]] = defaultdict(list)
    for row in rows:
        found[row[0]].append(row[1:])
    return found


def _info(row: Row, tags: list[LoggedModelTag]) -> LoggedModelInfo:
    """Reads _COLUMNS."""
    model_id, experiment_id, name, created, updated, uri, status, model_type, source_run_id = row
    return LoggedModelInfo(
        model_id=public_id(model_id),
        experiment_id=str(experiment_id),
        name=name,
        creation_timestamp_ms=created,
        last_updated_timestamp_ms=updated,
        artifact_uri=uri,
        status=STATUS_PREFIX + status,
        model_type=model_type,
        source_run_id=source_run_id,
        tags=tags,
    )


def _metric(model_id: bytes, row: Row) -> LoggedModelMetric:
    key, value, is_nan, timestamp, step, run_id, dataset_name, dataset_digest = row
    return LoggedModelMetric(
        key=key,
        value="NaN" if is_nan else value,
        timestamp=timestamp,
        step=step,
        model_id=public_id(model_id),
        run_id=run_id.hex(),
        dataset_name=dataset_name,
        dataset_digest=dataset_digest,
    )


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
