"""Watch a deployed model: log how it does day by day, and read that beside its training run.

    python examples/registry.py              # trains, registers and deploys wine
    python examples/monitor.py [VERSION]     # watches this version, or the one in Production

A run watches a version when its tag `riverrun.monitors` names it. The client needs nothing new for
that; the server finds the runs of a version, of whatever experiment, in one call.
"""

import os
import sys

import mlflow
import numpy as np
import requests
from sklearn.datasets import load_wine

MODEL, DAYS = "wine", 7

server = os.environ.get("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
mlflow.set_tracking_uri(server)
mlflow.set_experiment("wine in service")
client = mlflow.MlflowClient()
if len(sys.argv) > 1:
    version = sys.argv[1]
else:
    [newest] = client.get_latest_versions(MODEL, ["Production"])
    version = newest.version

# Each day brings new inputs, a little further from those of the training, and later the truth.
model = mlflow.pyfunc.load_model(f"models:/{MODEL}/{version}")
data, target = load_wine(return_X_y=True, as_frame=True)
spread, draw = data.std().to_numpy(), np.random.default_rng(7)
with mlflow.start_run(run_name="week", tags={"riverrun.monitors": f"models:/{MODEL}/{version}"}):
    for day in range(DAYS):
        today = data + spread * draw.normal(0.3 * day, 0.3, data.shape)
        mlflow.log_metric("accuracy", (model.predict(today) == target).mean(), step=day)
        mlflow.log_metric("rows", len(today), step=day)

answer = requests.get(
    f"{server}/api/riverrun/v1/model-versions/monitoring",
    params={"name": MODEL, "version": version},
    timeout=10,
)
answer.raise_for_status()
found = answer.json()


def accuracy(run):
    points = client.get_metric_history(run["info"]["run_id"], "accuracy")
    return " ".join(f"{point.value:.3f}" for point in points)


print(f"{MODEL} {version}, accuracy")
print(f"{'trained':12} {accuracy(found['run'])}")
for run in found["monitoring_runs"][:1]:  # The newest first.
    print(f"{'in service':12} {accuracy(run)}")
