"""The load generator: closed-loop clients against one server, and what they measured.

Speaks plain HTTP and JSON to any server with MLflow's tracking API. A client sends its next call
when it has the answer to the last; answers other than 200 are counted apart and never enter rates
or latencies.
"""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

import processes
from client import Address, Answer, CallFailed, connect
from servers import Server

API = "/api/2.0/mlflow"
CALL_TIMEOUT_S = 240
"""Beyond every server's own limits: one answer of 1 M points can take a minute."""
FAILURES_MAX = 300
"""A server that only fails is not asked for ever."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One round of one scenario on one server; `rate` counts good answers only."""

    calls: int
    failed: int
    failures: list[str]
    wall_s: float
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    """Server's CPU time a call."""
    database_cpu_ms: float
    """That of the database's server, if it has one."""
    generator_share: float
    """Near 1.0 the generator was the limit, not the server."""


@dataclass(slots=True)
class Client:
    """One simulated user: a number, a connection, and how many calls it began."""

    index: int
    address: Address
    calls: int = 0
    _connection: Any = field(default=None)

    async def exchange(self, request: bytes, *, keep: bool = True) -> Answer:
        connection = self._connection
        if connection is None or not connection.is_open:
            connection = self._connection = await connect(self.address)
        answer: Answer = await connection.exchange(request, keep=keep)
        if answer.status != 200:
            raise CallFailed(f"{answer.status} {answer.body[:160].decode(errors='replace')}")
        return answer

    async def upload(self, head: bytes, block: bytes, *, times: int) -> Answer:
        self.close()
        self._connection = await connect(self.address)
        answer: Answer = await self._connection.upload(head, block, times=times)
        if answer.status != 200:
            raise CallFailed(f"{answer.status} {answer.body[:160].decode(errors='replace')}")
        return answer

    async def get(self, path: str) -> Json:
        return _object((await self.exchange(self.address.get(path))).body)

    async def post(self, path: str, body: Json) -> Json:
        request = self.address.post(API + path, msgspec.json.encode(body))
        return _object((await self.exchange(request)).body)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


Operation = Callable[[Client], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Extent:
    """How long a measurement lasts: no call begins after `duration_s` or beyond `calls_max`."""

    duration_s: float
    clients: int = 1
    calls_max: int = 10**9
    warm_calls: int = 1


@dataclass(slots=True)
class _Tally:
    latencies_s: list[float] = field(default_factory=list[float])
    failures: Counter[str] = field(default_factory=Counter[str])
    begun: int = 0


async def measure(server: Server, operation: Operation, extent: Extent) -> Measurement:
    """Run the clients at once. The first calls of each are not counted, good or bad."""
    clients = [Client(index, server.address) for index in range(extent.clients)]
    await asyncio.gather(*(_warm(client, operation, extent) for client in clients))
    tally = _Tally()
    cpu, own = _cpu_s(server), time.process_time()
    start = time.perf_counter()
    end = start + extent.duration_s
    try:
        async with asyncio.timeout(extent.duration_s + CALL_TIMEOUT_S):
            await asyncio.gather(
                *(_call(client, operation, tally, extent, end) for client in clients)
            )
    except TimeoutError:
        tally.failures[f"no answer in {CALL_TIMEOUT_S} s"] += 1
    wall = time.perf_counter() - start
    own = time.process_time() - own
    cpu = [after - before for before, after in zip(cpu, _cpu_s(server), strict=True)]
    for client in clients:
        client.close()
    return _summary(tally, wall_s=wall, cpu_s=cpu, own_cpu_s=own)


async def _warm(client: Client, operation: Operation, extent: Extent) -> None:
    for _ in range(extent.warm_calls):
        try:
            await operation(client)
        except (CallFailed, OSError):
            client.close()
        client.calls += 1


async def _call(
    client: Client, operation: Operation, tally: _Tally, extent: Extent, end: float
) -> None:
    clock, latencies = time.perf_counter, tally.latencies_s
    while tally.begun < extent.calls_max and (start := clock()) < end:
        tally.begun += 1
        try:
            await operation(client)
        except (CallFailed, OSError) as failure:
            tally.failures[_kind_of(failure)] += 1
            client.close()
            if tally.failures.total() > FAILURES_MAX:
                return
        else:
            latencies.append(clock() - start)
        client.calls += 1


def _kind_of(failure: Exception) -> str:
    return f"{type(failure).__name__}: {failure}"[:160]


def _cpu_s(server: Server) -> tuple[float, float]:
    """Of the server, and of its database's server."""
    pid = server.database_pid
    return processes.cpu_s(server.pid), 0 if pid is None else processes.cpu_s(pid)


def _summary(
    tally: _Tally, *, wall_s: float, cpu_s: Sequence[float], own_cpu_s: float
) -> Measurement:
    latencies = sorted(tally.latencies_s)
    good = len(latencies)
    return Measurement(
        calls=good,
        failed=tally.failures.total(),
        failures=[f"{times} x {what}" for what, times in tally.failures.most_common(3)],
        wall_s=wall_s,
        rate=good / wall_s,
        p50_ms=statistics.median(latencies) * 1e3 if good else 0,
        p99_ms=latencies[min(good - 1, int(good * 0.99))] * 1e3 if good else 0,
        cpu_ms=cpu_s[0] * 1e3 / good if good else 0,
        database_cpu_ms=cpu_s[1] * 1e3 / good if good else 0,
        generator_share=own_cpu_s / wall_s,
    )


def _object(body: bytes) -> Json:
    return msgspec.json.decode(body, type=Json) if body else {}
