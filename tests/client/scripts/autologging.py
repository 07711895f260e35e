"""scikit-learn autologging of a real fit, with its model, which it also registers, or without."""

import json
import sys
import time

import mlflow
import mlflow.sklearn
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

mlflow.set_experiment(sys.argv[1])
with_model = sys.argv[2] == "with-model"
mlflow.sklearn.autolog(
    log_models=with_model, registered_model_name=sys.argv[1] if with_model else None
)
data, target = load_iris(return_X_y=True)

started = time.monotonic()
fitted = LogisticRegression(max_iter=200).fit(data, target)
took_s = time.monotonic() - started

client = mlflow.MlflowClient()
mlflow.sklearn.autolog(disable=True)
run = client.get_run(mlflow.last_active_run().info.run_id)


def predicts_the_same():
    loaded = mlflow.sklearn.load_model(f"runs:/{run.info.run_id}/model")
    return (loaded.predict(data) == fitted.predict(data)).tolist() == [True] * len(data)


def registered():
    [version] = client.search_model_versions(f"name = '{sys.argv[1]}'")
    return [version.version, version.run_id == run.info.run_id]


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
            "predicts": predicts_the_same() if with_model else None,
            "registered": registered() if with_model else None,
            "took_s": took_s,
        }
    )
)
