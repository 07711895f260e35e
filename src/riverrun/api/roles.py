"""Roles, their members, and what they are granted."""

from riverrun.api.call import Call
from riverrun.services.access.grant_rules import permission_of, what_of
from riverrun.wire.message import Empty
from riverrun.wire.messages import access as m


async def create_role(call: Call, message: m.CreateRole) -> m.RoleResponse:
    role = await call.access.roles.create(
        message.name,
        workspace=message.workspace,
        description=message.description,
        viewer=call.viewer,
    )
    return m.RoleResponse(role)


async def get_role(call: Call, message: m.RoleId) -> m.RoleResponse:
    return m.RoleResponse(await call.access.roles.get(message.role_id or 0, viewer=call.viewer))


async def list_roles(call: Call, message: m.ListRoles) -> m.ListRolesResponse:
    roles = call.access.roles
    return m.ListRolesResponse(await roles.list(message.workspace or (), viewer=call.viewer))


async def update_role(call: Call, message: m.UpdateRole) -> m.RoleResponse:
    role = await call.access.roles.update(
        message.role_id or 0,
        name=message.name,
        description=message.description,
        viewer=call.viewer,
    )
    return m.RoleResponse(role)


async def delete_role(call: Call, message: m.RoleId) -> Empty:
    await call.access.roles.delete(message.role_id or 0, viewer=call.viewer)
    return Empty()


async def assign_role(call: Call, message: m.RoleMember) -> m.RoleAssignmentResponse:
    roles = call.access.roles
    return m.RoleAssignmentResponse(
        await roles.assign(message.username, message.role_id or 0, viewer=call.viewer)
    )


async def unassign_role(call: Call, message: m.RoleMember) -> Empty:
    await call.access.roles.unassign(message.username, message.role_id or 0, viewer=call.viewer)
    return Empty()


async def list_role_users(call: Call, message: m.RoleId) -> m.ListRoleUsersResponse:
    members = await call.access.roles.members(message.role_id or 0, viewer=call.viewer)
    return m.ListRoleUsersResponse(members)


async def add_role_permission(call: Call, message: m.AddRolePermission) -> m.RolePermissionResponse:
    what = what_of(message.resource_type, message.resource_pattern)
    permission = permission_of(message.permission, what)
    return m.RolePermissionResponse(
        await call.access.grants.add(message.role_id or 0, what, permission, viewer=call.viewer)
    )


async def update_role_permission(
    call: Call, message: m.UpdateRolePermission
) -> m.RolePermissionResponse:
    return m.RolePermissionResponse(
        await call.access.grants.change(
            message.role_permission_id or 0, message.permission, viewer=call.viewer
        )
    )


async def remove_role_permission(call: Call, message: m.RolePermissionId) -> Empty:
    await call.access.grants.remove(message.role_permission_id or 0, viewer=call.viewer)
    return Empty()


async def list_role_permissions(call: Call, message: m.RoleId) -> m.ListRolePermissionsResponse:
    role = await call.access.roles.get(message.role_id or 0, viewer=call.viewer)
    return m.ListRolePermissionsResponse(role.permissions)
