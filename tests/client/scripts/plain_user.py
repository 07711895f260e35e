"""What one does who was granted nothing: an experiment, a run, a model, and others' work."""

import json
import sys

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel

name, others = sys.argv[1], sys.argv[2]


class Twice(PythonModel):
    def predict(self, context, model_input, params=None):
        return [2 * each for each in model_input]


def refusal(action, *given, **named):
    try:
        action(*given, **named)
    except MlflowException as error:
        return error.get_http_status_code()
    return None


client = mlflow.MlflowClient()
mlflow.set_experiment(name)
with mlflow.start_run() as run:
    mlflow.log_param("lr", 0.1)
    mlflow.log_metric("loss", 0.5)
    mlflow.log_text("hello", "notes/hello.txt")
    mlflow.pyfunc.log_model("model", python_model=Twice(), pip_requirements=[])
version = mlflow.register_model(f"runs:/{run.info.run_id}/model", name)
client.set_registered_model_alias(name, "champion", version.version)
loaded = mlflow.pyfunc.load_model(f"models:/{name}@champion")
(found,) = mlflow.search_runs(experiment_names=[name], output_format="list")
told = {
    "predicted": list(loaded.predict([1, 2])),
    "found": [found.data.params, found.data.metrics],
    "text": mlflow.artifacts.load_text(f"{run.info.artifact_uri}/notes/hello.txt"),
    "seen": client.get_experiment(others).lifecycle_stage,
    "create run": refusal(client.create_run, others),
    "rename": refusal(client.rename_experiment, others, "mine now"),
    "delete": refusal(client.delete_experiment, others),
    "missing": refusal(client.get_run, "0" * 32),
}
client.delete_registered_model(name)
client.delete_experiment(run.info.experiment_id)
print(json.dumps(told))
