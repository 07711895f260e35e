"""A run as the JSON that clients get: assembled from its tables, or stored and spliced in unparsed.

A stored document carries the version of the run that it was built from, read in the same snapshot
as its data, and counts only while that is still the run's version. So it needs no deletion when the
run changes.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from riverrun.entities.datasets import Dataset, DatasetInput, InputTag
from riverrun.entities.metrics import Metric
from riverrun.entities.runs import (
    ModelInput,
    ModelOutput,
    Param,
    Run,
    RunData,
    RunInputs,
    RunOutputs,
    RunTag,
)
from riverrun.store.dialects import Changes, Sql
from riverrun.store.engine import Row, Tx
from riverrun.store.runs import INFO_COLUMNS, info_from_row

BATCH = 1_000
"""Runs read in one statement: below every database's limit of binds."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """A run built from its tables, and whether a document of it is worth storing."""

    run: Run
    version: int
    written_at: int


async def stored(tx: Tx, run_id: bytes) -> tuple[int, bytes | None] | None:
    """The experiment and the document, if one is up to date; None when there is no such run."""
    row = await tx.one(
        "SELECT r.experiment_id, d.document FROM runs r LEFT JOIN run_documents d "
        "ON d.run_id = r.run_id AND d.version = r.version WHERE r.run_id = ?",
        (run_id,),
    )
    return None if row is None else (row[0], row[1])


async def stored_many(tx: Tx, versions: Mapping[bytes, int]) -> dict[bytes, bytes]:
    """The documents of these runs that have these versions, which the caller read in the same
    snapshot.
    """
    found: dict[bytes, bytes] = {}
    run_ids = list(versions)
    for start in range(0, len(run_ids), BATCH):
        part = run_ids[start : start + BATCH]
        wanted = tx.dialect.among("run_id", part)
        rows = await tx.fetch(
            f"SELECT run_id, version, document FROM run_documents WHERE {wanted.text}",
            wanted.binds,
        )
        found.update((row[0], row[2]) for row in rows if versions[row[0]] == row[1])
    return found


_NEWER = "new(version) > old(version)"
# The version last, since on some databases a change sees earlier ones.
_DOCUMENT_CHANGES: Changes = (
    ("document", f"CASE WHEN {_NEWER} THEN new(document) ELSE old(document) END"),
    ("version", f"CASE WHEN {_NEWER} THEN new(version) ELSE old(version) END"),
)


async def store(tx: Tx, run_id: bytes, version: int, document: bytes) -> None:
    """Keeps the newest of two documents of a run."""
    upsert = tx.dialect.upsert(
        "run_documents",
        ("run_id", "version", "document"),
        key=("run_id",),
        changes=_DOCUMENT_CHANGES,
    )
    await tx.execute(upsert, (run_id, version, document))


async def assemble(tx: Tx, run_ids: Sequence[bytes]) -> dict[bytes, Assembled]:
    """Those of the runs that exist, with all that was logged to them."""
    assembled: dict[bytes, Assembled] = {}
    for start in range(0, len(run_ids), BATCH):
        assembled.update(await _assemble(tx, run_ids[start : start + BATCH]))
    return assembled


async def _assemble(tx: Tx, run_ids: Sequence[bytes]) -> dict[bytes, Assembled]:
    wanted = tx.dialect.among("x.run_id", run_ids)
    rows = await tx.fetch(
        f"SELECT {INFO_COLUMNS}, version, written_at FROM runs AS x WHERE {wanted.text}",
        wanted.binds,
    )
    metrics = await _children(tx, _METRICS, wanted, _metric)
    params = await _children(tx, _PARAMS, wanted, _param)
    tags = await _children(tx, _TAGS, wanted, _tag)
    datasets = await _children(tx, _DATASETS, wanted, _dataset_input)
    models = await _children(tx, _MODELS, wanted, tuple)
    return {
        row[0]: Assembled(
            run=Run(
                info=info_from_row(row[:-2]),
                data=RunData(metrics[row[0]], params[row[0]], tags[row[0]]),
                inputs=RunInputs(
                    datasets[row[0]],
                    [ModelInput(model) for side, model, _ in models[row[0]] if side == "input"],
                ),
                outputs=RunOutputs(
                    [
                        ModelOutput(model, step)
                        for side, model, step in models[row[0]]
                        if side == "output"
                    ]
                ),
            ),
            version=row[-2],
            written_at=row[-1],
        )
        for row in rows
    }


# The runs' rows are alias `x`.
_METRICS = (
    "SELECT x.run_id, k.name, x.value, x.is_nan, x.timestamp, x.step FROM latest_metrics AS x "
    "JOIN key_names AS k ON k.key_id = x.key_id WHERE {wanted} ORDER BY x.run_id, x.key_id"
)
_PARAMS = (
    "SELECT x.run_id, k.name, x.value FROM params AS x "
    "JOIN key_names AS k ON k.key_id = x.key_id WHERE {wanted} ORDER BY x.run_id, x.key_id"
)
_TAGS = (
    "SELECT x.run_id, k.name, x.value FROM tags AS x "
    "JOIN key_names AS k ON k.key_id = x.key_id WHERE {wanted} ORDER BY x.run_id, x.key_id"
)
_DATASETS = (
    "SELECT x.run_id, d.name, d.digest, d.source_type, d.source, d.dataset_schema, "
    "d.dataset_profile, x.tags FROM run_inputs AS x "
    "JOIN datasets AS d ON d.dataset_id = x.dataset_id WHERE {wanted} "
    "ORDER BY x.run_id, x.dataset_id"
)
_MODELS = (
    "SELECT x.run_id, x.direction, x.model_id, x.step FROM run_models AS x WHERE {wanted} "
    "ORDER BY x.run_id, x.direction, x.step, x.model_id"
)


async def _children(tx: Tx, sql: str, wanted: Sql, entity: Any) -> "defaultdict[bytes, list[Any]]":
    """The rows of each run, without the run's id, as entities."""
    children: defaultdict[bytes, list[Any]] = defaultdict(list)
    for row in await tx.fetch(sql.format(wanted=wanted.text), wanted.binds):
        children[row[0]].append(entity(row[1:]))
    return children


def _metric(row: Row) -> Metric:
    key, value, is_nan, timestamp, step = row
    return Metric(key, "NaN" if is_nan else value, timestamp, step)


def _param(row: Row) -> Param:
    return Param(*row)


def _tag(row: Row) -> RunTag:
    return RunTag(*row)


def _dataset_input(row: Row) -> DatasetInput:
    return DatasetInput(
        Dataset(*row[:-1]), [InputTag(key, value) for key, value in json.loads(row[-1])]
    )
