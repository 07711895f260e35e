"""Files that clients move straight to and from the store, by URLs that the server signs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from riverrun.artifacts import contract
from riverrun.artifacts.contract import MultipartUpload, PresignedUrl, UploadedPart
from riverrun.artifacts.opened import Place, Stores
from riverrun.artifacts.paths import safe_file_path, safe_path
from riverrun.artifacts.resolve import parse_location
from riverrun.auth.levels import Level
from riverrun.auth.viewer import Viewer
from riverrun.clock import now_ms
from riverrun.errors import (
    InvalidParameterValue,
    NotImplementedHere,
    TemporarilyUnavailable,
    TrackingError,
)
from riverrun.services import limits
from riverrun.services.artifacts import OpenFile, require_on_path, require_on_place
from riverrun.services.logged_models import LoggedModels
from riverrun.services.runs import Runs

UPLOAD_URL_TTL_S = 900  # Upstream's.
ASK_AGAIN_AFTER_MS = 60_000
PROBE = "riverrun-probe"
PRIVATE_SUFFIXES = (
    ".corp",
    ".home.arpa",
    ".internal",
    ".intranet",
    ".lan",
    ".local",
    ".localhost",
    ".private",
    ".svc",
    ".test",
)

Direction = Literal["upload", "download"]


@dataclass(frozen=True, slots=True)
class TransferRules:
    """What the operator decided: `reach` is "auto", "always" or "never"; `redirects` sends browsers
    to the store.
    """

    reach: str = "auto"
    redirects: bool = False
    download_url_ttl_s: int = 300


@dataclass(frozen=True, slots=True)
class Advertised:
    """What works for files behind the proxy."""

    multipart_uploads: bool
    multipart_downloads: bool


@dataclass(frozen=True, slots=True)
class DownloadUrl:
    url: PresignedUrl
    size_bytes: int


class DirectTransfers:
    def __init__(
        self, stores: Stores, rules: TransferRules, *, runs: Runs, logged_models: LoggedModels
    ) -> None:
        self._stores = stores
        self._rules = rules
        self._runs = runs
        self._logged_models = logged_models
        self._reachable: bool | None = None
        self._asked_at_ms = 0

    # Behind the proxy -----------------------------------------------------------------------------

    async def advertised(self) -> Advertised:
        """Clients give up where what is advertised fails, and send a stream where it is not."""
        try:
            store = self._stores.served()
        except TrackingError:
            return Advertised(multipart_uploads=False, multipart_downloads=False)
        uploads, downloads = _has(store.multipart_uploads), _has(store.presigned_urls)
        if uploads or downloads:
            reachable = await self._clients_reach(store)
            return Advertised(uploads and reachable, downloads and reachable)
        return Advertised(multipart_uploads=False, multipart_downloads=False)

    async def create_upload(self, path: str, *, parts: int, viewer: Viewer) -> MultipartUpload:
        path = safe_file_path(path)
        require_on_path(viewer, Level.EDIT, path)
        uploads = await self._uploads()
        if not 1 <= parts <= limits.MULTIPART_UPLOAD_PARTS_MAX:
            raise InvalidParameterValue(
                f"num_parts must be between 1 and {limits.MULTIPART_UPLOAD_PARTS_MAX} "
                f"(got {parts})."
            )
        return await uploads.create(path, parts=parts)

    async def complete_upload(
        self, path: str, upload_id: str, parts: Sequence[UploadedPart], *, viewer: Viewer
    ) -> None:
        path = safe_file_path(path)
        require_on_path(viewer, Level.EDIT, path)
        uploads = await self._uploads()
        _check_upload_id(upload_id)
        _check_parts(parts)
        await uploads.complete(path, upload_id, parts=sorted(parts, key=_part_number))

    async def abort_upload(self, path: str, upload_id: str, *, viewer: Viewer) -> None:
        path = safe_file_path(path)
        require_on_path(viewer, Level.EDIT, path)
        uploads = await self._uploads()
        _check_upload_id(upload_id)
        await uploads.abort(path, upload_id)

    async def download_url(self, path: str, *, viewer: Viewer) -> DownloadUrl:
        path = safe_path(path)
        require_on_path(viewer, Level.READ, path)
        store = self._stores.served()
        urls = store.presigned_urls()
        if not await self._clients_reach(store):
            raise NotImplementedHere(
                "Multipart download is not supported for the current artifact repository"
            )
        info = await store.stat(path)
        url = await urls.download(path, expires_s=self._rules.download_url_ttl_s)
        return DownloadUrl(url, info.size_bytes)

    async def redirect(self, file: OpenFile) -> str | None:
        """Where a browser gets the file, if it should go there by itself."""
        if not self._rules.redirects:
            return None
        try:
            urls = file.store.presigned_urls()
            url = await urls.download(file.path, expires_s=self._rules.download_url_ttl_s)
        except (NotImplementedHere, TemporarilyUnavailable):
            return None  # The server can still send the file itself.
        # A browser that follows a link sends no headers of ours.
        return None if url.headers else url.url

    async def _uploads(self) -> contract.MultipartUploads:
        store = self._stores.served()
        uploads = store.multipart_uploads()
        if not await self._clients_reach(store):
            raise NotImplementedHere(
                "Multipart upload is not supported for the current artifact repository"
            )
        return uploads

    async def _clients_reach(self, store: contract.ArtifactStore) -> bool:
        """Whether a URL of the store leads somewhere for clients.

        One is signed to find out, which also tells whether the credentials can: a login of a person
        at Google cannot.
        """
        if self._rules.reach != "auto":
            return self._rules.reach == "always"
        is_stale = now_ms() - self._asked_at_ms > ASK_AGAIN_AFTER_MS
        if self._reachable is None or (not self._reachable and is_stale):
            self._asked_at_ms = now_ms()
            try:
                probe = await store.presigned_urls().upload(PROBE, expires_s=1)
            except TrackingError:
                self._reachable = False
            else:
                self._reachable = is_public(urlsplit(probe.url).hostname or "")
        return self._reachable

    # Directly in a cloud --------------------------------------------------------------------------

    @property
    def serves_direct_runs(self) -> bool:
        return self._rules.reach != "never" and self._stores.has_cloud_roots

    async def upload_url_of_run(
        self, run_id: str, path: str, *, expires_s: int | None, viewer: Viewer
    ) -> PresignedUrl:
        path = safe_file_path(path)
        uri = await self._runs.artifact_uri(run_id, viewer=viewer, level=Level.EDIT)
        return await self._upload_url(uri, path, expires_s, viewer)

    async def upload_url_of_model(
        self, model_id: str, path: str, *, expires_s: int | None, viewer: Viewer
    ) -> PresignedUrl:
        path = safe_file_path(path)
        uri = await self._logged_models.artifact_uri(model_id, viewer=viewer, level=Level.EDIT)
        return await self._upload_url(uri, path, expires_s, viewer)

    async def _upload_url(
        self, uri: str, path: str, expires_s: int | None, viewer: Viewer
    ) -> PresignedUrl:
        expires_s = UPLOAD_URL_TTL_S if expires_s is None else expires_s
        _check_expiration(expires_s)
        place, urls = self._signer(uri, "upload")
        require_on_place(viewer, Level.EDIT, place)
        return await urls.upload(place.below(path).path, expires_s=expires_s)

    async def download_url_of_run(
        self, run_id: str, path: str, *, expires_s: int | None, viewer: Viewer
    ) -> DownloadUrl:
        path = safe_path(path)
        expires_s = self._rules.download_url_ttl_s if expires_s is None else expires_s
        _check_expiration(expires_s)
        uri = await self._runs.artifact_uri(run_id, viewer=viewer, level=Level.READ)
        place, urls = self._signer(uri, "download")
        require_on_place(viewer, Level.READ, place)
        file = place.below(path)
        info = await file.store.stat(file.path)
        url = await urls.download(file.path, expires_s=expires_s)
        return DownloadUrl(url, info.size_bytes)

    def _signer(self, uri: str, direction: Direction) -> tuple[Place, contract.PresignedUrls]:
        """Whoever has such a URL needs no credentials. Raises InvalidParameterValue for artifacts
        that are not the server's own or go through it, and NotImplementedHere for local folders.
        """
        scheme = parse_location(uri).scheme
        if scheme in {"http", "https", "mlflow-artifacts"}:
            raise InvalidParameterValue(PROXIED[direction].format(scheme=scheme))
        place = self._stores.place(uri)
        try:
            if self._rules.reach != "never":
                return place, place.store.presigned_urls()
        except NotImplementedHere:
            pass
        raise NotImplementedHere(
            f"Presigned {direction} is not supported for the current artifact repository"
        )


PROXIED = {
    "upload": "Presigned upload is not supported for proxied artifact storage (artifact URI scheme:"
    " {scheme}). This endpoint requires a direct cloud storage artifact URI.",
    "download": "Presigned download is not supported for runs with proxied artifact storage"
    " (artifact URI scheme: {scheme}). This endpoint requires a run with a direct cloud storage"
    " artifact URI.",
}
"""Upstream's words."""


