"""Registered models and their versions. Tags of both, and of experiments, have one shape."""

from typing import ClassVar

import msgspec

from riverrun.entities.experiments import Experiment
from riverrun.entities.logged_models import LoggedModelInfo
from riverrun.entities.registry import ModelVersion, RegisteredModel, RegistryChange
from riverrun.entities.runs import Run
from riverrun.wire.message import Int64, Message
from riverrun.wire.messages.experiments import TagInput


class ModelName(Message, frozen=True):
    """What names a registered model, and nothing else."""

    required: ClassVar = ("name",)
    name: str | None = None

    @property
    def model(self) -> str:
        return self.name or ""


class RegisteredModelResponse(msgspec.Struct, frozen=True):
    registered_model: RegisteredModel


class CreateRegisteredModel(ModelName, frozen=True):
    """`deployment_job_id` means something on Databricks only."""

    tags: list[TagInput] | None = None
    description: str | None = None
    deployment_job_id: str | None = None


class RenameRegisteredModel(ModelName, frozen=True):
    required: ClassVar = ("name", "new_name")
    new_name: str | None = None


class UpdateRegisteredModel(ModelName, frozen=True):
    description: str | None = None
    deployment_job_id: str | None = None


class SearchRegisteredModels(Message, frozen=True):
    filter: str | None = None
    max_results: Int64 | None = None
    order_by: list[str] | None = None
    page_token: str | None = None


class SearchRegisteredModelsResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    registered_models: list[RegisteredModel] = []
    next_page_token: str | None = None


class GetLatestVersions(ModelName, frozen=True):
    stages: list[str] | None = None


class ModelVersionsResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    model_versions: list[ModelVersion] = []


class SetRegisteredModelTag(ModelName, frozen=True):
    required: ClassVar = ("name", "key")
    key: str | None = None
    value: str | None = None


class DeleteRegisteredModelTag(ModelName, frozen=True):
    required: ClassVar = ("name", "key")
    key: str | None = None


class ModelAlias(ModelName, frozen=True):
    required: ClassVar = ("name", "alias")
    alias: str | None = None


class SetRegisteredModelAlias(ModelName, frozen=True):
    required: ClassVar = ("name", "alias", "version")
    alias: str | None = None
    version: str | None = None


class CreateModelVersion(ModelName, frozen=True):
    required: ClassVar = ("name", "source")
    source: str | None = None
    run_id: str | None = None
    tags: list[TagInput] | None = None
    run_link: str | None = None
    description: str | None = None
    model_id: str | None = None


class ModelVersionResponse(msgspec.Struct, frozen=True):
    model_version: ModelVersion


class VersionName(ModelName, frozen=True):
    """What names a version, and nothing else."""

    required: ClassVar = ("name", "version")
    version: str | None = None

    @property
    def number(self) -> str:
        return self.version or ""


class UpdateModelVersion(VersionName, frozen=True):
    description: str | None = None


class TransitionModelVersionStage(VersionName, frozen=True):
    required: ClassVar = ("name", "version", "stage")
    stage: str | None = None
    archive_existing_versions: bool | None = None


class SearchModelVersionsResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    model_versions: list[ModelVersion] = []
    next_page_token: str | None = None


class GetModelVersionDownloadUriResponse(msgspec.Struct, frozen=True):
    artifact_uri: str


class SetModelVersionTag(VersionName, frozen=True):
    required: ClassVar = ("name", "version", "key")
    key: str | None = None
    value: str | None = None


class DeleteModelVersionTag(VersionName, frozen=True):
    required: ClassVar = ("name", "version", "key")
    key: str | None = None


class GetModelVersionArtifact(VersionName, frozen=True):
    required: ClassVar = ("name", "version", "path")
    path: str | None = None


# Riverrun's own -----------------------------------------------------------------------------------


class GetRegistryHistory(Message, frozen=True):
    """`name` comes from the path."""

    name: str = ""
    max_results: Int64 | None = None
    page_token: str | None = None


class RegistryHistoryResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    changes: list[RegistryChange] = []
    next_page_token: str | None = None


class ModelVersionLineageResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """Datasets are among the run's inputs."""

    model_version: ModelVersion
    run: Run | None = None
    experiment: Experiment | None = None
    logged_model: LoggedModelInfo | None = None


class ModelVersionMonitoringResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """`run` made the version; `monitoring_runs` watch it, the newest first."""

    model_version: ModelVersion
    run: Run | None = None
    monitoring_runs: list[Run] = []


class RunVersions(Message, frozen=True):
    """`run_id` comes from the path."""

    run_id: str = ""


class LoggedModelVersions(Message, frozen=True):
    """`model_id` comes from the path."""

    model_id: str = ""
