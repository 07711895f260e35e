"""The life of runs: nested, ended in every way, renamed, deleted, restored, searched."""

import json
import sys
from contextlib import suppress
from importlib.util import find_spec

import mlflow
from mlflow.entities import ViewType

name = sys.argv[1]
experiment = mlflow.set_experiment(name)
client = mlflow.MlflowClient()

with mlflow.start_run(
    run_name="parent", description="two children", tags={"kind": "sweep"}
) as parent:
    for lr in (0.1, 0.01):
        with mlflow.start_run(run_name=f"child {lr}", nested=True) as child:
            mlflow.log_param("lr", lr)
            mlflow.log_metric("loss", lr * 2)

with suppress(ZeroDivisionError), mlflow.start_run(run_name="broken") as broken:
    mlflow.log_metric("ratio", 1 / 0)

killed = mlflow.start_run(run_name="killed")
mlflow.end_run("KILLED")

with mlflow.start_run(run_id=child.info.run_id):
    mlflow.log_metric("loss", 0.5, step=1)
    mlflow.set_tag("resumed", "yes")
    mlflow.set_tag("passing", "by")
    mlflow.delete_tag("passing")
    while_running = client.get_run(child.info.run_id).info.status

client.update_run(killed.info.run_id, name="stopped")
client.delete_run(broken.info.run_id)
deleted = client.get_run(broken.info.run_id).info.lifecycle_stage


def search(**options):
    found = mlflow.search_runs([experiment.experiment_id], output_format="list", **options)
    return sorted(run.info.run_name for run in found)


def listed():
    return {
        "active": search(),
        "deleted": search(run_view_type=ViewType.DELETED_ONLY),
        "filtered": search(filter_string="metrics.loss < 0.4 AND params.lr = '0.1'"),
        "children": search(filter_string=f"tags.mlflow.parentRunId = '{parent.info.run_id}'"),
        "killed": search(filter_string="attributes.status = 'KILLED'"),
    }


def ordered_pages():
    options = {
        "max_results": 1,
        "order_by": ["metrics.loss DESC"],
        "filter_string": "params.lr != ''",
    }
    ids = [experiment.experiment_id]
    first = client.search_runs(ids, **options)
    second = client.search_runs(ids, **options, page_token=first.token)
    return [run.info.run_name for run in [*first, *second]], second.token


def frame():
    """Rows as the DataFrame has them, where pandas is there."""
    if find_spec("pandas") is None:
        return None
    found = mlflow.search_runs(
        [experiment.experiment_id], order_by=["params.lr ASC"], max_results=2
    )
    columns = ["status", "params.lr", "metrics.loss", "tags.mlflow.runName"]
    return [len(found), str(found["start_time"].dtype)[:10], found[columns].to_numpy().tolist()]


before = listed()
client.restore_run(broken.info.run_id)
info = client.get_run(parent.info.run_id).info
system_tags = client.get_run(parent.info.run_id).data.tags

print(
    json.dumps(
        {
            "statuses": {
                run.info.run_name: run.info.status
                for run in client.search_runs([experiment.experiment_id])
            },
            "while running": while_running,
            "ended after it started": info.end_time >= info.start_time,
            "location": info.artifact_uri
            == f"mlflow-artifacts:/{experiment.experiment_id}/{info.run_id}/artifacts",
            "parent of child": client.get_parent_run(child.info.run_id).info.run_id == info.run_id,
            "tags": {
                key: system_tags.get(key)
                for key in ("kind", "mlflow.note.content", "mlflow.runName", "mlflow.source.type")
            },
            "resumed tags": {
                key: value
                for key, value in client.get_run(child.info.run_id).data.tags.items()
                if not key.startswith("mlflow.")
            },
            "deleted": deleted,
            "listed": before,
            "restored": client.get_run(broken.info.run_id).info.lifecycle_stage,
            "pages": ordered_pages(),
            "frame": frame(),
        }
    )
)
