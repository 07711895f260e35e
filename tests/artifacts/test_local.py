"""What only a store with a real file system can do wrong."""

import asyncio
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from tests.fixtures.stores import listed

from riverrun.artifacts.contract import (
    ArtifactIsDirectory,
    ArtifactNotFound,
    ArtifactParentIsFile,
    ArtifactStoreUnavailable,
    InvalidArtifactPath,
    NoSpaceForArtifacts,
)
from riverrun.artifacts.local import LocalStore
from riverrun.artifacts.tree import SCRATCH, translation

pytestmark = pytest.mark.anyio


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def read(store: LocalStore, path: str) -> bytes:
    return b"".join([chunk async for chunk in store.read(path)])


async def names(store: LocalStore, path: str = "") -> list[str]:
    return [info.name for info in await listed(store, path)]


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def put(path: Path, content: bytes) -> None:
    """Places a file behind the store's back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "srv" / "artifacts"


@pytest.fixture
def local(root: Path) -> LocalStore:
    return LocalStore(root)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside of the root that nobody may reach."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    return outside / "secret"


async def test_reading_makes_no_root_and_writing_does(local: LocalStore, root: Path):
    assert await listed(local, "") == []
    with pytest.raises(ArtifactNotFound):
        await local.stat("f")
    await local.delete("f")
    assert await local.sweep() == 0
    assert not root.parent.exists()
    await local.write("d/f", stream(b"content"))
    assert (root / "d" / "f").read_bytes() == b"content"


async def test_other_programs_may_read_files_but_not_uploads(local: LocalStore, root: Path):
    previous = os.umask(0o022)
    try:
        await local.write("d/f", stream(b"x"))
    finally:
        os.umask(previous)
    assert (root / "d" / "f").stat().st_mode & 0o777 == 0o644
    assert (root / "d").stat().st_mode & 0o777 == 0o755
    assert (root / SCRATCH).stat().st_mode & 0o777 == 0o700


async def test_nothing_stays_in_the_scratch_folder(local: LocalStore, root: Path):
    await local.write("d/f", stream(b"x"))
    await local.write("d/f", stream(b"y"))
    await local.write("e", stream())
    await local.delete("d")
    await local.delete("e")
    assert left_in(root / SCRATCH) == []


async def test_the_scratch_folder_is_hidden_and_out_of_bounds(local: LocalStore, root: Path):
    await local.write("f", stream(b"x"))
    assert await names(local) == ["f"]
    for path in (SCRATCH, f"{SCRATCH}/x", f"./{SCRATCH}/x", f"/{SCRATCH}"[1:] + "//x"):
        with pytest.raises(InvalidArtifactPath):
            await listed(local, path)
        with pytest.raises(InvalidArtifactPath):
            await read(local, path)
        with pytest.raises(InvalidArtifactPath):
            await local.write(path, stream(b"x"))
        with pytest.raises(InvalidArtifactPath):
            await local.delete(path)
    await local.write(f"d/{SCRATCH}", stream(b"x"))  # Elsewhere it is a name as any other.
    assert await names(local, "d") == [SCRATCH]


async def test_a_file_is_no_directory_to_write_into(local: LocalStore):
    await local.write("a", stream(b"x"))
    for path in ("a/b", "a/b/c"):
        with pytest.raises(ArtifactParentIsFile) as error:
            await local.write(path, stream(b"x"))
        assert error.value.message == (
            f"Artifact path goes through something that is no directory: '{path}'"
        )
    assert await read(local, "a") == b"x"


async def test_a_taken_name_is_refused_before_the_bytes_come(local: LocalStore):
    await local.write("d/f", stream(b"x"))
    sent = 0

    async def counting() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield bytes(1024 * 1024)

    with pytest.raises(ArtifactIsDirectory):
        await local.write("d", counting())
    assert sent == 1


async def test_links_in_the_tree_are_not_shown_nor_followed(
    local: LocalStore, root: Path, secret: Path
):
    await local.write("d/f", stream(b"x"))
    (root / "d" / "link").symlink_to(secret)
    (root / "d" / "folder").symlink_to(secret.parent)
    (root / "d" / "inside").symlink_to(root / "d" / "f")
    (root / "d" / "loop").symlink_to("loop")
    assert await names(local, "d") == ["f"]
    for path in ("d/link", "d/folder", "d/folder/secret", "d/inside", "d/loop"):
        assert await listed(local, path) == []
        with pytest.raises(ArtifactNotFound):
            await local.stat(path)
        with pytest.raises(ArtifactNotFound):
            await read(local, path)
        with pytest.raises(ArtifactNotFound):
            await local.open_file(path)


async def test_writing_and_deleting_through_a_link_touches_nothing_outside(
    local: LocalStore, root: Path, secret: Path
):
    await local.write("d/f", stream(b"x"))
    (root / "d" / "link").symlink_to(secret)
    (root / "d" / "folder").symlink_to(secret.parent)
    for path in ("d/folder/secret", "d/folder/new"):
        with pytest.raises(ArtifactParentIsFile):
            await local.write(path, stream(b"mine"))
    await local.delete("d/folder/secret")
    await local.write("d/link", stream(b"mine"))  # Replaces the link itself.
    await local.delete("d/folder")  # Deletes the link itself.
    await local.delete("d")
    assert left_in(secret.parent) == ["secret"]
    assert content_of(secret) == b"secret"


async def test_a_folder_swapped_for_a_link_during_uploads_leads_nowhere(
    local: LocalStore, root: Path, secret: Path
):
    await local.write("d/f", stream(b"x"))

    def swap_back_and_forth() -> None:
        for _ in range(100):
            shutil.rmtree(root / "d", ignore_errors=True)
            with suppress(FileExistsError):  # An upload was faster.
                (root / "d").symlink_to(secret.parent)
                time.sleep(0.001)
                (root / "d").unlink()
            time.sleep(0.001)

    async def upload(number: int) -> None:
        for _ in range(50):
            try:
                await local.write("d/secret", stream(b"mine"))
                await local.delete("d/secret")
            except (ArtifactParentIsFile, ArtifactStoreUnavailable):
                await asyncio.sleep(0.001)

    await asyncio.gather(
        asyncio.to_thread(swap_back_and_forth), *(upload(number) for number in range(4))
    )
    assert left_in(secret.parent) == ["secret"]
    assert content_of(secret) == b"secret"


async def test_the_root_itself_may_be_a_link(tmp_path: Path):
    put(tmp_path / "disk" / "f", b"x")
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    store = LocalStore(tmp_path / "root")
    await store.write("d/f", stream(b"x"))
    assert await read(store, "d/f") == b"x"


async def test_a_linked_scratch_folder_is_refused(local: LocalStore, root: Path, secret: Path):
    put(root / "f", b"x")
    (root / SCRATCH).symlink_to(secret.parent)
    with pytest.raises(ArtifactParentIsFile):
        await local.write("f", stream(b"x"))
    await local.sweep(older_than_s=-1)
    assert content_of(secret) == b"secret"


async def test_pipes_and_sockets_are_not_opened(local: LocalStore, root: Path):
    put(root / "f", b"x")
    os.mkfifo(root / "pipe")
    assert await names(local) == ["f"]
    with pytest.raises(ArtifactNotFound):
        await asyncio.wait_for(read(local, "pipe"), timeout=5)


async def test_names_that_are_not_utf8_are_not_shown(local: LocalStore, root: Path):
    put(root / os.fsdecode(b"\xff\xfe"), b"x")
    put(root / "é\u200b", b"x")
    assert await names(local) == ["é\u200b"]


async def test_a_hundred_levels_can_be_written_and_deleted(local: LocalStore, root: Path):
    path = "/".join(["d" * 39] * 99 + ["f"])
    await local.write(path, stream(b"x"))
    assert await read(local, path) == b"x"
    await local.delete("d" * 39)
    assert await names(local) == []
    assert left_in(root / SCRATCH) == []


async def test_an_open_file_can_be_handed_on(local: LocalStore):
    await local.write("d/f", stream(b"content"))
    file, info = await local.open_file("d/f")
    with file:
        assert info == await local.stat("d/f")
        assert os.pread(file.fileno(), 3, 2) == b"nte"


async def test_threads_can_be_given(root: Path):
    with ThreadPoolExecutor(1) as threads:
        store = LocalStore(root, threads)
        await asyncio.gather(*(store.write(f"{i}", stream(b"x")) for i in range(10)))
        assert len(await listed(store, "")) == 10


async def test_no_descriptor_is_left_open(local: LocalStore):
    await local.write("d/f", stream(b"x" * 2_000_000))
    before = len(left_in(Path("/proc/self/fd")))
    for _ in range(5):
        await listed(local, "d")
        await local.stat("d/f")
        await read(local, "d/f")
        with pytest.raises(ArtifactIsDirectory):
            await read(local, "d")
        with pytest.raises(ArtifactNotFound):
            await read(local, "d/f/g")
        with pytest.raises(ArtifactParentIsFile):
            await local.write("d/f/g", stream(b"x"))
        reading = local.read("d/f")
        await anext(reading)
        await reading.aclose()
        await local.write("d/e/g", stream(b"x"))
        await local.delete("d/e")
    assert len(left_in(Path("/proc/self/fd"))) == before


async def test_sweep_spares_the_young_and_takes_the_rest(local: LocalStore, root: Path):
    await local.write("f", stream(b"x"))
    put(root / SCRATCH / "upload", b"x")
    put(root / SCRATCH / "tree" / "deep" / "file", b"x")
    assert await local.sweep() == 0
    assert await local.sweep(older_than_s=-1) == 2
    assert left_in(root / SCRATCH) == []
    assert await read(local, "f") == b"x"


UPLOAD_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from riverrun.artifacts.local import LocalStore

async def endless():
    while True:
        yield bytes(1024 * 1024)
        print("sent", flush=True)
        await asyncio.sleep(0.01)

asyncio.run(LocalStore(Path(sys.argv[1])).write("d/f", endless()))
"""


