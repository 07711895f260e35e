"""What writes leave behind, whoever else writes at the same time: here are two servers on one
database, which know nothing of each other.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isnan, nan
from random import Random
from typing import Any, TypeVar

import pytest
from tests.store.engines import opened

from riverrun.auth.viewer import DEFAULT_WORKSPACE, Viewer
from riverrun.clock import new_run_id, now_ms
from riverrun.entities.webhooks import WebhookEvent
from riverrun.errors import TrackingError
from riverrun.services.compaction import Compactor
from riverrun.services.experiments import ArtifactRules, Experiments
from riverrun.services.key_names import KeyNames
from riverrun.services.logged_models import LoggedModels, NewLoggedModel
from riverrun.services.model_sources import GivenSource, SourceRules
from riverrun.services.model_versions import ModelVersions, NewModelVersion
from riverrun.services.names import run_key
from riverrun.services.outbox import Event, Outbox
from riverrun.services.registered_models import RegisteredModels
from riverrun.services.run_data import Batch, DatasetUse, RunWriter
from riverrun.services.runs import NewRun, RunChange, Runs
from riverrun.services.values import ValueRules
from riverrun.store import (
    datasets,
    documents,
    logged_models,
    metrics,
    model_versions,
    registered_models,
    run_data,
    webhook_deliveries,
    webhooks,
)
from riverrun.store.change import Change
from riverrun.store.datasets import InputEdge, NewDataset
from riverrun.store.engine import Engine, Row, Tx, Work
from riverrun.store.metrics import LatestRow
from riverrun.store.points import encode_log
from riverrun.store.webhooks import NewWebhook
from riverrun.wire.messages.runs import MetricInput

T = TypeVar("T")

RUN = bytes(range(16))
WRITERS = 12
"""Calls at once, half of them to either server."""


@dataclass(frozen=True)
class Replica:
    """A server's engine and services."""

    engine: Engine
    viewer: Viewer
    compactor: Compactor
    key_names: KeyNames
    experiments: Experiments
    runs: Runs
    writer: RunWriter
    logged_models: LoggedModels
    registered_models: RegisteredModels
    model_versions: ModelVersions

    async def experiment(self, name: str = "e") -> str:
        return await self.experiments.create(
            name, artifact_location="", tags=[], viewer=self.viewer
        )

    async def run(self, experiment: str) -> str:
        new = NewRun(experiment, "", "run", 1, [])
        return (await self.runs.create(new, viewer=self.viewer)).info.run_id

    async def log(self, run: str, *points: MetricInput) -> None:
        await self.writer.log_batch(run, Batch(points), viewer=self.viewer)

    async def set_tag(self, run: str, key: str, value: str) -> None:
        await self.writer.set_tag(run, key, value, viewer=self.viewer)

    async def model(self, name: str) -> None:
        await self.registered_models.create(name, description=None, tags=[], viewer=self.viewer)

    async def version(self, name: str) -> int:
        new = NewModelVersion(name, GivenSource("s3://bucket/x", None, None), "", "", [])
        return int((await self.model_versions.create(new, viewer=self.viewer)).version)


def replica(engine: Engine, name: str) -> Replica:
    key_names, compactor, outbox = KeyNames(engine), Compactor(engine), Outbox()
    values = ValueRules(truncate=True)
    return Replica(
        engine,
        Viewer(name, DEFAULT_WORKSPACE, all_powerful=True),
        compactor,
        key_names,
        Experiments(engine, ArtifactRules("mlflow-artifacts:", 2_048, ())),
        Runs(engine, outbox, key_names=key_names, compactor=compactor, values=values),
        RunWriter(engine, key_names=key_names, compactor=compactor, values=values),
        LoggedModels(engine, key_names=key_names),
        RegisteredModels(engine, outbox),
        ModelVersions(engine, outbox, key_names=key_names, sources=SourceRules()),
    )


Story = Callable[[Replica, Replica], Awaitable[None]]


