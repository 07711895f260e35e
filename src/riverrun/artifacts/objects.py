"""Artifacts as objects of a bucket, by the library that speaks to all clouds.

This module and those of the clouds are imported on first use: the library takes time to load.
"""

import asyncio
import mimetypes
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import obstore
from obstore import exceptions

from riverrun.artifacts.bucket import (
    Bucket,
    BucketForbidden,
    BucketMissing,
    Extras,
    SpanNotThere,
    brief,
    explained,
)
from riverrun.artifacts.contract import (
    PAGE,
    READ_BYTES_MAX,
    ArtifactChanged,
    ArtifactIsDirectory,
    ArtifactNotFound,
    ArtifactStore,
    FileInfo,
    InvalidArtifactPath,
    PresignedUrl,
    PresignedUrls,
)
from riverrun.artifacts.parts import (
    PARTS_MAX,
    Feed,
    in_pieces,
    part_bytes,
    parts_in_flight,
)
from riverrun.artifacts.paths import safe_file_path, safe_path
from riverrun.artifacts.waiting import ahead, ended, mark_as_seen, steps, to_the_end, unheard
from riverrun.errors import (
    InvalidState,
    NotImplementedHere,
    TrackingError,
)
from riverrun.obs.logs import Log

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import AzureStore, GCSStore, S3Store

    HttpMethod = Literal["GET", "PUT"]
    Backend = S3Store | GCSStore | AzureStore

KEY_BYTES_MAX = 1024  # Of every cloud.
HIGHEST = "\U0010ffff"
LOOKS_AT_ONCE = 16
PRESIGNED_S_MAX = 7 * 24 * 3600  # As long as any cloud lets a signature live.
ERRORS = (exceptions.BaseError, OSError)

log = Log("riverrun.artifacts")


