"""What was deleted, taken away for good: which runs and logged models may go, what names them, and
their rows in every table.

A run or a logged model is marked as `REMOVING` in one transaction; then its files go, then its
rows. Whoever is killed in between leaves what the next one finishes, and what is marked can no
longer be restored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from riverrun.store import epochs
from riverrun.store.engine import Row, Tx
from riverrun.store.experiments import LAST_ID

REMOVING = "removing"
"""The stage of life after `deleted`, in which nothing can be restored."""
ROWS_MAX = 500
"""Rows of metrics deleted in one transaction: a chunk has tens of kilobytes."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Runs or logged models: their table, the tables that belong to it, and when they were made and
    deleted.

    Of `long` tables one run or model may have more rows than one transaction should delete; beside
    each stands the order in which they go, the rest of its primary key.
    """

    name: str
    table: LiteralString
    key: LiteralString
    made_at: LiteralString
    deleted_at: LiteralString
    parts: tuple[LiteralString, ...]
    long: tuple[tuple[LiteralString, tuple[LiteralString, ...]], ...]
    prefix: str = ""
    """What the public id has in front of the key's digits."""

    def public_id(self, key: bytes) -> str:
        return self.prefix + key.hex()


RUN = Kind(
    name="run",
    table="runs",
    key="run_id",
    made_at="start_time",
    deleted_at="coalesce(deleted_time, written_at)",
    parts=(
        "metric_log",
        "metric_chunks",
        "latest_metrics",
        "params",
        "tags",
        "run_inputs",
        "run_models",
        "run_documents",
    ),
    long=(("metric_log", ("seq",)), ("metric_chunks", ("key_id", "chunk_id"))),
)
MODEL = Kind(
    name="logged model",
    table="logged_models",
    key="model_id",
    made_at="creation_timestamp",
    deleted_at="last_updated_timestamp",
    parts=("logged_model_metrics", "logged_model_params", "logged_model_tags"),
    long=(
        (
            "logged_model_metrics",
            ("key_id", "timestamp", "step", "run_id", "dataset_name", "dataset_digest"),
        ),
    ),
    prefix="m-",
)

OF_EXPERIMENTS: tuple[LiteralString, ...] = ("datasets", "experiment_tags", "grants")
"""Tables that go with the experiment itself; all others that name it belong to a run or model."""


@dataclass(frozen=True, slots=True)
class Doomed:
    """A run or a logged model that may go, or that was asked for."""

    key: bytes
    experiment_id: int
    artifact_uri: str
    stage: str
    deleted_ms: int
    made_ms: int


@dataclass(frozen=True, slots=True)
class State:
    """What decides, once its row is held, whether a run or a logged model goes."""

    stage: str
    deleted_ms: int


@dataclass(frozen=True, slots=True)
class ExperimentRow:
    """An experiment in any stage; `updated_ms` is when it was deleted, if it is.

    `retention` is the value of the tag that was asked for, None without one.
    """

    experiment_id: int
    artifact_location: str
    stage: str
    updated_ms: int
    retention: str | None
    workspace: str


@dataclass(frozen=True, slots=True)
class VersionPlaces:
    """What a registered version names: texts of clients, empty where they gave none."""

    registered_model_id: bytes
    version: int
    model: str
    source: str
    location: str
    run_id: str
    model_id: str


# Which may go ------------------------------------------------------------------------------------


async def experiments(tx: Tx, *, retention_tag: str, after: int, limit: int) -> list[ExperimentRow]:
    """The experiments with the ids after that one, in their order; of all workspaces, and of those
    that were deleted with what is in them.
    """
    rows = await tx.fetch(
        f"{_EXPERIMENTS} WHERE e.experiment_id > ? ORDER BY e.experiment_id LIMIT ?",
        (retention_tag, after, limit),
    )
    return [ExperimentRow(*row) for row in rows]


async def experiment(tx: Tx, experiment_id: int, *, retention_tag: str) -> ExperimentRow | None:
    row = await tx.one(f"{_EXPERIMENTS} WHERE e.experiment_id = ?", (retention_tag, experiment_id))
    return None if row is None else ExperimentRow(*row)


_EXPERIMENTS = (
    "SELECT e.experiment_id, e.artifact_location, e.lifecycle_stage, e.last_update_time, t.value, "
    "e.workspace "
    "FROM experiments AS e LEFT JOIN experiment_tags AS t "
    "ON t.experiment_id = e.experiment_id AND t.tag_key = ?"
)


async def last_experiment_id(tx: Tx) -> int:
    """The highest id of those that were removed; 0 for none."""
    return await epochs.current(tx, LAST_ID)