def play(database: str, story: Story) -> None:
    """Tells the story with two servers on this database; SQLite has one, under two names."""

    async def telling() -> None:
        async with opened(database) as engine, another(database, engine) as other:
            first, second = replica(engine, "first"), replica(other, "second")
            await asyncio.gather(
                first.experiments.ensure_default(), second.experiments.ensure_default()
            )
            await story(first, second)

    asyncio.run(telling())


@asynccontextmanager
async def another(database: str, engine: Engine) -> AsyncGenerator[Engine]:
    if database.startswith("sqlite:"):
        yield engine
    else:
        async with opened(database) as other:
            yield other


async def at_once(calls: Sequence[Coroutine[Any, Any, T]]) -> tuple[list[T], Counter[str]]:
    """What those that succeeded returned, and how often the others were refused with which code."""
    returned: list[T] = []
    refused = Counter[str]()
    for ended in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(ended, TrackingError):
            refused[ended.code] += 1
        elif isinstance(ended, BaseException):
            raise ended
        else:
            returned.append(ended)
    return returned, refused


def point(key: str, value: float, step: int = 0) -> MetricInput:
    return MetricInput(key, value, 1_000 + step, step)


async def fetch(engine: Engine, sql: str, *binds: object) -> list[Row]:
    return await engine.read(lambda tx: tx.fetch(sql, binds))


# What a write leaves -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_newest_value_and_the_extremes_stand_in_whatever_order_they_come(
    database: str, seed: int
):
    """Few places and values, so that all kinds of ties occur."""
    random = Random(seed)
    keys = range(1, 201)

    def arriving(key: int) -> LatestRow:
        value = random.choice((-1.5, 0.0, 0.0, 2.0, nan))
        extremes = sorted(random.choice((-3.0, -1.5, 0.0, 2.0)) for _ in range(2))
        smallest, largest = (None, None) if random.random() < 0.3 else extremes
        at = random.randrange(2)
        number = 0.0 if isnan(value) else value
        return (key, number, int(isnan(value)), at, random.randrange(-1, 2), smallest, largest)

    def kept(old: LatestRow | None, new: LatestRow) -> LatestRow:
        if old is None:
            return new
        newest = max(old, new, key=lambda row: (row[4], row[3], row[1]))  # Of equals the old one.
        smallest = min((row[5] for row in (old, new) if row[5] is not None), default=None)
        largest = max((row[6] for row in (old, new) if row[6] is not None), default=None)
        return (*newest[:5], smallest, largest)

    async def story(first: Replica, second: Replica) -> None:
        expected: dict[int, LatestRow] = {}
        for engine in [first.engine, second.engine] * 6:
            rows = [arriving(key) for key in keys]
            await engine.write(lambda tx, rows=rows: metrics.upsert_latest(tx, RUN, 7, rows))
            expected = {row[0]: kept(expected.get(row[0]), row) for row in rows}
            found = await fetch(
                engine,
                "SELECT key_id, value, is_nan, timestamp, step, min_value, max_value "
                "FROM latest_metrics WHERE run_id = ? ORDER BY key_id",
                RUN,
            )
            assert found == list(expected.values())

    play(database, story)


@pytest.mark.parametrize("seed", range(3))
def test_of_two_values_of_a_model_at_one_place_the_greater_stands(database: str, seed: int):
    """In one call and in several."""
    random = Random(seed)

    def arriving() -> logged_models.MetricRow:
        place = (RUN, random.randrange(1, 4), random.randrange(2), random.randrange(2))
        value, is_nan = random.choice(((-1.0, 0), (0.0, 1), (1.0, 0), (2.5, 0)))
        return (*place, RUN, random.choice(("", "d")), "", 7, value, is_nan)

    async def story(first: Replica, second: Replica) -> None:
        greatest: dict[Row, Row] = {}
        for engine in [first.engine, second.engine] * 4:
            rows = [arriving() for _ in range(30)]
            await engine.write(lambda tx, rows=rows: logged_models.upsert_metrics(tx, rows))
            for row in rows:
                old = greatest.get(row[:7])
                greatest[row[:7]] = row if old is None else max(old, row, key=lambda each: each[8])
        found = await fetch(
            second.engine,
            "SELECT model_id, key_id, timestamp, step, run_id, dataset_name, dataset_digest, "
            "experiment_id, value, is_nan FROM logged_model_metrics",
        )
        assert sorted(found) == sorted(greatest.values())

    play(database, story)


