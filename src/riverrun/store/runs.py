"""Runs, without what is logged to them."""

from collections.abc import Sequence
from dataclasses import dataclass

from riverrun.entities.runs import RunInfo
from riverrun.store.engine import Row, Tx

INFO_COLUMNS = (
    "run_id, name, experiment_id, user_id, status, start_time, artifact_uri, lifecycle_stage, "
    "end_time"
)


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run as it is created: RUNNING and active."""

    run_id: bytes
    experiment_id: int
    name: str
    user_id: str
    start_time: int
    artifact_uri: str
    created_by: str
    at_ms: int


_STATE_COLUMNS = "experiment_id, lifecycle_stage, status"


@dataclass(frozen=True, slots=True)
class RunState:
    """What every write asks of a run first."""

    experiment_id: int
    lifecycle_stage: str
    status: str


def info_from_row(row: Row) -> RunInfo:
    """Reads INFO_COLUMNS."""
    run_id, name, experiment_id, user_id, status, start_time, uri, stage, end_time = row
    public = run_id.hex()
    return RunInfo(
        run_id=public,
        run_uuid=public,
        run_name=name,
        experiment_id=str(experiment_id),
        user_id=user_id,
        status=status,
        start_time=start_time,
        artifact_uri=uri,
        # Clients know two stages; what is being removed is deleted to them.
        lifecycle_stage="active" if stage == "active" else "deleted",
        end_time=end_time,
    )


async def insert(tx: Tx, new: NewRun) -> None:
    await tx.execute_many(
        "INSERT INTO runs (run_id, experiment_id, name, user_id, status, start_time, "
        "lifecycle_stage, artifact_uri, version, written_at, created_by, updated_by) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                new.run_id,
                new.experiment_id,
                new.name,
                new.user_id,
                "RUNNING",
                new.start_time,
                "active",
                new.artifact_uri,
                1,
                new.at_ms,
                new.created_by,
                new.created_by,
            )
        ],
    )


async def state(tx: Tx, run_id: bytes) -> RunState | None:
    row = await tx.one(f"SELECT {_STATE_COLUMNS} FROM runs WHERE run_id = ?", (run_id,))
    return None if row is None else RunState(*row)


async def take(tx: Tx, run_id: bytes) -> RunState | None:
    """Finds the run for a change of it, or of something that belongs to it, and holds it."""
    row = await tx.take("runs", "run_id", run_id, _STATE_COLUMNS)
    return None if row is None else RunState(*row)


async def info(tx: Tx, run_id: bytes) -> RunInfo | None:
    row = await tx.one(f"SELECT {INFO_COLUMNS} FROM runs WHERE run_id = ?", (run_id,))
    return None if row is None else info_from_row(row)


async def experiments_of(tx: Tx, run_ids: Sequence[bytes]) -> dict[bytes, int]:
    """The experiments of those runs that exist, deleted ones too; at most a thousand runs."""
    wanted = tx.dialect.among("run_id", run_ids)
    rows = await tx.fetch(
        f"SELECT run_id, experiment_id FROM runs WHERE {wanted.text}", wanted.binds
    )
    return dict(rows)  # pyright: ignore[reportArgumentType, reportUnknownVariableType]


async def touch(tx: Tx, run_id: bytes, *, by: str, at_ms: int) -> None:
    """Every write does this: the version tells a stored document that it is out of date."""
    await tx.execute_many(
        "UPDATE runs SET version = version + 1, written_at = ?, updated_by = ? WHERE run_id = ?",
        [(at_ms, by, run_id)],
    )


async def set_name(tx: Tx, run_id: bytes, name: str) -> None:
    await tx.execute("UPDATE runs SET name = ? WHERE run_id = ?", (name, run_id))


async def set_status(tx: Tx, run_id: bytes, status: str) -> None:
    await tx.execute("UPDATE runs SET status = ? WHERE run_id = ?", (status, run_id))


async def set_end_time(tx: Tx, run_id: bytes, end_time: int | None) -> None:
    await tx.execute("UPDATE runs SET end_time = ? WHERE run_id = ?", (end_time, run_id))


async def set_lifecycle(tx: Tx, run_id: bytes, stage: str, *, deleted_time: int | None) -> None:
    await tx.execute(
        "UPDATE runs SET lifecycle_stage = ?, deleted_time = ? WHERE run_id = ?",
        (stage, deleted_time, run_id),
    )


async def versions(tx: Tx, run_ids: Sequence[bytes]) -> dict[bytes, int]:
    """The versions of those runs that exist, in the given order."""
    wanted = tx.dialect.among("run_id", run_ids)
    rows = await tx.fetch(f"SELECT run_id, version FROM runs WHERE {wanted.text}", wanted.binds)
    found: dict[bytes, int] = dict(rows)  # pyright: ignore[reportArgumentType]
    return {run_id: found[run_id] for run_id in run_ids if run_id in found}
