"""Every method of the client for users that this server has an answer to, as an admin."""

import json
import os

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.server import get_app_client

FIRST, SECOND = "the first password", "the second password"
uri = os.environ["MLFLOW_TRACKING_URI"]
client = get_app_client("basic-auth", tracking_uri=uri)
tracking = mlflow.MlflowClient()
asked = set()


def call(method, *given, **named):
    asked.add(method)
    return getattr(client, method)(*given, **named)


def refusal(method, *given, **named):
    try:
        call(method, *given, **named)
    except MlflowException as error:
        return error.error_code
    return None


def fields(entity, *names):
    return [getattr(entity, name) for name in names]


def as_user(name, password):
    """What the user is told of who asks."""
    admin = {
        key: os.environ[key] for key in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    }
    os.environ.update(MLFLOW_TRACKING_USERNAME=name, MLFLOW_TRACKING_PASSWORD=password)
    try:
        return client.get_user(name).username
    except MlflowException as error:
        return error.get_http_status_code()
    finally:
        os.environ.update(admin)


def users():
    made = call("create_user", "alice", FIRST)
    told = {
        "made": fields(made, "username", "is_admin", "password_hash"),
        "same": call("get_user", "alice").id == made.id,
        "again": refusal("create_user", "alice", FIRST),
        "short": refusal("create_user", "bob", "short"),
        "first": as_user("alice", FIRST),
    }
    call("update_user_password", "alice", SECOND)
    told["passwords"] = [as_user("alice", FIRST), as_user("alice", SECOND)]
    call("update_user_admin", "alice", True)
    told["admin"] = call("get_user", "alice").is_admin
    call("delete_user", "alice")
    told["gone"] = refusal("get_user", "alice")
    told["oneself"] = refusal("delete_user", os.environ["MLFLOW_TRACKING_USERNAME"])
    return told


def permissions(kind, about):
    """Of clients before 3.13."""
    create, get, update, delete = (
        f"{verb}_{kind}_permission" for verb in ("create", "get", "update", "delete")
    )
    made = call(create, about, "bob", "READ")
    told = [made.permission, call(get, about, "bob").permission]
    told.append(refusal(create, about, "bob", "EDIT"))
    call(update, about, "bob", "NO_PERMISSIONS")
    listed = getattr(call("get_user", "bob"), f"{kind}_permissions")
    told.append([each.permission for each in listed])
    call(delete, about, "bob")
    told += [refusal(get, about, "bob"), refusal(update, about, "bob", "READ")]
    return told


def named(found):
    """Without those that hold what single users have."""
    return [each.name for each in found if not each.name.startswith("__user_")]


def grants(experiment):
    """Of clients since 3.13."""
    about = ("bob", "experiment", experiment)
    found = call("get_user_permission", *about)
    told = [[found.allowed, found.permission]]
    call("grant_user_permission", *about, "EDIT")
    found = call("get_user_permission", *about)
    told.append([found.allowed, found.permission])
    told.append(refusal("grant_user_permission", *about, "READ"))
    call("revoke_user_permission", *about)
    told.append(refusal("revoke_user_permission", *about))
    return told


def roles():
    made = call("create_role", "default", "team", description="who trains")
    told = {"made": fields(made, "name", "workspace", "description", "permissions")}
    told["again"] = refusal("create_role", "default", "team")
    call("update_role", made.id, name="trainers")
    given = call("add_role_permission", made.id, "experiment", "team-*", "EDIT")
    told["given"] = fields(given, "resource_type", "resource_pattern", "permission")
    told["same"] = given.role_id == made.id
    told["raised"] = call("update_role_permission", given.id, "MANAGE").permission
    told["permissions"] = [each.id == given.id for each in call("list_role_permissions", made.id)]
    told["role"] = call("get_role", made.id).name
    told["list_roles"] = named(call("list_roles", workspace="default"))
    told["list_all_roles"] = named(call("list_all_roles"))
    assigned = call("assign_role", "bob", made.id)
    told["assigned"] = [assigned.role_id == made.id, assigned.user_id == client.get_user("bob").id]
    told["users"] = [each.user_id == assigned.user_id for each in call("list_role_users", made.id)]
    told["of bob"] = named(call("list_user_roles", "bob"))
    call("remove_role_permission", given.id)
    call("unassign_role", "bob", made.id)
    told["left"] = [call("list_role_permissions", made.id), call("list_role_users", made.id)]
    call("delete_role", made.id)
    told["gone"] = refusal("get_role", made.id)
    return told


told = {"users": users()}
client.create_user("bob", FIRST)
experiment = tracking.create_experiment("shared")
if hasattr(client, "create_role"):
    told["grants"] = grants(experiment)
    told["roles"] = roles()
else:
    tracking.create_registered_model("shared")
    told["experiments"] = permissions("experiment", experiment)
    told["models"] = permissions("registered_model", "shared")
public = {name for name in dir(client) if not name.startswith("_")} - {"tracking_uri"}
told["not asked"] = sorted(public - asked)
print(json.dumps(told))