def test_of_two_documents_of_a_run_the_newest_stands(database: str):
    async def story(first: Replica, second: Replica) -> None:
        for engine, version in ((first.engine, 2), (second.engine, 5), (first.engine, 3)):
            document = str(version).encode()
            await engine.write(lambda tx, v=version, d=document: documents.store(tx, RUN, v, d))
        found = await fetch(first.engine, "SELECT version, document FROM run_documents")
        assert found == [(5, b"5")]

    play(database, story)


def test_an_edge_stays_as_it_was_first_given(database: str):
    edges = [InputEdge(bytes(16), "train", [("a", "1")]), InputEdge(bytes(16), "eval", [])]

    async def story(first: Replica, second: Replica) -> None:
        for engine, own in ((first.engine, edges), (second.engine, edges[::-1])):
            await engine.write(lambda tx, own=own: datasets.insert_inputs(tx, RUN, 7, own))
        for engine, step in ((first.engine, 3), (second.engine, 4)):
            models = [("m-1", step), ("m-1", 9)]
            await engine.write(
                lambda tx, models=models: datasets.insert_models(tx, RUN, "output", models)
            )
        inputs = await fetch(first.engine, "SELECT context, tags FROM run_inputs")
        assert inputs == [("train", '[["a", "1"]]')]
        assert await fetch(first.engine, "SELECT model_id, step FROM run_models") == [("m-1", 3)]

    play(database, story)


def test_setting_again_replaces(database: str):
    async def story(first: Replica, second: Replica) -> None:
        run, key = RUN, (RUN, 1)
        for engine, value in ((first.engine, "old"), (second.engine, "new")):

            async def work(tx: Tx, value: str = value) -> None:
                await run_data.set_tags(tx, run, 7, {1: value, 2: "x"}, by=value)
                await logged_models.set_tags(tx, run, 7, {1: value, 2: "x"}, by=value)
                await registered_models.set_tags(tx, run, {"k": value}, by=value)
                await registered_models.set_alias(tx, run, "a", len(value), by=value)
                await model_versions.set_tags(tx, key, {"k": value}, by=value)

            await engine.write(work)
        for table in ("tags", "logged_model_tags"):
            found = await fetch(first.engine, f"SELECT value, updated_by FROM {table}")
            assert sorted(found) == [("new", "new"), ("x", "new")]
        for table in ("registered_model_tags", "model_version_tags"):
            found = await fetch(first.engine, f"SELECT value, updated_by FROM {table}")
            assert found == [("new", "new")]

    play(database, story)


# Names and numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_a_key_has_one_id_whoever_names_it_first(database: str, seed: int):
    random = Random(seed)
    names = [f"key {number}" for number in range(40)]

    async def story(first: Replica, second: Replica) -> None:
        calls = [
            each.key_names.create(random.sample(names, 20))
            for each in (first, second)
            for _ in range(WRITERS)
        ]
        told, refused = await at_once(calls)
        assert not refused
        ids = dict(await fetch(first.engine, "SELECT name, key_id FROM key_names"))
        assert len(set(ids.values())) == len(ids)
        for each in told:
            assert each.items() <= ids.items()

    play(database, story)


def test_experiments_made_at_once_get_ids_of_their_own(database: str):
    async def story(first: Replica, second: Replica) -> None:
        calls = [
            each.experiment(f"experiment {number} of {n}")
            for number in range(WRITERS)
            for n, each in enumerate((first, second))
        ]
        ids, refused = await at_once(calls)
        assert not refused
        assert sorted(map(int, ids)) == list(range(1, 2 * WRITERS + 1))

    play(database, story)


