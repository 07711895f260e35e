"""Which versions a run or a logged model became, and which runs watch a version."""

from dataclasses import dataclass
from typing import LiteralString

from riverrun.store.dialects import Sql
from riverrun.store.engine import Tx
from riverrun.store.filters import TRUE
from riverrun.store.model_versions import Key

_VERSIONS: LiteralString = (
    "SELECT v.registered_model_id, v.version FROM model_versions AS v "
    "JOIN registered_models AS m ON m.registered_model_id = v.registered_model_id "
    "WHERE v.{column} = ? AND m.workspace = ? AND {seen} "
    "ORDER BY v.creation_timestamp DESC, m.name, v.version DESC LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Range:
    """Where to look: `seen` is a condition on alias `m` or `e`, which models or experiments of the
    workspace may be seen, if not all.
    """

    workspace: str
    seen: Sql | None
    limit: int


async def versions_of_run(tx: Tx, run_id: str, among: Range) -> list[Key]:
    """The newest first."""
    return await _versions(tx, "source_run_id", run_id, among)


async def versions_of_logged_model(tx: Tx, model_id: str, among: Range) -> list[Key]:
    """The newest first."""
    return await _versions(tx, "logged_model_id", model_id, among)


async def _versions(tx: Tx, column: LiteralString, value: str, among: Range) -> list[Key]:
    seen = among.seen or TRUE
    rows = await tx.fetch(
        _VERSIONS.format(column=column, seen=seen.text),
        (value, among.workspace, *seen.binds, among.limit),
    )
    return [(model_id, version) for model_id, version in rows]


async def monitoring_runs(tx: Tx, key_id: int, value: str, among: Range) -> list[bytes]:
    """Active runs of any experiment that have the tag with this value, the newest first. Costs one
    look into the index for each experiment.
    """
    seen = among.seen or TRUE
    begins = tx.dialect.begins("t.value", value)
    rows = await tx.fetch(
        "SELECT r.run_id FROM experiments AS e CROSS JOIN tags AS t CROSS JOIN runs AS r "
        f"WHERE e.workspace = ? AND {seen.text} "
        "AND t.experiment_id = e.experiment_id AND t.key_id = ? "
        f"AND {begins.text} AND t.value = ? AND r.run_id = t.run_id "
        "AND r.lifecycle_stage = 'active' ORDER BY r.start_time DESC, r.run_id DESC LIMIT ?",
        (among.workspace, *seen.binds, key_id, *begins.binds, value, among.limit),
    )
    return [run_id for (run_id,) in rows]
