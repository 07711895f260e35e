"""Runs the scenarios in rounds, server after server in each, so that noise hits all alike."""

import os
import shutil
from dataclasses import dataclass, field

import processes
import servers
from loadgen import CallFailed, Client, Extent, Measurement, measure
from plan import Plan
from scenarios import Scenario, Stage, Task, WrongAnswer
from seed import Seed, seeded
from servers import ROOT, Kind, Server

SLOW_ROUND_S = 10
"""A server whose first round takes longer, for one call or for hanging ones, is measured once."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Proportional set size of a server's processes together."""

    processes: int
    idle_bytes: int
    peak_bytes: int


@dataclass(slots=True)
class Results:
    """By scenario and server: the rounds, or why there is none."""

    rounds: dict[str, dict[str, list[Measurement]]] = field(
        default_factory=dict[str, dict[str, list[Measurement]]]
    )
    refused: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    memory: dict[str, Memory] = field(default_factory=dict[str, Memory])
    extras: dict[str, dict[str, dict[str, float]]] = field(
        default_factory=dict[str, dict[str, dict[str, float]]]
    )
    """By extra and server: figure by name."""


class Contest:
    def __init__(self, plan: Plan, results: Results) -> None:
        """What it finds goes into the results."""
        self.plan = plan
        self.results = results
        self._watch = processes.MemoryWatch()
        # Of its own, so that a second bench beside this one does no harm.
        self._work = ROOT / ".bench" / f"work-{os.getpid()}"

    async def run(self) -> None:
        try:
            await self.plan.database.start()
            for with_seed in (False, True):
                scenarios = [each for each in self.plan.scenarios if each.seeded == with_seed]
                if scenarios:
                    await self._act(scenarios, with_seed=with_seed)
            for name, extra in self.plan.extras.items():
                self.results.extras[name] = await extra(self.plan, self._work)
        finally:
            self._watch.stop()
            await self.plan.database.stop()
            shutil.rmtree(self._work, ignore_errors=True)

    async def _act(self, scenarios: list[Scenario], *, with_seed: bool) -> None:
        """Start every server, on empty or on seeded databases, and measure these scenarios."""
        shutil.rmtree(self._work, ignore_errors=True)
        kinds = [
            kind
            for kind in self.plan.kinds
            if any(kind.name not in each.without for each in scenarios)
        ]
        laid_out = [await self._lay_out(kind, with_seed=with_seed) for kind in kinds]
        seeds = {kind.name: seed for kind, seed in laid_out}
        running = list[Server]()
        try:
            for kind, _ in laid_out:
                running.append(servers.start(kind, self._work / kind.name))
            servers.settle(running)
            idle = {server.pid: processes.pss_bytes(server.pid) for server in running}
            for scenario in scenarios:
                await self._measure(scenario, running, seeds)
            for server in running:
                self._note_memory(server, idle[server.pid])
        finally:
            for server in running:
                servers.stop(server)
            for kind in kinds:
                await self.plan.database.drop(kind.name)

    async def _measure(
        self, scenario: Scenario, running: list[Server], seeds: dict[str, Seed]
    ) -> None:
        rounds = self.results.rounds.setdefault(scenario.name, {})
        for number in range(self.plan.rounds):
            for server in running:
                done = rounds.setdefault(server.name, [])
                if server.name in scenario.without or _is_enough(done, number):
                    continue
                servers.wait_until_quiet(running, timeout_s=10)
                self._watch.look_at(server.pid)
                await self._round(scenario, server, seeds[server.name])
                self._watch.look_at(0)

    async def _round(self, scenario: Scenario, server: Server, seed: Seed) -> None:
        client = Client(0, server.address)
        stage = Stage(server, client, scenario.clients, seed)
        rounds = self.results.rounds[scenario.name][server.name]
        try:
            task = await scenario.prepare(stage)
            measurement = await measure(server, task.operation, self._extent(scenario))
            if not rounds:
                await _verify(task, measurement)
        except (WrongAnswer, CallFailed, OSError) as failure:
            what = f"{type(failure).__name__}: {failure}"
            self.results.refused.setdefault(scenario.name, {})[server.name] = what
            print(f"{scenario.name:24} {server.name:12} {what}", flush=True)
        else:
            rounds.append(measurement)
            print(_line(scenario, server, measurement), flush=True)
        finally:
            client.close()

    async def _lay_out(self, kind: Kind, *, with_seed: bool) -> tuple[Kind, Seed]:
        """The server as it is run on its own database, which is empty or seeded."""
        database = self.plan.database
        if not with_seed:
            await database.create(kind.name)
            return database.attach(kind, kind.name), Seed()
        folder, seed = await seeded(kind, database)
        shutil.copytree(folder, self._work / kind.name)
        return database.attach(kind, folder.name), seed

    def _extent(self, scenario: Scenario) -> Extent:
        return Extent(
            self.plan.duration_s, scenario.clients, scenario.calls_max, scenario.warm_calls
        )

    def _note_memory(self, server: Server, idle_bytes: int) -> None:
        """The second act adds to the first: the smaller idle value and the higher peak stand."""
        before = self.results.memory.get(server.name)
        memory = Memory(
            processes.count(server.pid), idle_bytes, self._watch.peaks.get(server.pid, idle_bytes)
        )
        if before is not None:
            memory = Memory(
                memory.processes,
                min(memory.idle_bytes, before.idle_bytes),
                max(memory.peak_bytes, before.peak_bytes),
            )
        self.results.memory[server.name] = memory


async def _verify(task: Task, measurement: Measurement) -> None:
    if task.verify is not None and measurement.calls:
        await task.verify(measurement)


def _is_enough(done: list[Measurement], number: int) -> bool:
    """Nothing came of the first round, or it took too long for more of them."""
    if number == 0:
        return False
    return not done or done[0].wall_s > SLOW_ROUND_S


def _line(scenario: Scenario, server: Server, result: Measurement) -> str:
    return (
        f"{scenario.name:24} {server.name:12}"
        f" {result.rate * scenario.items:12,.1f} {scenario.unit:10}"
        f" p50 {result.p50_ms:9,.2f} ms  p99 {result.p99_ms:9,.2f} ms  cpu {result.cpu_ms:8,.2f} ms"
        f"  database {result.database_cpu_ms:8,.2f} ms  generator {result.generator_share:.2f}"
        + (f"  FAILED {result.failed}: {result.failures[0]}" if result.failed else "")
    )
