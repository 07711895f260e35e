"""What a deployment guide shows a user, and whether the file comes back."""

import json
from pathlib import Path

import mlflow

Path("model.pkl").write_bytes(b"a pickle")

with mlflow.start_run() as run:
    mlflow.log_param("learning_rate", 0.01)
    mlflow.log_metric("accuracy", 0.95)
    mlflow.log_artifact("model.pkl")

path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="model.pkl")
print(json.dumps([run.info.artifact_uri.partition("/")[0], Path(path).read_text()]))
