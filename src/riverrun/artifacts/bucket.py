"""What all clouds have in common: names of buckets, failures, how long an answer is waited for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING

from obstore import exceptions

from riverrun.artifacts.contract import (
    ArtifactChanged,
    ArtifactNotFound,
    ArtifactStoreUnavailable,
    NoSpaceForArtifacts,
)
from riverrun.errors import InvalidParameterValue, InvalidState, TrackingError
from riverrun.obs.logs import Log, masked

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

CONNECT_S_MAX = 5

STATUS = re.compile(r"status code: (\d{3})")
NO_BUCKET = re.compile(r"<Code>(NoSuchBucket|ContainerNotFound)</Code>")
NOT_THERE = 404
RANGE_NOT_THERE = 416
FORBIDDEN = frozenset({401, 403})
FULL = frozenset({507})
REASON_LENGTH_MAX = 500

log = Log("riverrun.artifacts")


class BucketMissing(ArtifactStoreUnavailable):
    def __init__(self, bucket: "Bucket") -> None:
        super().__init__(
            f"has no {bucket.title}: create it, or start the server with the right to create it"
        )


class BucketForbidden(ArtifactStoreUnavailable):
    def __init__(self, bucket: "Bucket") -> None:
        super().__init__(
            f"does not let the server in: on {bucket.title} its credentials need {bucket.rights}"
        )


class BucketExists(InvalidState):
    """Not seen by callers: it is what was wanted."""

    def __init__(self) -> None:
        super().__init__("The bucket is there already")


class UploadMissing(InvalidParameterValue):
    def __init__(self) -> None:
        super().__init__("No such multipart upload: it was completed or aborted, or never begun")


class PartsWrong(InvalidParameterValue):
    """The store refused to make one file of the parts, with this word for the reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The parts do not make a file ({reason}): expected each part that was uploaded, in "
            "order, with the etag of its answer, and all but the last of 5 MiB or more"
        )


class StoreFailing(ArtifactStoreUnavailable):
    def __init__(self, status: int) -> None:
        what = f"answered with status {status}" if status else "did not answer"
        super().__init__(f"{what}; try again, and see the server's log if that does not help")


class ForeignKey(ArtifactStoreUnavailable):
    def __init__(self) -> None:
        super().__init__("holds an object whose key is no path, such as one with two `/` in a row")


class SpanNotThere(InvalidParameterValue):
    """Not seen by callers: a span past the end is empty."""

    def __init__(self, path: str) -> None:
        super().__init__(f"The span asked for is past the end of '{path}'")


@dataclass(frozen=True, slots=True)
class Patience:
    """With a store that fails: `retries_s` is how long a request is tried again that it did not
    answer, or answered with 500 or 503; `silence_s` how long it may send nothing while an answer,
    or more of one, is due.
    """

    retries_s: float = 8.0
    silence_s: float = 60.0

    @property
    def retries(self) -> int:
        """How often, for a library that counts; it pauses for about two seconds each time."""
        return int(self.retries_s / 2)


PATIENCE = Patience()


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where the objects are, in words: `title` such as "bucket 'models'", `rights` what the
    server's credentials must allow there, `credentials` which ones were chosen, for the log.
    """

    title: str
    rights: str
    credentials: str


@dataclass(frozen=True, slots=True)
class Extras:
    """What is stored with each object: attributes such as Storage-Class, and tags."""

    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


def explained(
    error: Exception,
    path: str,
    bucket: Bucket,
    *,
    missing: type[ArtifactNotFound | BucketMissing] = ArtifactNotFound,
) -> TrackingError:
    """The library's error in the contract's words, and in the log where an operator must look.

    `missing` is what a 404 means.
    """
    status = status_of(error)
    if isinstance(error, exceptions.PreconditionError):
        return ArtifactChanged(path)
    if status == RANGE_NOT_THERE:
        return SpanNotThere(path)
    if status == NOT_THERE:
        is_bucket = missing is BucketMissing or NO_BUCKET.search(str(error))
        return BucketMissing(bucket) if is_bucket else ArtifactNotFound(path)
    log.warning("artifact store failed", bucket=bucket.title, reason=brief(error))
    if isinstance(error, exceptions.InvalidPathError):
        return ForeignKey()
    return refusal(status, bucket)


def refusal(status: int, bucket: Bucket) -> ArtifactStoreUnavailable | NoSpaceForArtifacts:
    """What an answer with this status means; 0 is none."""
    if status in FORBIDDEN:
        return BucketForbidden(bucket)
    return NoSpaceForArtifacts() if status in FULL else StoreFailing(status)


def status_of(error: Exception) -> int:
    """The HTTP status that the library tells in its text only; 0 if it got no answer."""
    text = str(error)
    if isinstance(error, FileNotFoundError) or NO_BUCKET.search(text):
        return NOT_THERE
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        return 403
    if "Invalid range" in text or "Wanted range starting" in text:
        return RANGE_NOT_THERE
    found = STATUS.search(text)
    return int(found[1]) if found else 0


def brief(error: Exception) -> str:
    """For the log: the first line, without secrets."""
    return masked(str(error).partition("\n")[0])[:REASON_LENGTH_MAX]


def first_of(environ: Mapping[str, str], *names: str) -> str | None:
    """The first of the variables that is set and not empty."""
    return next((environ[name] for name in names if environ.get(name)), None)


def is_installed(module: str) -> bool:
    """Whether an extra is there; it is not loaded."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # Nor what it is a part of.
        return False


def client_options(
    patience: Patience, *, allow_http: bool, ignore_tls: bool = False
) -> "ClientConfig":
    """A request may last as long as its bytes flow."""
    return {
        "allow_http": allow_http,
        "allow_invalid_certificates": ignore_tls,
        "connect_timeout": timedelta(seconds=CONNECT_S_MAX),
        "read_timeout": timedelta(seconds=patience.silence_s),
        "timeout": timedelta(days=7),
    }


def retry_config(patience: Patience) -> "RetryConfig":
    return {
        "max_retries": 50,  # The time is what bounds them.
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=2),
            "base": 2,
        },
        "retry_timeout": timedelta(seconds=patience.retries_s),
    }
