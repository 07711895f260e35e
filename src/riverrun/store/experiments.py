"""Experiments and their tags."""

from dataclasses import dataclass

from riverrun.entities.experiments import Experiment, ExperimentTag
from riverrun.store import epochs
from riverrun.store.change import Change
from riverrun.store.engine import Row, Tx

_COLUMNS = (
    "experiment_id, name, artifact_location, lifecycle_stage, last_update_time, creation_time, "
    "workspace"
)
LAST_ID = "experiments.last_id"
"""The epoch that remembers the highest id of an experiment that was removed."""


@dataclass(frozen=True, slots=True)
class NewExperiment:
    """`artifact_location` "" stands for the default, which depends on the id."""

    workspace: str
    name: str
    artifact_location: str
    created_by: str
    at_ms: int


def _experiment(row: Row, tags: list[ExperimentTag]) -> Experiment:
    number, name, location, stage, updated, created, workspace = row
    return Experiment(
        experiment_id=str(number),
        name=name,
        artifact_location=location,
        lifecycle_stage=stage,
        last_update_time=updated,
        creation_time=created,
        tags=tags,
        workspace=workspace,
    )


async def next_id(tx: Tx) -> int:
    """The id after the highest there ever was. Whoever asks holds experiment 0, which is always
    there, to the transaction's end: so no two get the same.
    """
    lock = tx.dialect.for_update
    await tx.one(f"SELECT experiment_id FROM experiments WHERE experiment_id = 0{lock}")
    rows = await tx.fetch("SELECT coalesce(max(experiment_id), 0) FROM experiments")
    return max(rows[0][0], await epochs.current(tx, LAST_ID)) + 1


async def insert(tx: Tx, experiment_id: int, new: NewExperiment) -> None:
    """Raises ConflictError when the workspace has the name, be it a deleted experiment's."""
    await tx.execute(
        "INSERT INTO experiments (experiment_id, workspace, name, artifact_location, "
        "lifecycle_stage, creation_time, last_update_time, created_by, updated_by) "
        "VALUES (?, ?, ?, ?, 'active', ?, ?, ?, ?)",
        (
            experiment_id,
            new.workspace,
            new.name,
            new.artifact_location,
            new.at_ms,
            new.at_ms,
            new.created_by,
            new.created_by,
        ),
    )


async def find(tx: Tx, experiment_id: int, *, workspace: str) -> Experiment | None:
    row = await tx.one(
        f"SELECT {_COLUMNS} FROM experiments WHERE experiment_id = ? AND workspace = ?",
        (experiment_id, workspace),
    )
    return (
        None if row is None else _experiment(row, (await _tags(tx, [experiment_id]))[experiment_id])
    )


async def find_by_name(tx: Tx, name: str, *, workspace: str) -> Experiment | None:
    row = await tx.one(
        f"SELECT {_COLUMNS} FROM experiments WHERE workspace = ? AND name = ?", (workspace, name)
    )
    return None if row is None else _experiment(row, (await _tags(tx, [row[0]]))[row[0]])


async def find_all(tx: Tx, experiment_ids: list[int]) -> list[Experiment]:
    """In the order of the ids."""
    rows: dict[int, Row] = {}
    for start in range(0, len(experiment_ids), 5_000):
        part = experiment_ids[start : start + 5_000]
        marks = ",".join("?" * len(part))
        for row in await tx.fetch(
            f"SELECT {_COLUMNS} FROM experiments WHERE experiment_id IN ({marks})", part
        ):
            rows[row[0]] = row
    tags = await _tags(tx, experiment_ids)
    return [_experiment(rows[key], tags[key]) for key in experiment_ids]


async def _tags(tx: Tx, experiment_ids: list[int]) -> dict[int, list[ExperimentTag]]:
    tags: dict[int, list[ExperimentTag]] = {key: [] for key in experiment_ids}
    for start in range(0, len(experiment_ids), 5_000):
        part = experiment_ids[start : start + 5_000]
        marks = ",".join("?" * len(part))
        for number, key, value in await tx.fetch(
            "SELECT experiment_id, tag_key, value FROM experiment_tags "
            f"WHERE experiment_id IN ({marks}) ORDER BY experiment_id, tag_key",
            part,
        ):
            tags[number].append(ExperimentTag(key, value))
    return tags


async def rename(tx: Tx, experiment_id: int, name: str, change: Change) -> None:
    """Raises ConflictError when another experiment has the name."""
    await tx.execute(
        "UPDATE experiments SET name = ?, last_update_time = ?, updated_by = ? "
        "WHERE experiment_id = ?",
        (name, change.at_ms, change.by, experiment_id),
    )


async def set_lifecycle(tx: Tx, experiment_id: int, stage: str, change: Change) -> None:
    """The experiment and all its runs but those whose removal has begun; a deleted run's time of
    deletion is the experiment's.

    Holds the runs in the order of their ids, as transactions with several of them do, so that none
    waits in a circle.
    """
    lock = tx.dialect.for_update
    await tx.one(
        "SELECT count(*) FROM "
        f"(SELECT run_id FROM runs WHERE experiment_id = ? ORDER BY run_id{lock}) AS held",
        (experiment_id,),
    )
    await tx.execute(
        "UPDATE experiments SET lifecycle_stage = ?, last_update_time = ?, updated_by = ? "
        "WHERE experiment_id = ?",
        (stage, change.at_ms, change.by, experiment_id),
    )
    await tx.execute(
        "UPDATE runs SET lifecycle_stage = ?, deleted_time = ?, updated_by = ?, "
        "version = version + 1, written_at = ? "
        "WHERE experiment_id = ? AND lifecycle_stage <> 'removing'",
        (
            stage,
            change.at_ms if stage == "deleted" else None,
            change.by,
            change.at_ms,
            experiment_id,
        ),
    )


async def set_tag(tx: Tx, experiment_id: int, key: str, value: str, *, by: str) -> None:
    upsert = tx.dialect.upsert(
        "experiment_tags",
        ("experiment_id", "tag_key", "value", "updated_by"),
        key=("experiment_id", "tag_key"),
    )
    await tx.execute(upsert, (experiment_id, key, value, by))


async def delete_tag(tx: Tx, experiment_id: int, key: str) -> bool:
    """Whether there was such a tag."""
    return (
        await tx.execute(
            "DELETE FROM experiment_tags WHERE experiment_id = ? AND tag_key = ?",
            (experiment_id, key),
        )
        > 0
    )


@dataclass(frozen=True, slots=True)
class ExperimentState:
    """What a new run, or a change of the experiment, asks first."""

    lifecycle_stage: str
    artifact_location: str


async def find_state(tx: Tx, experiment_id: int, *, workspace: str) -> ExperimentState | None:
    return await _state(tx, experiment_id, workspace, lock="")


async def take(tx: Tx, experiment_id: int, *, workspace: str) -> ExperimentState | None:
    """Finds the experiment for a change of it: holds its row to the transaction's end."""
    return await _state(tx, experiment_id, workspace, lock=tx.dialect.for_update)


async def _state(
    tx: Tx, experiment_id: int, workspace: str, *, lock: str
) -> ExperimentState | None:
    row = await tx.one(
        "SELECT lifecycle_stage, artifact_location FROM experiments "
        f"WHERE experiment_id = ? AND workspace = ?{lock}",
        (experiment_id, workspace),
    )
    return None if row is None else ExperimentState(*row)
