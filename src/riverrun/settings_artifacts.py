"""Where artifacts are kept, and who carries them there."""

from dataclasses import dataclass

from riverrun.settings_database import DatabaseSettings
from riverrun.settings_field import setting
from riverrun.settings_values import (
    CLOUD_URI,
    CLOUD_URIS,
    DESTINATION,
    FLAG,
    FOLDER,
    OBJECT_STORES,
    ROOT,
    SettingsError,
    choice,
    local_path,
    root_scheme,
    whole,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactSettings(DatabaseSettings):
    default_artifact_root: str | None = setting(
        ROOT,
        None,
        "Where new experiments keep their artifacts: in a cloud, clients go there directly; a local"
        " path becomes the server's own store while artifacts are served.",
        "--default-artifact-root MLFLOW_DEFAULT_ARTIFACT_ROOT MLFLOW_ARTIFACT_ROOT",
    )
    artifacts_destination: str | None = setting(
        DESTINATION,
        None,
        "Where the server keeps the artifacts that pass through it; ./mlartifacts unless a local"
        " default root says otherwise.",
        "--artifacts-destination MLFLOW_ARTIFACTS_DESTINATION",
    )
    serves_artifacts: bool = setting(
        FLAG,
        True,
        "Pass artifacts through the server, so that clients need no access to the store.",
        "--serve-artifacts MLFLOW_SERVE_ARTIFACTS",
    )
    bucket_location: str | None = setting(
        CLOUD_URI,
        None,
        "Bucket of the artifacts that pass through the server, such as gs://bucket; what"
        " --artifacts-destination says comes first.",
        "MLFLOW_BUCKET_LOCATION",
    )
    folder_location: str | None = setting(
        FOLDER, None, "Folder in the bucket of MLFLOW_BUCKET_LOCATION.", "MLFLOW_FOLDER_LOCATION"
    )
    artifact_roots: tuple[str, ...] = setting(
        CLOUD_URIS,
        (),
        "Other places in clouds, such as roots of former times, whose artifacts the server opens"
        " with its own credentials.",
        "--artifact-roots RIVERRUN_ARTIFACT_ROOTS",
    )
    direct_transfers: str = setting(
        choice("auto", "always", "never"),
        "auto",
        "Whether clients may move large files that pass through the server straight to and from its"
        " bucket, by URLs that it signs; auto: where the bucket's address is public.",
        "--direct-transfers RIVERRUN_DIRECT_TRANSFERS",
    )
    redirect_downloads: bool = setting(
        FLAG,
        False,
        "Send browsers that follow a link to an artifact in a bucket to a signed URL of it.",
        "--redirect-downloads RIVERRUN_REDIRECT_DOWNLOADS",
    )
    presigned_download_url_ttl_s: int = setting(
        whole(1, 604_800),
        300,
        "Seconds that a signed URL of a download is good for.",
        "--presigned-download-url-ttl MLFLOW_PRESIGNED_DOWNLOAD_URL_TTL_SECONDS",
    )
    artifact_fsync: bool = setting(
        FLAG,
        True,
        "Answer an upload to a local disk only when it would survive a power cut; turn off for"
        " scratch disks.",
        "--artifact-fsync RIVERRUN_ARTIFACT_FSYNC",
    )

    def __post_init__(self) -> None:
        DatabaseSettings.__post_init__(self)  # A class with slots has no super() here.
        if self.folder_location and not self.bucket_location:
            raise SettingsError("MLFLOW_FOLDER_LOCATION needs MLFLOW_BUCKET_LOCATION.")

    @property
    def artifact_destination(self) -> str:
        """Where artifacts that pass through the server really live: an absolute path, a URI in a
        cloud, or memory.
        """
        if given := self._given_destination:
            return resolved(given)
        if self.default_artifact_root and self._root_is_local:
            return resolved(self.default_artifact_root)
        return resolved("./mlartifacts" if self.serves_artifacts else "./mlruns")

    @property
    def experiment_root(self) -> str:
        """What stands before `/<experiment id>` in new experiments: a URI or an absolute path.

        A local default root is handed out as a path, which clients on other machines cannot read,
        only when nothing else could be meant: artifacts are not served, or go elsewhere.
        """
        handed_out = self._given_destination or not self.serves_artifacts
        if self.default_artifact_root and not self._root_is_local:
            return self.default_artifact_root.rstrip("/") or self.default_artifact_root
        if self.default_artifact_root and handed_out:
            return resolved(self.default_artifact_root)
        return "mlflow-artifacts:" if self.serves_artifacts else resolved("./mlruns")

    @property
    def hands_out_cloud_root(self) -> bool:
        """Whether clients go to a cloud directly."""
        return root_scheme(self.experiment_root) in OBJECT_STORES

    @property
    def own_artifact_roots(self) -> tuple[str, ...]:
        """Below these the server opens what it is asked for; all else is somebody else's."""
        roots = [*self.artifact_roots]
        if root_scheme(self.experiment_root) != "mlflow-artifacts":
            roots.append(self.experiment_root)
        if self.serves_artifacts and root_scheme(self.artifact_destination) in OBJECT_STORES:
            roots.append(self.artifact_destination)
        return tuple(dict.fromkeys(roots))

    @property
    def _given_destination(self) -> str:
        bucket = self.bucket_location or ""
        folder = self.folder_location or ""
        return self.artifacts_destination or (f"{bucket}/{folder}" if folder else bucket)

    @property
    def _root_is_local(self) -> bool:
        return root_scheme(self.default_artifact_root or "") in {"", "file"}


def resolved(given: str) -> str:
    """A local path made absolute; a URI as it is."""
    return str(local_path(given)) if root_scheme(given) in {"", "file"} else given
