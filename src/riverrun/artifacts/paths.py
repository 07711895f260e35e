"""Paths given by clients: which are safe to read, and which name a file to write."""

import re
from urllib.parse import unquote

from riverrun.artifacts.contract import InvalidArtifactPath

PATH_BYTES_MAX = 4096  # Linux' PATH_MAX; object stores allow 1024 bytes and say so themselves.
SEGMENT_BYTES_MAX = 255  # What file systems allow for one name.
SEGMENTS_MAX = 100  # A tree is deleted level by level, each with an open descriptor.
DECODING_ROUNDS_MAX = 10


def safe_path(raw: str) -> str:
    """A relative path in its plain form: no segment is empty, `.` or `..`.

    `raw` is the path as the HTTP layer hands it over, decoded once. What is judged is its form
    after decoding until nothing changes, so that no later decoder can turn it into something else;
    what is returned, and stored, is `raw`: `100%.txt` and even `a%20b.txt` keep their names. Raises
    InvalidArtifactPath.
    """
    _refuse_oversize(raw)
    _refuse_control_characters(raw)
    _refuse_unsafe(fully_decoded(raw))
    segments = [segment for segment in raw.split("/") if segment not in {"", "."}]
    if len(segments) > SEGMENTS_MAX:
        raise InvalidArtifactPath(f"more than {SEGMENTS_MAX} segments")
    return "/".join(segments)


def safe_file_path(raw: str) -> str:
    """A safe path that names a file: not empty, no `/` at its end. Raises InvalidArtifactPath."""
    path = safe_path(raw)
    if fully_decoded(raw).rpartition("/")[2] in {"", "."}:
        raise InvalidArtifactPath("a file name is missing at the end")
    return path


def fully_decoded(raw: str) -> str:
    decoded = raw
    for _ in range(DECODING_ROUNDS_MAX):
        before, decoded = decoded, unquote(decoded)
        if decoded == before:
            return decoded
    raise InvalidArtifactPath(f"percent-encoded more than {DECODING_ROUNDS_MAX - 1} times")


def _refuse_oversize(raw: str) -> None:
    try:
        encoded = raw.encode()
    except UnicodeEncodeError:
        raise InvalidArtifactPath("not valid Unicode") from None
    if len(encoded) > PATH_BYTES_MAX:
        raise InvalidArtifactPath(f"longer than {PATH_BYTES_MAX} bytes")
    if max(map(len, encoded.split(b"/"))) > SEGMENT_BYTES_MAX:
        raise InvalidArtifactPath(f"a segment is longer than {SEGMENT_BYTES_MAX} bytes")


def _refuse_control_characters(raw: str) -> None:
    """Judged as they stand: clients of 2.x name images `loss%step%3%timestamp%1795232756411%…`,
    where `%17` means no character.
    """
    if re.search(r"[\x00-\x1f\x7f-\x9f]", raw):
        raise InvalidArtifactPath("it contains a control character")


def _refuse_unsafe(decoded: str) -> None:
    # Clients of 2.x fail to list a folder that holds such a name.
    if "#" in decoded:
        raise InvalidArtifactPath("it contains '#'")
    if "\\" in decoded:
        raise InvalidArtifactPath("it contains a backslash")
    # For some readers a name ends at a control character, so what stands before it must not climb.
    if re.search(r"(^|/)\.\.($|[/\x00-\x1f\x7f-\x9f])", decoded):
        raise InvalidArtifactPath("it contains '..'")
    if decoded.startswith("/") or decoded.partition("/")[0].endswith(":"):
        # `C:` and `file:` make a path absolute for some reader; a colon elsewhere is part of a
        # name.
        raise InvalidArtifactPath("it is absolute, expected a relative path")
