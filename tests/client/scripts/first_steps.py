"""What a newcomer does first."""

import json
import sys
from pathlib import Path

import mlflow

experiment = mlflow.set_experiment(sys.argv[1])
with mlflow.start_run(run_name="first") as run:
    mlflow.log_param("lr", 0.1)
    mlflow.log_metric("loss", 0.5)
    mlflow.log_text("hello", "notes/hello.txt")

path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="notes/hello.txt")
[found] = mlflow.search_runs([experiment.experiment_id], output_format="list")
print(
    json.dumps(
        {
            "name": found.info.run_name,
            "params": found.data.params,
            "metrics": found.data.metrics,
            "artifact": Path(path).read_text(),
        }
    )
)
