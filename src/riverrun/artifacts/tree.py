"""The folder behind `local.LocalStore`: plain blocking calls, each run in a thread.

Every path is walked from the root with one open per segment, each relative to the folder opened
before and none following a symbolic link, so that neither a link in the tree nor one slipped in
meanwhile leads out of it.
"""

import errno
import io
import os
import shutil
import stat
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from riverrun.artifacts.contract import (
    READ_BYTES_MAX,
    ArtifactChanged,
    ArtifactIsDirectory,
    ArtifactNotFound,
    ArtifactParentIsFile,
    ArtifactStoreUnavailable,
    FileInfo,
    InvalidArtifactPath,
    NoSpaceForArtifacts,
)
from riverrun.clock import now_ms
from riverrun.errors import TrackingError

# Holds uploads on their way and directories being deleted. One folder for all of them, so that what
# a killed process left is found without walking the tree, and a failed upload has made no
# directories.
SCRATCH = ".riverrun-scratch"
PLACING_TRIES_MAX = 5
SETTLING_S = 60
WRITE_BACK_BYTES = 8 * 1024 * 1024

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a named pipe would wait for its other end for ever.
FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
OUT_OF_ORDER = {
    errno.EROFS: "is read-only",
    errno.EACCES: "does not let the server in",
    errno.EPERM: "does not let the server in",
    errno.EMFILE: "has too many open files",
    errno.ENFILE: "has too many open files",
    errno.EXDEV: "is not one file system, which it must be for uploads to appear whole",
}


class Tree:
    """All files below `root`. Paths come from `paths.safe_path`, errors are the contract's."""

    def __init__(self, root: Path, *, fsync: bool) -> None:
        self.root = root
        self.fsync = fsync

    def names(self, path: str) -> list[str]:
        """What lies in a folder, sorted; nothing for a file or a missing path."""
        try:
            with (
                in_our_words(path),
                self.walk(segments(path)) as folder,
                os.scandir(folder) as entries,
            ):
                names = [entry.name for entry in entries]
        except ArtifactNotFound:
            return []
        return sorted(name for name in names if is_unicode(name) and (path or name != SCRATCH))

    def infos(self, path: str, names: Iterable[str]) -> list[FileInfo]:
        """Those of them that still are files or folders, and not what leads elsewhere."""
        found: list[FileInfo] = []
        with suppress(ArtifactNotFound), in_our_words(path), self.walk(segments(path)) as folder:
            for name in names:
                with suppress(FileNotFoundError):
                    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        found.append(FileInfo(name, is_dir=True))
                    elif stat.S_ISREG(status.st_mode):
                        found.append(file_info(name, status))
        return found

    def stat(self, path: str) -> FileInfo:
        names = segments(path)
        if not names:
            raise ArtifactIsDirectory(path)
        with in_our_words(path), self.walk(names[:-1]) as folder:
            return file_info(path, os.stat(names[-1], dir_fd=folder, follow_symlinks=False))

    def open(self, path: str) -> tuple[io.FileIO, FileInfo]:
        names = segments(path) or ["."]
        with in_our_words(path), self.walk(names[:-1]) as folder:
            descriptor = os.open(names[-1], FILE, dir_fd=folder)
        try:
            info = file_info(path, os.fstat(descriptor))
            return io.FileIO(descriptor), info
        except BaseException:
            os.close(descriptor)
            raise

    def delete(self, path: str) -> None:
        names = segments(path)
        with suppress(ArtifactNotFound), in_our_words(path), self.walk(names[:-1]) as folder:
            status = os.stat(names[-1], dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                self._delete_directory(folder, names[-1])
            else:
                os.unlink(names[-1], dir_fd=folder)
                self.settle(folder)

    def sweep(self, older_than_s: int) -> int:
        oldest_s = now_ms() / 1000 - older_than_s
        with suppress(ArtifactNotFound), in_our_words(SCRATCH), self.walk([SCRATCH]) as scratch:
            with os.scandir(scratch) as entries:
                # Moving a directory here sets its time of change, not that of modification.
                old = [e.name for e in entries if e.stat(follow_symlinks=False).st_ctime < oldest_s]
            for name in old:
                remove(name, scratch)
            return len(old)
        return 0

    @contextmanager
    def walk(
        self, names: Iterable[str], enter: "Callable[[str, int], int] | None" = None
    ) -> Generator[int]:
        """The open folder that the names lead to; `enter` opens each inside the one before."""
        folder = os.open(self.root, FOLDER & ~os.O_NOFOLLOW)  # The operator's own link is fine.
        try:
            for name in names:
                inner = (enter or open_folder)(name, folder)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)

    def scratch(self) -> AbstractContextManager[int]:
        """Walks to the scratch folder, the server's own; makes it, and the root, if missing."""
        if not self.root.is_dir():
            self._make_root()
        return self.walk([SCRATCH], self._make_private_folder)

    def make_folder(self, name: str, parent: int) -> int:
        """Opens a folder, made if it is missing, and settles a parent that may hold new names.

        A folder found here may have been made a moment ago by another upload that has not settled
        it yet, in this process or another: whoever answers first must not answer for a file in a
        folder that a power cut takes away.
        """
        try:
            os.mkdir(name, dir_fd=parent)
            is_young = True
        except FileExistsError:
            is_young = os.fstat(parent).st_mtime > now_ms() / 1000 - SETTLING_S
        if is_young:
            self.settle(parent)
        return open_folder(name, parent)

    def settle(self, descriptor: int) -> None:
        if self.fsync:
            os.fsync(descriptor)

    def _make_private_folder(self, name: str, parent: int) -> int:
        with suppress(FileExistsError):
            os.mkdir(name, mode=0o700, dir_fd=parent)
        return open_folder(name, parent)

    def _make_root(self) -> None:
        missing = [folder for folder in (self.root, *self.root.parents) if not folder.exists()]
        self.root.mkdir(parents=True, exist_ok=True)
        for made in missing:
            parent = os.open(made.parent, FOLDER & ~os.O_NOFOLLOW)
            try:
                self.settle(parent)
            finally:
                os.close(parent)

    def _delete_directory(self, folder: int, name: str) -> None:
        """Moves it out of sight first: readers see all or nothing, a kill leaves it to `sweep`."""
        doomed = scratch_name()
        try:
            with self.scratch() as scratch:
                os.rename(name, doomed, src_dir_fd=folder, dst_dir_fd=scratch)
                self.settle(folder)
                remove(doomed, scratch)
        except OSError as error:
            # A mount below the root, or a lower layer of an overlay, cannot be moved.
            if error.errno != errno.EXDEV:
                raise
            shutil.rmtree(name, dir_fd=folder)
            self.settle(folder)


