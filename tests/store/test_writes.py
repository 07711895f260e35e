"""What writes leave behind, whoever else writes at the same time: here are two servers on one
database, which know nothing of each other.
"""

import asyncio
from collections import Counter
from dataclasses import replace
from math import isnan, nan
from random import Random

import pytest
from tests.store.replicas import WRITERS, Replica, at_once, fetch, play

from riverrun.auth.viewer import DEFAULT_WORKSPACE
from riverrun.clock import new_run_id, now_ms
from riverrun.entities.webhooks import WebhookEvent
from riverrun.services.names import run_key
from riverrun.services.outbox import Event, Outbox
from riverrun.services.run_data import DatasetUse
from riverrun.services.runs import RunChange
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
from riverrun.store.engine import Row, Tx
from riverrun.store.metrics import LatestRow
from riverrun.store.webhooks import NewWebhook

RUN = bytes(range(16))


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
