"""Datasets, and the inputs and outputs of runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from riverrun.entities.datasets import DatasetSummary
from riverrun.store.engine import Tx


@dataclass(frozen=True, slots=True)
class NewDataset:
    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None
    profile: str | None


async def find(tx: Tx, experiment_id: int, name: str, digest: str) -> bytes | None:
    row = await tx.one(
        "SELECT dataset_id FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?",
        (experiment_id, name, digest),
    )
    return None if row is None else row[0]


async def insert(tx: Tx, dataset_id: bytes, experiment_id: int, new: NewDataset) -> None:
    """Raises ConflictError when the experiment has the dataset already."""
    await tx.execute(
        "INSERT INTO datasets (dataset_id, experiment_id, name, digest, source_type, source, "
        "dataset_schema, dataset_profile) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            dataset_id,
            experiment_id,
            new.name,
            new.digest,
            new.source_type,
            new.source,
            new.schema,
            new.profile,
        ),
    )


@dataclass(frozen=True, slots=True)
class InputEdge:
    """A run reads a dataset; the tags of an edge stay as they were first given."""

    dataset_id: bytes
    context: str | None
    tags: list[tuple[str, str]]


async def insert_inputs(
    tx: Tx, run_id: bytes, experiment_id: int, edges: Sequence[InputEdge]
) -> None:
    insert = tx.dialect.upsert(
        "run_inputs",
        ("run_id", "dataset_id", "experiment_id", "context", "tags"),
        key=("run_id", "dataset_id"),
        changes=(),
    )
    rows = [
        (run_id, edge.dataset_id, experiment_id, edge.context, json.dumps(edge.tags))
        for edge in edges
    ]
    await tx.execute_many(insert, rows)


async def insert_models(
    tx: Tx, run_id: bytes, direction: str, models: Sequence[tuple[str, int]]
) -> None:
    """`direction` is "input" or "output"; an edge that exists stays as it is."""
    insert = tx.dialect.upsert(
        "run_models",
        ("run_id", "direction", "model_id", "step"),
        key=("run_id", "direction", "model_id"),
        changes=(),
    )
    rows = [(run_id, direction, model_id, step) for model_id, step in models]
    await tx.execute_many(insert, rows)


async def summaries(tx: Tx, experiment_ids: Sequence[int], limit: int) -> list[DatasetSummary]:
    """Datasets that a run of these experiments reads, with each context once."""
    marks = ",".join("?" * len(experiment_ids))
    rows = await tx.fetch(
        "SELECT DISTINCT i.experiment_id, d.name, d.digest, i.context FROM run_inputs i "
        "JOIN datasets d ON d.dataset_id = i.dataset_id "
        f"WHERE i.experiment_id IN ({marks}) ORDER BY 1, 2, 3, 4 LIMIT ?",
        (*experiment_ids, limit),
    )
    return [
        DatasetSummary(str(number), name, digest, context) for number, name, digest, context in rows
    ]