def kill_while_uploading(root: Path) -> None:
    command = [sys.executable, "-c", UPLOAD_FOR_EVER, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)


async def test_a_killed_server_leaves_only_what_sweep_takes(local: LocalStore, root: Path):
    await local.write("d/f", stream(b"before"))
    kill_while_uploading(root)
    assert await read(local, "d/f") == b"before"
    assert await names(local, "d") == ["f"]
    assert len(left_in(root / SCRATCH)) == 1
    assert await local.sweep(older_than_s=-1) == 1


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB; only a machine that lets us mount has one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a disk needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def make_read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


async def test_a_full_disk_is_said_and_leaves_the_file_of_before(tiny_disk: Path):
    store = LocalStore(tiny_disk)
    await store.write("d/f", stream(b"before"))
    with pytest.raises(NoSpaceForArtifacts) as error:
        await store.write("d/f", stream(*[bytes(512 * 1024)] * 4))
    assert error.value.message == "The artifact store is full; the file was not stored"
    assert await read(store, "d/f") == b"before"
    assert left_in(tiny_disk / SCRATCH) == []
    await store.write("d/g", stream(bytes(512 * 1024)))
    await store.delete("d")


async def test_a_read_only_disk_is_said(tiny_disk: Path):
    store = LocalStore(tiny_disk)
    await store.write("d/f", stream(b"before"))
    make_read_only(tiny_disk)
    for change in (
        store.write("d/f", stream(b"x")),
        store.write("new/f", stream(b"x")),
        store.delete("d/f"),
        store.delete("d"),
    ):
        with pytest.raises(ArtifactStoreUnavailable) as error:
            await change
        assert error.value.message == "The artifact store is read-only"
    assert await read(store, "d/f") == b"before"


