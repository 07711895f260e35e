from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from riverrun.artifacts import contract
from riverrun.artifacts.paths import safe_file_path, safe_path
from riverrun.artifacts.resolve import parse_location, proxied_path
from riverrun.auth.levels import Level
from riverrun.auth.viewer import Viewer
from riverrun.entities.artifacts import FileInfo
from riverrun.errors import InvalidParameterValue, TemporarilyUnavailable
from riverrun.services.logged_models import LoggedModels
from riverrun.services.model_versions import ModelVersions
from riverrun.services.runs import Runs


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file that is there, and how to read a part of it."""

    name: str
    size_bytes: int
    modified_ms: int | None
    etag: str | None
    store: contract.ArtifactStore
    path: str

    def read(self, start: int, end: int) -> AsyncGenerator[bytes]:
        """Bytes from `start` to before `end`."""
        return self.store.read(self.path, start=start, end=end, etag=self.etag)


class Artifacts:
    """Artifacts through the server. Paths come from clients: the store checks each once more."""

    def __init__(
        self,
        store: contract.ArtifactStore | None,
        *,
        runs: Runs,
        logged_models: LoggedModels,
        model_versions: ModelVersions,
    ) -> None:
        self._store = store
        self._runs = runs
        self._logged_models = logged_models
        self._model_versions = model_versions

    async def list_files(self, path: str, *, viewer: Viewer) -> list[FileInfo]:
        """What lies directly in a directory, by base name."""
        path = safe_path(path)
        self._require(viewer, Level.READ, path)
        return [_file_info(info, "") for info in await self._served().list(path)]

    async def list_of_run(
        self, run_id: str, path: str, *, viewer: Viewer
    ) -> tuple[str, list[FileInfo]]:
        """The run's root and what lies directly in a directory of it, by path below that root."""
        path = safe_path(path)
        uri = await self._runs.artifact_uri(run_id, viewer=viewer, level=Level.READ)
        return uri, await self._below(uri, path)

    async def list_of_model(
        self, model_id: str, path: str, *, viewer: Viewer
    ) -> tuple[str, list[FileInfo]]:
        """As `list_of_run`, of a logged model."""
        path = safe_path(path)
        uri = await self._logged_models.artifact_uri(model_id, viewer=viewer, level=Level.READ)
        return uri, await self._below(uri, path)

    async def _below(self, uri: str, path: str) -> list[FileInfo]:
        store, root = self._place(uri)
        files = await store.list(f"{root}/{path}" if path else root)
        return [_file_info(info, path) for info in files]

    async def open(self, path: str, *, viewer: Viewer) -> OpenFile:
        self._require(viewer, Level.READ, safe_path(path))
        return await _opened(self._served(), path)

    async def open_of_run(self, run_id: str, path: str, *, viewer: Viewer) -> OpenFile:
        path = safe_path(path)
        uri = await self._runs.artifact_uri(run_id, viewer=viewer, level=Level.READ)
        store, root = self._place(uri)
        return await _opened(store, f"{root}/{path}")

    async def open_of_model(self, model_id: str, path: str, *, viewer: Viewer) -> OpenFile:
        path = safe_path(path)
        uri = await self._logged_models.artifact_uri(model_id, viewer=viewer, level=Level.READ)
        store, root = self._place(uri)
        return await _opened(store, f"{root}/{path}")

    async def open_of_version(
        self, name: str, version: str, path: str, *, viewer: Viewer
    ) -> OpenFile:
        """Whoever may read a registered model may read its files: its creator could."""
        path = safe_path(path)
        uri = await self._model_versions.location(name, version, viewer=viewer)
        location = parse_location(uri)
        if location.scheme == "runs":
            run_id, _, below = location.path.strip("/").partition("/")
            whole = f"{below}/{path}" if below else path
            return await self.open_of_run(run_id, whole, viewer=viewer)
        store, root = self._place(uri)
        return await _opened(store, f"{root}/{path}")

    async def write(self, path: str, chunks: AsyncIterator[bytes], *, viewer: Viewer) -> None:
        """Answers when the file is on the disk, whole."""
        path = safe_file_path(path)
        self._require(viewer, Level.EDIT, path)
        await self._served().write(path, chunks)

    async def write_of_run(
        self, run_id: str, path: str, chunks: AsyncIterator[bytes], *, viewer: Viewer
    ) -> None:
        path = safe_file_path(path)
        uri = await self._runs.artifact_uri(run_id, viewer=viewer, level=Level.EDIT)
        store, root = self._place(uri)
        await store.write(f"{root}/{path}", chunks)

    async def delete(self, path: str, *, viewer: Viewer) -> None:
        """A file, or a directory with all in it; what is not there is no error."""
        path = safe_path(path)
        self._require(viewer, Level.EDIT, path)
        await self._served().delete(path)

    def uploads(self, path: str, *, viewer: Viewer) -> contract.MultipartUploads:
        self._require(viewer, Level.EDIT, safe_path(path))
        return self._served().multipart_uploads()

    def urls(self, path: str, *, viewer: Viewer) -> contract.PresignedUrls:
        self._require(viewer, Level.READ, safe_path(path))
        return self._served().presigned_urls()

    async def presign_of_run(self, run_id: str, *, direction: str, viewer: Viewer) -> None:
        """Only runs that lie in a cloud store directly have such URLs; no run does yet."""
        level = Level.EDIT if direction == "upload" else Level.READ
        uri = await self._runs.artifact_uri(run_id, viewer=viewer, level=level)
        raise InvalidParameterValue(
            f"Presigned {direction} is not supported for the artifact URI scheme "
            f"'{parse_location(uri).scheme}'. This endpoint requires a direct cloud storage "
            "artifact URI."
        )

    def _served(self) -> contract.ArtifactStore:
        if self._store is None:
            raise TemporarilyUnavailable(
                "This server does not serve artifacts: it was started with --no-serve-artifacts.",
                retry_after_s=60,
            )
        return self._store

    def _place(self, uri: str) -> tuple[contract.ArtifactStore, str]:
        """The store and the folder of a run, a logged model or a model version.

        A path that a client chose is never opened here.
        """
        path = proxied_path(uri)
        if path is None:
            raise InvalidParameterValue(
                f"These artifacts are at '{uri}', which this server does not serve. "
                "Read them there directly."
            )
        return self._served(), path

    @staticmethod
    def _require(viewer: Viewer, level: Level, path: str) -> None:
        """The experiment is the path's first segment; what lies elsewhere belongs to none."""
        first = path.split("/", 1)[0]
        is_experiment = first.isascii() and first.isdigit() and len(first) <= 18
        viewer.require(level, int(first) if is_experiment else -1)


async def _opened(store: contract.ArtifactStore, path: str) -> OpenFile:
    info = await store.stat(path)
    return OpenFile(info.name, info.size_bytes, info.modified_ms, info.etag, store, path)


def _file_info(info: contract.FileInfo, folder: str) -> FileInfo:
    return FileInfo(f"{folder}/{info.name}" if folder else info.name, info.is_dir, info.size_bytes)
