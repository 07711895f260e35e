"""Users, roles and what they are granted, as both families of clients read them."""

import msgspec


class ExperimentPermission(msgspec.Struct, frozen=True, gc=False):
    """`experiment_id` may be a pattern of names."""

    experiment_id: str
    user_id: int
    permission: str


class RegisteredModelPermission(msgspec.Struct, frozen=True, gc=False):
    """`name` may be a pattern of names."""

    name: str
    user_id: int
    permission: str
    workspace: str


class RolePermission(msgspec.Struct, frozen=True, gc=False):
    id: int
    role_id: int
    resource_type: str
    resource_pattern: str
    permission: str


class Role(msgspec.Struct, frozen=True):
    """`permissions` are by id."""

    id: int
    name: str
    workspace: str
    description: str | None
    permissions: list[RolePermission]


class RoleAssignment(msgspec.Struct, frozen=True, gc=False):
    """That a user has a role; `id` is made of the other two."""

    id: int
    user_id: int
    role_id: int


class GrantedPermission(msgspec.Struct, frozen=True, gc=False):
    """One permission of one of a user's roles."""

    role_id: int
    role_name: str
    workspace: str
    resource_type: str
    resource_pattern: str
    permission: str


class Account(msgspec.Struct, frozen=True, gc=False):
    id: int
    username: str
    is_admin: bool


class ListedUser(Account, frozen=True):
    """`roles` are empty where they are none of the reader's business."""

    roles: list[Role]


class User(Account, frozen=True):
    """With what clients before 3.13 look for: what is granted directly. There are no scorers."""

    experiment_permissions: list[ExperimentPermission]
    registered_model_permissions: list[RegisteredModelPermission]
    scorer_permissions: list[str]
    roles: list[Role]
