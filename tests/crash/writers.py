"""Writers that do as MLflow's client does: they send a call again until it is answered."""

import http.client
import json
import math
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from tests.crash.ledger import VALUE_MAX, Effect, Point, RunLedger

if TYPE_CHECKING:
    from collections.abc import Callable

API = "/api/2.0/mlflow/"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"
JSON = "application/json"
METRICS = ("loss", "accuracy", "learning_rate", "gradient/norm")
START_MS = 1_700_000_000_000
AGAIN_S = 0.03
ABANDONED = 0.15
"""How often a writer does not repeat a call that was not answered."""
RUN_CALLS = (10, 60)
BULK_POINTS = 1_000
BULK_CALLS = 40


@dataclass(frozen=True, slots=True)
class Call:
    """One request, to be sent once or several times."""

    method: str
    path: str
    body: bytes
    content_type: str = JSON


class RefusedError(AssertionError):
    """An answer that is neither a success nor 503: the server is wrong, or the test."""


@dataclass(slots=True)
class Client:
    """One connection, made anew when it breaks."""

    port: int
    connection: http.client.HTTPConnection | None = None
    sent: int = 0
    unanswered: int = 0

    def try_once(self, call: Call) -> bytes | None:
        """The body of the answer, or None when there was none, or 503."""
        self.sent += 1
        try:
            status, body = self._send(call)
        except (OSError, http.client.HTTPException):
            self.close()
            self.unanswered += 1
            return None
        if status == 503:
            return None
        if status != 200:
            raise RefusedError(f"{call.method} {call.path}: {status} {body[:500]!r}")
        return body

    def send(self, call: Call) -> bytes:
        """Sends until there is an answer."""
        while (body := self.try_once(call)) is None:
            time.sleep(AGAIN_S)
        return body

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _send(self, call: Call) -> tuple[int, bytes]:
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        self.connection.request(
            call.method, call.path, call.body, {"Content-Type": call.content_type}
        )
        answer = self.connection.getresponse()
        return answer.status, answer.read()


def post(path: str, **message: Any) -> Call:
    return Call("POST", API + path, json.dumps(message).encode())


class Writer(threading.Thread):
    """Works until `stopping` is set and its last call is answered; keeps its error."""

    def __init__(self, name: str, port: int, stopping: threading.Event, seed: str) -> None:
        super().__init__(name=name, daemon=True)
        self.client = Client(port)
        self.random = Random(f"{seed}/{name}")
        self.stopping = stopping
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.work()
        except BaseException as error:  # noqa: BLE001 - The test raises it.
            self.error = error
        finally:
            self.client.close()

    def work(self) -> None:
        raise NotImplementedError


