"""What is measured, each with the check that the answers were right."""

import gzip
import random
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote
from uuid import uuid4

import msgspec

from loadgen import API, Client, Json, Measurement, Operation
from seed import KEY, Seed, create_experiment, create_run
from servers import Server
from shapes import BASE_MS, SEARCHES, Search

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
BULK_INTERVAL = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
HISTORY_PAGE = 25_000
MIB = 1 << 20


class WrongAnswer(Exception):
    """A server answered 200 with something else than was asked for."""


@dataclass(slots=True)
class Task:
    """A prepared scenario: its operation, and what to verify once the clock has stopped."""

    operation: Operation
    verify: Callable[[Measurement], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """One server, a client for preparing and checking, and what its database was seeded with."""

    server: Server
    client: Client
    clients: int
    seed: Seed


Prepare = Callable[[Stage], Awaitable[Task]]


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    title: str
    prepare: Prepare
    targets: Mapping[str, float] = field(default_factory=dict[str, float])
    """How many times the peer's rate Riverrun must reach."""
    clients: int = 1
    unit: str = "calls/s"
    items: int = 1
    """Units a call."""
    calls_max: int = 10**9
    warm_calls: int = 1
    seeded: bool = False
    without: frozenset[str] = frozenset()
    """Servers that cannot do it."""
    quick: bool = True


async def log_metric(stage: Stage) -> Task:
    runs = await _runs(stage)
    address = stage.server.address

    async def operation(client: Client) -> None:
        step = client.calls
        body = b'{"run_id":"%b","key":"loss","value":%f,"timestamp":%d,"step":%d}' % (
            *(runs[client.index], 0.5 + step * 1e-4),
            *(time.time_ns() // 1_000_000, step),
        )
        await client.exchange(address.post(API + "/runs/log-metric", body))

    return Task(operation, _history_holds(stage, runs, "loss", points_a_call=1))


async def log_batch_1000(stage: Stage) -> Task:
    """10 keys x 100 steps a call."""
    runs, templates = await _runs(stage), [_batch(variant, 1000) for variant in range(16)]
    return Task(
        _log_batch(stage, runs, templates), _history_holds(stage, runs, "m0", points_a_call=100)
    )


async def log_batch_15(stage: Stage) -> Task:
    """What a training loop sends: 10 metrics and 5 tags."""
    tags = b',"tags":[%b]' % b",".join(b'{"key":"t%d","value":"v@@@@@"}' % j for j in range(5))
    runs = await _runs(stage)
    templates = [_batch(variant, 10, more=tags) for variant in range(16)]
    return Task(
        _log_batch(stage, runs, templates), _history_holds(stage, runs, "m0", points_a_call=1)
    )


def _log_batch(stage: Stage, runs: list[bytes], templates: list[bytes]) -> Operation:
    address = stage.server.address

    async def operation(client: Client) -> None:
        number = b"%05d" % (10_000 + client.calls)
        template = templates[client.calls % len(templates)]
        body = b'{"run_id":"%b",%b}' % (runs[client.index], template.replace(b"@@@@@", number))
        await client.exchange(address.post(API + "/runs/log-batch", body))

    return operation


def _batch(variant: int, metrics: int, *, more: bytes = b"") -> bytes:
    """A body without its run; `@@@@@` stands for the number of the call."""
    draw = random.Random(variant).random
    parts = (
        b'{"key":"m%d","value":%f,"timestamp":17000@@@@@%03d,"step":@@@@@%02d}'
        % (j % 10, draw(), variant, j // 10)
        for j in range(metrics)
    )
    return b'"metrics":[%b]%b' % (b",".join(parts), more)


async def create_runs(stage: Stage) -> Task:
    experiment = await create_experiment(stage.client, f"create-{uuid4().hex}")
    address, ids = stage.server.address, set[str]()

    async def operation(client: Client) -> None:
        body = (
            b'{"experiment_id":"%b","start_time":%d,"run_name":"run","tags":['
            b'{"key":"mlflow.user","value":"u"},{"key":"mlflow.source.name","value":"train.py"}]}'
        ) % (experiment.encode(), time.time_ns() // 1_000_000)
        answer = await client.exchange(address.post(API + "/runs/create", body))
        start = answer.body.find(b'"run_id"')
        ids.add(answer.body[start + 8 : start + 48].decode())

    async def verify(result: Measurement) -> None:
        expect(len(ids) >= result.calls, f"{len(ids)} ids for {result.calls} runs")

    return Task(operation, verify)


async def get_run(stage: Stage) -> Task:
    experiment = await create_experiment(stage.client, f"get-{uuid4().hex}")
    run_id = await create_run(stage.client, experiment, "get")
    metrics = [
        {"key": f"m{j}", "value": j / 7, "timestamp": BASE_MS + step, "step": step}
        for j in range(50)
        for step in range(10)
    ]
    for part in (
        {"params": [{"key": f"p{j}", "value": f"v{j}"} for j in range(100)]},
        {"metrics": metrics},
        {"tags": [{"key": f"t{j}", "value": f"v{j}"} for j in range(10)]},
    ):
        await stage.client.post("/runs/log-batch", {"run_id": run_id, **part})
    path = f"{API}/runs/get?run_id={run_id}"
    data = (await stage.client.get(path))["run"]["data"]
    counts = len(data["params"]), len(data["metrics"])
    expect(counts == (100, 50), f"runs/get answered {counts} params and metrics")
    expect(all(metric["step"] in {9, "9"} for metric in data["metrics"]), "metrics not the latest")
    return Task(repeat(stage.server.address.get(path)))


def search(way: Search, runs: int, headers: Mapping[str, str] | None = None) -> Prepare:
    async def prepare(stage: Stage) -> Task:
        body = {"experiment_ids": [stage.seed.experiments[str(runs)]], **way.body}
        names = _names(await stage.client.post("/runs/search", body))
        expect(names == way.expected(runs), f"wrong runs: {names[:3]}… of {len(names)}")
        encoded = msgspec.json.encode(body)
        if headers is None:
            return Task(repeat(stage.server.address.post(API + "/runs/search", encoded)))
        all_headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(encoded)),
            **headers,
        }
        head = stage.server.address.head("POST", API + "/runs/search", all_headers)
        request = head + b"\r\n" + encoded
        answer = (await stage.client.exchange(request)).body
        expect(_names(msgspec.json.decode(gzip.decompress(answer))) == names, "other runs")
        return Task(repeat(request))

    return prepare


def walk(runs: int) -> Prepare:
    async def prepare(stage: Stage) -> Task:
        body: Json = {"experiment_ids": [stage.seed.experiments[str(runs)]], "max_results": 1000}
        pages = list[bytes]()

        async def operation(client: Client) -> None:
            pages.clear()
            token = ""
            while not pages or token:
                encoded = msgspec.json.encode(body | ({"page_token": token} if token else {}))
                request = client.address.post(API + "/runs/search", encoded)
                pages.append((await client.exchange(request)).body)
                token = _token(pages[-1])

        async def verify(_: Measurement) -> None:
            names = [name for page in pages for name in _names(msgspec.json.decode(page))]
            expect(names == [f"run-{i}" for i in range(runs - 1, -1, -1)], "the walk missed runs")

        return Task(operation, verify)

    return prepare


def history(points: int) -> Prepare:
    """In pages of 25 000, as the Python client asks; FastTrackML ignores that and sends all."""

    async def prepare(stage: Stage) -> Task:
        run_id, pages = stage.seed.histories[str(points)], list[bytes]()

        async def operation(client: Client) -> None:
            pages[:] = await _history(client, run_id, KEY)

        async def verify(_: Measurement) -> None:
            steps = [step for page in pages for step in _steps(page)]
            expect(steps == list(range(points)), f"{len(steps)} points, or in another order")

        return Task(operation, verify)

    return prepare


def bulk_interval(points: int) -> Prepare:
    async def prepare(stage: Stage) -> Task:
        run_id = stage.seed.histories[str(points)]
        path = f"{BULK_INTERVAL}?run_ids={run_id}&metric_key={KEY}&max_results=320"
        steps = [int(metric["step"]) for metric in (await stage.client.get(path))["metrics"]]
        expect(300 <= len(steps) <= 330, f"{len(steps)} points for a chart of 320")
        expect(steps == sorted(steps), "points out of order")
        expect((steps[0], steps[-1]) == (0, points - 1), "the curve's ends are missing")
        return Task(repeat(stage.server.address.get(path)))

    return prepare


async def upload_large(_: Stage) -> Task:
    return _upload(f"{ARTIFACTS}/large/big.bin", mib=512)


async def download_large(stage: Stage) -> Task:
    path = f"{ARTIFACTS}/large/big.bin"
    await _upload(path, mib=512).operation(stage.client)
    body = (await stage.client.exchange(stage.server.address.get(path))).body
    expect(zlib.crc32(body) == zlib.crc32(_block() * 512), "another file came back")
    request = stage.server.address.get(path)

    async def operation(client: Client) -> None:
        answer = await client.exchange(request, keep=False)
        expect(answer.size == 512 * MIB, f"{answer.size} bytes came back")

    return Task(operation)


async def upload_small(_: Stage) -> Task:
    folder, block = f"{ARTIFACTS}/small-{uuid4().hex}", _block()

    async def operation(client: Client) -> None:
        path = f"{folder}/{client.index}-{client.calls}.bin"
        await client.exchange(client.address.put(path, block))

    return Task(operation)


async def download_small(stage: Stage) -> Task:
    block, address = _block(), stage.server.address
    paths = [f"{ARTIFACTS}/small/{number}.bin" for number in range(100)]
    for path in paths:
        await stage.client.exchange(address.put(path, block))

    async def operation(client: Client) -> None:
        path = paths[(client.index * 13 + client.calls) % 100]
        answer = await client.exchange(address.get(path))
        expect(answer.body == block, "another file came back")

    return Task(operation)


def _upload(path: str, *, mib: int) -> Task:
    block = _block()

    async def operation(client: Client) -> None:
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(mib * MIB)}
        head = client.address.head("PUT", path, headers) + b"\r\n"
        await client.upload(head, block, times=mib)

    return Task(operation)


def _block() -> bytes:
    return random.Random(1).randbytes(MIB)


def repeat(request: bytes) -> Operation:
    async def operation(client: Client) -> None:
        await client.exchange(request)

    return operation


async def _runs(stage: Stage) -> list[bytes]:
    """A run for each client, in a new experiment."""
    experiment = await create_experiment(stage.client, f"write-{uuid4().hex}")
    numbers = range(stage.clients)
    return [(await create_run(stage.client, experiment, f"run-{n}")).encode() for n in numbers]


def _history_holds(
    stage: Stage, runs: list[bytes], key: str, *, points_a_call: int
) -> Callable[[Measurement], Awaitable[None]]:
    """Every answered call is in the history; calls that failed may be, or not."""

    async def verify(result: Measurement) -> None:
        pages = [await _history(stage.client, run_id.decode(), key) for run_id in runs]
        stored = sum(page.count(b'"timestamp"') for each in pages for page in each)
        least = result.calls * points_a_call
        most = least + (result.failed + len(runs)) * points_a_call
        expect(least <= stored <= most, f"{stored} points stored, {least} answered")

    return verify


async def _history(client: Client, run_id: str, key: str) -> list[bytes]:
    pages, token = list[bytes](), ""
    while not pages or token:
        path = (
            f"{API}/metrics/get-history?run_id={run_id}&metric_key={key}&max_results={HISTORY_PAGE}"
        )
        path += f"&page_token={quote(token)}" if token else ""
        pages.append((await client.exchange(client.address.get(path))).body)
        token = _token(pages[-1])
    return pages


def _token(page: bytes) -> str:
    """The next page's token, without decoding the page: decoding would be timed with the server."""
    start = page.rfind(b'"next_page_token"')
    return page[start:].split(b'"', 4)[3].decode() if start >= 0 else ""


class _Point(msgspec.Struct):
    step: int | str = 0


class _Points(msgspec.Struct):
    metrics: list[_Point] = []


def _steps(page: bytes) -> list[int]:
    """Steps as numbers; a 64-bit integer may be written as text."""
    return [int(each.step) for each in msgspec.json.decode(page, type=_Points).metrics]


def _names(answer: Json) -> list[str]:
    return [str(run["info"]["run_name"]) for run in answer.get("runs", [])]


def expect(condition: bool, what: str) -> None:  # noqa: FBT001  An assertion that stays.
    if not condition:
        raise WrongAnswer(what)


NO_ARTIFACTS = frozenset({"fasttrackml"})
PEERS = frozenset({"mlflow", "mlflow-best", "fasttrackml"})


def targets(mlflow: float, best: float, fasttrackml: float | None = None) -> dict[str, float]:
    found = {"mlflow": mlflow, "mlflow-best": best}
    return found | ({"fasttrackml": fasttrackml} if fasttrackml else {})


def _searches(runs: int) -> list[Scenario]:
    return [
        Scenario(
            f"search_{runs}_{way.name}",
            f"runs/search, {runs // 1000} k runs: {way.title}",
            search(way, runs),
            targets(50, 50, 10),
            seeded=True,
            quick=runs == 10_000 and way.name != "like",
        )
        for way in SEARCHES
    ]


SCENARIOS = (
    Scenario(
        "log_batch_1000",
        "log-batch of 1000 metrics, 8 clients",
        log_batch_1000,
        targets(100, 60, 30),
        clients=8,
        unit="metrics/s",
        items=1000,
    ),
    Scenario(
        "log_batch_15",
        "log-batch of 10 metrics + 5 tags, 8 clients",
        log_batch_15,
        targets(60, 30, 6),
        clients=8,
    ),
    Scenario(
        "log_batch_15_c32",
        "log-batch of 10 metrics + 5 tags, 32 clients",
        log_batch_15,
        clients=32,
        quick=False,
    ),
    Scenario("log_metric", "log-metric, 8 clients", log_metric, targets(80, 25, 5), clients=8),
    Scenario(
        "log_metric_c32",
        "log-metric, 32 clients",
        log_metric,
        targets(80, 25, 5),
        clients=32,
        quick=False,
    ),
    Scenario("create_run", "create run, 8 clients", create_runs, targets(50, 15, 3), clients=8),
    Scenario(
        "get_run",
        "get run with 100 params, 50 metrics, 10 tags, 8 clients",
        get_run,
        targets(40, 25, 6),
        clients=8,
    ),
    *_searches(10_000),
    *_searches(50_000),
    Scenario(
        "search_10000_page_gzip",
        "runs/search, 10 k runs: default page, compressed",
        search(SEARCHES[0], 10_000, {"Accept-Encoding": "gzip"}),
        seeded=True,
        without=PEERS,
    ),
    Scenario(
        "walk_10000",
        "walking all 10 k runs, 1000 a page",
        walk(10_000),
        targets(50, 50),
        unit="runs/s",
        items=10_000,
        calls_max=3,
        warm_calls=0,
        seeded=True,
        without=frozenset({"fasttrackml"}),
        quick=False,
    ),
    Scenario(
        "history_100000",
        "get-history of 100 k points",
        history(100_000),
        unit="points/s",
        items=100_000,
        calls_max=3,
        warm_calls=0,
        seeded=True,
        quick=False,
    ),
    Scenario(
        "history_1000000",
        "get-history of 1 M points",
        history(1_000_000),
        targets(50, 50, 8),
        unit="points/s",
        items=1_000_000,
        calls_max=3,
        warm_calls=0,
        seeded=True,
        quick=False,
    ),
    Scenario(
        "bulk_interval_1000000",
        "bulk-interval of 1 M points",
        bulk_interval(1_000_000),
        targets(20, 20),
        seeded=True,
        without=frozenset({"fasttrackml"}),
    ),
    Scenario(
        "upload_512",
        "512 MiB artifact up",
        upload_large,
        targets(1.2, 1.2),
        unit="MiB/s",
        items=512,
        calls_max=1,
        warm_calls=0,
        without=NO_ARTIFACTS,
    ),
    Scenario(
        "download_512",
        "512 MiB artifact down",
        download_large,
        targets(2, 2),
        unit="MiB/s",
        items=512,
        calls_max=2,
        warm_calls=0,
        without=NO_ARTIFACTS,
    ),
    Scenario(
        "upload_1x100",
        "1 MiB artifacts up, 100 of them, 8 clients",
        upload_small,
        targets(2, 2),
        clients=8,
        unit="MiB/s",
        calls_max=100,
        without=NO_ARTIFACTS,
        quick=False,
    ),
    Scenario(
        "download_1x100",
        "1 MiB artifacts down, 100 of them, 8 clients",
        download_small,
        targets(2, 2),
        clients=8,
        unit="MiB/s",
        calls_max=100,
        without=NO_ARTIFACTS,
        quick=False,
    ),
)


def _on_server(best: float, fasttrackml: float) -> dict[str, float]:
    return {"mlflow-best": best, "fasttrackml": fasttrackml}


POSTGRESQL_TARGETS: Mapping[str, Mapping[str, float]] = {
    "log_batch_1000": _on_server(40, 10),
    "log_batch_15": _on_server(8, 3),
    "log_batch_15_c32": _on_server(12, 4),
    "log_metric": _on_server(8, 3),
    "log_metric_c32": _on_server(12, 4),
    "create_run": _on_server(10, 4),
    "get_run": _on_server(12, 3),
    **{
        f"search_{runs}_{way.name}": _on_server(30, 8)
        for runs in (10_000, 50_000)
        for way in SEARCHES
    },
    "history_1000000": _on_server(50, 8),
}
"""Of the scenarios that are measured on database servers."""
