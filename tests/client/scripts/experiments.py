"""The life of experiments: made, found, renamed, tagged, deleted, restored."""

import json
import sys

import mlflow
from mlflow.entities import ViewType

name = sys.argv[1]
client = mlflow.MlflowClient()


def brief(experiment):
    return [experiment.name.removeprefix(name), experiment.lifecycle_stage, experiment.tags]


def search(**options):
    found = client.search_experiments(filter_string=f"name LIKE '{name}%'", **options)
    return [each.name.removeprefix(name) for each in found], found.token


first = mlflow.set_experiment(name)
again = mlflow.set_experiment(name)
other = client.create_experiment(f"{name} other", tags={"team": "vision"})
client.rename_experiment(other, f"{name} renamed")
client.set_experiment_tag(other, "größe", "10 µm")

client.delete_experiment(other)
deleted = brief(client.get_experiment(other))
in_bin, _ = search(view_type=ViewType.DELETED_ONLY)
try:
    mlflow.set_experiment(f"{name} renamed")
    refused = None
except mlflow.MlflowException as error:
    refused = error.message
client.restore_experiment(other)

page, token = search(max_results=1, order_by=["name DESC"])
rest, end = search(max_results=1, order_by=["name DESC"], page_token=token)

try:
    client.create_experiment(name)
    doubled = None
except mlflow.MlflowException as error:
    doubled = [error.error_code, name in error.message]

print(
    json.dumps(
        {
            "same": first.experiment_id == again.experiment_id,
            "location": first.artifact_location == f"mlflow-artifacts:/{first.experiment_id}",
            "first": brief(first),
            "deleted": deleted,
            "in bin": in_bin,
            "refused": refused.replace(name, "NAME").replace(other, "ID"),
            "restored": brief(client.get_experiment(other)),
            "pages": [page, rest, end],
            "doubled": doubled,
            "unknown": client.get_experiment_by_name(f"{name} unknown"),
            "default": client.get_experiment("0").name,
        }
    )
)