class ObjectStore(ArtifactStore):
    """Objects below the key `prefix`; a directory is wherever a name below it exists.

    Empty objects whose key ends with `/`, with which some tools mark directories, are not shown.
    """

    def __init__(
        self, backend: "Backend", bucket: Bucket, prefix: str = "", extras: Extras | None = None
    ) -> None:
        self.bucket = bucket
        self._backend = backend
        self._prefix = "/".join(filter(None, prefix.split("/")))
        self._extras = extras or Extras()
        self._uploads = 0  # Those in parts that are under way.

    async def prepare(self) -> None:
        try:
            await self._has_below(self._prefix)
        except BucketMissing:
            await self._create_bucket()
        except BucketForbidden as error:
            raise InvalidState(error.message) from error

    async def _create_bucket(self) -> None:
        """Raises InvalidState where that cannot be done, as here."""
        raise InvalidState(f"The artifact store has no {self.bucket.title}: create it.")

    async def list(self, path: str) -> AsyncGenerator[Sequence[FileInfo]]:
        folder = self._folder(path)
        settled: set[str] = set()  # Names told, or looked for in vain, that may come again.
        async with aclosing(self._shallow(folder)) as chunks:
            async for objects in chunks:
                last = name_below(folder, objects[-1])
                found = named(folder, await self._without_markers(folder, objects))
                if len(objects) == PAGE:
                    looked_for = directories_before(last) - settled - found.keys()
                    found |= await self._directories(folder, looked_for)
                    settled |= looked_for - found.keys()
                page = [found[name] for name in sorted(found.keys() - settled)]
                settled = {name for name in settled | found.keys() if last.startswith(name)}
                for start in range(0, len(page), PAGE):
                    yield page[start : start + PAGE]

    async def walk(self, path: str) -> AsyncGenerator[Sequence[FileInfo]]:
        folder = self._folder(path)
        async with aclosing(self._objects(folder)) as chunks:
            async for objects in chunks:
                files = await self._without_markers(folder, objects)
                if files:
                    yield [file_info(each, each["path"].removeprefix(folder)) for each in files]

    async def stat(self, path: str) -> FileInfo:
        path = safe_path(path)
        if not path:
            raise ArtifactIsDirectory(path)
        try:
            with self._in_our_words(path):
                found = await unheard(obstore.head_async(self._backend, self._key(path)))
        except ArtifactNotFound:
            raise await self._not_a_file(path) from None
        return file_info(found, path.rpartition("/")[2])

    async def read(
        self, path: str, *, start: int = 0, end: int | None = None, etag: str | None = None
    ) -> AsyncGenerator[bytes]:
        path = safe_path(path)
        options = get_options(start, end, etag)
        if options is None or not path:
            await self._check(path, etag)
            return
        result = None
        try:
            with self._in_our_words(path):
                result = await unheard(
                    obstore.get_async(self._backend, self._key(path), options=options)
                )
        except ArtifactNotFound:
            raise await self._not_a_file(path) from None
        except SpanNotThere:
            await self._check(path, etag)
            return
        if etag not in {None, quoted(result.meta["e_tag"])}:
            raise ArtifactChanged(path)
        with self._in_our_words(path):
            async for chunk in ahead(result.stream(min_chunk_size=READ_BYTES_MAX)):
                for offset in range(0, len(chunk), READ_BYTES_MAX):
                    yield bytes(memoryview(chunk)[offset : offset + READ_BYTES_MAX])

    async def write(
        self, path: str, chunks: AsyncIterator[bytes], *, size_bytes: int | None = None
    ) -> None:
        path = safe_file_path(path)
        if await self._has_below(self._key(path)):
            raise ArtifactIsDirectory(path)
        part = part_bytes(size_bytes)
        is_long = size_bytes is not None and size_bytes > part
        async with aclosing(in_pieces(chunks)) as pieces:
            first = [] if is_long else await up_to(part, pieces)
            if is_long or sum(map(len, first)) >= part:
                return await self._write_parts(path, first, pieces, part=part)
        return await to_the_end(self._put(path, b"".join(first)))

    async def _write_parts(
        self, path: str, first: "list[bytes]", rest: AsyncIterator[bytes], *, part: int
    ) -> None:
        feed = Feed(part * PARTS_MAX)
        sending = asyncio.create_task(self._put_parts(path, feed, part=part))
        try:
            while first:
                await feed.offer(first.pop(0), sending)
            async for piece in rest:
                await feed.offer(piece, sending)
            await feed.offer(b"", sending)
        except BaseException:
            feed.stop()
            await ended(sending)
            mark_as_seen(sending)
            raise
        await to_the_end(sending)

    async def _put(self, path: str, content: bytes) -> None:
        with self._in_our_words(path, missing=BucketMissing):
            await unheard(
                obstore.put_async(
                    self._backend,
                    self._key(path),
                    content,
                    attributes=self._attributes(path),
                    tags=dict(self._extras.tags) or None,
                    use_multipart=False,
                )
            )

    async def _put_parts(self, path: str, feed: Feed, *, part: int) -> None:
        self._uploads += 1
        try:
            with self._in_our_words(path, missing=BucketMissing):
                await unheard(
                    obstore.put_async(
                        self._backend,
                        self._key(path),
                        feed,
                        attributes=self._attributes(path),
                        tags=dict(self._extras.tags) or None,
                        use_multipart=True,
                        chunk_size=part,
                        max_concurrency=parts_in_flight(part, self._uploads),
                    )
                )
        finally:
            self._uploads -= 1

    def _attributes(self, path: str) -> dict[str, str]:
        return {"Content-Type": content_type(path), **self._extras.attributes}

    async def delete(self, path: str) -> None:
        path = safe_path(path)
        if not path:
            raise InvalidArtifactPath("the root cannot be deleted")
        async with aclosing(self._objects(self._folder(path))) as chunks:
            async for objects in chunks:
                await self._delete([each["path"] for each in objects])
        await self._delete([self._key(path)])

    async def _delete(self, keys: "list[str]") -> None:
        """What is missing is no error, which some clouds make it."""
        with self._in_our_words(""):
            try:
                await unheard(obstore.delete_async(self._backend, keys))
            except FileNotFoundError:
                for key in keys:
                    with suppress(FileNotFoundError):
                        await unheard(obstore.delete_async(self._backend, key))

    def presigned_urls(self) -> PresignedUrls:
        return SignedUrls(self)

    async def sign(self, method: "HttpMethod", path: str, expires_s: int) -> str:
        """The URL with which its bearer does this for a while.

        Raises NotImplementedHere where the credentials cannot sign.
        """
        for_s = timedelta(seconds=min(expires_s, PRESIGNED_S_MAX))
        try:
            return await unheard(obstore.sign_async(self._backend, method, self._key(path), for_s))
        except ERRORS as error:
            log.warning("URL not signed", reason=brief(error))
            raise NotImplementedHere(
                "Multipart download is not supported for the current artifact repository: its "
                "credentials cannot sign URLs"
            ) from error

    def _key(self, path: str) -> str:
        key = "/".join(filter(None, (self._prefix, path)))
        if len(key.encode()) > KEY_BYTES_MAX:
            raise InvalidArtifactPath(
                f"longer than the {KEY_BYTES_MAX} bytes that an object store allows, "
                "with the folders above it"
            )
        return key

    def _folder(self, path: str) -> str:
        """What the keys of everything below begin with."""
        key = self._key(safe_path(path))
        return f"{key}/" if key else ""

    async def _objects(
        self, folder: str, offset: str | None = None, *, at_once: int = PAGE
    ) -> AsyncGenerator["Sequence[ObjectMeta]"]:
        """All objects below the folder and after the key `offset`, in the order of their keys."""
        found = obstore.list(self._backend, folder or None, offset=offset, chunk_size=at_once)
        with self._in_our_words("", missing=BucketMissing):
            async for objects in steps(found):
                yield objects

    async def _shallow(self, folder: str) -> AsyncGenerator["Sequence[ObjectMeta]"]:
        """As `_objects`, without most of what lies in a large directory below the folder.

        So what lies deeper is not read, however much it is; a page of objects shows at least one
        name that those before it did not.
        """
        offset: str | None = None
        while True:
            async with aclosing(self._objects(folder, offset)) as chunks:
                async for objects in chunks:
                    yield objects
                    name, is_deeper, _ = objects[-1]["path"].removeprefix(folder).partition("/")
                    if is_deeper and len(objects) == PAGE:
                        offset = f"{folder}{name}/{HIGHEST}"
                        break
                else:
                    return

    async def _has_below(self, key: str) -> bool:
        folder = f"{key}/" if key else ""
        async with aclosing(self._objects(folder, at_once=2)) as chunks:
            async for objects in chunks:  # The first may be the folder's own mark.
                return any(each["path"].startswith(folder) for each in objects)
        return False

    async def _directories(self, folder: str, names: Iterable[str]) -> dict[str, FileInfo]:
        """Those of the names that are directories."""
        return {
            name: FileInfo(name, is_dir=True)
            for name in names
            if await self._has_below(folder + name)
        }

    async def _without_markers(
        self, folder: str, objects: "Sequence[ObjectMeta]"
    ) -> "Sequence[ObjectMeta]":
        """The library cuts a `/` off the end of a key; no object has the key that is left."""
        below = [each for each in objects if each["path"].startswith(folder)]
        empty = [each["path"] for each in below if not each["size"]]
        markers: set[str] = set()
        for start in range(0, len(empty), LOOKS_AT_ONCE):
            some = empty[start : start + LOOKS_AT_ONCE]
            are_markers = await asyncio.gather(*map(self._is_marker, some))
            markers |= {key for key, is_marker in zip(some, are_markers, strict=True) if is_marker}
        return [each for each in below if each["path"] not in markers]

    async def _is_marker(self, key: str) -> bool:
        try:
            with self._in_our_words(""):
                await unheard(obstore.head_async(self._backend, key))
        except ArtifactNotFound:
            return True
        return False

    async def _not_a_file(self, path: str) -> TrackingError:
        """Why there is no such object. Raises BucketMissing."""
        is_directory = await self._has_below(self._key(path))
        return ArtifactIsDirectory(path) if is_directory else ArtifactNotFound(path)

    async def _check(self, path: str, etag: str | None) -> None:
        """Raises what `read` raises of a file that is not there, or another one."""
        if etag not in {None, (await self.stat(path)).etag}:
            raise ArtifactChanged(path)

    @contextmanager
    def _in_our_words(
        self, path: str, *, missing: type[ArtifactNotFound | BucketMissing] = ArtifactNotFound
    ) -> Generator[None]:
        """Turns the library's errors into the contract's; `missing` is what a 404 means."""
        try:
            yield
        except ERRORS as error:
            raise explained(error, path, self.bucket, missing=missing) from error


