"""Train and log, register, promote; and in another process load by every kind of URI and predict.

workflow.py train NAME
workflow.py serve URI …
"""

import json
import sys

import mlflow
import mlflow.sklearn
from mlflow.models import infer_signature
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

data, target = load_diabetes(return_X_y=True)
place = "artifact_path" if mlflow.__version__.startswith("2.") else "name"


def train(estimator, flavor, requirement, **options):
    """The run, what log_model says, and the first prediction."""
    with mlflow.start_run() as run:
        fitted = estimator.fit(data, target)
        mlflow.log_metric("r2", fitted.score(data, target))
        info = flavor.log_model(
            fitted,
            signature=infer_signature(data, fitted.predict(data)),
            pip_requirements=[requirement],
            **{place: "model"},
            **options,
        )
    return run.info.run_id, info, float(fitted.predict(data[:1])[0])


def train_all(name):
    import mlflow.xgboost
    from xgboost import XGBRegressor

    mlflow.set_experiment(name)
    client = mlflow.MlflowClient()
    first_run, _, first = train(Ridge(1), mlflow.sklearn, "scikit-learn")
    mlflow.register_model(f"runs:/{first_run}/model", name)
    second_run, _, second = train(
        Ridge(10), mlflow.sklearn, "scikit-learn", registered_model_name=name
    )
    third_run, info, third = train(Ridge(100), mlflow.sklearn, "scikit-learn")
    made = mlflow.register_model(info.model_uri, name, tags={"penalty": "high"})
    trees = f"{name} trees"
    trees_run, _, boosted = train(
        XGBRegressor(n_estimators=5), mlflow.xgboost, "xgboost-cpu", registered_model_name=trees
    )

    client.update_registered_model(name, "Progression of diabetes")
    client.set_model_version_tag(name, "2", "checked", "yes")
    for version, stage in (("1", "Production"), ("2", "Staging")):
        client.transition_model_version_stage(name, version, stage)
    client.transition_model_version_stage(name, "2", "Production", archive_existing_versions=True)
    client.set_registered_model_alias(name, "champion", "1")
    client.copy_model_version(f"models:/{name}/2", f"{name} copy")
    return {
        "version": [made.version, made.run_id == third_run, made.tags],
        "runs": [first_run, second_run, third_run, trees_run],
        "model_id": getattr(info, "model_id", None),
        "predictions": [first, second, third, boosted],
    }


def serve(uris):
    return {uri: float(mlflow.pyfunc.load_model(uri).predict(data[:1])[0]) for uri in uris}


print(json.dumps(train_all(sys.argv[2]) if sys.argv[1] == "train" else serve(sys.argv[2:])))
