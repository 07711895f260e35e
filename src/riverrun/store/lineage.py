"""Which versions a run or a logged model became, and which runs watch a version."""

from riverrun.store.engine import Tx
from riverrun.store.model_versions import Key

_VERSIONS = (
    "SELECT v.registered_model_id, v.version FROM model_versions AS v "
    "JOIN registered_models AS m ON m.registered_model_id = v.registered_model_id "
    "WHERE v.{column} = ? AND m.workspace = ? "
    "ORDER BY v.creation_timestamp DESC, m.name, v.version DESC LIMIT ?"
)


async def versions_of_run(tx: Tx, run_id: str, *, workspace: str, limit: int) -> list[Key]:
    """The newest first."""
    rows = await tx.fetch(_VERSIONS.format(column="source_run_id"), (run_id, workspace, limit))
    return [(model_id, version) for model_id, version in rows]


async def versions_of_logged_model(
    tx: Tx, model_id: str, *, workspace: str, limit: int
) -> list[Key]:
    """The newest first."""
    rows = await tx.fetch(_VERSIONS.format(column="logged_model_id"), (model_id, workspace, limit))
    return [(registered_model_id, version) for registered_model_id, version in rows]


async def monitoring_runs(
    tx: Tx, key_id: int, value: str, *, workspace: str, limit: int
) -> list[bytes]:
    """Active runs of any experiment that have the tag with this value, the newest first. Costs one
    look into the index for each experiment.
    """
    begins = tx.dialect.begins("t.value", value)
    rows = await tx.fetch(
        "SELECT r.run_id FROM experiments AS e CROSS JOIN tags AS t CROSS JOIN runs AS r "
        "WHERE e.workspace = ? AND t.experiment_id = e.experiment_id AND t.key_id = ? "
        f"AND {begins.text} AND t.value = ? AND r.run_id = t.run_id "
        "AND r.lifecycle_stage = 'active' ORDER BY r.start_time DESC, r.run_id DESC LIMIT ?",
        (workspace, key_id, *begins.binds, value, limit),
    )
    return [run_id for (run_id,) in rows]