def is_public(host: str) -> bool:
    """Whether the name or address is one that the whole network knows, as far as it shows."""
    try:
        return ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith(PRIVATE_SUFFIXES)


def _has(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except NotImplementedHere:
        return False
    return True


def _check_expiration(expires_s: int) -> None:
    if not 1 <= expires_s <= limits.PRESIGNED_URL_TTL_S_MAX:
        raise InvalidParameterValue(
            f"expiration must be between 1 and {limits.PRESIGNED_URL_TTL_S_MAX} seconds "
            f"(got {expires_s})."
        )


def _check_upload_id(upload_id: str) -> None:
    """Without one, S3 deletes the file where an upload of it should end."""
    if not upload_id:
        raise InvalidParameterValue("Missing value for required parameter 'upload_id'.")


def _check_parts(parts: Sequence[UploadedPart]) -> None:
    numbers = {part.part_number for part in parts}
    if len(numbers) < len(parts) or not numbers <= set(
        range(1, limits.MULTIPART_UPLOAD_PARTS_MAX + 1)
    ):
        raise InvalidParameterValue(
            "parts must have numbers of their own, between 1 and "
            f"{limits.MULTIPART_UPLOAD_PARTS_MAX}."
        )


def _part_number(part: UploadedPart) -> int:
    return part.part_number