def test_a_name_is_given_once_however_many_want_it(database: str):
    async def story(first: Replica, second: Replica) -> None:
        both = (first, second) * WRITERS
        made, refused = await at_once([each.experiment("wanted") for each in both])
        assert len(made) == 1
        assert refused == {"RESOURCE_ALREADY_EXISTS": len(both) - 1}
        made, refused = await at_once([each.model("wanted") for each in both])
        assert len(made) == 1
        assert refused == {"RESOURCE_ALREADY_EXISTS": len(both) - 1}
        rows = await fetch(first.engine, "SELECT name FROM registry_history")
        assert rows == [("wanted",)]

    play(database, story)


def test_two_things_cannot_be_renamed_to_one_name(database: str):
    async def story(first: Replica, second: Replica) -> None:
        experiments = [await first.experiment(name) for name in ("a", "b")]
        renamed, refused = await at_once(
            [
                each.experiments.rename(experiment, "c", viewer=each.viewer)
                for each, experiment in zip((first, second), experiments, strict=True)
            ]
        )
        assert (len(renamed), refused) == (1, {"RESOURCE_ALREADY_EXISTS": 1})
        for name in ("a", "b"):
            await first.model(name)
        renamed, refused = await at_once(
            [
                each.registered_models.rename(name, "c", viewer=each.viewer)
                for each, name in zip((first, second), ("a", "b"), strict=True)
            ]
        )
        assert (len(renamed), refused) == (1, {"RESOURCE_ALREADY_EXISTS": 1})

    play(database, story)


def test_a_dataset_is_made_once_however_many_runs_read_it_first(database: str):
    uses = [DatasetUse(NewDataset("d", "1", "local", "{}", None, None), [])]

    async def story(first: Replica, second: Replica) -> None:
        experiment = await first.experiment()
        logs = [
            each.writer.log_inputs(await each.run(experiment), uses, [], viewer=each.viewer)
            for each in (first, second) * WRITERS
        ]
        _, refused = await at_once(logs)
        assert not refused
        assert await fetch(first.engine, "SELECT count(*) FROM datasets") == [(1,)]
        edges = await fetch(first.engine, "SELECT count(DISTINCT run_id) FROM run_inputs")
        assert edges == [(2 * WRITERS,)]

    play(database, story)


# Runs --------------------------------------------------------------------------------------------


def test_of_two_values_of_a_param_the_first_stands(database: str):
    async def story(first: Replica, second: Replica) -> None:
        experiment = await first.experiment()
        for _ in range(8):
            run = await first.run(experiment)

            async def log(each: Replica, value: str, run: str = run) -> str:
                await each.writer.log_param(run, "lr", value, viewer=each.viewer)
                return value

            calls = [log(each, str(n % 4)) for n, each in enumerate((first, second) * 6)]
            logged, refused = await at_once(calls)
            (kept,) = {*logged}
            assert (len(logged), refused) == (3, {"INVALID_PARAMETER_VALUE": 9})
            values = await fetch(
                first.engine, "SELECT value FROM params WHERE run_id = ?", run_key(run)
            )
            assert values == [(kept,)]

    play(database, story)


