"""What is logged to a run, singly, in batches and asynchronously, and read back."""

import json
import math
import sys
import time

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

mlflow.set_experiment(sys.argv[1])
client = mlflow.MlflowClient()


def history(run, key):
    return [
        [each.step, str(each.value)] for each in client.get_metric_history(run.info.run_id, key)
    ]


def own(tags):
    return {key: value for key, value in tags.items() if not key.startswith("mlflow.")}


def refusal(action):
    try:
        action()
    except mlflow.MlflowException as error:
        return [error.error_code, error.message.partition("\n")[0]]
    return None


with mlflow.start_run() as sync:
    mlflow.log_param("lr", 0.1)
    mlflow.log_param("lr", 0.1)  # The same value again is no error.
    mlflow.log_params({"größe": "10 µm", "empty": "", "long": "x" * 6000})
    for step, value in enumerate([1, math.nan, math.inf, -math.inf, 1e-320, 2.5]):
        mlflow.log_metric("odd", value, step=step)
    mlflow.log_metric("late", 1, step=5)
    mlflow.log_metric("late", 2, step=-3)
    mlflow.log_metrics({"a": 1, "b/ä c": 0.1}, step=7)
    mlflow.set_tag("release", "1.0")
    mlflow.set_tags({"release": "1.1", "mood": "😀"})
    changed = refusal(lambda: mlflow.log_param("lr", 0.2))
    changed_in_batch = refusal(lambda: mlflow.log_params({"lr": 0.3, "new": 1}))
    unknown_tag = refusal(lambda: mlflow.delete_tag("never"))
    bad_key = refusal(lambda: client.log_metric(sync.info.run_id, "a//b", 1))

with mlflow.start_run() as asynchronous:
    mlflow.log_params({"lr": 0.1}, synchronous=False)
    mlflow.set_tags({"release": "2"}, synchronous=False)
    waits = [mlflow.log_metric("loss", step, step=step, synchronous=False) for step in range(300)]
    waits[-1].wait()
    mlflow.flush_async_logging()

with mlflow.start_run() as batch:
    now = int(time.time() * 1000)
    client.log_batch(
        batch.info.run_id,
        metrics=[Metric(f"m{i}", i, now, 0) for i in range(2500)],
        params=[Param(f"p{i}", str(i)) for i in range(250)],
        tags=[RunTag(f"t{i}", str(i)) for i in range(250)],
    )

with mlflow.start_run() as inputs:
    dataset = Dataset("iris", "abc123", "local", json.dumps({"uri": "/data/iris.csv"}))
    client.log_inputs(
        inputs.info.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]
    )
    try:
        import pandas as pd

        frame = pd.DataFrame({"x": [1.0, 2.0], "y": [0.5, 1.5]})
        mlflow.log_input(mlflow.data.from_pandas(frame, name="frame", targets="y"), context="eval")
    except ImportError:
        pass

read = client.get_run(sync.info.run_id).data
many = client.get_run(batch.info.run_id).data
used = client.get_run(inputs.info.run_id).inputs.dataset_inputs
print(
    json.dumps(
        {
            "params": {key: value[:20] for key, value in read.params.items()},
            "long": len(read.params["long"]),
            "metrics": {key: str(value) for key, value in read.metrics.items()},
            "odd": history(sync, "odd"),
            "late": history(sync, "late"),
            "never": history(sync, "never"),
            "tags": own(read.tags),
            "changed": [str(part).replace(sync.info.run_id, "RUN") for part in changed],
            "changed in batch": changed_in_batch[0],
            "unknown tag": [str(part).replace(sync.info.run_id, "RUN") for part in unknown_tag],
            "bad key": bad_key[0],
            "asynchronous": [
                client.get_run(asynchronous.info.run_id).data.params,
                own(client.get_run(asynchronous.info.run_id).data.tags),
                history(asynchronous, "loss") == [[step, f"{step}.0"] for step in range(300)],
            ],
            "batch": [
                many.metrics == {f"m{i}": i for i in range(2500)},
                many.params == {f"p{i}": str(i) for i in range(250)},
                own(many.tags) == {f"t{i}": str(i) for i in range(250)},
            ],
            "inputs": sorted(
                [each.dataset.name, each.dataset.source_type, each.tags[0].key, each.tags[0].value]
                for each in used
            ),
        }
    )
)
