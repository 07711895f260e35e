"""Logs step after step until the file `stop` appears, whatever happens to the server meanwhile."""

import json
import sys
import time
from pathlib import Path

import mlflow

mlflow.set_experiment(sys.argv[1])
slowest_s = 0.0
step = 0
with mlflow.start_run() as run:
    while not Path("stop").exists():
        started = time.monotonic()
        mlflow.log_metric("loss", step, step=step)
        slowest_s = max(slowest_s, time.monotonic() - started)
        step += 1
        if step == 20:
            Path("started").touch()

history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
print(
    json.dumps(
        {
            "complete": [(each.step, each.value) for each in history]
            == [(each, each) for each in range(step)],
            "steps": step,
            "slowest_s": slowest_s,
            "status": mlflow.get_run(run.info.run_id).info.status,
        }
    )
)
