"""What is stored and sent, by formula: run number i holds the same values on every server."""

import math
import random
from dataclasses import dataclass
from functools import cache

SHAPES_VERSION = 2
"""Raised when the values below change, so that databases are filled anew."""
BASE_MS = 1_700_000_000_000
LEARNING_RATES = ("0.1", "0.01", "0.001", "0.0001")
DEPTHS = (18, 34, 50, 101)
TASKS = ("classify", "detect", "rank", "segment")
FILTER = "metrics.acc > 0.9 and params.lr = '0.01'"
MODEL_FILTER = "tags.team = 'team-3' and tags.task LIKE 'cl%'"
PAGE = 100


@dataclass(frozen=True, slots=True)
class RunShape:
    name: str
    start_time: int
    params: list[tuple[str, str]]
    metrics: list[tuple[str, float]]
    tags: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Width:
    """How many values a run has beyond those that the searches ask for."""

    params: int = 18
    metrics: int = 8
    tags: int = 3


WIDE = Width()
"""20 params, 10 metrics and 5 tags."""
NARROW = Width(params=2, metrics=1, tags=1)
"""For half a million runs, which must also be stored in reasonable time."""


def run_shape(index: int, width: Width = WIDE) -> RunShape:
    draw = random.Random(index * 7919).random
    params = [("lr", LEARNING_RATES[int(draw() * 4)]), ("batch_size", str(16 << int(draw() * 3)))]
    params += [(f"p{j:02d}", f"value-{j}-{index % 17}") for j in range(width.params)]
    metrics = [("acc", draw()), ("loss", draw() * 3)]
    metrics += [(f"m{j}", draw()) for j in range(width.metrics)]
    tags = [("team", f"team-{index % 13}"), ("model", f"resnet{DEPTHS[index % 4]}-v{index % 7}")]
    tags += [(f"t{j}", f"x{index % 5}") for j in range(width.tags)]
    return RunShape(f"run-{index}", BASE_MS + index * 1000, params, metrics, tags)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A registered model; its versions are the first, and the second, which is in Production."""

    name: str
    description: str
    tags: list[tuple[str, str]]

    def source(self, version: int) -> str:
        return f"s3://models/{self.name}/{version}"


def model_shape(index: int) -> ModelShape:
    tags = [("team", f"team-{index % 13}"), ("task", TASKS[index % 4])]
    tags += [(f"t{j}", f"x{index % 5}") for j in range(3)]
    return ModelShape(f"model-{index:05d}", f"number {index}", tags)


def models_expected(models: int) -> list[str]:
    """The page of names that MODEL_FILTER finds; without an order they come by name."""
    found = (index for index in range(models) if index % 13 == 3 and index % 4 == 0)
    return [model_shape(index).name for index in found][:PAGE]


@dataclass(frozen=True, slots=True)
class Search:
    """One way to ask for a page of runs, and the names that the right answer holds, in order."""

    name: str
    title: str
    body: dict[str, object]

    def expected(self, runs: int) -> list[str]:
        return [f"run-{index}" for index in _expected(self.name, runs)]


SEARCHES = (
    Search("page", "default page", {"max_results": PAGE}),
    Search(
        "filter",
        "metric and param filter, ordered by metric",
        {"max_results": PAGE, "filter": FILTER, "order_by": ["metrics.acc DESC"]},
    ),
    Search("like", "tag LIKE", {"max_results": PAGE, "filter": "tags.model LIKE '%resnet50%'"}),
)


@cache
def _expected(search: str, runs: int) -> list[int]:
    newest_first = range(runs - 1, -1, -1)
    if search == "page":
        return list(newest_first[:PAGE])
    if search == "like":
        return [index for index in newest_first if DEPTHS[index % 4] == 50][:PAGE]
    shapes = ((index, run_shape(index, NARROW)) for index in newest_first)
    found = [
        (shape.metrics[0][1], index)
        for index, shape in shapes
        if shape.metrics[0][1] > 0.9 and shape.params[0][1] == "0.01"
    ]
    return [index for _, index in sorted(found, reverse=True)[:PAGE]]


def point(index: int) -> tuple[int, int, float]:
    """Step, time and value of a training curve: noise in every digit, at uneven times."""
    noise = random.Random(index).random()
    timestamp = BASE_MS + 50 * index + index * 7919 % 41
    return index, timestamp, math.exp(-index / 200_000) + noise / 10
