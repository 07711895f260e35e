"""Users, and what they are granted directly. Without access control there are none."""

from riverrun.api.call import Call
from riverrun.auth.levels import Level
from riverrun.services.access.grant_rules import permission_of, what_of
from riverrun.wire.message import Empty
from riverrun.wire.messages import access as m


async def create_user(call: Call, message: m.CreateUser) -> m.UserResponse:
    users = call.access.users
    return m.UserResponse(
        await users.create(message.username, message.password, viewer=call.viewer)
    )


async def get_user(call: Call, message: m.Username) -> m.UserResponse:
    return m.UserResponse(await call.access.users.get(message.username, viewer=call.viewer))


async def list_users(call: Call, message: Empty) -> m.ListUsersResponse:
    del message
    return m.ListUsersResponse(await call.access.users.list(viewer=call.viewer))


async def get_current_user(call: Call, message: Empty) -> m.CurrentUserResponse:
    del message
    return m.CurrentUserResponse(await call.access.users.current(viewer=call.viewer))


async def update_user_password(call: Call, message: m.UpdateUserPassword) -> Empty:
    await call.access.users.update_password(
        message.username,
        message.password,
        current_password=message.current_password or "",
        viewer=call.viewer,
    )
    return Empty()


async def update_user_admin(call: Call, message: m.UpdateUserAdmin) -> Empty:
    await call.access.users.update_admin(
        message.username, is_admin=bool(message.is_admin), viewer=call.viewer
    )
    return Empty()


async def delete_user(call: Call, message: m.Username) -> Empty:
    await call.access.users.delete(message.username, viewer=call.viewer)
    return Empty()


async def list_user_roles(call: Call, message: m.Username) -> m.ListRolesResponse:
    return m.ListRolesResponse(await call.access.users.roles(message.username, viewer=call.viewer))


async def list_user_permissions(call: Call, message: m.Username) -> m.ListPermissionsResponse:
    is_admin, permissions = await call.access.users.permissions(
        message.username, viewer=call.viewer
    )
    return m.ListPermissionsResponse(is_admin, permissions)


async def list_current_user_permissions(call: Call, message: Empty) -> m.ListPermissionsResponse:
    del message
    return await list_user_permissions(call, m.Username(username=call.viewer.name))


async def grant_user_permission(call: Call, message: m.GrantUserPermission) -> Empty:
    what = what_of(message.resource_type, message.resource_id)
    permission = permission_of(message.permission, what)
    await call.access.grants.grant(message.username, what, permission, viewer=call.viewer)
    return Empty()


async def revoke_user_permission(call: Call, message: m.UserPermission) -> Empty:
    what = what_of(message.resource_type, message.resource_id)
    await call.access.grants.revoke(message.username, what, viewer=call.viewer)
    return Empty()


async def get_user_permission(call: Call, message: m.UserPermission) -> m.GetUserPermissionResponse:
    """What all grants and the default come to."""
    what = what_of(message.resource_type, message.resource_id)
    found = await call.access.grants.effective(message.username, what, viewer=call.viewer)
    return m.GetUserPermissionResponse(found >= Level.USE, found.name)
