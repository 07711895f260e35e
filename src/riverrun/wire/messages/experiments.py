from enum import StrEnum
from typing import ClassVar

import msgspec

from riverrun.entities.datasets import DatasetSummary
from riverrun.entities.experiments import Experiment
from riverrun.wire.message import Int64, Message, Part


class ViewType(StrEnum):
    ACTIVE_ONLY = "ACTIVE_ONLY"
    DELETED_ONLY = "DELETED_ONLY"
    ALL = "ALL"


class TagInput(Part, frozen=True):
    """A tag of an experiment or a run; a missing value is the empty text."""

    key: str
    value: str | None = None


class CreateExperiment(Message, frozen=True):
    required: ClassVar = ("name",)
    name: str | None = None
    artifact_location: str | None = None
    tags: list[TagInput] | None = None


class CreateExperimentResponse(msgspec.Struct, frozen=True):
    experiment_id: str


class GetExperiment(Message, frozen=True):
    required: ClassVar = ("experiment_id",)
    experiment_id: str | None = None


class GetExperimentByName(Message, frozen=True):
    required: ClassVar = ("experiment_name",)
    experiment_name: str | None = None


class GetExperimentResponse(msgspec.Struct, frozen=True):
    experiment: Experiment


class SearchExperiments(Message, frozen=True):
    """`max_results` has no default: leaving it out is an error, as it is upstream."""

    max_results: Int64 | None = None
    page_token: str | None = None
    filter: str | None = None
    order_by: list[str] | None = None
    view_type: ViewType | None = None


class SearchExperimentsResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    experiments: list[Experiment] = []
    next_page_token: str | None = None


class UpdateExperiment(Message, frozen=True):
    required: ClassVar = ("experiment_id", "new_name")
    experiment_id: str | None = None
    new_name: str | None = None


class DeleteExperiment(GetExperiment, frozen=True):
    pass


class RestoreExperiment(GetExperiment, frozen=True):
    pass


class SetExperimentTag(Message, frozen=True):
    required: ClassVar = ("experiment_id", "key")
    experiment_id: str | None = None
    key: str | None = None
    value: str | None = None


class DeleteExperimentTag(Message, frozen=True):
    required: ClassVar = ("experiment_id", "key")
    experiment_id: str | None = None
    key: str | None = None


class SearchDatasets(Message, frozen=True):
    experiment_ids: list[str] | None = None


class SearchDatasetsResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    dataset_summaries: list[DatasetSummary] = []


class GetExperimentStorage(Message, frozen=True):
    """`experiment_id` comes from the path."""

    experiment_id: str = ""


class ExperimentStorageResponse(msgspec.Struct, frozen=True):
    """What the files of an experiment take now, those of deleted runs included."""

    files: int
    size_bytes: int
