"""What every artifact store does, whatever holds the bytes.

Paths are relative, checked by `paths.safe_path` in every method, and separated by `/`; the empty
path is the root of the store. A store on a file system has real directories; one on objects has a
directory wherever a name below it exists. So an empty directory may stay listed in the former, and
the latter need not notice that one name is asked to be both a file and a directory.
"""

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from riverrun.errors import (
    InvalidParameterValue,
    NotImplementedHere,
    ResourceDoesNotExist,
    TemporarilyUnavailable,
)


class ArtifactNotFound(ResourceDoesNotExist):
    def __init__(self, path: str) -> None:
        super().__init__(f"No such artifact: '{path}'")  # Upstream's words, as the next one's.


class ArtifactIsDirectory(InvalidParameterValue):
    def __init__(self, path: str) -> None:
        super().__init__(f"Artifact path refers to a directory, not a file: '{path}'")


class ArtifactParentIsFile(InvalidParameterValue):
    def __init__(self, path: str) -> None:
        super().__init__(f"Artifact path goes through something that is no directory: '{path}'")


class InvalidArtifactPath(InvalidParameterValue):
    def __init__(self, reason: str) -> None:
        super().__init__(f"Invalid path: {reason}")


class ArtifactChanged(TemporarilyUnavailable):
    def __init__(self, path: str) -> None:
        super().__init__(f"Artifact was replaced while it was being read, read it again: '{path}'")


class NoSpaceForArtifacts(TemporarilyUnavailable):
    def __init__(self) -> None:
        super().__init__("The artifact store is full; the file was not stored", retry_after_s=30)


class ArtifactStoreUnavailable(TemporarilyUnavailable):
    def __init__(self, reason: str) -> None:
        super().__init__(f"The artifact store {reason}", retry_after_s=30)


READ_BYTES_MAX = 512 * 1024
PAGE = 1_000
"""Entries of a listing that are handed over together."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """`name` is the last segment of the path; a directory has size 0, no time and no etag.

    `etag` is a strong HTTP entity tag with its quotes: two files of the same name and etag hold the
    same bytes.
    """

    name: str
    is_dir: bool
    size_bytes: int = 0
    modified_ms: int | None = None
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class PresignedUrl:
    url: str
    headers: dict[str, str]


class PresignedUrls(Protocol):
    """URLs with which their bearer reads or writes one file, for `expires_s` seconds."""

    async def download(self, path: str, *, expires_s: int) -> PresignedUrl:
        """Raises what `ArtifactStore.stat` raises."""
        ...

    async def upload(self, path: str, *, expires_s: int) -> PresignedUrl: ...


@dataclass(frozen=True, slots=True)
class MultipartUpload:
    """`parts[i]` is where the client puts part number i + 1."""

    upload_id: str
    parts: tuple[PresignedUrl, ...]


@dataclass(frozen=True, slots=True)
class UploadedPart:
    part_number: int
    etag: str


class MultipartUploads(Protocol):
    """One file sent by the client straight to the store, in parts."""

    async def create(self, path: str, *, parts: int) -> MultipartUpload: ...

    async def complete(self, path: str, upload_id: str, *, parts: Sequence[UploadedPart]) -> None:
        """The file appears at once and whole."""
        ...

    async def abort(self, path: str, upload_id: str) -> None:
        """Drops the parts; an unknown upload is no error."""
        ...


class ArtifactStore(Protocol):
    """Where artifacts are kept.

    Every method raises InvalidArtifactPath for a path that breaks the rules and
    TemporarilyUnavailable for a store that is full, read-only or out of reach.
    """

    async def prepare(self) -> None:
        """Makes what must be there before the first file, such as a bucket. The server's start asks
        for it, again and again where the store is shared.

        Raises InvalidState, in one sentence for an operator, where that cannot be done.
        """

    @abstractmethod
    def list(self, path: str) -> AsyncGenerator[Sequence[FileInfo]]:
        """What lies directly in the directory, sorted by name in code points, in pages of at most
        `PAGE`, none empty.

        Nothing for a file or a missing path. The first step of the iterator raises what is to be
        raised, unless the store fails later.
        """
        ...

    @abstractmethod
    def walk(self, path: str) -> AsyncGenerator[Sequence[FileInfo]]:
        """Every file below the directory, at any depth and in any order, in pages as `list`.

        `name` is the path below the directory. What comes or goes meanwhile may be there or not.
        """
        ...

    @abstractmethod
    async def stat(self, path: str) -> FileInfo:
        """Raises ArtifactNotFound and ArtifactIsDirectory."""
        ...

    @abstractmethod
    def read(
        self, path: str, *, start: int = 0, end: int | None = None, etag: str | None = None
    ) -> AsyncGenerator[bytes]:
        """Bytes `start` to `end` (exclusive) in chunks of at most `READ_BYTES_MAX`.

        A span beyond the file is cut off, so a start at or past the end gives nothing. The bytes
        are of one version of the file, also when it is replaced or deleted meanwhile. The first
        step of the iterator raises what `stat` raises, and ArtifactChanged when `etag` is given and
        no longer the file's. Close the iterator (`aclose`) when it is left early.
        """
        ...

    @abstractmethod
    async def write(
        self, path: str, chunks: AsyncIterator[bytes], *, size_bytes: int | None = None
    ) -> None:
        """Stores the stream as one file, with constant memory; `size_bytes` is how long it will be,
        where that is known.

        Directories above it come into being as needed. The file appears, or replaces what was
        there, at once and whole when the stream has ended; of concurrent writes one wins entirely.
        When the stream fails, or the call is cancelled before its end, nothing changes and nothing
        is left. Raises ArtifactIsDirectory and, where directories are real, ArtifactParentIsFile.
        """
        ...

    @abstractmethod
    async def delete(self, path: str) -> None:
        """Deletes a file, or a directory with all in it; a missing path is no error.

        The root itself cannot be deleted: InvalidArtifactPath.
        """
        ...

    def presigned_urls(self) -> PresignedUrls:
        """Raises NotImplementedHere where a store has none, as here."""
        raise NotImplementedHere(
            "Multipart download is not supported for the current artifact repository"
        )

    def multipart_uploads(self) -> MultipartUploads:
        """Raises NotImplementedHere where a store has none, as here.

        Clients know upstream's words and send the file as one stream instead.
        """
        raise NotImplementedHere(
            "Multipart upload is not supported for the current artifact repository"
        )
