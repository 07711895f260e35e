"""Stored documents of runs: whatever happens at the same time, nobody is served an old one."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.store.engines import play

from riverrun.auth.viewer import DEFAULT_WORKSPACE, Viewer
from riverrun.services.compaction import Compactor
from riverrun.services.documents import Documents
from riverrun.services.experiments import ArtifactRules, Experiments
from riverrun.services.key_names import KeyNames
from riverrun.services.outbox import Outbox
from riverrun.services.run_data import RunWriter
from riverrun.services.runs import NewRun, RunChange, Runs
from riverrun.services.values import ValueRules
from riverrun.store import documents as store
from riverrun.store.engine import Engine

ALICE = Viewer(name="alice", workspace=DEFAULT_WORKSPACE, all_powerful=True)


@dataclass(frozen=True, slots=True)
class Tracking:
    """The services around one engine."""

    engine: Engine
    runs: Runs
    writer: RunWriter
    documents: Documents

    async def finished_run(self) -> str:
        run = await self.runs.create(NewRun("0", "alice", "run", 1, []), viewer=ALICE)
        run_id = run.info.run_id
        await self.runs.update(run_id, RunChange("FINISHED", 2, None), viewer=ALICE)
        return run_id

    async def tag(self, run_id: str, value: str) -> None:
        await self.writer.set_tag(run_id, "value", value, viewer=ALICE)

    async def get(self, run_id: str) -> dict[str, Any]:
        return json.loads(await self.documents.get(bytes.fromhex(run_id), viewer=ALICE))

    async def tag_seen(self, run_id: str) -> str | None:
        tags = (await self.get(run_id))["data"]["tags"]
        return {tag["key"]: tag["value"] for tag in tags}.get("value")

    async def stored(self, run_id: str) -> tuple[int, bytes] | None:
        """The version and the document that are stored, up to date or not."""
        sql = "SELECT version, document FROM run_documents WHERE run_id = ?"
        row = await self.engine.read(lambda tx: tx.one(sql, (bytes.fromhex(run_id),)))
        return None if row is None else (row[0], row[1])

    async def until_stored(self, run_id: str) -> tuple[int, bytes]:
        for _ in range(500):
            row = await self.stored(run_id)
            if row is not None:
                return row
            await asyncio.sleep(0.01)
        raise AssertionError("the document was never stored")


def tell(database: str, story: Callable[[Tracking], Coroutine[Any, Any, None]]) -> None:
    async def telling(engine: Engine) -> None:
        compactor, key_names = Compactor(engine), KeyNames(engine)
        values = ValueRules(truncate=True)
        rules = ArtifactRules("mlflow-artifacts:", location_length_max=500, allowed_schemes=())
        await Experiments(engine, rules).ensure_default()
        runs = Runs(engine, Outbox(), key_names=key_names, compactor=compactor, values=values)
        writer = RunWriter(engine, key_names=key_names, compactor=compactor, values=values)
        await story(Tracking(engine, runs, writer, Documents(engine)))

    play(database, telling)


def test_the_document_of_a_quiet_run_is_stored_and_served(database: str):
    async def story(tracking: Tracking) -> None:
        run_id = await tracking.finished_run()
        first = await tracking.get(run_id)
        _, document = await tracking.until_stored(run_id)
        assert json.loads(document) == first == await tracking.get(run_id)

    tell(database, story)


def test_the_document_of_a_run_that_is_being_written_to_is_not_stored(database: str):
    async def story(tracking: Tracking) -> None:
        run = await tracking.runs.create(NewRun("0", "alice", "run", 1, []), viewer=ALICE)
        await tracking.get(run.info.run_id)
        await asyncio.sleep(0.05)
        assert await tracking.stored(run.info.run_id) is None

    tell(database, story)


def test_a_write_makes_the_stored_document_out_of_date_at_once(database: str):
    async def story(tracking: Tracking) -> None:
        run_id = await tracking.finished_run()
        for n in range(5):
            await tracking.tag(run_id, str(n))
            assert await tracking.tag_seen(run_id) == str(n)
            await tracking.until_stored(run_id)
            assert await tracking.tag_seen(run_id) == str(n)

    tell(database, story)


def test_a_document_that_is_stored_too_late_is_never_served(database: str):
    """Built before a write, stored after it."""

    async def story(tracking: Tracking) -> None:
        run_id = await tracking.finished_run()
        await tracking.tag(run_id, "old")
        await tracking.get(run_id)
        version, old = await tracking.until_stored(run_id)
        await tracking.tag(run_id, "new")
        tracking.documents.keep({bytes.fromhex(run_id): (version, old)})
        await asyncio.sleep(0.05)
        assert await tracking.stored(run_id) == (version, old)
        assert await tracking.tag_seen(run_id) == "new"

    tell(database, story)


def test_the_newest_of_two_documents_is_kept(database: str):
    async def story(tracking: Tracking) -> None:
        run = bytes.fromhex(await tracking.finished_run())
        for version, kept in [(5, b"5"), (3, b"5"), (5, b"5"), (6, b"6")]:
            document = b"%d" % version
            await tracking.engine.write(
                lambda tx, version=version, document=document: store.store(
                    tx, run, version, document
                )
            )
            row = await tracking.stored(run.hex())
            assert row is not None
            assert row[1] == kept

    tell(database, story)


def test_every_kind_of_write_counts(database: str):
    async def story(tracking: Tracking) -> None:
        run_id = await tracking.finished_run()
        viewer, writer, runs = ALICE, tracking.writer, tracking.runs
        writes: list[Callable[[], Coroutine[Any, Any, object]]] = [
            lambda: writer.set_tag(run_id, "a", "1", viewer=viewer),
            lambda: writer.delete_tag(run_id, "a", viewer=viewer),
            lambda: writer.log_param(run_id, "p", "1", viewer=viewer),
            lambda: writer.log_inputs(run_id, [], ["m-1"], viewer=viewer),
            lambda: writer.log_outputs(run_id, [("m-2", 1)], viewer=viewer),
            lambda: runs.update(run_id, RunChange("FAILED", None, None), viewer=viewer),
            lambda: runs.update(run_id, RunChange(None, 5, None), viewer=viewer),
            lambda: runs.update(run_id, RunChange(None, None, "name"), viewer=viewer),
            lambda: runs.delete(run_id, viewer=viewer),
            lambda: runs.restore(run_id, viewer=viewer),
        ]
        seen = [await tracking.get(run_id)]
        for write in writes:
            await tracking.until_stored(run_id)
            await write()
            seen.append(await tracking.get(run_id))
            assert seen[-1] != seen[-2], len(seen)

    tell(database, story)


def test_readers_beside_writers_never_see_less_than_was_acknowledged(database: str):
    async def story(tracking: Tracking) -> None:
        random = Random("documents")
        run_ids = [await tracking.finished_run() for _ in range(4)]
        acknowledged = dict.fromkeys(run_ids, 0)
        writing = True

        async def write(run_id: str) -> None:
            for n in range(1, 120):
                await tracking.tag(run_id, str(n))
                acknowledged[run_id] = n
                await asyncio.sleep(random.choice((0, 0, 0.001, 0.01)))

        async def read() -> int:
            reads = 0
            while writing:
                run_id = random.choice(run_ids)
                certain = acknowledged[run_id]
                assert int(await tracking.tag_seen(run_id) or 0) >= certain
                reads += 1
                await asyncio.sleep(0)
            return reads

        readers = [asyncio.create_task(read()) for _ in range(3)]
        await asyncio.gather(*map(write, run_ids))
        writing = False
        assert min(await asyncio.gather(*readers)) > 10
        for run_id in run_ids:
            assert await tracking.tag_seen(run_id) == "119"

    tell(database, story)
