"""Logged models. In most paths the model is named by the path; two calls repeat it in the body."""

from enum import StrEnum
from typing import ClassVar

import msgspec

from riverrun.entities.logged_models import LoggedModel
from riverrun.wire.message import Int32, Message, Part
from riverrun.wire.messages.experiments import TagInput


class LoggedModelStatus(StrEnum):
    LOGGED_MODEL_PENDING = "LOGGED_MODEL_PENDING"
    LOGGED_MODEL_READY = "LOGGED_MODEL_READY"
    LOGGED_MODEL_UPLOAD_FAILED = "LOGGED_MODEL_UPLOAD_FAILED"


class LoggedModelParameterInput(Part, frozen=True, gc=False):
    key: str
    value: str | None = None


class LoggedModelResponse(msgspec.Struct, frozen=True):
    model: LoggedModel


class CreateLoggedModel(Message, frozen=True):
    required: ClassVar = ("experiment_id",)
    experiment_id: str | None = None
    name: str | None = None
    model_type: str | None = None
    source_run_id: str | None = None
    params: list[LoggedModelParameterInput] | None = None
    tags: list[TagInput] | None = None


class GetLoggedModel(Message, frozen=True):
    model_id: str = ""
    allow_deleted: bool | None = None


class FinalizeLoggedModel(Message, frozen=True):
    required: ClassVar = ("model_id", "status")
    model_id: str = ""
    status: LoggedModelStatus | None = None


class DeleteLoggedModel(Message, frozen=True):
    model_id: str = ""


class SetLoggedModelTags(Message, frozen=True):
    model_id: str = ""
    tags: list[TagInput] | None = None


class DeleteLoggedModelTag(Message, frozen=True):
    model_id: str = ""
    tag_key: str = ""


class LogLoggedModelParams(Message, frozen=True):
    required: ClassVar = ("model_id",)
    model_id: str = ""
    params: list[LoggedModelParameterInput] | None = None


class LoggedModelOrder(Part, frozen=True):
    """`field_name` is an attribute or `metrics.<key>`; a dataset limits which values count."""

    field_name: str | None = None
    ascending: bool | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None


class LoggedModelDataset(Part, frozen=True):
    dataset_name: str | None = None
    dataset_digest: str | None = None


class SearchLoggedModels(Message, frozen=True):
    experiment_ids: list[str] | None = None
    filter: str | None = None
    datasets: list[LoggedModelDataset] | None = None
    max_results: Int32 | None = None
    order_by: list[LoggedModelOrder] | None = None
    page_token: str | None = None


class SearchLoggedModelsResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    models: list[LoggedModel] = []
    next_page_token: str | None = None
