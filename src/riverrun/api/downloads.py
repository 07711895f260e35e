"""A file as an answer: ranges, conditions, and headers that keep a browser from running it."""

import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import quote, urlsplit

from riverrun.api.call import Answer, Call
from riverrun.services.artifacts import OpenFile

TEXT_SUFFIXES = frozenset(
    [
        ".txt",
        ".log",
        ".err",
        ".cfg",
        ".conf",
        ".cnf",
        ".cf",
        ".ini",
        ".properties",
        ".prop",
        ".hocon",
        ".toml",
        ".yaml",
        ".yml",
        ".xml",
        ".json",
        ".js",
        ".py",
        ".py3",
        ".csv",
        ".tsv",
        ".md",
        ".rst",
        ".mlmodel",
        ".mlproject",
    ]
)
"""Shown as plain text, never as what a browser would run."""


@dataclass(frozen=True, slots=True)
class _Span:
    """Bytes of a file: from `start` to before `end`."""

    start: int
    end: int


async def download(call: Call, file: OpenFile) -> Answer:
    """The file as an attachment: whole, a range of it, or only what says that it is unchanged; a
    browser may be sent to where it lies.
    """
    if _follows_link(call.headers):
        url = await call.services.direct_transfers.redirect(file)
        if url is not None and not _is_own_host(url, call.headers):
            return Answer(b"", status=302, headers={"location": url, "cache-control": "no-store"})
    headers = _file_headers(file)
    if _is_known(call.headers, file):
        return Answer(b"", _media_type(file.name), 304, headers)
    span = _span(call.headers, file)
    if span is not None and span.start >= span.end:
        headers["content-range"] = f"bytes */{file.size_bytes}"
        return Answer(b"", _media_type(file.name), 416, headers)
    status = 200
    if span is None:
        span = _Span(0, file.size_bytes)
    else:
        status = 206
        headers["content-range"] = f"bytes {span.start}-{span.end - 1}/{file.size_bytes}"
    headers["content-length"] = str(span.end - span.start)
    return Answer(file.read(span.start, span.end), _media_type(file.name), status, headers)


def _follows_link(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser goes there itself: what a page fetches may not leave its origin."""
    mode = headers.get(b"sec-fetch-mode")
    if mode is not None:
        return mode == b"navigate"
    return b"text/html" in headers.get(b"accept", b"")


def _is_own_host(url: str, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a page from there would run under our name: browsers share cookies between ports."""
    given = headers.get(b"host", b"").decode("latin-1")
    try:
        return urlsplit(url).hostname == urlsplit(f"//{given}").hostname
    except ValueError:
        return True  # The request was sent to no host that could be.


def _is_known(headers: Mapping[bytes, bytes], file: OpenFile) -> bool:
    """Whether the client has the file already (RFC 9110, sections 13.1.2 and 13.1.3)."""
    listed = headers.get(b"if-none-match", b"").decode("latin-1").strip()
    if listed:
        return listed == "*" or file.etag in re.findall(r'"[^"]*"', listed)
    since_s = _seconds(headers.get(b"if-modified-since", b"").decode("latin-1"))
    return (
        since_s is not None
        and file.modified_ms is not None
        and (file.modified_ms // 1000 <= since_s)
    )


def _seconds(date: str) -> int | None:
    """Since 1970; None for what is no date."""
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except (ValueError, OverflowError):
        return None


def _span(headers: Mapping[bytes, bytes], file: OpenFile) -> _Span | None:
    """One range of bytes (RFC 9110, section 14), empty if the file has none of them.

    None, the whole file, when no range is asked for and where a server may ignore it: several
    ranges, other units, a file that has changed. One that is named by its date may have: two
    versions of a second have the same.
    """
    given = headers.get(b"range", b"").decode("latin-1")
    match = re.fullmatch(r"(?i:bytes)=(\d{0,18})-(\d{0,18})", given.strip())
    if match is None or not (match[1] or match[2]):
        return None
    condition = headers.get(b"if-range")
    if condition is not None and condition.decode("latin-1") != file.etag:
        return None
    if not match[1]:
        suffix = int(match[2])
        return _Span(max(0, file.size_bytes - suffix), file.size_bytes)
    start = int(match[1])
    end = min(int(match[2]) + 1 if match[2] else file.size_bytes, file.size_bytes)
    if match[2] and int(match[2]) < start:
        return None
    return _Span(start, end)


def _file_headers(file: OpenFile) -> dict[str, str]:
    """Always an attachment, never sniffed: artifacts are hostile to whoever opens them in a
    browser.
    """
    headers = {
        "accept-ranges": "bytes",
        "content-disposition": attachment(file.name),
        "content-security-policy": "sandbox; default-src 'none'",
        "x-content-type-options": "nosniff",
        "cache-control": "no-cache",
    }
    if file.etag:
        headers["etag"] = file.etag
    if file.modified_ms is not None:
        headers["last-modified"] = formatdate(file.modified_ms / 1000, usegmt=True)
    return headers


def attachment(name: str) -> str:
    """The header's value that makes a browser save what it gets, under this name."""
    if name.isascii() and re.fullmatch(r"[\w.\- ]+", name):
        return f'attachment; filename="{name}"'
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"


def _media_type(name: str) -> str:
    suffix = "." + name.rpartition(".")[2].lower()
    if suffix in TEXT_SUFFIXES or name.lower() in {"mlmodel", "mlproject"}:
        return "text/plain"
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
