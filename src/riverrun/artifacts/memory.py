"""Artifacts in the memory of this process: for tests and trials, gone when the server stops."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from riverrun.artifacts.contract import (
    PAGE,
    READ_BYTES_MAX,
    ArtifactChanged,
    ArtifactIsDirectory,
    ArtifactNotFound,
    ArtifactStore,
    FileInfo,
    InvalidArtifactPath,
)
from riverrun.artifacts.paths import safe_file_path, safe_path
from riverrun.clock import now_ms


@dataclass(frozen=True, slots=True)
class StoredFile:
    content: bytes
    modified_ms: int

    def info(self, name: str) -> FileInfo:
        etag = f'"{sha256(self.content).hexdigest()}"'
        return FileInfo(name, False, len(self.content), self.modified_ms, etag)


class MemoryStore(ArtifactStore):
    """Directories are what the names imply, as in an object store. Nothing bounds the memory."""

    def __init__(self) -> None:
        self._files: dict[str, StoredFile] = {}

    async def list(self, path: str) -> AsyncGenerator[Sequence[FileInfo]]:
        below = _below(safe_path(path))
        found: dict[str, FileInfo] = {}
        for full, file in self._files.items():
            if full.startswith(below):
                name, slash, _ = full.removeprefix(below).partition("/")
                found[name] = FileInfo(name, is_dir=True) if slash else file.info(name)
        infos = [found[name] for name in sorted(found)]
        for start in range(0, len(infos), PAGE):
            yield infos[start : start + PAGE]

    async def walk(self, path: str) -> AsyncGenerator[Sequence[FileInfo]]:
        below = _below(safe_path(path))
        found = {name: file for name, file in self._files.items() if name.startswith(below)}
        infos = [file.info(name.removeprefix(below)) for name, file in found.items()]
        for start in range(0, len(infos), PAGE):
            yield infos[start : start + PAGE]

    async def stat(self, path: str) -> FileInfo:
        path = safe_path(path)
        return self._file(path).info(path.rpartition("/")[2])

    async def read(
        self, path: str, *, start: int = 0, end: int | None = None, etag: str | None = None
    ) -> AsyncGenerator[bytes]:
        path = safe_path(path)
        file = self._file(path)
        if etag is not None and etag != file.info(path).etag:
            raise ArtifactChanged(path)
        span = memoryview(file.content)[start:end]
        for offset in range(0, len(span), READ_BYTES_MAX):
            yield bytes(span[offset : offset + READ_BYTES_MAX])

    async def write(
        self,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        size_bytes: int | None = None,  # noqa: ARG002 - Memory need not know.
    ) -> None:
        path = safe_file_path(path)
        content = bytearray()
        async for chunk in chunks:
            content += chunk
        if self._is_directory(path):
            raise ArtifactIsDirectory(path)
        self._files[path] = StoredFile(bytes(content), now_ms())

    async def delete(self, path: str) -> None:
        path = safe_path(path)
        if not path:
            raise InvalidArtifactPath("the root cannot be deleted")
        doomed = [name for name in self._files if name == path or name.startswith(_below(path))]
        for name in doomed:
            del self._files[name]

    def _file(self, path: str) -> StoredFile:
        if file := self._files.get(path):
            return file
        if self._is_directory(path):
            raise ArtifactIsDirectory(path)
        raise ArtifactNotFound(path)

    def _is_directory(self, path: str) -> bool:
        return not path or any(name.startswith(_below(path)) for name in self._files)


def _below(path: str) -> str:
    return f"{path}/" if path else ""
