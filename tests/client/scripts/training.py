"""A training loop of 100 000 steps in batches of a thousand, and one of 2000 single calls."""

import json
import sys
import time

import mlflow
from mlflow.entities import Metric

STEPS, BATCH, SINGLE_STEPS = 100_000, 1000, 2000

mlflow.set_experiment(sys.argv[1])
client = mlflow.MlflowClient()
started_ms = 1_700_000_000_000


def loss(step):
    return 1 / (step + 1) + (step % 7) * 1e-3


def clocked(action):
    started = time.monotonic()
    result = action()
    return result, round(time.monotonic() - started, 2)


def log_batches(run_id):
    for first in range(0, STEPS, BATCH):
        steps = range(first, first + BATCH)
        client.log_batch(
            run_id, metrics=[Metric("loss", loss(step), started_ms + step, step) for step in steps]
        )


def log_singly():
    for step in range(SINGLE_STEPS):
        mlflow.log_metric("single", loss(step), step=step)


with mlflow.start_run() as run:
    run_id = run.info.run_id
    _, batches_s = clocked(lambda: log_batches(run_id))
    _, single_s = clocked(log_singly)

history, read_s = clocked(lambda: client.get_metric_history(run_id, "loss"))
single = client.get_metric_history(run_id, "single")
print(
    json.dumps(
        {
            "points": len(history),
            "exact": [(each.step, each.value, each.timestamp) for each in history]
            == [(step, loss(step), started_ms + step) for step in range(STEPS)],
            "single points": len(single),
            "single exact": [(each.step, each.value) for each in single]
            == [(step, loss(step)) for step in range(SINGLE_STEPS)],
            "latest": client.get_run(run_id).data.metrics
            == {"loss": loss(STEPS - 1), "single": loss(SINGLE_STEPS - 1)},
            "seconds": {"batches": batches_s, "single": single_s, "read": read_s},
        }
    )
)