class Upload:
    """One file on its way: written under a scratch name, renamed into its place at the end."""

    def __init__(self, tree: Tree, path: str) -> None:
        self.finished = False
        self._tree = tree
        self._path = path
        self._names = segments(path)
        self._scratch_name = scratch_name()
        self._size_bytes = self._sent_bytes = 0
        self._file: io.FileIO | None = None

    def append(self, chunks: Sequence[bytes]) -> io.FileIO:
        """The file, which the first call makes, also for no chunks."""
        with in_our_words(self._path, not_there=ArtifactParentIsFile):
            file = self._file or self._begin()
            # Joined, also because freeing one large block now and then keeps the C library from
            # giving small ones back to the system each time, which halves the speed.
            rest = memoryview(b"".join(chunks))
            self._size_bytes += len(rest)
            while rest:  # A disk that runs full takes a part before it refuses.
                rest = rest[file.write(rest) :]
            if self._size_bytes - self._sent_bytes >= WRITE_BACK_BYTES:
                self._write_back(file)
        return file

    def _write_back(self, file: io.FileIO) -> None:
        """Sends what is new to the disk without waiting, and forgets what got there since the last
        time: a large file neither keeps the disk idle until its end nor fills the memory of the
        machine with pages that nobody reads. Advice only; `finish` makes sure.
        """
        start = max(0, self._sent_bytes - WRITE_BACK_BYTES)
        with suppress(AttributeError):  # macOS does not have it.
            os.posix_fadvise(file.fileno(), start, self._size_bytes - start, os.POSIX_FADV_DONTNEED)
        self._sent_bytes = self._size_bytes

    def finish(self, chunks: Sequence[bytes]) -> None:
        """Appends the last of it, and puts the file into its place."""
        file = self.append(chunks)
        with in_our_words(self._path, not_there=ArtifactParentIsFile):
            self._tree.settle(file.fileno())
            file.close()
            self._place()
        self.finished = True

    def abandon(self) -> None:
        """Leaves nothing behind. Does not fail: what cannot be removed now is left to `sweep`."""
        if self._file is None:
            return
        with suppress(OSError):
            self._file.close()
        with suppress(OSError), self._tree.scratch() as scratch:
            os.unlink(self._scratch_name, dir_fd=scratch)

    def _begin(self) -> io.FileIO:
        self._refuse_taken()
        with self._tree.scratch() as scratch:
            descriptor = os.open(self._scratch_name, NEW_FILE, 0o666, dir_fd=scratch)
        self._file = io.FileIO(descriptor, "w")
        return self._file

    def _refuse_taken(self) -> None:
        """Says before the bytes come what the renaming would refuse after them."""
        with suppress(FileNotFoundError), self._tree.walk(self._names[:-1]) as folder:
            status = os.stat(self._names[-1], dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                raise ArtifactIsDirectory(self._path)

    def _place(self) -> None:
        for _ in range(PLACING_TRIES_MAX):
            # A folder above can be deleted between being made and being used.
            with suppress(FileNotFoundError):
                return self._rename()
        raise ArtifactStoreUnavailable("lost the upload to a deletion at the same time")

    def _rename(self) -> None:
        with (
            self._tree.scratch() as scratch,
            self._tree.walk(self._names[:-1], self._tree.make_folder) as folder,
        ):
            os.rename(self._scratch_name, self._names[-1], src_dir_fd=scratch, dst_dir_fd=folder)
            self._tree.settle(folder)


class Download:
    """A span of one version of a file, chunk by chunk."""

    def __init__(
        self, tree: Tree, path: str, *, start: int, end: int | None, etag: str | None
    ) -> None:
        self._tree = tree
        self._path = path
        self._start = start
        self._end = end
        self._etag = etag
        self._left = 0
        self._file: io.FileIO | None = None

    def next_chunk(self) -> bytes:
        """An empty one is the end."""
        file = self._file or self._begin()
        chunk = file.read(min(READ_BYTES_MAX, self._left)) or b""
        self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _begin(self) -> io.FileIO:
        self._file, info = self._tree.open(self._path)
        if self._etag not in {None, info.etag}:
            raise ArtifactChanged(self._path)
        end = info.size_bytes if self._end is None else min(self._end, info.size_bytes)
        self._left = max(end - self._start, 0)
        self._file.seek(self._start)
        return self._file


@contextmanager
def in_our_words(
    path: str, *, not_there: type[ArtifactNotFound | ArtifactParentIsFile] = ArtifactNotFound
) -> Generator[None]:
    """Turns the operating system's errors into the contract's; those it has no words for pass."""
    try:
        yield
    except OSError as error:
        known = translation(error, path, not_there)
        if known is None:
            raise
        raise known from error


def translation(
    error: OSError, path: str, not_there: type[ArtifactNotFound | ArtifactParentIsFile]
) -> TrackingError | None:
    if error.errno in NOT_THERE:
        return not_there(path)
    if error.errno in FULL:
        return NoSpaceForArtifacts()
    if error.errno == errno.EISDIR:
        return ArtifactIsDirectory(path)
    if error.errno == errno.ENAMETOOLONG:
        return InvalidArtifactPath("a name in it is too long for the artifact store")
    reason = OUT_OF_ORDER.get(error.errno or 0)
    return ArtifactStoreUnavailable(reason) if reason else None


def segments(path: str) -> list[str]:
    names = path.split("/") if path else []
    if names[:1] == [SCRATCH]:
        raise InvalidArtifactPath(f"'{SCRATCH}' belongs to the server")
    return names


def scratch_name() -> str:
    return uuid4().hex


def open_folder(name: str, parent: int) -> int:
    return os.open(name, FOLDER, dir_fd=parent)


def file_info(path: str, status: os.stat_result) -> FileInfo:
    """Raises ArtifactIsDirectory, and ArtifactNotFound for links, pipes and devices."""
    if stat.S_ISDIR(status.st_mode):
        raise ArtifactIsDirectory(path)
    if not stat.S_ISREG(status.st_mode):
        raise ArtifactNotFound(path)
    return FileInfo(
        name=path.rpartition("/")[2],
        is_dir=False,
        size_bytes=status.st_size,
        modified_ms=status.st_mtime_ns // 1_000_000,
        etag=f'"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"',
    )


def is_unicode(name: str) -> bool:
    """Names that are not UTF-8 on the disk come as lone surrogates, which no answer can carry."""
    return name.isprintable() or not any("\ud800" <= character <= "\udfff" for character in name)


def remove(name: str, folder: int) -> None:
    """Removes a file or a directory as far as it can; the rest is left to the next `sweep`."""
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)
        return
    shutil.rmtree(name, ignore_errors=True, dir_fd=folder)
