"""Users and grants in a new database of this release's own server, which is never started."""

import json
import os
import sys

os.environ["MLFLOW_FLASK_SERVER_SECRET_KEY"] = "only to be imported"

from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

store = SqlAlchemyStore()
store.init_db(f"sqlite:///{sys.argv[1]}")
store.create_user("boss", "the boss's password", is_admin=True)
store.create_user("old-boss", "password1234", is_admin=True)
for name in ("ada", "ben"):
    store.create_user(name, f"{name}'s long password")
store.create_experiment_permission("0", "ada", "EDIT")
store.create_experiment_permission("1", "ada", "MANAGE")
store.create_registered_model_permission("churn", "ada", "MANAGE")
if hasattr(store, "create_role"):
    role = store.create_role("team", "default", "all of us")
    store.add_role_permission(role.id, "experiment", "*", "READ")
    store.add_role_permission(role.id, "prompt", "greeting", "USE")
    store.assign_role_to_user(store.get_user("ben").id, role.id)
else:
    store.create_experiment_permission("0", "ben", "NO_PERMISSIONS")
print(json.dumps(hasattr(store, "create_role")))