class SignedUrls(PresignedUrls):
    """`upload_headers` are those that the cloud wants with each upload."""

    def __init__(self, store: ObjectStore, upload_headers: Mapping[str, str] | None = None) -> None:
        self._store = store
        self._upload_headers = upload_headers or {}

    async def download(self, path: str, *, expires_s: int) -> PresignedUrl:
        path = safe_path(path)
        await self._store.stat(path)
        return PresignedUrl(await self._store.sign("GET", path, expires_s), {})

    async def upload(self, path: str, *, expires_s: int) -> PresignedUrl:
        path = safe_file_path(path)
        url = await self._store.sign("PUT", path, expires_s)
        return PresignedUrl(url, dict(self._upload_headers))


def get_options(start: int, end: int | None, etag: str | None) -> "GetOptions | None":
    """None for a span that is empty whatever the file holds."""
    if end is not None and end <= start:
        return None
    options: GetOptions = {}
    if etag is not None:
        options["if_match"] = etag
    if end is not None:
        options["range"] = (start, end)
    elif start:
        options["range"] = {"offset": start}
    return options


async def up_to(size_bytes: int, pieces: AsyncIterator[bytes]) -> list[bytes]:
    """The first pieces, as few as have so many bytes, or all."""
    found: list[bytes] = []
    gathered = 0
    async for piece in pieces:
        found.append(piece)
        gathered += len(piece)
        if gathered >= size_bytes:
            break
    return found


