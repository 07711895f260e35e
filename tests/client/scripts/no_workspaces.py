"""What one reads who asks for a workspace of a server without them."""

import json

import mlflow
from mlflow.exceptions import MlflowException


def refusal(action, *given, **named):
    try:
        action(*given, **named)
    except MlflowException as error:
        return error.error_code
    return None


listed = refusal(mlflow.list_workspaces)
mlflow.set_workspace("team-a")
print(json.dumps([listed, refusal(mlflow.search_experiments)]))
