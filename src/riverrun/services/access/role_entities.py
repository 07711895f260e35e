"""Roles and grants as clients read them."""

from collections.abc import Sequence

from riverrun.auth.permissions import Permission
from riverrun.entities import users as e
from riverrun.store.access import roles as store
from riverrun.store.access.roles import Grant, Role
from riverrun.store.engine import Tx


def permission_word(grant: Grant) -> str:
    return Permission(grant.level).name


def permission_entity(grant: Grant) -> e.RolePermission:
    return e.RolePermission(
        grant.grant_id, grant.role_id, grant.resource_type, grant.pattern, permission_word(grant)
    )


async def role_entities(tx: Tx, roles: Sequence[Role]) -> list[e.Role]:
    """In their order, with what each is granted."""
    granted: dict[int, list[e.RolePermission]] = {}
    for each in await store.grants_of_roles(tx, [role.role_id for role in roles]):
        granted.setdefault(each.role_id, []).append(permission_entity(each))
    return [
        e.Role(
            role.role_id,
            role.name,
            role.workspace,
            role.description,
            granted.get(role.role_id, []),
        )
        for role in roles
    ]


def granted_permissions(roles: Sequence[e.Role]) -> list[e.GrantedPermission]:
    """What stands in all of these."""
    return [
        e.GrantedPermission(
            role.id,
            role.name,
            role.workspace,
            each.resource_type,
            each.resource_pattern,
            each.permission,
        )
        for role in roles
        for each in role.permissions
    ]