def named(folder: str, objects: "Iterable[ObjectMeta]") -> dict[str, FileInfo]:
    """What lies directly in the folder; a file hides a directory of its name, as in `stat`."""
    found: dict[str, FileInfo] = {}
    for each in objects:
        name, is_deeper, _ = each["path"].removeprefix(folder).partition("/")
        if is_deeper:
            found.setdefault(name, FileInfo(name, is_dir=True))
        else:
            found[name] = file_info(each, name)
    return found


def name_below(folder: str, each: "ObjectMeta") -> str:
    return each["path"].removeprefix(folder).partition("/")[0]


def directories_before(name: str) -> set[str]:
    """Directories that sort before a name, while what is in them comes after it.

    As `a` does: the order of keys is `a-b`, `a.txt`, `a/x`.
    """
    return {name[:end] for end, character in enumerate(name) if end and character < "/"}


def file_info(found: "ObjectMeta", name: str) -> FileInfo:
    return FileInfo(
        name=name,
        is_dir=False,
        size_bytes=found["size"],
        # A listing may know fractions of a second; the object's own header, which must agree, not.
        modified_ms=int(found["last_modified"].timestamp()) * 1000,
        etag=quoted(found["e_tag"]),
    )


def quoted(etag: str | None) -> str | None:
    """With its quotes, which Azure leaves out in listings."""
    return None if etag is None else '"' + etag.strip('"') + '"'


def content_type(path: str) -> str:
    """For those who read the object without the server."""
    return mimetypes.guess_type(path)[0] or "application/octet-stream"