class RunWriter(Writer):
    """Makes runs one after the other, and mixes all kinds of writes to each."""

    def __init__(self, name: str, port: int, stopping: threading.Event, seed: str) -> None:
        super().__init__(name, port, stopping, seed)
        self.ledgers: list[RunLedger] = []
        self.created: dict[str, str] = {}
        """Run ids that were answered, by the run's name, which no other has."""
        self.number = 0
        self.late: list[tuple[Call, Effect]] = []

    def work(self) -> None:
        ledger = self.new_run()
        kinds = (self.batch, self.batch, self.batch, self.metric, self.param, self.tag, self.repeat)
        for _ in range(self.random.randint(*RUN_CALLS)):
            if self.stopping.is_set():
                return
            self.number += 1
            self.random.choice(kinds)(ledger)
        self.finish(ledger)
        for _ in range(self.random.randint(0, 3)):
            self.number += 1
            self.batch(ledger)
        if self.random.random() < 0.5:
            self.finish(ledger)

    def new_run(self) -> RunLedger:
        name = f"{self.name}-{len(self.created)}"
        tags = [{"key": "writer", "value": self.name}]
        create = post(
            "runs/create", experiment_id="0", run_name=name, start_time=START_MS, tags=tags
        )
        run_id = json.loads(self.client.send(create))["run"]["info"]["run_id"]
        self.created[name] = run_id
        ledger = RunLedger(run_id)
        named = Effect(tags={"mlflow.runName": name, "writer": self.name})
        ledger.note(named, acknowledged=True)
        self.ledgers.append(ledger)
        self.late = []
        return ledger

    def finish(self, ledger: RunLedger) -> None:
        call = post(
            "runs/update", run_id=ledger.run_id, status="FINISHED", end_time=START_MS + 1000
        )
        self.client.send(call)
        ledger.note(Effect(status="FINISHED"), acknowledged=True)

    def deliver(self, ledger: RunLedger, call: Call, effect: Effect) -> None:
        """Sends it until it is answered, or gives up; sometimes once more after the answer."""
        while self.client.try_once(call) is None:
            if self.random.random() < ABANDONED:
                ledger.note(effect, acknowledged=False)
                return
            time.sleep(AGAIN_S)
        ledger.note(effect, acknowledged=True)
        if self.random.random() < 0.1:
            self.client.try_once(call)

    def batch(self, ledger: RunLedger) -> None:
        points = self.points(self.random.choice((0, 1, 10, 100, 400)))
        mark = str(self.number)
        params = {f"param-{mark}": mark}
        tags = {f"tag-{mark}": "é" * self.random.randint(0, 50), "last": mark}
        call = post(
            "runs/log-batch",
            run_id=ledger.run_id,
            metrics=[metric(key, point) for key, point in points],
            params=[{"key": key, "value": value} for key, value in params.items()],
            tags=[{"key": key, "value": value} for key, value in tags.items()],
        )
        self.deliver(ledger, call, Effect(by_key(points), params, tags))

    def metric(self, ledger: RunLedger) -> None:
        ((key, point),) = self.points(1)
        call = post("runs/log-metric", run_id=ledger.run_id, **metric(key, point))
        effect = Effect(by_key([(key, point)]))
        self.late.append((call, effect))
        self.deliver(ledger, call, effect)

    def param(self, ledger: RunLedger) -> None:
        key, value = f"param-{self.number}", str(self.random.random())
        call = post("runs/log-parameter", run_id=ledger.run_id, key=key, value=value)
        self.deliver(ledger, call, Effect(params={key: value}))

    def tag(self, ledger: RunLedger) -> None:
        key, value = f"tag-{self.number}", str(self.random.random())
        call = post("runs/set-tag", run_id=ledger.run_id, key=key, value=value)
        self.deliver(ledger, call, Effect(tags={key: value}))

    def repeat(self, ledger: RunLedger) -> None:
        """A point that was sent long ago, as a proxy may deliver it."""
        if self.late:
            call, effect = self.random.choice(self.late)
            self.client.send(call)
            ledger.note(effect, acknowledged=True)

    def points(self, count: int) -> list[tuple[str, Point]]:
        """Steps of this call only; most of them in order of time, some early, some twice."""
        found: list[tuple[str, Point]] = []
        for n in range(count):
            step = self.number * 1_000 + n
            late_ms = self.random.choice((0, 0, 0, 0, 0, 0, 0, 0, 0, 1_000_000))
            key = self.random.choice(METRICS)
            found.append((key, (START_MS + step * 7 - late_ms, step, value(self.random))))
        return found + found[: count // 20]


class BulkWriter(RunWriter):
    """Fills runs with so much that their logs are compacted while they run."""

    def work(self) -> None:
        ledger = self.new_run()
        for _ in range(BULK_CALLS):
            if self.stopping.is_set():
                return
            self.number += 1
            points = self.points(BULK_POINTS)[:BULK_POINTS]
            call = post(
                "runs/log-batch",
                run_id=ledger.run_id,
                metrics=[metric(key, point) for key, point in points],
            )
            self.deliver(ledger, call, Effect(by_key(points)))


class Uploader(Writer):
    """Writes files, some of them over and over."""

    def __init__(self, name: str, port: int, stopping: threading.Event, seed: str) -> None:
        super().__init__(name, port, stopping, seed)
        self.certain: dict[str, bytes] = {}
        """The content that was acknowledged last."""
        self.possible: defaultdict[str, list[bytes]] = defaultdict(list)
        """Contents sent later and not answered."""

    def work(self) -> None:
        path = f"0/files/{self.random.randint(0, 40)}/data.bin"
        content = self.random.randbytes(self.random.choice((0, 1, 1_000, 70_000, 600_000)))
        call = Call("PUT", ARTIFACTS + path, content, "application/octet-stream")
        while self.client.try_once(call) is None:
            self.possible[path].append(content)
            if self.random.random() < ABANDONED:
                return
            time.sleep(AGAIN_S)
        self.certain[path] = content
        self.possible[path].clear()


def metric(key: str, point: Point) -> dict[str, Any]:
    timestamp, step, number = point
    sent = "Infinity" if number == VALUE_MAX else number
    return {"key": key, "value": sent, "timestamp": timestamp, "step": step}


def value(random: Random) -> float | str:
    """As the server answers it: no infinity, which it stores as the largest number."""
    kinds: tuple[Callable[[], float | str], ...] = (
        lambda: "NaN",
        lambda: VALUE_MAX,
        lambda: -1e-300,
        lambda: float(random.randint(1, 3)),
    )
    if random.random() < 0.1:
        return random.choice(kinds)()
    return math.exp(random.uniform(-20, 20))


def by_key(points: list[tuple[str, Point]]) -> dict[str, frozenset[Point]]:
    found: defaultdict[str, set[Point]] = defaultdict(set)
    for key, point in points:
        found[key].add(point)
    return {key: frozenset(each) for key, each in found.items()}
