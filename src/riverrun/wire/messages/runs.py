from enum import StrEnum
from typing import ClassVar

import msgspec

from riverrun.entities.runs import Run, RunInfo
from riverrun.wire.message import Int32, Int64, Message, Part, RunReference
from riverrun.wire.messages.experiments import TagInput, ViewType


class RunStatus(StrEnum):
    RUNNING = "RUNNING"
    SCHEDULED = "SCHEDULED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


class CreateRun(Message, frozen=True):
    experiment_id: str | None = None
    user_id: str | None = None
    run_name: str | None = None
    start_time: Int64 | None = None
    tags: list[TagInput] | None = None


class CreateRunResponse(msgspec.Struct, frozen=True):
    run: Run


class GetRun(RunReference, frozen=True):
    required: ClassVar = ("run_id",)


class GetRunResponse(msgspec.Struct, frozen=True):
    """Written from stored documents; the struct describes it."""

    run: Run


class UpdateRun(RunReference, frozen=True):
    required: ClassVar = ("run_id",)
    status: RunStatus | None = None
    end_time: Int64 | None = None
    run_name: str | None = None


class UpdateRunResponse(msgspec.Struct, frozen=True):
    run_info: RunInfo


class DeleteRun(RunReference, frozen=True):
    required: ClassVar = ("run_id",)


class RestoreRun(RunReference, frozen=True):
    required: ClassVar = ("run_id",)


class SearchRuns(Message, frozen=True):
    experiment_ids: list[str] | None = None
    filter: str | None = None
    run_view_type: ViewType | None = None
    max_results: Int32 | None = None
    order_by: list[str] | None = None
    page_token: str | None = None


class SearchRunsResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """Written from stored documents; the struct describes it."""

    runs: list[Run] = []
    next_page_token: str | None = None


class LogMetric(RunReference, frozen=True):
    required: ClassVar = ("run_id", "key", "value", "timestamp")
    key: str | None = None
    value: float | None = None
    timestamp: Int64 | None = None
    step: Int64 | None = None
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None


class LogParam(RunReference, frozen=True):
    required: ClassVar = ("run_id", "key")
    key: str | None = None
    value: str | None = None


class SetTag(RunReference, frozen=True):
    required: ClassVar = ("run_id", "key")
    key: str | None = None
    value: str | None = None


class DeleteTag(RunReference, frozen=True):
    required: ClassVar = ("run_id", "key")
    key: str | None = None


class MetricInput(Part, frozen=True, gc=False):
    """One point as clients send it; what ties it to a model or a dataset is kept with logged
    models.
    """

    key: str
    value: float
    timestamp: Int64
    step: Int64 | None = 0
    dataset_name: str | None = None
    dataset_digest: str | None = None
    model_id: str | None = None
    run_id: str | None = None


class ParamInput(Part, frozen=True, gc=False):
    key: str
    value: str | None = None


class LogBatch(RunReference, frozen=True):
    required: ClassVar = ("run_id",)
    metrics: list[MetricInput] | None = None
    params: list[ParamInput] | None = None
    tags: list[TagInput] | None = None


class LogModel(RunReference, frozen=True):
    required: ClassVar = ("run_id", "model_json")
    model_json: str | None = None


class DatasetGiven(Part, frozen=True):
    name: str | None = None
    digest: str | None = None
    source_type: str | None = None
    source: str | None = None
    schema: str | None = None
    profile: str | None = None


class DatasetInputGiven(Part, frozen=True):
    dataset: DatasetGiven
    tags: list[TagInput] | None = None


class ModelInputGiven(Part, frozen=True):
    model_id: str


class LogInputs(RunReference, frozen=True):
    required: ClassVar = ("run_id",)
    datasets: list[DatasetInputGiven] | None = None
    models: list[ModelInputGiven] | None = None


class ModelOutputGiven(Part, frozen=True):
    model_id: str
    step: Int64 | None = None


class LogOutputs(RunReference, frozen=True):
    required: ClassVar = ("run_id", "models")
    models: list[ModelOutputGiven] | None = None
