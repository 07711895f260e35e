from riverrun.api.call import Call
from riverrun.entities.workspaces import Workspace
from riverrun.services.workspaces import RESTRICT, WorkspaceChange
from riverrun.wire.message import Empty
from riverrun.wire.messages import workspaces as m


async def list_workspaces(call: Call, message: Empty) -> m.ListWorkspacesResponse:
    return m.ListWorkspacesResponse(await call.services.workspaces.all_of(call.viewer))


async def create_workspace(call: Call, message: m.CreateWorkspace) -> m.WorkspaceResponse:
    new = Workspace(message.name or "", message.description, message.default_artifact_root)
    return m.WorkspaceResponse(await call.services.workspaces.create(new, viewer=call.viewer))


async def get_workspace(call: Call, message: m.GetWorkspace) -> m.WorkspaceResponse:
    found = await call.services.workspaces.get(message.workspace_name, viewer=call.viewer)
    return m.WorkspaceResponse(found)


async def update_workspace(call: Call, message: m.UpdateWorkspace) -> m.WorkspaceResponse:
    change = WorkspaceChange(message.description, message.default_artifact_root)
    name = message.workspace_name
    changed = await call.services.workspaces.update(name, change, viewer=call.viewer)
    return m.WorkspaceResponse(changed)


async def delete_workspace(call: Call, message: m.DeleteWorkspace) -> Empty:
    mode = RESTRICT if message.mode is None else message.mode
    name = message.workspace_name
    await call.services.workspaces.delete(name, mode, viewer=call.viewer)
    return Empty()
