"""The part of the API's table that is about users and what they may do."""

from riverrun.api import audit, permissions, roles, tokens, users
from riverrun.api.route import BOTH_3, OWN, Route
from riverrun.auth.levels import edit, manage, read
from riverrun.wire.message import Empty
from riverrun.wire.messages import access as xm
from riverrun.wire.messages import tokens as tm


def access_routes() -> tuple[Route, ...]:
    """Services decide who is an admin, who asks about oneself, and who manages what is granted."""
    return (*_users(), *_roles(), *_permissions(), *_tokens())


def _users() -> tuple[Route, ...]:
    path, x, u = "/mlflow/users", "access", users
    granted = f"{path}/permissions"
    grant, user = xm.GrantUserPermission, xm.UserPermission
    current = f"{path}/current"
    return (
        Route("POST", f"{path}/create", xm.CreateUser, u.create_user, manage(x)),
        Route("GET", f"{path}/get", xm.Username, u.get_user, read(x)),
        Route("GET", f"{path}/list", Empty, u.list_users, read(x)),
        Route("GET", current, Empty, u.get_current_user, read("server")),
        Route(
            "PATCH",
            f"{path}/update-password",
            xm.UpdateUserPassword,
            u.update_user_password,
            edit(x),
        ),
        Route("PATCH", f"{path}/update-admin", xm.UpdateUserAdmin, u.update_user_admin, manage(x)),
        Route("DELETE", f"{path}/delete", xm.Username, u.delete_user, manage(x)),
        Route("GET", f"{path}/roles/list", xm.Username, u.list_user_roles, read(x), BOTH_3),
        Route(
            "GET",
            f"{current}/permissions",
            Empty,
            u.list_current_user_permissions,
            read(x),
            BOTH_3,
        ),
        Route("GET", f"{granted}/list", xm.Username, u.list_user_permissions, read(x), BOTH_3),
        Route("POST", f"{granted}/grant", grant, u.grant_user_permission, manage(x), BOTH_3),
        Route("POST", f"{granted}/revoke", user, u.revoke_user_permission, manage(x), BOTH_3),
        Route("GET", f"{granted}/get", user, u.get_user_permission, read(x), BOTH_3),
    )


def _roles() -> tuple[Route, ...]:
    path, r = "/mlflow/roles", roles
    see, change = read("access"), manage("access")
    granted = f"{path}/permissions"
    add, update = xm.AddRolePermission, xm.UpdateRolePermission
    one = xm.RolePermissionId
    return (
        Route("POST", f"{path}/create", xm.CreateRole, r.create_role, change, BOTH_3),
        Route("GET", f"{path}/get", xm.RoleId, r.get_role, see, BOTH_3),
        Route("GET", f"{path}/list", xm.ListRoles, r.list_roles, see, BOTH_3),
        Route("PATCH", f"{path}/update", xm.UpdateRole, r.update_role, change, BOTH_3),
        Route("DELETE", f"{path}/delete", xm.RoleId, r.delete_role, change, BOTH_3),
        Route("POST", f"{path}/assign", xm.RoleMember, r.assign_role, change, BOTH_3),
        Route("DELETE", f"{path}/unassign", xm.RoleMember, r.unassign_role, change, BOTH_3),
        Route("GET", f"{path}/users/list", xm.RoleId, r.list_role_users, see, BOTH_3),
        Route("POST", f"{granted}/add", add, r.add_role_permission, change, BOTH_3),
        Route("PATCH", f"{granted}/update", update, r.update_role_permission, change, BOTH_3),
        Route("DELETE", f"{granted}/remove", one, r.remove_role_permission, change, BOTH_3),
        Route("GET", f"{granted}/list", xm.RoleId, r.list_role_permissions, see, BOTH_3),
    )


def _permissions() -> tuple[Route, ...]:
    """What clients before 3.13 call."""
    p, see, change = permissions, read("access"), manage("access")
    path, grant = "/mlflow/experiments/permissions", xm.GrantExperimentPermission
    of_model = "/mlflow/registered-models/permissions"
    grant_model, model_user = xm.GrantRegisteredModelPermission, xm.RegisteredModelUser
    get_model, update_model = (
        p.get_registered_model_permission,
        p.update_registered_model_permission,
    )
    create_model = p.create_registered_model_permission
    delete_model = p.delete_registered_model_permission
    return (
        Route("POST", f"{path}/create", grant, p.create_experiment_permission, change),
        Route("GET", f"{path}/get", xm.ExperimentUser, p.get_experiment_permission, see),
        Route("PATCH", f"{path}/update", grant, p.update_experiment_permission, change),
        Route(
            "DELETE",
            f"{path}/delete",
            xm.ExperimentUser,
            p.delete_experiment_permission,
            change,
        ),
        Route("POST", f"{of_model}/create", grant_model, create_model, change),
        Route("GET", f"{of_model}/get", model_user, get_model, see),
        Route("PATCH", f"{of_model}/update", grant_model, update_model, change),
        Route("DELETE", f"{of_model}/delete", model_user, delete_model, change),
    )


def _tokens() -> tuple[Route, ...]:
    t, see, change = tokens, read("access"), manage("access")
    path, accounts, account = "/tokens", "/service-accounts", tm.CreateServiceAccount
    return (
        Route("POST", path, tm.CreateToken, t.create_token, edit("access"), OWN),
        Route("GET", path, tm.ListTokens, t.list_tokens, see, OWN),
        Route("DELETE", f"{path}/{{token_id}}", tm.RevokeToken, t.revoke_token, change, OWN),
        Route("POST", accounts, account, t.create_service_account, change, OWN),
        Route("GET", accounts, Empty, t.list_service_accounts, change, OWN),
        Route(
            "DELETE",
            f"{accounts}/{{name}}",
            tm.DeleteServiceAccount,
            t.delete_service_account,
            change,
            OWN,
        ),
        Route("GET", "/audit", tm.GetAudit, audit.get_audit, manage("audit"), OWN),
    )
