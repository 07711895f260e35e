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


class MultipartUploadCredential(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the client puts one part, with the headers that it must send."""

    url: str
    part_number: int
    headers: dict[str, str] = {}


class CreateMultipartUploadResponse(msgspec.Struct, frozen=True):
    upload_id: str
    credentials: list[MultipartUploadCredential]


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


class GetPresignedDownloadUrlResponse(msgspec.Struct, frozen=True):
    url: str
    headers: dict[str, str]
    file_size: int


class CreatePresignedUploadUrl(RunReference, frozen=True):
    required: ClassVar = ("path",)
    path: str | None = None
    expiration: Int64 | None = None
    model_id: str | None = None


class CreatePresignedUploadUrlResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    presigned_url: str
    headers: dict[str, str] = {}


class CreatePresignedDownloadUrl(RunReference, frozen=True):
    required: ClassVar = ("run_id", "path")
    path: str | None = None
    expiration: Int64 | None = None


class CreatePresignedDownloadUrlResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    presigned_url: str
    headers: dict[str, str] = {}
    file_size: int | None = None


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


class GetRunArchive(Message, frozen=True):
    """The run is the path's."""

    run_id: str = ""
    path: str | None = None


class GetLoggedModelArchive(Message, frozen=True):
    """The model is the path's."""

    model_id: str = ""
    path: str | None = None
