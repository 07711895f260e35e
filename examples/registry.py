"""Train & log, register, stage, deploy, monitor: a model's way, with mlflow's own client.

    riverrun server                     # in another terminal: http://127.0.0.1:5000
    pip install mlflow scikit-learn     # 3.x; with 2.x, write artifact_path="model" below
    python examples/registry.py
    python examples/monitor.py          # a week later

Run it again and a second version takes the first one's place.
"""

import os

import mlflow
import mlflow.sklearn
from mlflow.models import infer_signature
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MODEL = "wine"

mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000"))
mlflow.set_experiment("wine")
client = mlflow.MlflowClient()
data, target = load_wine(return_X_y=True, as_frame=True)
train_x, test_x, train_y, test_y = train_test_split(data, target, random_state=7)

# 1. Train & log: the run keeps what went in and what came out, and the model itself.
with mlflow.start_run(run_name="logistic regression"):
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.5))
    classifier.fit(train_x, train_y)
    mlflow.log_param("C", 0.5)
    mlflow.log_metric("accuracy", classifier.score(test_x, test_y))
    logged = mlflow.sklearn.log_model(
        classifier, name="model", signature=infer_signature(train_x, classifier.predict(train_x))
    )

# 2. Register: the model gets a name that others use, and its next number.
version = mlflow.register_model(logged.model_uri, MODEL).version
client.update_registered_model(MODEL, "Which of three growers made the wine?")
client.update_model_version(MODEL, version, "Scaled inputs, C = 0.5")
client.set_model_version_tag(MODEL, version, "data", "sklearn's wine")

# 3. Stage: try it in Staging, then promote it; whatever was in Production is archived.
client.transition_model_version_stage(MODEL, version, "Staging")
candidate = mlflow.pyfunc.load_model(f"models:/{MODEL}/Staging")
assert (candidate.predict(test_x) == classifier.predict(test_x)).all()
client.transition_model_version_stage(MODEL, version, "Production", archive_existing_versions=True)
client.set_registered_model_alias(MODEL, "champion", version)  # What newer scripts use instead.

# 4. Deploy: a service knows the name and the stage, or the alias, and no number.
service = mlflow.pyfunc.load_model(f"models:/{MODEL}/Production")
answers = service.predict(test_x)

# 5. Monitor: a run with this tag says how the version does; monitor.py has more of it.
with mlflow.start_run(
    run_name="first day", tags={"riverrun.monitors": f"models:/{MODEL}/{version}"}
):
    mlflow.log_metric("accuracy", (answers == test_y).mean())

print(f"{MODEL} {version} is in Production")
