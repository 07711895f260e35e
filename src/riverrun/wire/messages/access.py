"""Users, roles and what they are granted: the calls of clients before 3.13 and since."""

from typing import ClassVar

import msgspec

from riverrun.entities.users import (
    Account,
    ExperimentPermission,
    GrantedPermission,
    ListedUser,
    RegisteredModelPermission,
    Role,
    RoleAssignment,
    RolePermission,
    User,
)
from riverrun.wire.message import Int32, Message

# Users -------------------------------------------------------------------------------------------


class Username(Message, frozen=True):
    required: ClassVar = ("username",)
    username: str = ""


class CreateUser(Message, frozen=True):
    required: ClassVar = ("username", "password")
    username: str = ""
    password: str = ""


class UpdateUserPassword(Message, frozen=True):
    """`current_password` is needed for one's own."""

    required: ClassVar = ("username", "password")
    username: str = ""
    password: str = ""
    current_password: str | None = None


class UpdateUserAdmin(Message, frozen=True):
    required: ClassVar = ("username", "is_admin")
    username: str = ""
    is_admin: bool | None = None


class UserResponse(msgspec.Struct, frozen=True):
    user: User


class CurrentUserResponse(msgspec.Struct, frozen=True):
    user: Account
    is_basic_auth: bool = True


class ListUsersResponse(msgspec.Struct, frozen=True):
    users: list[ListedUser]


class ListPermissionsResponse(msgspec.Struct, frozen=True):
    """Of all roles of a user; whether the user is an admin counts more than these."""

    is_admin: bool
    permissions: list[GrantedPermission]


# Grants of users ---------------------------------------------------------------------------------


class UserPermission(Message, frozen=True):
    """`resource_id` is an experiment's id, a model's name, or a pattern of names."""

    required: ClassVar = ("username", "resource_type", "resource_id")
    username: str = ""
    resource_type: str = ""
    resource_id: str = ""


class GrantUserPermission(Message, frozen=True):
    """`permission` is READ, USE, EDIT, MANAGE or DENY."""

    required: ClassVar = ("username", "resource_type", "resource_id", "permission")
    username: str = ""
    resource_type: str = ""
    resource_id: str = ""
    permission: str = ""


class GetUserPermissionResponse(msgspec.Struct, frozen=True):
    """`allowed` is whether `permission` includes USE."""

    allowed: bool
    permission: str


# Roles -------------------------------------------------------------------------------------------


class RoleId(Message, frozen=True):
    required: ClassVar = ("role_id",)
    role_id: Int32 | None = None


class CreateRole(Message, frozen=True):
    required: ClassVar = ("name", "workspace")
    name: str = ""
    workspace: str = ""
    description: str | None = None


class ListRoles(Message, frozen=True):
    """Of all workspaces when none is named, for admins."""

    workspace: list[str] | None = None


class UpdateRole(Message, frozen=True):
    """What is not given stays."""

    required: ClassVar = ("role_id",)
    role_id: Int32 | None = None
    name: str | None = None
    description: str | None = None


class RoleMember(Message, frozen=True):
    required: ClassVar = ("username", "role_id")
    username: str = ""
    role_id: Int32 | None = None


class AddRolePermission(Message, frozen=True):
    """As GrantUserPermission, for a role."""

    required: ClassVar = ("role_id", "resource_type", "resource_pattern", "permission")
    role_id: Int32 | None = None
    resource_type: str = ""
    resource_pattern: str = ""
    permission: str = ""


class RolePermissionId(Message, frozen=True):
    required: ClassVar = ("role_permission_id",)
    role_permission_id: Int32 | None = None


class UpdateRolePermission(Message, frozen=True):
    required: ClassVar = ("role_permission_id", "permission")
    role_permission_id: Int32 | None = None
    permission: str = ""


class RoleResponse(msgspec.Struct, frozen=True):
    role: Role


class ListRolesResponse(msgspec.Struct, frozen=True):
    roles: list[Role]


class RolePermissionResponse(msgspec.Struct, frozen=True):
    role_permission: RolePermission


class ListRolePermissionsResponse(msgspec.Struct, frozen=True):
    role_permissions: list[RolePermission]


class RoleAssignmentResponse(msgspec.Struct, frozen=True):
    assignment: RoleAssignment


class ListRoleUsersResponse(msgspec.Struct, frozen=True):
    assignments: list[RoleAssignment]


# Clients before 3.13 -----------------------------------------------------------------------------


class ExperimentUser(Message, frozen=True):
    required: ClassVar = ("experiment_id", "username")
    experiment_id: str = ""
    username: str = ""


class GrantExperimentPermission(Message, frozen=True):
    """`permission` may also be NO_PERMISSIONS."""

    required: ClassVar = ("experiment_id", "username", "permission")
    experiment_id: str = ""
    username: str = ""
    permission: str = ""


class RegisteredModelUser(Message, frozen=True):
    required: ClassVar = ("name", "username")
    name: str = ""
    username: str = ""


class GrantRegisteredModelPermission(Message, frozen=True):
    """`permission` may also be NO_PERMISSIONS."""

    required: ClassVar = ("name", "username", "permission")
    name: str = ""
    username: str = ""
    permission: str = ""


class ExperimentPermissionResponse(msgspec.Struct, frozen=True):
    experiment_permission: ExperimentPermission


class RegisteredModelPermissionResponse(msgspec.Struct, frozen=True):
    registered_model_permission: RegisteredModelPermission
