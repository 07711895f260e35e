"""Files and a model straight to and from a bucket, with the client's own credentials."""

import json
import sys
from pathlib import Path

import mlflow
import mlflow.sklearn
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

mlflow.set_experiment(sys.argv[1])
data, target = load_iris(return_X_y=True)
fitted = LogisticRegression(max_iter=200).fit(data, target)
is_old = mlflow.__version__.startswith("2.")
# Without these a release guesses for long, or complains.
given = {"pip_requirements": ["scikit-learn"], "signature": infer_signature(data)}
given["artifact_path" if is_old else "name"] = "model"

folder = Path("files")
(folder / "deep").mkdir(parents=True)
(folder / "deep/empty.bin").touch()
(folder / "large.bin").write_bytes(bytes(range(256)) * 40_000)
with mlflow.start_run() as run:
    mlflow.log_artifacts("files", "files")
    mlflow.log_text("h\u00e9llo", "notes/a b.txt")
    model = mlflow.sklearn.log_model(fitted, **given)

run_id = run.info.run_id
client = mlflow.MlflowClient()
tree = Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="files"))
loaded = mlflow.sklearn.load_model(model.model_uri)
print(
    json.dumps(
        {
            "run_id": run_id,
            "uri": run.info.artifact_uri,
            "model_id": None if is_old else model.model_id,
            "root": [[each.path, each.is_dir] for each in client.list_artifacts(run_id)],
            "files": [
                [each.path, each.is_dir, each.file_size]
                for each in client.list_artifacts(run_id, "files")
            ],
            "text": mlflow.artifacts.load_text(f"{run.info.artifact_uri}/notes/a b.txt"),
            "same": (tree / "large.bin").read_bytes() == (folder / "large.bin").read_bytes(),
            "empty": (tree / "deep/empty.bin").read_bytes() == b"",
            "predicts": (loaded.predict(data) == fitted.predict(data)).all().item(),
        }
    )
)
