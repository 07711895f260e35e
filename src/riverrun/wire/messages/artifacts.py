from typing import ClassVar

import msgspec

from riverrun.entities.artifacts import FileInfo
from riverrun.wire.message import Int64, Message, Part, RunReference


class ListArtifacts(RunReference, frozen=True):
    required: ClassVar = ("run_id",)
    path: str | None = None
    page_token: str | None = None


class ListArtifactsResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    root_uri: str
    files: list[FileInfo] = []


class ListProxiedArtifacts(Message, frozen=True):
    path: str | None = None


class ListProxiedArtifactsResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    files: list[FileInfo] = []


class CreateMultipartUpload(Message, frozen=True):
    required: ClassVar = ("path", "num_parts")
    path: str | None = None
    num_parts: Int64 | None = None


class MultipartUploadPart(Part, frozen=True):
    part_number: Int64 | None = None
    etag: str | None = None
    url: str | None = None


class CompleteMultipartUpload(Message, frozen=True):
    required: ClassVar = ("path", "parts")
    path: str | None = None
    upload_id: str | None = None
    parts: list[MultipartUploadPart] | None = None


class AbortMultipartUpload(Message, frozen=True):
    required: ClassVar = ("path",)
    path: str | None = None
    upload_id: str | None = None


class CreatePresignedUploadUrl(RunReference, frozen=True):
    required: ClassVar = ("path",)
    path: str | None = None
    expiration: Int64 | None = None
    model_id: str | None = None


class CreatePresignedDownloadUrl(RunReference, frozen=True):
    required: ClassVar = ("run_id", "path")
    path: str | None = None
    expiration: Int64 | None = None


class GetArtifact(RunReference, frozen=True):
    """`/get-artifact`, a direct link to one file of a run."""

    required: ClassVar = ("run_id", "path")
    path: str | None = None


class ListLoggedModelArtifacts(Message, frozen=True):
    """The model is the path's."""

    model_id: str = ""
    artifact_directory_path: str | None = None
    page_token: str | None = None


class GetLoggedModelArtifact(Message, frozen=True):
    required: ClassVar = ("artifact_file_path",)
    model_id: str = ""
    artifact_file_path: str | None = None
