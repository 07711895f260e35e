"""Where artifacts are: from a URI to the store that it names, and what a client may give as one."""

import re
import unicodedata
from collections.abc import Collection, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from riverrun.artifacts.contract import ArtifactStore
from riverrun.artifacts.local import LocalStore
from riverrun.artifacts.memory import MemoryStore
from riverrun.artifacts.paths import fully_decoded, safe_path
from riverrun.errors import InvalidParameterValue
from riverrun.obs.logs import Log

if TYPE_CHECKING:
    from riverrun.artifacts.objects import ObjectStore

LOCATION_LENGTH_MAX = 2048
PROXY_ROUTE = "/api/2.0/mlflow-artifacts/artifacts"
CLOUD_SCHEMES = frozenset({"s3", "gs", "wasb", "wasbs", "abfs", "abfss", "az"})
# Whoever reads such a URI connects to a host that the URI names, or implies.
HOST_ADDRESSED_SCHEMES = frozenset({"ftp", "sftp", "http", "https", "r2", "b2", "abfss"})
# Without a host these mean the one that the reader is set up with.
HOST_OPTIONAL_SCHEMES = frozenset({"", "file", "hdfs", "viewfs", "mlflow-artifacts"})

log = Log("riverrun.artifacts")


class InvalidLocation(InvalidParameterValue):
    def __init__(self, reason: str) -> None:
        super().__init__(f"Invalid artifact location: {reason}")


@dataclass(frozen=True, slots=True)
class Location:
    """A URI cut at its marks, nothing decoded; a local path has neither scheme nor query.

    `scheme` and `host` (with user and port) are in lower case.
    """

    scheme: str
    host: str
    path: str
    query: str = ""


def parse_location(uri: str) -> Location:
    """Location = [scheme ":"] ["//" host] path ["?" query]; a single letter is a Windows drive."""
    # `urlsplit` drops line breaks and blanks, so it would judge another text than is stored.
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", uri)
    rest = uri[match.end() :] if match else uri
    path, _, query = rest.partition("?") if match else (rest, "", "")
    host = re.match(r"//[^/]*", path)
    return Location(
        scheme=match[1].lower() if match else "",
        host=host[0][2:].lower() if host else "",
        path=path[host.end() :] if host else path,
        query=query,
    )


def open_store(
    uri: str,
    threads: Executor | None = None,
    *,
    fsync: bool = True,
    environ: Mapping[str, str] | None = None,
) -> ArtifactStore:
    """The store that an operator's setting names: a local path, `file:`, `memory:` or a place in a
    cloud, whose credentials and endpoints stand in `environ` as the provider's own tools read them.

    Nothing is called yet. Raises InvalidParameterValue for what is no store, and InvalidState for
    credentials that cannot be.
    """
    scheme = parse_location(uri).scheme
    if scheme in {"", "file"}:
        return LocalStore(local_folder(uri), threads, fsync=fsync)
    if scheme == "memory":
        return MemoryStore()
    if scheme in CLOUD_SCHEMES:
        store = _open_cloud(scheme, uri, environ or {})
        log.info("artifact store opened", store=uri, credentials=store.bucket.credentials)
        return store
    raise InvalidParameterValue(
        f"Invalid artifact store '{uri}': expected a local folder, `file:`, `memory:`, s3://, "
        "gs://, wasbs://, abfss:// or az://"
    )


def _open_cloud(scheme: str, uri: str, environ: Mapping[str, str]) -> "ObjectStore":
    if scheme == "s3":
        from riverrun.artifacts.s3 import open_s3  # noqa: PLC0415 - Only those who need it.

        return open_s3(uri, environ)
    if scheme == "gs":
        from riverrun.artifacts.gcs import open_gcs  # noqa: PLC0415 - Likewise.
        from riverrun.artifacts.google_credentials import (  # noqa: PLC0415 - Likewise.
            find_google_credentials,
        )

        return open_gcs(uri, find_google_credentials(environ), environ)
    from riverrun.artifacts.azure import open_azure  # noqa: PLC0415 - Likewise.

    return open_azure(uri, environ)


