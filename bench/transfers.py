"""How fast artifacts pass: to and from a server of S3, and beside an app that only copies files."""

import asyncio
import io
import random
import shutil
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import obstore

import servers
from loadgen import Client, Extent, measure
from object_store import BUCKET, ObjectStore, object_store
from plan import Figures, Plan
from scenarios import (
    MIB,
    NO_ARTIFACTS,
    Prepare,
    Stage,
    download_large,
    download_small,
    upload_large,
    upload_small,
)
from seed import Seed, running
from servers import KINDS, ROOT, Kind, Server

LARGE_MIB = 512
PART_BYTES = 8 * MIB
SMALL_CLIENTS = 8
LARGE: dict[str, tuple[Prepare, Extent]] = {
    "up": (upload_large, Extent(1, calls_max=1, warm_calls=0)),
    "down": (download_large, Extent(1, calls_max=1, warm_calls=0)),
}
SMALL: dict[str, tuple[Prepare, Extent]] = {
    "up": (upload_small, Extent(30, SMALL_CLIENTS, calls_max=100)),
    "down": (download_small, Extent(30, SMALL_CLIENTS, calls_max=100)),
}
Rates = defaultdict[str, defaultdict[str, list[float]]]


async def s3_transfers(plan: Plan, work: Path) -> Figures:
    """512 MiB to and from a server of S3, in MiB/s and in seconds of a core, through each server
    and by loops of the store's own clients.
    """
    rates = _no_rates()
    async with object_store(_clean(work / "s3")) as store:
        kinds = [store.behind(kind) for kind in plan.kinds if kind.name not in NO_ARTIFACTS]
        async with AsyncExitStack() as stack:
            running_ones = [await _run(stack, kind, work) for kind in kinds]
            servers.settle(running_ones)
            for _ in range(plan.rounds):
                for server in running_ones:
                    await _measure(rates, server, LARGE, running_ones, unit=LARGE_MIB)
                for name, loop in BARE.items():
                    servers.wait_until_quiet([*running_ones, store.server], timeout_s=10)
                    up, down = await asyncio.to_thread(loop, store)
                    _note(rates, name, {"up": up, "down": down})
    return _medians(rates)


async def small_files(plan: Plan, work: Path) -> Figures:
    """100 files of 1 MiB by 8 clients, in MiB/s: Riverrun, and an app that only copies to files."""
    if KINDS["riverrun"] not in plan.kinds:
        return {}
    rates = _no_rates()
    async with AsyncExitStack() as stack:
        pair = [await _run(stack, kind, work) for kind in (KINDS["riverrun"], COPYING)]
        for _ in range(plan.rounds):
            for server in pair:
                await _measure(rates, server, SMALL, pair, unit=1)
    return _medians(rates)


def _copying_command(port: int, _folder: Path, _uri: str) -> list[str]:
    return [sys.executable, str(ROOT / "bench/copying_server.py"), str(port)]


COPYING = Kind("copying", "Empty ASGI app", "", "", _copying_command, {}, settle_s=0)


async def _run(stack: AsyncExitStack, kind: Kind, work: Path) -> Server:
    server, _ = await stack.enter_async_context(running(kind, _clean(work / kind.name)))
    return server


async def _measure(
    rates: Rates,
    server: Server,
    ways: dict[str, tuple[Prepare, Extent]],
    beside: list[Server],
    *,
    unit: int,
) -> None:
    """One round of each way, in MiB/s; `unit` is how many MiB a call moves."""
    for way, (prepare, extent) in ways.items():
        client = Client(0, server.address)
        task = await prepare(Stage(server, client, extent.clients, Seed()))
        servers.wait_until_quiet(beside, timeout_s=10)
        measured = await measure(server, task.operation, extent)
        client.close()
        assert not measured.failed, f"{server.kind.title}: {measured.failures}"
        cpu_s = measured.cpu_ms / 1e3
        _note(rates, server.name, {way: measured.rate * unit, f"{way}_cpu_s": cpu_s})


def boto3_loop(store: ObjectStore) -> tuple[float, float]:
    """As its documentation has it: `upload_fileobj`, `download_fileobj`."""
    s3 = store.boto3_client()
    blocks = io.BufferedReader(_Blocks(), PART_BYTES)
    up = _mib_a_second(lambda: s3.upload_fileobj(blocks, BUCKET, "boto3"))
    sink = _Sink()
    down = _mib_a_second(lambda: s3.download_fileobj(BUCKET, "boto3", sink))
    assert sink.size == LARGE_MIB * MIB
    return up, down


def obstore_loop(store: ObjectStore) -> tuple[float, float]:
    """In parts as large as boto3's, which Riverrun's are, too."""
    s3, sizes = store.obstore_client(), list[int]()

    def put() -> None:
        obstore.put(s3, "obstore", _blocks(), chunk_size=PART_BYTES, use_multipart=True)

    def get() -> None:
        sizes.extend(len(chunk) for chunk in obstore.get(s3, "obstore").stream())

    up, down = _mib_a_second(put), _mib_a_second(get)
    assert sum(sizes) == LARGE_MIB * MIB
    return up, down


BARE: dict[str, Callable[[ObjectStore], tuple[float, float]]] = {
    "boto3": boto3_loop,
    "obstore": obstore_loop,
}


class _Blocks(io.RawIOBase):
    """A file of 512 MiB that needs no room."""

    def __init__(self) -> None:
        self._block = random.Random(1).randbytes(MIB)
        self._place = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        room = memoryview(buffer)
        start = self._place % MIB
        size = min(len(room), MIB - start, LARGE_MIB * MIB - self._place)
        room[:size] = self._block[start : start + size]
        self._place += size
        return size


class _Sink(io.RawIOBase):
    def __init__(self) -> None:
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.size += size
        return size


def _blocks() -> Iterator[bytes]:
    block = random.Random(1).randbytes(MIB)
    return (block for _ in range(LARGE_MIB))


def _mib_a_second(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return LARGE_MIB / (time.perf_counter() - start)


def _no_rates() -> Rates:
    return defaultdict(lambda: defaultdict[str, list[float]](list))


def _note(rates: Rates, name: str, figures: dict[str, float]) -> None:
    for figure, value in figures.items():
        rates[name][figure].append(value)
    text = "  ".join(f"{figure} {value:,.3g}" for figure, value in figures.items())
    print(f"{name:12} {text}", flush=True)


def _medians(rates: Rates) -> Figures:
    return {
        name: {figure: statistics.median(values) for figure, values in figures.items()}
        for name, figures in rates.items()
    }


def _clean(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
