import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing

from riverrun.api.call import Answer, Call
from riverrun.api.downloads import attachment, download
from riverrun.artifacts.contract import PresignedUrl, UploadedPart
from riverrun.entities.artifacts import FileInfo
from riverrun.errors import InvalidParameterValue
from riverrun.services import limits
from riverrun.services.artifacts import Pages
from riverrun.wire.codec import encode
from riverrun.wire.message import Empty
from riverrun.wire.messages import artifacts as m


async def list_artifacts(call: Call, message: m.ListArtifacts) -> bytes | Answer:
    root_uri, pages = await call.services.artifacts.list_of_run(
        message.run, message.path or "", viewer=call.viewer
    )
    return await _listed(lambda files: m.ListArtifactsResponse(root_uri, files), pages)


async def list_logged_model_artifacts(
    call: Call, message: m.ListLoggedModelArtifacts
) -> bytes | Answer:
    root_uri, pages = await call.services.artifacts.list_of_model(
        message.model_id, message.artifact_directory_path or "", viewer=call.viewer
    )
    return await _listed(lambda files: m.ListArtifactsResponse(root_uri, files), pages)


async def list_proxied_artifacts(call: Call, message: m.ListProxiedArtifacts) -> bytes | Answer:
    pages = call.services.artifacts.list_files(message.path or "", viewer=call.viewer)
    return await _listed(m.ListProxiedArtifactsResponse, pages)


async def _listed(answer: Callable[[list[FileInfo]], object], pages: Pages) -> bytes | Answer:
    """The whole answer; a stream of the same JSON where there is more than one page.

    `files` is the last field of the answer.
    """
    first, second = await anext(pages, None), await anext(pages, None)
    body = encode(answer(list(first or ())))
    return body if second is None else Answer(_continued(body.removesuffix(b"]}"), second, pages))


async def _continued(begun: bytes, page: Sequence[FileInfo], pages: Pages) -> AsyncGenerator[bytes]:
    async with aclosing(pages):
        yield begun + b"," + encode(page)[1:-1]
        async for each in pages:
            yield b"," + encode(each)[1:-1]
    yield b"]}"


async def download_artifact(call: Call, message: Empty) -> Answer:
    file = await call.services.artifacts.open(call.path, viewer=call.viewer)
    return await download(call, file)


async def get_artifact(call: Call, message: m.GetArtifact) -> Answer:
    """A direct link to a file of a run, as web pages use it."""
    file = await call.services.artifacts.open_of_run(
        message.run, message.path or "", viewer=call.viewer
    )
    return await download(call, file)


async def get_logged_model_artifact(call: Call, message: m.GetLoggedModelArtifact) -> Answer:
    """A direct link to a file of a logged model, as web pages use it."""
    file = await call.services.artifacts.open_of_model(
        message.model_id, message.artifact_file_path or "", viewer=call.viewer
    )
    return await download(call, file)


async def get_run_archive(call: Call, message: m.GetRunArchive) -> Answer:
    """All artifacts of a run, or those below a path, as one zip."""
    content = await call.services.artifacts.archive_of_run(
        message.run_id, message.path or "", viewer=call.viewer
    )
    return _archive(content, message.run_id, message.path)


async def get_logged_model_archive(call: Call, message: m.GetLoggedModelArchive) -> Answer:
    """All artifacts of a logged model, or those below a path, as one zip."""
    content = await call.services.artifacts.archive_of_model(
        message.model_id, message.path or "", viewer=call.viewer
    )
    return _archive(content, message.model_id, message.path)


def _archive(content: AsyncGenerator[bytes], of: str, path: str | None) -> Answer:
    """Named after what it is of, and after the folder."""
    folder = (path or "").strip("/").rpartition("/")[2]
    name = f"{of}-{folder}.zip" if folder else f"{of}.zip"
    headers = {
        "content-disposition": attachment(name),
        "cache-control": "no-cache",
        "x-content-type-options": "nosniff",
    }
    return Answer(content, "application/zip", headers=headers)


async def upload_artifact(call: Call, message: Empty) -> Empty:
    length = call.headers.get(b"content-length", b"")
    size_bytes = int(length) if re.fullmatch(rb"[0-9]{1,18}", length) else None
    await call.services.artifacts.write(
        call.path, call.body(), size_bytes=size_bytes, viewer=call.viewer
    )
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


async def create_multipart_upload(
    call: Call, message: m.CreateMultipartUpload
) -> m.CreateMultipartUploadResponse:
    upload = await call.services.direct_transfers.create_upload(
        _uploaded_path(call, message.path), parts=message.num_parts or 0, viewer=call.viewer
    )
    credentials = [
        m.MultipartUploadCredential(part.url, number, part.headers)
        for number, part in enumerate(upload.parts, 1)
    ]
    return m.CreateMultipartUploadResponse(upload.upload_id, credentials)


async def complete_multipart_upload(call: Call, message: m.CompleteMultipartUpload) -> Empty:
    await call.services.direct_transfers.complete_upload(
        _uploaded_path(call, message.path),
        message.upload_id or "",
        [UploadedPart(part.part_number or 0, part.etag or "") for part in message.parts or ()],
        viewer=call.viewer,
    )
    return Empty()


async def abort_multipart_upload(call: Call, message: m.AbortMultipartUpload) -> Empty:
    await call.services.direct_transfers.abort_upload(
        _uploaded_path(call, message.path), message.upload_id or "", viewer=call.viewer
    )
    return Empty()


def _uploaded_path(call: Call, local_file: str | None) -> str:
    """The route names the directory; of the client's path of the file only the name counts."""
    name = re.split(r"[/\\]", local_file or "")[-1]
    return f"{call.path}/{name}"


async def get_presigned_download_url(
    call: Call, message: Empty
) -> m.GetPresignedDownloadUrlResponse:
    found = await call.services.direct_transfers.download_url(call.path, viewer=call.viewer)
    return m.GetPresignedDownloadUrlResponse(found.url.url, found.url.headers, found.size_bytes)


async def create_presigned_upload_url(
    call: Call, message: m.CreatePresignedUploadUrl
) -> m.CreatePresignedUploadUrlResponse:
    url = await _upload_url(call, message)
    return m.CreatePresignedUploadUrlResponse(url.url, url.headers)


async def _upload_url(call: Call, message: m.CreatePresignedUploadUrl) -> PresignedUrl:
    if bool(message.run) == bool(message.model_id):
        raise InvalidParameterValue("Exactly one of run_id and model_id must be provided.")
    transfers = call.services.direct_transfers
    path, expires_s, viewer = message.path or "", message.expiration, call.viewer
    if message.run:
        return await transfers.upload_url_of_run(
            message.run, path, expires_s=expires_s, viewer=viewer
        )
    return await transfers.upload_url_of_model(
        message.model_id or "", path, expires_s=expires_s, viewer=viewer
    )


async def create_presigned_download_url(
    call: Call, message: m.CreatePresignedDownloadUrl
) -> m.CreatePresignedDownloadUrlResponse:
    found = await call.services.direct_transfers.download_url_of_run(
        message.run, message.path or "", expires_s=message.expiration, viewer=call.viewer
    )
    return m.CreatePresignedDownloadUrlResponse(found.url.url, found.url.headers, found.size_bytes)


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