def local_folder(uri: str) -> Path:
    """The folder of a local path or a `file:` URI of this machine. Raises InvalidParameterValue."""
    location = parse_location(uri)
    if location.scheme == "":
        return Path(uri)
    if location.host not in {"", "localhost"} or location.query or "#" in uri:
        raise InvalidParameterValue(
            f"Invalid artifact store '{uri}': expected a folder of this machine, "
            f"as in file:///srv/artifacts"
        )
    return Path(unquote(location.path))


def join_uri(root: str, *parts: str) -> str:
    """Appends segments to the path of a root; its query, if it is a URI with one, stays at the end.

    A trailing `/` of the root is not doubled. In a local path, `?` is a character as any other.
    """
    is_uri = parse_location(root).scheme != ""
    path, mark, query = root.partition("?") if is_uri else (root, "", "")
    return "/".join((path.removesuffix("/"), *parts)) + mark + query


def proxied_path(uri: str) -> str | None:
    """The path in the server's own artifact store that a location names, or None if it names none.

    `mlflow-artifacts:/x` does, and `http(s)://host/…/api/2.0/mlflow-artifacts/artifacts/x`. The
    path is decoded once, as the HTTP layer does with what clients make of such a location. The host
    is not looked at: `validate_artifact_location` judged it when the location was given. Raises
    InvalidArtifactPath.
    """
    location = parse_location(uri)
    if location.scheme == "mlflow-artifacts":
        return safe_path(unquote(location.path).lstrip("/"))
    if location.scheme not in {"http", "https"}:
        return None
    _, found, path = f"{location.path}/".partition(f"{PROXY_ROUTE}/")
    return safe_path(unquote(path).lstrip("/")) if found else None


def validate_artifact_location(
    uri: str,
    allowed_schemes: Collection[str] = (),
    *,
    own_roots: Collection[str] = (),
    length_max: int = LOCATION_LENGTH_MAX,
) -> None:
    """Judges a location given by a client by its shape alone; nothing is opened or resolved.

    A local path is fine and means a folder of the client's machine. A location that leads to a host
    is fine if its scheme is in `allowed_schemes`, or if scheme and host are those of one of
    `own_roots`. `length_max` counts characters. Raises InvalidParameterValue.
    """
    if len(uri) > length_max:
        raise InvalidLocation(f"longer than {length_max} characters")
    refuse_tricks(uri)
    location = parse_location(uri)
    if location.scheme == "runs":
        raise InvalidLocation("`runs:` names a run, not a place")
    if leads_astray(location, allowed_schemes, own_roots):
        raise InvalidLocation(
            f"'{location.scheme}' leads to a host, which the server does not allow"
        )


def refuse_tricks(uri: str) -> None:
    """Judges the form of a URI after decoding until nothing changes: no control characters,
    fragments or parameters, no way up, no backslash. Raises InvalidParameterValue.
    """
    _refuse_characters(uri)
    _refuse_detours(parse_location(fully_decoded(uri)))


def leads_astray(
    location: Location, allowed_schemes: Collection[str], own_roots: Collection[str]
) -> bool:
    """Whether it leads to a host that is not of `own_roots`, by a scheme that is not allowed to."""
    if not leads_to_host(location) or location.scheme in allowed_schemes:
        return False
    own = [parse_location(root) for root in own_roots]
    return (location.scheme, location.host) not in {(root.scheme, root.host) for root in own}


def leads_to_host(location: Location) -> bool:
    if location.scheme in HOST_OPTIONAL_SCHEMES:
        two_slashes = re.match(r"[/\\]{2}", location.path)  # Windows takes a host from these.
        return location.host not in {"", "localhost"} or two_slashes is not None
    return location.scheme in HOST_ADDRESSED_SCHEMES


def _refuse_characters(uri: str) -> None:
    decoded = fully_decoded(uri)
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in decoded):
        raise InvalidLocation("it contains a control character or invalid Unicode")
    if decoded != decoded.strip():
        raise InvalidLocation("it begins or ends with a blank")
    for character in "#;":  # A fragment or parameters, which readers cut off.
        if character in decoded:
            raise InvalidLocation(f"it contains '{character}'")


def _refuse_detours(decoded: Location) -> None:
    if ".." in decoded.query:
        raise InvalidLocation("its query contains '..'")
    if ".." in re.split(r"[/\\]", f"{decoded.host}/{decoded.path}"):
        raise InvalidLocation("it contains '..'")
    if decoded.scheme and "\\" in decoded.path + decoded.host:
        raise InvalidLocation("it contains a backslash")
