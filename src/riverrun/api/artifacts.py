import mimetypes
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from urllib.parse import quote

from riverrun.api.call import Answer, Call
from riverrun.artifacts.contract import UploadedPart
from riverrun.errors import InvalidParameterValue
from riverrun.services import limits
from riverrun.services.artifacts import OpenFile
from riverrun.wire.codec import missing
from riverrun.wire.message import Empty
from riverrun.wire.messages import artifacts as m

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


async def list_artifacts(call: Call, message: m.ListArtifacts) -> m.ListArtifactsResponse:
    root_uri, files = await call.services.artifacts.list_of_run(
        message.run, message.path or "", viewer=call.viewer
    )
    return m.ListArtifactsResponse(root_uri, files)


async def list_logged_model_artifacts(
    call: Call, message: m.ListLoggedModelArtifacts
) -> m.ListArtifactsResponse:
    root_uri, files = await call.services.artifacts.list_of_model(
        message.model_id, message.artifact_directory_path or "", viewer=call.viewer
    )
    return m.ListArtifactsResponse(root_uri, files)


async def list_proxied_artifacts(
    call: Call, message: m.ListProxiedArtifacts
) -> m.ListProxiedArtifactsResponse:
    return m.ListProxiedArtifactsResponse(
        await call.services.artifacts.list_files(message.path or "", viewer=call.viewer)
    )


async def download_artifact(call: Call, message: Empty) -> Answer:
    return download(call, await call.services.artifacts.open(call.path, viewer=call.viewer))


async def get_artifact(call: Call, message: m.GetArtifact) -> Answer:
    """A direct link to a file of a run, as web pages use it."""
    file = await call.services.artifacts.open_of_run(
        message.run, message.path or "", viewer=call.viewer
    )
    return download(call, file)


async def get_logged_model_artifact(call: Call, message: m.GetLoggedModelArtifact) -> Answer:
    """A direct link to a file of a logged model, as web pages use it."""
    file = await call.services.artifacts.open_of_model(
        message.model_id, message.artifact_file_path or "", viewer=call.viewer
    )
    return download(call, file)


async def upload_artifact(call: Call, message: Empty) -> Empty:
    await call.services.artifacts.write(call.path, call.body(), viewer=call.viewer)
    return Empty()


async def upload_run_artifact(call: Call, message: m.GetArtifact) -> Empty:
    """The web UI's upload, of 10 MiB at the most."""
    await call.services.artifacts.write_of_run(
        message.run, message.path or "", _limited(call.body()), viewer=call.viewer
    )
    return Empty()


async def delete_artifact(call: Call, message: Empty) -> Empty:
    await call.services.artifacts.delete(call.path, viewer=call.viewer)
    return Empty()


async def create_multipart_upload(call: Call, message: m.CreateMultipartUpload) -> Empty:
    call.services.artifacts.uploads(call.path, viewer=call.viewer)
    return Empty()


async def complete_multipart_upload(call: Call, message: m.CompleteMultipartUpload) -> Empty:
    uploads = call.services.artifacts.uploads(call.path, viewer=call.viewer)
    parts = [UploadedPart(part.part_number or 0, part.etag or "") for part in message.parts or ()]
    await uploads.complete(call.path, message.upload_id or "", parts=parts)
    return Empty()


async def abort_multipart_upload(call: Call, message: m.AbortMultipartUpload) -> Empty:
    uploads = call.services.artifacts.uploads(call.path, viewer=call.viewer)
    await uploads.abort(call.path, message.upload_id or "")
    return Empty()


async def get_presigned_download_url(call: Call, message: Empty) -> Empty:
    call.services.artifacts.urls(call.path, viewer=call.viewer)
    return Empty()


async def create_presigned_upload_url(call: Call, message: m.CreatePresignedUploadUrl) -> Empty:
    if not message.run:
        raise missing("run_id")
    await call.services.artifacts.presign_of_run(
        message.run, direction="upload", viewer=call.viewer
    )
    return Empty()


async def create_presigned_download_url(call: Call, message: m.CreatePresignedDownloadUrl) -> Empty:
    await call.services.artifacts.presign_of_run(
        message.run, direction="download", viewer=call.viewer
    )
    return Empty()


async def _limited(body: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    received = 0
    async for chunk in body:
        received += len(chunk)
        if received > limits.UPLOAD_ARTIFACT_BYTES_MAX:
            raise InvalidParameterValue(
                f"Artifact is too large: at most {limits.UPLOAD_ARTIFACT_BYTES_MAX} bytes are "
                "accepted here; log it with a client instead."
            )
        yield chunk
    if not received:
        raise InvalidParameterValue("Request must specify data.")


@dataclass(frozen=True, slots=True)
class _Span:
    """Bytes of a file: from `start` to before `end`."""

    start: int
    end: int


def download(call: Call, file: OpenFile) -> Answer:
    """The file as an attachment: whole, a range of it, or only what says that it is unchanged."""
    headers = _file_headers(file)
    if file.etag and call.headers.get(b"if-none-match") == file.etag.encode():
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


def _span(headers: Mapping[bytes, bytes], file: OpenFile) -> _Span | None:
    """One range of bytes (RFC 9110, section 14), empty if the file has none of them.

    None, the whole file, when no range is asked for and where a server may ignore it: several
    ranges, other units, a file that has changed.
    """
    given = headers.get(b"range", b"").decode("latin-1")
    match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", given.strip())
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
        "content-disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}",
        "content-security-policy": "sandbox; default-src 'none'",
        "x-content-type-options": "nosniff",
        "cache-control": "no-cache",
    }
    if file.name.isascii() and re.fullmatch(r"[\w.\- ]+", file.name):
        headers["content-disposition"] = f'attachment; filename="{file.name}"'
    if file.etag:
        headers["etag"] = file.etag
    if file.modified_ms is not None:
        headers["last-modified"] = formatdate(file.modified_ms / 1000, usegmt=True)
    return headers


def _media_type(name: str) -> str:
    suffix = "." + name.rpartition(".")[2].lower()
    if suffix in TEXT_SUFFIXES or name.lower() in {"mlmodel", "mlproject"}:
        return "text/plain"
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
