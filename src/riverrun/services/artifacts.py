from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from riverrun.artifacts import contract
from riverrun.artifacts.archive import zipped
from riverrun.artifacts.opened import Place, Stores
from riverrun.artifacts.paths import safe_file_path, safe_path
from riverrun.artifacts.resolve import parse_location
from riverrun.auth.levels import Level
from riverrun.auth.viewer import Resource, Viewer
from riverrun.entities.artifacts import FileInfo
from riverrun.services import names
from riverrun.services.audit import Audit, Event
from riverrun.services.logged_models import LoggedModels
from riverrun.services.model_versions import ModelVersions
from riverrun.services.runs import Runs

Pages = AsyncGenerator[Sequence[FileInfo]]
"""A listing, page by page; the first step raises what is to be raised."""


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
        # Of one version the end needs no saying: a store may answer a range that is all with 200,
        # which the library that asked for a range takes for a failure.
        is_to_end = end == self.size_bytes and self.etag is not None
        return self.store.read(
            self.path, start=start, end=None if is_to_end else end, etag=self.etag
        )


class Artifacts:
    """Artifacts through the server. Paths come from clients: the store checks each once more."""

    def __init__(
        self,
        stores: Stores,
        *,
        runs: Runs,
        logged_models: LoggedModels,
        model_versions: ModelVersions,
        audit: Audit,
    ) -> None:
        self._stores = stores
        self._runs = runs
        self._logged_models = logged_models
        self._model_versions = model_versions
        self._audit = audit

    def list_files(self, path: str, *, viewer: Viewer) -> Pages:
        """What lies directly in a directory, by base name."""
        path = safe_path(path)
        require_on_path(viewer, Level.READ, path)
        return _pages(self._stores.served(), path, "")

    async def list_of_run(self, run_id: str, path: str, *, viewer: Viewer) -> tuple[str, Pages]:
        """The run's root and what lies directly in a directory of it, by path below that root."""
        path = safe_path(path)
        uri = await self._runs.artifact_uri(run_id, viewer=viewer, level=Level.READ)
        return uri, self._below(uri, path, viewer)

    async def list_of_model(self, model_id: str, path: str, *, viewer: Viewer) -> tuple[str, Pages]:
        """As `list_of_run`, of a logged model."""
        path = safe_path(path)
        uri = await self._logged_models.artifact_uri(model_id, viewer=viewer, level=Level.READ)
        return uri, self._below(uri, path, viewer)

    def _below(self, uri: str, path: str, viewer: Viewer) -> Pages:
        place = self._place(uri, viewer, Level.READ).below(path)
        return _pages(place.store, place.path, path)

    async def archive_of_run(
        self, run_id: str, path: str, *, viewer: Viewer
    ) -> AsyncGenerator[bytes]:
        """A zip of a directory of the run, which must hold something unless it is the whole run."""
        return await _zipped(await self._place_of_run(run_id, path, viewer), path)

    async def archive_of_model(
        self, model_id: str, path: str, *, viewer: Viewer
    ) -> AsyncGenerator[bytes]:
        """As `archive_of_run`, of a logged model."""
        return await _zipped(await self._place_of_model(model_id, path, viewer), path)

    async def open(self, path: str, *, viewer: Viewer) -> OpenFile:
        require_on_path(viewer, Level.READ, safe_path(path))
        return await _opened(self._stores.served(), path)

    async def open_of_run(self, run_id: str, path: str, *, viewer: Viewer) -> OpenFile:
        place = await self._place_of_run(run_id, path, viewer)
        return await _opened(place.store, place.path)

    async def open_of_model(self, model_id: str, path: str, *, viewer: Viewer) -> OpenFile:
        place = await self._place_of_model(model_id, path, viewer)
        return await _opened(place.store, place.path)

    async def open_of_version(
        self, name: str, version: str, path: str, *, viewer: Viewer
    ) -> OpenFile:
        """Whoever may read a registered model may read its files: who made the version could."""
        path = safe_path(path)
        uri = await self._model_versions.location(name, version, viewer=viewer)
        location = parse_location(uri)
        if location.scheme == "runs":
            run_id, _, below = location.path.strip("/").partition("/")
            whole = f"{below}/{path}" if below else path
            return await self.open_of_run(run_id, whole, viewer=viewer)
        source = self._stores.place(uri)
        place = source.below(path)
        if names.experiment_of(source.path) is None:
            require_on_place(viewer, Level.READ, place)
        return await _opened(place.store, place.path)

    async def write(
        self, path: str, chunks: AsyncIterator[bytes], *, size_bytes: int | None, viewer: Viewer
    ) -> None:
        """Answers when the file is in the store, whole; `size_bytes` where it is known."""
        path = safe_file_path(path)
        require_on_path(viewer, Level.EDIT, path)
        await self._stores.served().write(path, chunks, size_bytes=size_bytes)

    async def write_of_run(
        self, run_id: str, path: str, chunks: AsyncIterator[bytes], *, viewer: Viewer
    ) -> None:
        path = safe_file_path(path)
        uri = await self._runs.artifact_uri(run_id, viewer=viewer, level=Level.EDIT)
        place = self._place(uri, viewer, Level.EDIT).below(path)
        await place.store.write(place.path, chunks)

    async def delete(self, path: str, *, viewer: Viewer) -> None:
        """A file, or a directory with all in it; what is not there is no error."""
        path = safe_path(path)
        require_on_path(viewer, Level.MANAGE, path)
        # Before the files go: a store has no transactions, and an entry too many does no harm.
        await self._audit.write(Event("artifact.delete", Resource("artifact", path)), by=viewer)
        await self._stores.served().delete(path)

    async def _place_of_run(self, run_id: str, path: str, viewer: Viewer) -> Place:
        """To read what is there."""
        path = safe_path(path)
        uri = await self._runs.artifact_uri(run_id, viewer=viewer, level=Level.READ)
        return self._place(uri, viewer, Level.READ).below(path)

    async def _place_of_model(self, model_id: str, path: str, viewer: Viewer) -> Place:
        path = safe_path(path)
        uri = await self._logged_models.artifact_uri(model_id, viewer=viewer, level=Level.READ)
        return self._place(uri, viewer, Level.READ).below(path)

    def _place(self, uri: str, viewer: Viewer, level: Level) -> Place:
        place = self._stores.place(uri)
        require_on_place(viewer, level, place)
        return place


