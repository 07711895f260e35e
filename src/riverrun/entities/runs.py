import msgspec

from riverrun.entities.datasets import DatasetInput
from riverrun.entities.metrics import Metric


class Param(msgspec.Struct, frozen=True, gc=False):
    key: str
    value: str


class RunTag(msgspec.Struct, frozen=True, gc=False):
    key: str
    value: str


class RunInfo(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Times are milliseconds since the epoch; `run_uuid` repeats `run_id` for old clients."""

    run_id: str
    run_uuid: str
    run_name: str
    experiment_id: str
    user_id: str
    status: str
    start_time: int
    artifact_uri: str
    lifecycle_stage: str
    end_time: int | None = None


class RunData(msgspec.Struct, frozen=True, omit_defaults=True):
    metrics: list[Metric] = []
    params: list[Param] = []
    tags: list[RunTag] = []


class ModelInput(msgspec.Struct, frozen=True, gc=False):
    model_id: str


class ModelOutput(msgspec.Struct, frozen=True, gc=False):
    model_id: str
    step: int


class RunInputs(msgspec.Struct, frozen=True, omit_defaults=True):
    dataset_inputs: list[DatasetInput] = []
    model_inputs: list[ModelInput] = []


class RunOutputs(msgspec.Struct, frozen=True, omit_defaults=True):
    model_outputs: list[ModelOutput] = []


class Run(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a creation has no `outputs`, as upstream's."""

    info: RunInfo
    data: RunData
    inputs: RunInputs
    outputs: RunOutputs | None = None