async def experiments_with_deleted(tx: Tx, first: int, last: int) -> set[int]:
    """Those from the first to the last id in which runs or logged models are deleted, whenever that
    was.
    """
    found: set[int] = set()
    for kind in (RUN, MODEL):
        rows = await tx.fetch(
            f"SELECT DISTINCT experiment_id FROM {kind.table} "
            "WHERE experiment_id >= ? AND experiment_id <= ? AND lifecycle_stage <> 'active'",
            (first, last),
        )
        found.update(row[0] for row in rows)
    return found


@dataclass(frozen=True, slots=True)
class Due:
    """Those of an experiment that were deleted at `before_ms` or earlier and those whose removal
    has begun; `whole`: all of them, deleted or not.
    """

    kind: Kind
    experiment_id: int
    before_ms: int
    whole: bool = False


async def count_due(tx: Tx, due: Due) -> int:
    where, binds = _where(due)
    row = await tx.one(f"SELECT count(*) FROM {due.kind.table} WHERE {where}", binds)
    return 0 if row is None else row[0]


async def page_due(tx: Tx, due: Due, *, after: Doomed | None, limit: int) -> list[Doomed]:
    """The newest first: in the order of an index, so that no page reads what came before it."""
    kind = due.kind
    where, binds = _where(due)
    if after is None:
        return await _doomed_where(tx, kind, where, binds, limit)
    # In two statements: databases would go through all that is older or has the same time.
    page = await _doomed_where(
        *(tx, kind, f"{where} AND {kind.made_at} = ? AND {kind.key} > ?"),
        *((*binds, after.made_ms, after.key), limit),
    )
    if len(page) == limit:
        return page
    older = (*binds, after.made_ms)
    rest = limit - len(page)
    return page + await _doomed_where(tx, kind, f"{where} AND {kind.made_at} < ?", older, rest)


async def _doomed_where(
    tx: Tx, kind: Kind, where: LiteralString, binds: tuple[object, ...], limit: int
) -> list[Doomed]:
    rows = await tx.fetch(
        f"{_doomed(kind)} WHERE {where} ORDER BY {kind.made_at} DESC, {kind.key} LIMIT ?",
        (*binds, limit),
    )
    return [Doomed(*row) for row in rows]


async def find(tx: Tx, kind: Kind, key: bytes) -> Doomed | None:
    row = await tx.one(f"{_doomed(kind)} WHERE {kind.key} = ?", (key,))
    return None if row is None else Doomed(*row)


async def existing(tx: Tx, kind: Kind, keys: Sequence[bytes]) -> set[bytes]:
    wanted = tx.dialect.among(kind.key, keys)
    rows = await tx.fetch(f"SELECT {kind.key} FROM {kind.table} WHERE {wanted.text}", wanted.binds)
    return {row[0] for row in rows}


def _where(due: Due) -> tuple[LiteralString, tuple[object, ...]]:
    if due.whole:
        return "experiment_id = ?", (due.experiment_id,)
    condition: LiteralString = (
        "experiment_id = ? AND lifecycle_stage <> 'active' AND "
        f"(lifecycle_stage = '{REMOVING}' OR {due.kind.deleted_at} <= ?)"
    )
    return condition, (due.experiment_id, due.before_ms)


def _doomed(kind: Kind) -> LiteralString:
    return (
        f"SELECT {kind.key}, experiment_id, artifact_uri, lifecycle_stage, {kind.deleted_at}, "
        f"{kind.made_at} FROM {kind.table}"
    )


# What names them ---------------------------------------------------------------------------------


_VERSIONS = (
    "SELECT v.registered_model_id, v.version, (SELECT m.name FROM registered_models AS m "
    "WHERE m.registered_model_id = v.registered_model_id), v.source, v.storage_location, "
    "v.source_run_id, v.logged_model_id FROM model_versions AS v"
)


async def versions(tx: Tx, *, after: VersionPlaces | None, limit: int) -> list[VersionPlaces]:
    """All registered versions in the order of their keys, after that one."""
    rows: list[Row] = []
    model = b""
    # In two statements: databases would go through all versions of a model for each of its pages.
    if after is not None:
        model = after.registered_model_id
        rows = await tx.fetch(
            f"{_VERSIONS} WHERE v.registered_model_id = ? AND v.version > ? "
            "ORDER BY v.version LIMIT ?",
            (model, after.version, limit),
        )
    if len(rows) < limit:
        rows += await tx.fetch(
            f"{_VERSIONS} WHERE v.registered_model_id > ? "
            "ORDER BY v.registered_model_id, v.version LIMIT ?",
            (model, limit - len(rows)),
        )
    return [VersionPlaces(*row) for row in rows]


async def versions_since(tx: Tx, since_ms: int) -> list[VersionPlaces]:
    """Those made or changed since then."""
    rows = await tx.fetch(f"{_VERSIONS} WHERE v.last_updated_timestamp >= ?", (since_ms,))
    return [VersionPlaces(*row) for row in rows]


