"""Workspaces. Those that are there are named by the path."""

from typing import ClassVar

import msgspec

from riverrun.entities.workspaces import Workspace
from riverrun.wire.message import Message


class WorkspaceResponse(msgspec.Struct, frozen=True):
    workspace: Workspace


class ListWorkspacesResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    workspaces: list[Workspace] = []


class CreateWorkspace(Message, frozen=True):
    required: ClassVar = ("name",)
    name: str | None = None
    description: str | None = None
    default_artifact_root: str | None = None


class GetWorkspace(Message, frozen=True):
    workspace_name: str = ""


class UpdateWorkspace(Message, frozen=True):
    workspace_name: str = ""
    description: str | None = None
    default_artifact_root: str | None = None


class DeleteWorkspace(Message, frozen=True):
    workspace_name: str = ""
    mode: str | None = None
