from riverrun.auth.levels import Level
from riverrun.auth.viewer import DEFAULT_WORKSPACE, Viewer
from riverrun.entities.workspaces import Workspace
from riverrun.errors import InvalidParameterValue, NoSuchResource
from riverrun.services import names
from riverrun.store import experiments, runs, workspaces
from riverrun.store.engine import Tx
from riverrun.store.experiments import ExperimentState
from riverrun.store.runs import RunState


async def require_active(tx: Tx, run_id: bytes, viewer: Viewer) -> RunState:
    """The state of a run that the viewer may write to."""
    return _checked(await runs.state(tx, run_id), run_id, viewer)


async def take_active(tx: Tx, run_id: bytes, viewer: Viewer) -> RunState:
    """As `require_active`, for a change of the run or of something that belongs to it."""
    return _checked(await runs.take(tx, run_id), run_id, viewer)


def _checked(state: RunState | None, run_id: bytes, viewer: Viewer) -> RunState:
    if state is None:
        raise names.run_not_found(run_id.hex())
    require_on_run(viewer, Level.EDIT, run_id.hex(), state.experiment_id)
    if state.lifecycle_stage != "active":
        raise InvalidParameterValue(
            f"The run {run_id.hex()} must be in the 'active' state. "
            f"Current state is {state.lifecycle_stage}."
        )
    return state


def require_on_run(viewer: Viewer, level: Level, run_id: str, experiment_id: int) -> None:
    """As `Viewer.require`: a run of another workspace is one that does not exist."""
    try:
        viewer.require(level, experiment_id)
    except NoSuchResource:
        raise names.run_not_found(run_id) from None


def require_on_model(viewer: Viewer, level: Level, model_id: str, experiment_id: int) -> None:
    """As `require_on_run`, of a logged model."""
    try:
        viewer.require(level, experiment_id)
    except NoSuchResource:
        raise names.model_not_found(model_id) from None


async def take_workspace(tx: Tx, viewer: Viewer) -> Workspace:
    """The viewer's workspace, to create something in it: nobody deletes it meanwhile."""
    found = await workspaces.take(tx, viewer.workspace) if viewer.is_confined else None
    if found is None and viewer.workspace != DEFAULT_WORKSPACE:
        raise names.workspace_not_found(viewer.workspace)
    return found or Workspace(viewer.workspace)


async def require_active_experiment(tx: Tx, experiment_id: int, viewer: Viewer) -> ExperimentState:
    """The state of an experiment that the viewer may create something in."""
    viewer.require(Level.EDIT, experiment_id)
    experiment = await experiments.find_state(tx, experiment_id, workspace=viewer.workspace)
    if experiment is None:
        raise NoSuchResource(f"No Experiment with id={experiment_id} exists")
    if experiment.lifecycle_stage != "active":
        raise InvalidParameterValue(
            f"The experiment {experiment_id} must be in the 'active' state. "
            f"Current state is {experiment.lifecycle_stage}."
        )
    return experiment
