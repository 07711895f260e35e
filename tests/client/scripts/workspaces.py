"""The same names in two workspaces, by the fluent API and by MlflowClient."""

import json
import os
import sys

import mlflow
from mlflow.exceptions import MlflowException
from requests import HTTPError

first, second = sys.argv[1:]
told = {}


class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[str], params=None) -> list[str]:
        return model_input


def refusal(action, *given, **named):
    try:
        action(*given, **named)
    except MlflowException as error:
        return error.error_code
    except HTTPError as error:
        return error.response.status_code
    return None


def work(workspace):
    mlflow.set_workspace(workspace)
    experiment = mlflow.set_experiment("the same")
    with mlflow.start_run(run_name="the same") as run:
        mlflow.log_param("workspace", workspace)
        mlflow.log_metric("loss", 0.5)
        mlflow.log_text(workspace, "notes/whose.txt")
        mlflow.pyfunc.log_model(
            name="echo",
            python_model=Echo(),
            registered_model_name="classifier",
            pip_requirements=[],
        )
    return {"experiment": experiment, "run": run.info}


def shown(made):
    """What is there in the active workspace."""
    run, client = made["run"], mlflow.MlflowClient()
    return {
        "experiments": [each.name for each in client.search_experiments()],
        "location": made["experiment"].artifact_location.partition(":")[2],
        "runs": len(mlflow.search_runs(experiment_names=["the same"], output_format="list")),
        "param": client.get_run(run.run_id).data.params["workspace"],
        "file": mlflow.artifacts.load_text(f"{run.artifact_uri}/notes/whose.txt"),
        "models": [each.name for each in client.search_registered_models()],
        "versions": [each.version for each in client.search_model_versions("name='classifier'")],
        "answer": mlflow.pyfunc.load_model("models:/classifier/1").predict(["hello"]),
    }


for name in (first, second):
    mlflow.create_workspace(name, description=f"of {name}")
told["listed"] = [each.name for each in mlflow.list_workspaces()]
changed = mlflow.update_workspace(first, description="changed")
told["described"] = [changed.description, mlflow.get_workspace(second).description]
made = {name: work(name) for name in (first, second)}
for name in (first, second):
    mlflow.set_workspace(name)
    told[name] = shown(made[name])
    other = made[second if name == first else first]["run"]
    told[name]["other"] = [
        refusal(mlflow.get_run, other.run_id),
        refusal(mlflow.artifacts.load_text, f"{other.artifact_uri}/notes/whose.txt"),
    ]
mlflow.set_workspace(None)
told["default"] = [each.name for each in mlflow.search_experiments()]
os.environ["MLFLOW_WORKSPACE"] = first
told["by variable"] = [each.name for each in mlflow.search_experiments()]
del os.environ["MLFLOW_WORKSPACE"]
told["not empty"] = refusal(mlflow.delete_workspace, first)
mlflow.delete_workspace(first, mode="CASCADE")
told["left"] = [each.name for each in mlflow.list_workspaces()]
print(json.dumps(told))
