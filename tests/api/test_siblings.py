"""What an answer says of other things than the one it is about is left out for who may not read
these.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fixtures.people import Asker, Person, Reply, add_person, asking, grant
from tests.store.engines import opened

from riverrun.auth.permissions import Permission
from riverrun.settings import Settings
from riverrun.wiring import build

API, OWN = "/api/2.0/mlflow", "/api/riverrun/v1"


@dataclass(frozen=True, slots=True)
class House:
    """An experiment that `somebody` may read and one that is hidden, each with a run; what was
    registered from both is a model that somebody may edit.
    """

    asker: Asker
    admin: str
    somebody: str
    shown_experiment: str
    shown_run: str
    hidden_run: str

    async def post(self, path: str, message: dict[str, Any], *, token: str = "") -> Any:
        reply = await self.asker.ask(
            "POST", f"{API}/{path}", token=token or self.admin, message=message
        )
        assert reply.status == 200, (path, reply)
        return reply.json

    async def get(self, path: str, token: str, **query: Any) -> Reply:
        reply = await self.asker.ask("GET", path, token=token, query=query)
        assert reply.status == 200, (path, reply)
        return reply

    async def version(self, name: str, run_id: str, **more: Any) -> None:
        source = {"source": f"runs:/{run_id}/model", "run_id": run_id}
        link = f"https://tracking.example.com/#/runs/{run_id}"
        version = {"name": name, "run_link": link, **source, **more}
        await self.post("model-versions/create", version)


def tell(database: str, folder: Path, story: Callable[[House], Awaitable[None]]) -> None:
    async def told() -> None:
        async with opened(database) as engine:
            admin = await add_person(engine, "admin", is_admin=True)
            somebody = await add_person(engine, "somebody")
            await grant(engine, somebody.user_id, "experiment", "shown*", Permission.READ)
            await grant(engine, somebody.user_id, "registered_model", "shown*", Permission.EDIT)
        settings = Settings(
            backend_store_uri=database,
            artifacts_destination=str(folder / "artifacts"),
            auth=True,
            default_permission="NO_PERMISSIONS",
            access_log="off",
            webhook_secret_encryption_key="k" * 32,
        )
        async with asking(build(settings)) as asker:
            await story(await housed(asker, admin, somebody))

    asyncio.run(told())


async def housed(asker: Asker, admin: Person, somebody: Person) -> House:
    house = House(asker, admin.token, somebody.token, "", "", "")
    ids: list[str] = []
    for name in ("shown", "hidden"):
        made = await house.post("experiments/create", {"name": name})
        run = await house.post("runs/create", {"experiment_id": made["experiment_id"]})
        ids += [made["experiment_id"], run["run"]["info"]["run_id"]]
    shown, shown_run, _, hidden_run = ids
    house = House(asker, admin.token, somebody.token, shown, shown_run, hidden_run)
    await house.post("registered-models/create", {"name": "shown"})
    await house.version("shown", hidden_run)
    return house


def test_a_version_does_not_tell_of_a_run_that_may_not_be_read(database: str, tmp_path: Path):
    async def story(house: House) -> None:
        await house.post("registered-models/alias", {"name": "shown", "alias": "a", "version": "1"})
        one = {"name": "shown", "version": "1"}
        for path, query in (
            (f"{API}/registered-models/get", {"name": "shown"}),
            (f"{API}/registered-models/search", {}),
            (f"{API}/registered-models/get-latest-versions", {"name": "shown"}),
            (f"{API}/registered-models/alias", {"name": "shown", "alias": "a"}),
            (f"{API}/registered-models/alias", {"name": "shown", "alias": "latest"}),
            (f"{API}/model-versions/get", one),
            (f"{API}/model-versions/search", {}),
            (f"{OWN}/model-versions/lineage", one),
            (f"{OWN}/model-versions/monitoring", one),
            (f"{OWN}/registered-models/shown/history", {}),
        ):
            seen = await house.get(path, house.somebody, **query)
            assert house.hidden_run.encode() not in seen.body, path
            assert b'"version":"1"' in seen.body, path
            again = await house.get(path, house.somebody, **query)
            assert again.body == seen.body, path
            whole = await house.get(path, house.admin, **query)
            assert house.hidden_run.encode() in whole.body, path

    tell(database, tmp_path, story)


def test_a_change_of_a_version_does_not_tell_of_it_either(database: str, tmp_path: Path):
    async def story(house: House) -> None:
        asks = house.asker.ask
        one = {"name": "shown", "version": "1"}
        stage = {**one, "stage": "Production"}
        for method, path, message in (
            ("PATCH", "model-versions/update", {**one, "description": "new"}),
            ("POST", "model-versions/transition-stage", stage),
            ("PATCH", "registered-models/update", {"name": "shown", "description": "new"}),
            ("POST", "model-versions/create", {"name": "shown", "source": "models:/shown/1"}),
        ):
            reply = await asks(method, f"{API}/{path}", token=house.somebody, message=message)
            assert reply.status == 200, (path, reply)
            assert house.hidden_run.encode() not in reply.body, path

    tell(database, tmp_path, story)


def test_what_may_be_read_is_told(database: str, tmp_path: Path):
    async def story(house: House) -> None:
        await house.version("shown", house.shown_run)
        found = await house.get(f"{API}/model-versions/search", house.somebody)
        by_version = {each["version"]: each for each in found.json["model_versions"]}
        assert by_version["2"]["run_id"] == house.shown_run
        assert by_version["2"]["source"] == f"runs:/{house.shown_run}/model"
        hidden = by_version["1"]
        assert (hidden["run_id"], hidden["source"], hidden["run_link"]) == ("", "", "")

    tell(database, tmp_path, story)


def test_a_logged_model_does_not_tell_of_runs_that_may_not_be_read(database: str, tmp_path: Path):
    async def story(house: House) -> None:
        origin = {"experiment_id": house.shown_experiment, "source_run_id": house.hidden_run}
        model = (await house.post("logged-models", origin))["model"]["info"]
        for run_id in (house.hidden_run, house.shown_run):
            metric = {"key": "m", "value": 1, "timestamp": 1, "model_id": model["model_id"]}
            point = {**metric, "step": int(run_id == house.shown_run)}
            await house.post("runs/log-batch", {"run_id": run_id, "metrics": [point]})
        one = await house.get(f"{API}/logged-models/{model['model_id']}", house.somebody)
        page = await house.post(
            "logged-models/search",
            {"experiment_ids": [house.shown_experiment]},
            token=house.somebody,
        )
        for shown in (one.json["model"], page["models"][0]):
            assert shown["info"]["source_run_id"] == ""
            assert {each["run_id"] for each in shown["data"]["metrics"]} == {"", house.shown_run}
        whole = await house.get(f"{API}/logged-models/{model['model_id']}", house.admin)
        assert whole.json["model"]["info"]["source_run_id"] == house.hidden_run

    tell(database, tmp_path, story)


def test_a_run_does_not_tell_of_models_that_may_not_be_read(database: str, tmp_path: Path):
    async def story(house: House) -> None:
        await house.post("registered-models/create", {"name": "hidden"})
        await house.version("hidden", house.shown_run)
        await house.version("shown", house.shown_run)
        path = f"{OWN}/runs/{house.shown_run}/model-versions"
        seen = (await house.get(path, house.somebody)).json["model_versions"]
        assert [each["name"] for each in seen] == ["shown"]
        whole = (await house.get(path, house.admin)).json["model_versions"]
        assert {each["name"] for each in whole} == {"shown", "hidden"}

    tell(database, tmp_path, story)


def test_runs_that_may_not_be_read_watch_nothing_that_shows(database: str, tmp_path: Path):
    async def story(house: House) -> None:
        for run_id in (house.hidden_run, house.shown_run):
            tag = {"run_id": run_id, "key": "riverrun.monitors", "value": "models:/shown/1"}
            await house.post("runs/set-tag", tag)
        path, one = f"{OWN}/model-versions/monitoring", {"name": "shown", "version": "1"}
        seen = (await house.get(path, house.somebody, **one)).json["monitoring_runs"]
        assert [each["info"]["run_id"] for each in seen] == [house.shown_run]
        assert len((await house.get(path, house.admin, **one)).json["monitoring_runs"]) == 2

    tell(database, tmp_path, story)


def test_who_gets_a_name_does_not_get_the_history_of_who_had_it(database: str, tmp_path: Path):
    async def story(house: House) -> None:
        renamed = {"name": "shown", "new_name": "hidden"}
        await house.post("registered-models/rename", renamed)
        missing = await house.asker.ask(
            "GET", f"{OWN}/registered-models/shown/history", token=house.somebody
        )
        assert missing.status == 403
        await house.post("registered-models/create", {"name": "shown"})
        path = f"{OWN}/registered-models/shown/history"
        seen = (await house.get(path, house.somebody)).json["changes"]
        assert [each["change"] for each in seen] == ["created"]
        assert len((await house.get(path, house.admin)).json["changes"]) > 1

    tell(database, tmp_path, story)