def require_on_path(viewer: Viewer, level: Level, path: str) -> None:
    """A path begins with the experiment's id, below `workspaces/<name>` or not; below another root
    of a workspace its folder is the first that is called by a number. What lies elsewhere belongs
    to nobody.
    """
    experiment_id = names.experiment_of(path)
    if experiment_id is not None:
        viewer.require(level, experiment_id)
        return
    segments = path.split("/")
    ends = (end for end, each in enumerate(segments, 1) if names.is_experiment_id(each))
    viewer.require_folder(level, "/".join(segments[: next(ends, None)]))


def require_on_place(viewer: Viewer, level: Level, place: Place) -> None:
    """A client chooses where its experiment lies, which may be among another experiment's files."""
    experiment_id = names.experiment_of(place.path)
    if experiment_id is not None:
        viewer.require(level, experiment_id)


async def _opened(store: contract.ArtifactStore, path: str) -> OpenFile:
    info = await store.stat(path)
    return OpenFile(info.name, info.size_bytes, info.modified_ms, info.etag, store, path)


async def _zipped(place: Place, path: str) -> AsyncGenerator[bytes]:
    if path:
        async with aclosing(place.store.list(place.path)) as pages:
            if await anext(pages, None) is None:
                raise contract.ArtifactNotFound(path)
    return zipped(place.store, place.path)


async def _pages(store: contract.ArtifactStore, path: str, shown: str) -> Pages:
    """The entries of a directory under the name that the client knows it by."""
    prefix = f"{shown}/" if shown else ""
    async with aclosing(store.list(path)) as pages:
        async for page in pages:
            yield [FileInfo(prefix + each.name, each.is_dir, each.size_bytes) for each in page]