def test_a_deleted_run_is_not_written_to(database: str):
    """The deletion is the last change of it, and what was answered with success before is there."""

    async def story(first: Replica, second: Replica) -> None:
        experiment = await first.experiment()
        await first.key_names.create(map(str, range(WRITERS)))
        remover = replace(second.viewer, name="remover")
        for _ in range(15):
            run = await first.run(experiment)

            async def tag(each: Replica, key: str, run: str = run) -> str:
                await each.set_tag(run, key, "1")
                return key

            tags = [tag(each, str(n)) for n, each in enumerate((first, second) * (WRITERS // 2))]
            (told, refused), _ = await asyncio.gather(
                at_once(tags), second.runs.delete(run, viewer=remover)
            )
            assert set(refused) <= {"INVALID_PARAMETER_VALUE"}
            (row,) = await fetch(
                first.engine,
                "SELECT lifecycle_stage, updated_by FROM runs WHERE run_id = ?",
                run_key(run),
            )
            assert row == ("deleted", "remover")
            found = await fetch(
                first.engine,
                "SELECT k.name FROM tags t JOIN key_names k ON k.key_id = t.key_id "
                "WHERE t.run_id = ? AND k.name <> 'mlflow.runName'",
                run_key(run),
            )
            assert sorted(name for (name,) in found) == sorted(told)

    play(database, story)


def test_an_experiment_is_deleted_and_restored_while_its_runs_are_written_to(database: str):
    async def story(first: Replica, second: Replica) -> None:
        experiment = await first.experiment()
        ids = [await first.run(experiment) for _ in range(20)]
        await first.key_names.create(["t"])

        async def move(times: int) -> None:
            for _ in range(times):
                await first.experiments.delete(experiment, viewer=first.viewer)
                await second.experiments.restore(experiment, viewer=second.viewer)

        async def write(each: Replica, rounds: int) -> Counter[str]:
            refused = Counter[str]()
            for _ in range(rounds):
                refused += (await at_once([each.set_tag(run, "t", "1") for run in ids]))[1]
            return refused

        one, two, _ = await asyncio.gather(write(first, 8), write(second, 8), move(6))
        assert set(one + two) <= {"INVALID_PARAMETER_VALUE"}
        stages = await fetch(
            first.engine,
            "SELECT DISTINCT lifecycle_stage FROM runs WHERE experiment_id = ?",
            int(experiment),
        )
        assert stages == [("active",)]

    play(database, story)


def test_the_version_of_a_run_counts_every_write(database: str):
    """Documents of it count by that."""

    async def story(first: Replica, second: Replica) -> None:
        run = await first.run(await first.experiment())
        calls = [
            *(each.set_tag(run, "t", str(n)) for n, each in enumerate((first, second) * WRITERS)),
            *(
                each.runs.update(run, RunChange(None, None, f"name {n}"), viewer=each.viewer)
                for n, each in enumerate((first, second) * WRITERS)
            ),
        ]
        ended = await asyncio.gather(*calls)
        rows = await fetch(first.engine, "SELECT version FROM runs WHERE run_id = ?", run_key(run))
        assert rows == [(1 + len(ended),)]

    play(database, story)


# Metrics -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_no_point_is_lost_and_none_is_there_twice_while_both_servers_compact(
    database: str, seed: int
):
    random = Random(seed)

    async def story(first: Replica, second: Replica) -> None:
        run = await first.run(await first.experiment())
        key = run_key(run)
        ids = await first.key_names.create(["loss", "accuracy"])
        logged: set[tuple[str, int, float]] = set()

        async def log(each: Replica) -> None:
            for _ in range(12):
                points = [
                    (random.choice(("loss", "accuracy")), random.randrange(400), random.random())
                    for _ in range(random.choice((1, 40)))
                ]
                await each.log(run, *(point(name, value, step) for name, step, value in points))
                logged.update(points)

        async def compact(each: Replica) -> None:
            for _ in range(12):
                await each.compactor.compact(key, ended=random.random() < 0.5)

        await asyncio.gather(*(act(each) for act in (log, compact) for each in (first, second)))
        await asyncio.gather(
            *(each.compactor.compact(key, ended=False) for each in (first, second))
        )
        assert await fetch(first.engine, "SELECT count(*) FROM metric_log") == [(0,)]
        for name in ("loss", "accuracy"):
            expected = sorted(
                (1_000 + step, step, value, False) for of, step, value in logged if of == name
            )
            places = await first.engine.read(
                lambda tx, name=name: metrics.chunk_places(tx, key, ids[name])
            )
            assert sum(chunk.points for chunk in places) == len(expected)
            for one, two in pairwise(places):
                assert one.last <= two.first
            points = await second.engine.read(
                lambda tx, name=name: metrics.history_page(
                    tx, key, ids[name], after=None, limit=10_000
                )
            )
            assert [points.place(n) for n in range(len(points))] == expected
            newest = max((step, value) for of, step, value in logged if of == name)
            latest = await fetch(
                first.engine,
                "SELECT step, value FROM latest_metrics WHERE run_id = ? AND key_id = ?",
                key,
                ids[name],
            )
            assert latest == [newest]

    play(database, story)


def test_a_compaction_that_was_planned_before_another_one_begins_again(database: str):
    """The other one took rows from the log; since then as many came, of a server whose clock is
    behind.
    """

    async def story(first: Replica, second: Replica) -> None:
        run = await first.run(await first.experiment())
        key = run_key(run)
        ids = await first.key_names.create(["loss"])
        has_planned, may_go_on = asyncio.Event(), asyncio.Event()

        async def pause() -> None:
            has_planned.set()
            await may_go_on.wait()

        async def late(step: int) -> None:
            sql = "INSERT INTO metric_log (run_id, seq, payload) VALUES (?, ?, ?)"
            row = (key, step, encode_log([ids["loss"]], [step], [1_000 + step], [1.0]))
            await first.engine.write(lambda tx: tx.execute(sql, row))

        for step in (0, 1):
            await first.log(run, point("loss", 1.0, step))
        planned = Compactor(Paused(second.engine, pause))
        compaction = asyncio.create_task(planned.compact(key, ended=False))
        await has_planned.wait()
        await late(2)
        await first.compactor.compact(key, ended=False)
        await late(3)
        await late(4)
        may_go_on.set()
        await compaction
        await expect_steps(first.engine, key, range(5))

    play(database, story)


def test_of_two_compactions_with_the_same_plan_one_begins_again(database: str):
    async def story(first: Replica, second: Replica) -> None:
        run = await first.run(await first.experiment())
        key = run_key(run)
        for n in range(10):
            for step in range(3 * n, 3 * n + 3):
                await first.log(run, point("loss", 1.0, step))
            both = asyncio.Barrier(2)
            await asyncio.gather(
                *(
                    Compactor(Paused(each.engine, both.wait)).compact(key, ended=False)
                    for each in (first, second)
                )
            )
            await expect_steps(first.engine, key, range(3 * n + 3))

    play(database, story)


async def expect_steps(engine: Engine, run: bytes, steps: Sequence[int]) -> None:
    """All of them are in chunks of the run's one metric, each once."""
    assert await fetch(engine, "SELECT count(*) FROM metric_log") == [(0,)]
    ((key_id, held),) = await fetch(
        engine, "SELECT key_id, sum(points) FROM metric_chunks GROUP BY key_id"
    )
    points = await engine.read(
        lambda tx: metrics.history_page(tx, run, key_id, after=None, limit=1_000)
    )
    assert list(points.steps) == list(steps)
    assert held == len(steps)


class Paused:
    """An engine whose first write waits for something."""

    def __init__(self, engine: Engine, pause: Callable[[], Awaitable[object]]) -> None:
        self._engine = engine
        self._pauses = [pause]

    async def read(self, work: Work[T]) -> T:
        return await self._engine.read(work)

    async def glance(self, work: Work[T]) -> T:
        return await self._engine.glance(work)

    async def write(self, work: Work[T], *, key: bytes = b"") -> T:
        while self._pauses:
            await self._pauses.pop()()
        return await self._engine.write(work, key=key)

    async def trouble(self) -> str | None:
        return await self._engine.trouble()

    async def close(self) -> None:
        await self._engine.close()


# Models ------------------------------------------------------------------------------------------


def test_versions_made_at_once_get_the_next_numbers_each_its_own(database: str):
    async def story(first: Replica, second: Replica) -> None:
        await first.model("m")
        numbers, refused = await at_once([each.version("m") for each in (first, second) * WRITERS])
        assert not refused
        assert sorted(numbers) == list(range(1, 2 * WRITERS + 1))

    play(database, story)


def test_of_all_who_promote_at_once_one_is_left(database: str):
    async def story(first: Replica, second: Replica) -> None:
        await first.model("m")
        numbers = [await first.version("m") for _ in range(WRITERS)]
        for _ in range(3):
            await asyncio.gather(
                *(
                    each.model_versions.transition(
                        "m", str(number), "Production", archive_others=True, viewer=each.viewer
                    )
                    for number, each in zip(numbers, (first, second) * WRITERS, strict=False)
                )
            )
            stages = await fetch(first.engine, "SELECT stage FROM model_versions")
            assert Counter(stage for (stage,) in stages) == {
                "Production": 1,
                "Archived": WRITERS - 1,
            }

    play(database, story)


def test_what_changes_a_model_while_it_is_renamed_or_deleted_finds_it_or_does_not(database: str):
    async def story(first: Replica, second: Replica) -> None:
        for n in range(6):
            old, new = f"old {n}", f"new {n}"
            await first.model(old)
            versions = [each.version(name) for each in (first, second) for name in (old, new) * 3]
            rename = second.registered_models.rename(old, new, viewer=second.viewer)
            (numbers, refused), _ = await asyncio.gather(at_once(versions), rename)
            assert set(refused) <= {"RESOURCE_DOES_NOT_EXIST"}
            assert sorted(numbers) == list(range(1, len(numbers) + 1))
            deletion = first.registered_models.delete(new, viewer=first.viewer)
            (_, refused), _ = await asyncio.gather(
                at_once([each.version(new) for each in (first, second) * 3]), deletion
            )
            assert set(refused) <= {"RESOURCE_DOES_NOT_EXIST"}
            assert await fetch(first.engine, "SELECT version FROM model_versions") == []

    play(database, story)


def test_a_logged_model_learns_of_every_version_made_of_it(database: str):
    async def story(first: Replica, second: Replica) -> None:
        new = NewLoggedModel(await first.experiment(), "m", "", "", [], [])
        model = (await first.logged_models.create(new, viewer=first.viewer)).info.model_id
        given = GivenSource(f"models:/{model}", None, model)
        for name in ("a", "b"):
            await first.model(name)
        calls = [
            each.model_versions.create(NewModelVersion(name, given, "", "", []), viewer=each.viewer)
            for name, each in zip(("a", "b") * 5, (first, second, second) * 4, strict=False)
        ]
        _, refused = await at_once(calls)
        assert not refused
        found = await first.logged_models.get(model, allow_deleted=False, viewer=first.viewer)
        (tag,) = (each.value for each in found.info.tags)
        assert tag.count('"version"') == len(calls)

    play(database, story)


def test_params_of_a_logged_model_stay_as_they_were_first_given(database: str):
    async def story(first: Replica, second: Replica) -> None:
        new = NewLoggedModel(await first.experiment(), "m", "", "", [], [])
        model = (await first.logged_models.create(new, viewer=first.viewer)).info.model_id
        calls = [
            each.logged_models.log_params(model, [("lr", str(n % 4))], viewer=each.viewer)
            for n, each in enumerate((first, second) * 6)
        ]
        logged, refused = await at_once(calls)
        assert (len(logged), refused) == (3, {"INVALID_PARAMETER_VALUE": 9})

    play(database, story)


# Webhooks ----------------------------------------------------------------------------------------


def test_a_delivery_is_taken_once_however_many_look(database: str):
    async def story(first: Replica, second: Replica) -> None:
        url = "http://127.0.0.1:9/"
        hook = NewWebhook(new_run_id(), DEFAULT_WORKSPACE, "hook", "", url, None, "ACTIVE")

        async def listen(tx: Tx) -> None:
            await webhooks.insert(tx, hook, Change("", now_ms()))
            await webhooks.insert_events(tx, hook.webhook_id, [WebhookEvent("RUN", "FINISHED")])

        await first.engine.write(listen)
        event, outbox = Event("RUN", "FINISHED", {}), Outbox()
        for _ in range(20):
            await first.engine.write(lambda tx: outbox.add(tx, event, workspace="default", at_ms=1))
        waiting = await first.engine.read(
            lambda tx: webhook_deliveries.next_waiting(tx, besides=[], limit=100)
        )

        async def take(tx: Tx) -> list[bytes]:
            return [
                each.delivery_id
                for each in waiting
                if await webhook_deliveries.take(tx, each, until_ms=now_ms() + 60_000)
            ]

        taken = await asyncio.gather(*(each.engine.write(take) for each in (first, second) * 4))
        ids = [each for some in taken for each in some]
        assert sorted(ids) == sorted(each.delivery_id for each in waiting)

    play(database, story)