async def locations(tx: Tx) -> list[tuple[int, str]]:
    """Ids and locations of the experiments whose location may name a run or a logged model."""
    rows = await tx.fetch(
        "SELECT experiment_id, artifact_location FROM experiments "
        "WHERE length(artifact_location) > 32"
    )
    return [(number, location) for number, location in rows]


async def elsewhere(
    tx: Tx, kind: Kind, *, after: bytes, limit: int
) -> tuple[list[tuple[bytes, str]], bytes]:
    """Of so many runs or models after that key, the keys and locations of those whose location does
    not name them, since it may name another; and the last key of all, empty at the end.
    """
    row = await tx.one(
        f"SELECT {kind.key} FROM {kind.table} WHERE {kind.key} > ? "
        f"ORDER BY {kind.key} LIMIT 1 OFFSET {limit - 1:d}",
        (after,),
    )
    until: LiteralString = "" if row is None else f" AND {kind.key} <= ?"
    digits = tx.dialect.hex(kind.key)
    rows = await tx.fetch(
        f"SELECT {kind.key}, artifact_uri FROM {kind.table} WHERE {kind.key} > ?{until} "
        f"AND artifact_uri NOT LIKE '%' || {digits} || '%'",
        (after, *(row or ())),
    )
    return [(key, uri) for key, uri in rows], b"" if row is None else row[0]


# Removing ----------------------------------------------------------------------------------------


async def take(tx: Tx, kind: Kind, key: bytes) -> State | None:
    """Holds it to the transaction's end: nobody restores it meanwhile."""
    row = await tx.take(kind.table, kind.key, key, f"lifecycle_stage, {kind.deleted_at}")
    return None if row is None else State(*row)


async def mark(tx: Tx, kind: Kind, key: bytes) -> None:
    await tx.execute(
        f"UPDATE {kind.table} SET lifecycle_stage = ? WHERE {kind.key} = ?", (REMOVING, key)
    )


async def delete_some(tx: Tx, kind: Kind, key: bytes) -> bool:
    """Deletes some rows of a long table; False when none has more than `ROWS_MAX`."""
    for table, order in kind.long:
        columns = ", ".join(order)
        row = await tx.one(
            f"SELECT {columns} FROM {table} WHERE {kind.key} = ? "
            f"ORDER BY {columns} LIMIT 1 OFFSET {ROWS_MAX}",
            (key,),
        )
        if row is not None:
            condition, binds = _before(order, row)
            await tx.execute(
                f"DELETE FROM {table} WHERE {kind.key} = ? AND {condition}", (key, *binds)
            )
            return True
    return False


def _before(order: tuple[LiteralString, ...], row: Row) -> tuple[LiteralString, Row]:
    """What comes before a row in this order, in words that every database finds its way by."""
    (column, *rest), (value, *values) = order, row
    if not rest:
        return f"{column} < ?", (value,)
    condition, binds = _before(tuple(rest), tuple(values))
    return f"({column} < ? OR ({column} = ? AND {condition}))", (value, value, *binds)


async def delete(tx: Tx, kind: Kind, key: bytes) -> None:
    """All rows that are left of it."""
    for table in (*kind.parts, kind.table):
        await tx.execute(f"DELETE FROM {table} WHERE {kind.key} = ?", (key,))


async def take_experiment(tx: Tx, experiment_id: int, *, hold: bool = True) -> State | None:
    """As `take`; without `hold` it is only looked at."""
    lock = tx.dialect.for_update if hold else ""
    row = await tx.one(
        f"SELECT lifecycle_stage, last_update_time FROM experiments WHERE experiment_id = ?{lock}",
        (experiment_id,),
    )
    return None if row is None else State(*row)


async def left_in(tx: Tx, experiment_id: int) -> int:
    """How many runs and logged models an experiment has, of every stage."""
    left = 0
    for kind in (RUN, MODEL):
        sql = f"SELECT count(*) FROM {kind.table} WHERE experiment_id = ?"
        row = await tx.one(sql, (experiment_id,))
        left += 0 if row is None else row[0]
    return left


async def delete_experiment(tx: Tx, experiment_id: int) -> None:
    """The experiment, which has neither runs nor models, with its tags, its datasets and what was
    granted on it. Its id is not given again: files, links and clients may still name it.
    """
    # To delete from it, Citus lets nobody else add to it meanwhile.
    if await tx.one("SELECT 1 FROM datasets WHERE experiment_id = ? LIMIT 1", (experiment_id,)):
        await tx.execute("DELETE FROM datasets WHERE experiment_id = ?", (experiment_id,))
    for table in ("grants", "experiment_tags", "experiments"):
        await tx.execute(f"DELETE FROM {table} WHERE experiment_id = ?", (experiment_id,))
    await epochs.raise_to(tx, LAST_ID, experiment_id)
