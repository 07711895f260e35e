from riverrun.auth.levels import Level
from riverrun.auth.viewer import Viewer
from riverrun.errors import InvalidParameterValue
from riverrun.services import names
from riverrun.store import runs
from riverrun.store.engine import Tx


async def require_active(tx: Tx, run_id: bytes, viewer: Viewer) -> runs.RunState:
    """The state of a run that the viewer may write to."""
    state = await runs.state(tx, run_id)
    if state is None:
        raise names.run_not_found(run_id.hex())
    viewer.require(Level.EDIT, state.experiment_id)
    if state.lifecycle_stage != "active":
        raise InvalidParameterValue(
            f"The run {run_id.hex()} must be in the 'active' state. "
            f"Current state is {state.lifecycle_stage}."
        )
    return state
