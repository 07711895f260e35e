"""The calls by which clients before 3.13 grant something: the same grants, one kind at a time."""

from riverrun.api.call import Call
from riverrun.auth.viewer import EXPERIMENT, REGISTERED_MODEL
from riverrun.entities.users import ExperimentPermission, RegisteredModelPermission
from riverrun.services.access.grant_rules import LEGACY_GRANTABLE, permission_of, what_of
from riverrun.services.access.grants import DirectGrant
from riverrun.wire.message import Empty
from riverrun.wire.messages import access as m


async def create_experiment_permission(
    call: Call, message: m.GrantExperimentPermission
) -> m.ExperimentPermissionResponse:
    what = what_of(EXPERIMENT, message.experiment_id)
    permission = permission_of(message.permission, what, words=LEGACY_GRANTABLE)
    return _on_experiment(
        await call.access.grants.grant(message.username, what, permission, viewer=call.viewer)
    )


async def get_experiment_permission(
    call: Call, message: m.ExperimentUser
) -> m.ExperimentPermissionResponse:
    what = what_of(EXPERIMENT, message.experiment_id)
    return _on_experiment(await call.access.grants.get(message.username, what, viewer=call.viewer))


async def update_experiment_permission(call: Call, message: m.GrantExperimentPermission) -> Empty:
    what = what_of(EXPERIMENT, message.experiment_id)
    permission = permission_of(message.permission, what, words=LEGACY_GRANTABLE)
    await call.access.grants.update(message.username, what, permission, viewer=call.viewer)
    return Empty()


async def delete_experiment_permission(call: Call, message: m.ExperimentUser) -> Empty:
    what = what_of(EXPERIMENT, message.experiment_id)
    await call.access.grants.revoke(message.username, what, viewer=call.viewer)
    return Empty()


async def create_registered_model_permission(
    call: Call, message: m.GrantRegisteredModelPermission
) -> m.RegisteredModelPermissionResponse:
    what = what_of(REGISTERED_MODEL, message.name)
    permission = permission_of(message.permission, what, words=LEGACY_GRANTABLE)
    return _on_model(
        await call.access.grants.grant(message.username, what, permission, viewer=call.viewer)
    )


async def get_registered_model_permission(
    call: Call, message: m.RegisteredModelUser
) -> m.RegisteredModelPermissionResponse:
    what = what_of(REGISTERED_MODEL, message.name)
    return _on_model(await call.access.grants.get(message.username, what, viewer=call.viewer))


async def update_registered_model_permission(
    call: Call, message: m.GrantRegisteredModelPermission
) -> Empty:
    what = what_of(REGISTERED_MODEL, message.name)
    permission = permission_of(message.permission, what, words=LEGACY_GRANTABLE)
    await call.access.grants.update(message.username, what, permission, viewer=call.viewer)
    return Empty()


async def delete_registered_model_permission(call: Call, message: m.RegisteredModelUser) -> Empty:
    what = what_of(REGISTERED_MODEL, message.name)
    await call.access.grants.revoke(message.username, what, viewer=call.viewer)
    return Empty()


def _on_experiment(grant: DirectGrant) -> m.ExperimentPermissionResponse:
    return m.ExperimentPermissionResponse(
        ExperimentPermission(grant.pattern, grant.user_id, grant.permission)
    )


def _on_model(grant: DirectGrant) -> m.RegisteredModelPermissionResponse:
    return m.RegisteredModelPermissionResponse(
        RegisteredModelPermission(grant.pattern, grant.user_id, grant.permission, grant.workspace)
    )
