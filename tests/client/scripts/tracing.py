"""A traced function inside a run; the traces themselves are not kept by the server yet."""

import json
import sys

import mlflow

mlflow.set_experiment(sys.argv[1])


@mlflow.trace
def double(value):
    with mlflow.start_span("inner"):
        return value * 2


with mlflow.start_run() as run:
    mlflow.log_metric("answer", double(21))

read = mlflow.MlflowClient().get_run(run.info.run_id)
print(json.dumps({"status": read.info.status, "metrics": read.data.metrics}))