async def test_a_disk_mounted_below_the_root_is_deleted_from_but_not_written_to(
    tiny_disk: Path, tmp_path: Path
):
    put(tiny_disk / "d" / "e" / "f", b"x")
    store = LocalStore(tmp_path)
    with pytest.raises(ArtifactStoreUnavailable) as error:
        await store.write("disk/f", stream(b"x"))
    assert error.value.message == (
        "The artifact store is not one file system, which it must be for uploads to appear whole"
    )
    await store.delete("disk/d")
    assert await names(store, "disk") == []


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, NoSpaceForArtifacts),
        (errno.EDQUOT, NoSpaceForArtifacts),
        (errno.EROFS, ArtifactStoreUnavailable),
        (errno.EACCES, ArtifactStoreUnavailable),
        (errno.EMFILE, ArtifactStoreUnavailable),
        (errno.ENAMETOOLONG, InvalidArtifactPath),
        (errno.ENOENT, ArtifactNotFound),
        (errno.EISDIR, ArtifactIsDirectory),
        (errno.EIO, type(None)),
    ],
)
def test_every_refusal_of_the_system_has_its_error(number: int, expected: type[object]):
    error = translation(OSError(number, "disk speak"), "d/f", ArtifactNotFound)
    assert type(error) is expected
    assert "disk speak" not in str(error)


async def test_a_server_sweeps_when_it_starts(tmp_path: Path):
    leftover = tmp_path / SCRATCH / "upload"
    put(leftover, b"half a file")
    sweeping = asyncio.create_task(LocalStore(tmp_path).sweep_daily(older_than_s=-1))
    for _ in range(200):
        if not leftover.exists():
            break
        await asyncio.sleep(0.01)
    sweeping.cancel()
    assert not leftover.exists()
