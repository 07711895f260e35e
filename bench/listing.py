"""What it costs to list a directory of a hundred thousand files."""

import asyncio
import shutil
import time
from pathlib import Path

import processes
import servers
from client import Address
from object_store import object_store, serving
from plan import Figures, Plan
from scenarios import ARTIFACTS, NO_ARTIFACTS, expect
from seed import running
from servers import Kind

FILES = 100_000
FILES_QUICK = 5_000
FOLDER = "many"


async def listing(plan: Plan, work: Path) -> Figures:
    """By server and place: seconds until the first byte and until the last, and peak memory."""
    files = FILES_QUICK if plan.is_quick else FILES
    shutil.rmtree(work, ignore_errors=True)
    kinds = [kind for kind in plan.kinds if kind.name not in NO_ARTIFACTS]
    found: Figures = {}
    _fill(work / "files" / FOLDER, files)
    for kind in kinds:
        local = serving(kind, str(work / "files"))
        found[f"{kind.name} local"] = await _listed(local, work / "local" / kind.name, files)
    async with object_store(work / "s3") as store:
        _fill(store.folder / FOLDER, files)
        for kind in kinds:
            remote = store.behind(kind)
            found[f"{kind.name} s3"] = await _listed(remote, work / "remote" / kind.name, files)
    return found


def _fill(folder: Path, files: int) -> None:
    folder.mkdir(parents=True)
    for number in range(files):
        (folder / f"file-{number:06}.txt").write_bytes(b"content")


async def _listed(kind: Kind, folder: Path, files: int) -> dict[str, float]:
    async with running(kind, folder) as (server, _):
        servers.settle([server])
        await _list(server.address, "elsewhere")  # What is loaded on first use is there.
        before = processes.pss_bytes(server.pid)
        watch = processes.MemoryWatch()
        watch.look_at(server.pid)
        try:
            first_s, total_s, count = await _list(server.address, FOLDER)
        finally:
            watch.stop()
    expect(count == files, f"{count} files listed of {files}")
    growth = max(0, watch.peaks.get(server.pid, 0) - before)
    print(f"listing {kind.name:12} first {first_s:.3f} s  all {total_s:.3f} s  {growth:,} bytes")
    return {"first_s": first_s, "total_s": total_s, "growth_bytes": growth, "files": files}


async def _list(address: Address, folder: str) -> tuple[float, float, int]:
    """Seconds until the first byte and until the last, and how many files there are."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    start = time.perf_counter()
    writer.write(address.get(f"{ARTIFACTS}?path={folder}", {"Connection": "close"}))
    answer = bytearray(await reader.read(1 << 16))
    first = time.perf_counter()
    while some := await reader.read(1 << 20):
        answer += some
    end = time.perf_counter()
    writer.close()
    expect(b" 200 " in answer[:20], answer[:300].decode(errors="replace"))
    return first - start, end - start, answer.count(b'"is_dir"')
