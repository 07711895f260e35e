"""Logs so many steps, as quickly as the server lets it."""

import json
import sys
import time

import mlflow

steps = int(sys.argv[1])
started = time.monotonic()
with mlflow.start_run() as run:
    for step in range(steps):
        mlflow.log_metric("loss", step, step=step)
history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
print(json.dumps({"steps": [each.step for each in history], "s": time.monotonic() - started}))
