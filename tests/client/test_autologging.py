"""A real fit of scikit-learn, logged by itself."""

from pathlib import Path

import pytest
from tests.fixtures.environments import FULL_CLIENTS, Environment, complaints
from tests.fixtures.server import Server

pytestmark = pytest.mark.client

METRICS = [
    "training_accuracy_score",
    "training_f1_score",
    "training_log_loss",
    "training_precision_score",
    "training_recall_score",
    "training_roc_auc",
    "training_score",
]


@pytest.mark.parametrize("client", FULL_CLIENTS, indirect=True)
def test_a_fit_is_logged_with_its_model_and_registered(
    client: Environment, server: Server, tmp_path: Path
):
    # 2.x keeps the model among the run's artifacts; since 3.0 it is a logged model of its own.
    model = ["model"] if client.name == "mlflow-2.22" else []
    name = f"model {client.name}"
    ended = client.run("autologging.py", name, "with-model", url=server.url, folder=tmp_path)
    assert ended.told.pop("took_s") < 60
    assert ended.told == {
        **fitted(["estimator.html", *model, "training_confusion_matrix.png"]),
        "predicts": True,
        "registered": ["1", True],
    }
    assert complaints(ended.warnings) == []


@pytest.mark.parametrize("client", ["mlflow-2.22", "mlflow-newest"], indirect=True)
def test_a_fit_is_logged_without_its_model(client: Environment, server: Server, tmp_path: Path):
    name = f"no model {client.name}"
    ended = client.run("autologging.py", name, "without-model", url=server.url, folder=tmp_path)
    assert ended.told.pop("took_s") < 30
    assert ended.told == {
        **fitted(["estimator.html", "training_confusion_matrix.png"]),
        "predicts": None,
        "registered": None,
    }
    assert complaints(ended.warnings) == []


def fitted(artifacts: list[str]) -> dict[str, object]:
    return {
        "status": "FINISHED",
        "max_iter": "200",
        "params": True,
        "metrics": METRICS,
        "artifacts": artifacts,
        "datasets": ["dataset"],
        "estimator": "LogisticRegression",
    }
