"""How much memory Riverrun takes while files of 4 GiB pass, four at once."""

import asyncio
import shutil
from pathlib import Path

import processes
import servers
from loadgen import Client
from object_store import object_store, serving
from plan import Figures, Plan
from scenarios import ARTIFACTS, MIB, expect
from seed import running
from servers import KINDS, Kind, Server

AT_ONCE = 4
FILE_MIB = 4096
FILE_MIB_QUICK = 256


async def transfer_memory(plan: Plan, work: Path) -> Figures:
    """By place and way: memory before, its peak, and the growth; proportional set size, in bytes.

    A small file has passed each way before, so that what is loaded on first use is there.
    """
    kind = KINDS["riverrun"]
    if kind not in plan.kinds:
        return {}
    mib = FILE_MIB_QUICK if plan.is_quick else FILE_MIB
    shutil.rmtree(work, ignore_errors=True)
    local = await _passing("local", serving(kind, str(work / "files")), work, mib)
    shutil.rmtree(work / "files")
    async with object_store(work / "s3") as store:
        return local | await _passing("s3", store.behind(kind), work, mib)


async def _passing(place: str, kind: Kind, work: Path, mib: int) -> Figures:
    async with running(kind, work / place) as (server, client):
        await _put(client, 1)
        await _get(client, 1)
        return {
            f"{place} up": await _growth(server, mib, up=True),
            f"{place} down": await _growth(server, mib, up=False),
        }


async def _growth(server: Server, mib: int, *, up: bool) -> dict[str, float]:
    servers.wait_until_quiet([server], timeout_s=30)
    before = processes.pss_bytes(server.pid)
    watch = processes.MemoryWatch()
    watch.look_at(server.pid)
    clients = [Client(number, server.address) for number in range(AT_ONCE)]
    try:
        await asyncio.gather(*(_put(each, mib) if up else _get(each, mib) for each in clients))
    finally:
        watch.stop()
        for each in clients:
            each.close()
    peak = max(before, watch.peaks.get(server.pid, 0))
    figures = {"before_bytes": before, "peak_bytes": peak, "growth_bytes": peak - before}
    words = (f"{name} {value / MIB:,.1f}" for name, value in figures.items())
    print("transfer_memory", server.folder.name, "up  " if up else "down", *words, flush=True)
    return {**figures, "file_mib": mib}


async def _put(client: Client, mib: int) -> None:
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(mib * MIB)}
    head = client.address.head("PUT", _path(client), headers) + b"\r\n"
    await client.upload(head, bytes(MIB), times=mib)


async def _get(client: Client, mib: int) -> None:
    answer = await client.exchange(client.address.get(_path(client)), keep=False)
    expect(answer.size == mib * MIB, f"{answer.size} bytes came back")


def _path(client: Client) -> str:
    return f"{ARTIFACTS}/memory/{client.index}.bin"
