"""scikit-learn autologging of a real fit, with its model or without."""

import json
import sys
import time

import mlflow
import mlflow.sklearn
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

mlflow.set_experiment(sys.argv[1])
mlflow.sklearn.autolog(log_models=sys.argv[2] == "with-model")
data, target = load_iris(return_X_y=True)

started = time.monotonic()
LogisticRegression(max_iter=200).fit(data, target)
took_s = time.monotonic() - started

client = mlflow.MlflowClient()
run = client.get_run(mlflow.last_active_run().info.run_id)
print(
    json.dumps(
        {
            "status": run.info.status,
            "max_iter": run.data.params.get("max_iter"),
            "params": len(run.data.params) == len(LogisticRegression().get_params()),
            "metrics": sorted(run.data.metrics),
            "artifacts": [each.path for each in client.list_artifacts(run.info.run_id)],
            "datasets": [each.dataset.name for each in run.inputs.dataset_inputs],
            "estimator": run.data.tags.get("estimator_name"),
            "took_s": took_s,
        }
    )
)
