"""Workspaces over HTTP, with access control off: who names one is in it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.api.protocol import JSON, accepted, not_found, refused, unique
from tests.fixtures.databases import Databases
from tests.fixtures.server import Answered, Server, serving

API = "/api/3.0/mlflow/workspaces"
FILES = "/api/2.0/mlflow-artifacts/artifacts"


@dataclass(frozen=True, slots=True)
class Inside:
    """A server, asked in one workspace."""

    server: Server
    workspace: str

    def ask(self, method: str, path: str, message: Any = None) -> Answered:
        body = None if message is None else json.dumps(message).encode()
        return self.send(method, path, body, JSON)

    def send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answered:
        here = {"X-MLFLOW-WORKSPACE": self.workspace} if self.workspace else {}
        return self.server.request(method, path, body, {**headers, **here})

    def post(self, path: str, message: Any) -> Answered:
        return self.ask("POST", f"/api/2.0/mlflow/{path}", message)

    def get(self, path: str) -> Answered:
        return self.ask("GET", f"/api/2.0/mlflow/{path}")

    def create_experiment(self, name: str) -> str:
        return accepted(self.post("experiments/create", {"name": name}))["experiment_id"]

    def experiment(self, experiment_id: str) -> Any:
        return accepted(self.get(f"experiments/get?experiment_id={experiment_id}"))["experiment"]

    def create_run(self, experiment_id: str) -> Any:
        message = {"experiment_id": experiment_id}
        return accepted(self.post("runs/create", message))["run"]["info"]


@pytest.fixture(scope="module")
def many(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with workspaces."""
    folder = tmp_path_factory.mktemp("workspaces")
    options = ("--enable-workspaces", "--webhook-allow-private-ips")
    with serving(folder, *options, database=databases.new_database()) as running:
        yield running


def new_workspace(server: Server, **fields: str) -> Inside:
    name = unique("team").replace(" ", "-")
    made = Inside(server, "").ask("POST", API, {"name": name, **fields})
    assert made.status == 201, made.body
    assert made.json == {"workspace": {"name": name, **fields}}
    return Inside(server, name)


@pytest.fixture
def first(many: Server) -> Inside:
    return new_workspace(many)


@pytest.fixture
def second(many: Server) -> Inside:
    return new_workspace(many)


# Their life --------------------------------------------------------------------------------------


def test_the_server_says_that_it_has_workspaces(many: Server):
    info = accepted(many.get("server-info", prefix="/api/3.0/mlflow/"))
    assert info["workspaces_enabled"] is True


def test_a_workspace_lives(many: Server):
    fields = {"description": "Vision", "default_artifact_root": "s3://bucket/vision"}
    inside = new_workspace(many, **fields)
    name, default = inside.workspace, Inside(many, "")
    path = f"{API}/{name}"
    assert accepted(default.ask("GET", path))["workspace"] == {"name": name, **fields}
    changed = accepted(default.ask("PATCH", path, {"description": ""}))
    assert changed["workspace"] == {**fields, "name": name, "description": ""}
    changed = accepted(default.ask("PATCH", path, {"default_artifact_root": ""}))
    assert changed["workspace"] == {"name": name, "description": ""}
    listed = accepted(default.ask("GET", API))["workspaces"]
    names = [each["name"] for each in listed]
    assert names == sorted(names)
    assert {"default", name} <= set(names)
    gone = default.ask("DELETE", path)
    assert (gone.status, gone.body) == (204, b"")
    not_found(default.ask("DELETE", path))
    not_found(default.ask("GET", path))
    not_found(default.ask("PATCH", path, {"description": "x"}))
    not_found(inside.get("experiments/get?experiment_id=0"))


def test_a_name_is_given_once(first: Inside, many: Server):
    again = Inside(many, "").ask("POST", API, {"name": first.workspace})
    refused(again, 400, "RESOURCE_ALREADY_EXISTS")


@pytest.mark.parametrize(
    "name",
    ["", "a", "A-team", "a_team", "-team", "team-", "t" * 64, "workspaces", "api", "default"],
)
def test_a_name_is_one_of_kubernetes_namespaces(many: Server, name: str):
    refused(Inside(many, "").ask("POST", API, {"name": name}))


@pytest.mark.parametrize("name", ["ab", "t" * 63, "0-1"])
def test_a_name_may_be_as_short_and_as_long_as_upstreams(many: Server, name: str):
    default = Inside(many, "")
    assert default.ask("POST", API, {"name": name}).status == 201
    assert default.ask("DELETE", f"{API}/{name}").status == 204


def test_the_default_workspace_is_changed_but_neither_made_nor_deleted(many: Server):
    default = Inside(many, "")
    refused(default.ask("DELETE", f"{API}/default?mode=CASCADE"))
    for text in ("of all", "of everybody"):
        changed = accepted(default.ask("PATCH", f"{API}/default", {"description": text}))
        assert changed["workspace"] == {"name": "default", "description": text}
        assert accepted(default.ask("GET", f"{API}/default")) == changed


def test_a_change_that_changes_nothing_is_refused(first: Inside):
    refused(first.ask("PATCH", f"{API}/{first.workspace}", {}))


@pytest.mark.parametrize(
    "root",
    [
        "relative/path",
        "runs:/x",
        "ftp://host/x",
        "s3://bucket/../x",
        "mlflow-artifacts:/2024/x",
        "mlflow-artifacts:/workspaces",
        "mlflow-artifacts:/workspaces/a/b",
    ],
)
def test_a_root_is_a_place_that_the_server_would_let_clients_name(first: Inside, root: str):
    refused(first.ask("POST", API, {"name": "new-team", "default_artifact_root": root}))
    path = f"{API}/{first.workspace}"
    refused(first.ask("PATCH", path, {"default_artifact_root": root}))


# Which one a request is about --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["team-nobody-made", "default2"])
def test_what_nobody_made_is_not_found(many: Server, name: str):
    not_found(Inside(many, name).get("experiments/get?experiment_id=0"))
    not_found(Inside(many, name).post("experiments/create", {"name": "x"}))


@pytest.mark.parametrize("name", ["Team", "a", "é", "../default", "~1"])
def test_what_cannot_be_a_name_is_refused(many: Server, name: str):
    name = name.encode().decode("latin-1")
    refused(Inside(many, name).get("experiments/get?experiment_id=0"))


@pytest.mark.parametrize("name", ["", "default", " default "])
def test_without_a_name_it_is_the_default_one(many: Server, name: str):
    assert Inside(many, name).experiment("0")["workspace"] == "default"


def test_probes_and_what_clients_ask_first_answer_in_any(many: Server):
    for path in ("/health", "/version", "/api/3.0/mlflow/server-info"):
        assert Inside(many, "team-nobody-made").ask("GET", path).status == 200


# Isolation ---------------------------------------------------------------------------------------


def test_two_workspaces_have_what_is_called_the_same(first: Inside, second: Inside):
    name = unique("shared")
    ids = [inside.create_experiment(name) for inside in (first, second)]
    assert ids[0] != ids[1]
    for inside, experiment_id in zip((first, second), ids, strict=True):
        by_name = f"experiments/get-by-name?experiment_name={quote(name)}"
        found = accepted(inside.get(by_name))
        assert found["experiment"]["experiment_id"] == experiment_id
        assert found["experiment"]["workspace"] == inside.workspace
        page = accepted(inside.post("experiments/search", {"max_results": 100}))
        assert [each["experiment_id"] for each in page["experiments"]] == [experiment_id]
        accepted(inside.post("registered-models/create", {"name": "classifier"}))
        page = accepted(inside.get("registered-models/search"))
        assert [each["name"] for each in page["registered_models"]] == ["classifier"]
        webhook = {"name": "ci", "url": "https://127.0.0.1:9/", "events": [FINISHED]}
        accepted(inside.post("webhooks", webhook))
        assert len(accepted(inside.get("webhooks"))["webhooks"]) == 1


FINISHED = {"entity": "RUN", "action": "FINISHED"}


def test_an_id_of_another_workspace_says_the_same_as_one_that_is_not_there(
    first: Inside, second: Inside
):
    run = first.create_run(first.create_experiment(unique("private")))
    run_id, missing = run["run_id"], "0" * 32
    for path in (f"runs/get?run_id={run_id}", f"artifacts/list?run_id={run_id}"):
        told = not_found(second.get(path))
        assert told == not_found(second.get(path.replace(run_id, missing))).replace(missing, run_id)
    batch = {"run_id": run_id, "metrics": [{"key": "m", "value": 1, "timestamp": 1}]}
    not_found(second.post("runs/log-batch", batch))
    not_found(second.post("runs/delete", {"run_id": run_id}))
    assert accepted(first.get(f"runs/get?run_id={run_id}"))["run"]["info"]["status"] == "RUNNING"
    searched = {"experiment_ids": [run["experiment_id"]]}
    assert accepted(second.post("runs/search", searched)) == {}
    assert len(accepted(first.post("runs/search", searched))["runs"]) == 1


def test_a_run_measures_no_model_of_another_workspace(first: Inside, second: Inside):
    experiment_id = first.create_experiment(unique("private"))
    made = accepted(first.post("logged-models", {"experiment_id": experiment_id}))
    model_id = made["model"]["info"]["model_id"]
    run_id = second.create_run(second.create_experiment(unique("mine")))["run_id"]
    point = {"key": "m", "value": 1, "timestamp": 1, "step": 0, "model_id": model_id}
    refused(second.post("runs/log-batch", {"run_id": run_id, "metrics": [point]}))
    accepted(second.post("registered-models/create", {"name": "x"}))
    refused(second.post("model-versions/create", {"name": "x", "source": f"models:/{model_id}"}))


def test_files_lie_in_a_folder_of_the_workspace(first: Inside, second: Inside, many: Server):
    experiment_id = first.create_experiment(unique("files"))
    location = first.experiment(experiment_id)["artifact_location"]
    assert location == f"mlflow-artifacts:/workspaces/{first.workspace}/{experiment_id}"
    uri = first.create_run(experiment_id)["artifact_uri"]
    path = f"{FILES}/{uri.removeprefix('mlflow-artifacts:/')}/model.txt"
    assert first.send("PUT", path, b"weights", {}).status == 200
    assert first.ask("GET", path).body == b"weights"
    not_found(second.ask("GET", path))
    not_found(second.send("PUT", path, b"others", {}))
    not_found(second.ask("DELETE", path))
    for folder in ("", "workspaces", f"workspaces/{first.workspace}", "elsewhere"):
        not_found(second.ask("GET", f"{FILES}?path={folder}"))
    assert first.ask("GET", path).body == b"weights"


def test_a_root_of_its_own_behind_the_proxy_keeps_its_files_to_it(many: Server, second: Inside):
    inside = new_workspace(many, default_artifact_root="mlflow-artifacts:/vision/files")
    experiment_id = inside.create_experiment(unique("files"))
    run = inside.create_run(experiment_id)
    assert run["artifact_uri"].startswith(f"mlflow-artifacts:/vision/files/{experiment_id}/")
    path = f"{FILES}/vision/files/{experiment_id}/{run['run_id']}/artifacts/model.txt"
    assert inside.send("PUT", path, b"weights", {}).status == 200
    # Files stay in reach when the root is another one later.
    accepted(inside.ask("PATCH", f"{API}/{inside.workspace}", {"default_artifact_root": ""}))
    assert inside.ask("GET", path).body == b"weights"
    not_found(second.ask("GET", path))
    elsewhere = path.replace("/vision/files/", "/other/")
    not_found(inside.send("PUT", elsewhere, b"x", {}))


def test_a_version_is_made_of_files_that_the_workspace_has(tmp_path: Path):
    """In the server's own bucket, where it would read for whoever sees the version."""
    environ = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "x"}
    environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    root = "s3://bucket/root"
    options = ("--enable-workspaces", "--default-artifact-root", root)
    with serving(tmp_path, *options, environ=environ) as running:
        for own_root in ("", f"{root}/vision"):
            first, second = new_workspace(running), new_workspace(running)
            change = {"default_artifact_root": own_root}
            accepted(first.ask("PATCH", f"{API}/{first.workspace}", change))
            run = first.create_run(first.create_experiment("x"))
            source = f"{run['artifact_uri']}/model"
            assert source.startswith(own_root or f"{root}/workspaces/{first.workspace}/")
            for inside in (first, second):
                accepted(inside.post("registered-models/create", {"name": "m"}))
            version = {"name": "m", "source": source}
            for fields in (version, {**version, "run_id": run["run_id"]}):
                assert second.post("model-versions/create", fields).status in {400, 404}
            assert first.post("model-versions/create", version).status == 400
            accepted(first.post("model-versions/create", {**version, "run_id": run["run_id"]}))


def test_a_client_chooses_no_place_for_its_experiment(first: Inside):
    message = {"name": unique("x"), "artifact_location": "mlflow-artifacts:/workspaces"}
    refused(first.post("experiments/create", message))


# Deleting ----------------------------------------------------------------------------------------


def test_what_is_not_empty_is_not_deleted(first: Inside, many: Server):
    first.create_experiment("kept")
    path = f"{API}/{first.workspace}"
    for query in ("", "?mode=RESTRICT"):
        told = refused(Inside(many, "").ask("DELETE", path + query), 400, "INVALID_STATE")
        assert "experiments: 1" in told
    refused(Inside(many, "").ask("DELETE", f"{path}?mode=DROP"))
    assert accepted(first.post("experiments/search", {"max_results": 9}))["experiments"]


def test_what_is_in_it_moves_to_the_default_workspace(first: Inside, many: Server):
    experiment_id = first.create_experiment(unique("moved"))
    run = first.create_run(experiment_id)
    path = f"{FILES}/{run['artifact_uri'].removeprefix('mlflow-artifacts:/')}/model.txt"
    assert first.send("PUT", path, b"weights", {}).status == 200
    model = unique("moved")
    accepted(first.post("registered-models/create", {"name": model}))
    default = Inside(many, "")
    not_found(default.get(f"runs/get?run_id={run['run_id']}"))
    deleted = default.ask("DELETE", f"{API}/{first.workspace}?mode=SET_DEFAULT")
    assert deleted.status == 204
    assert default.experiment(experiment_id)["workspace"] == "default"
    accepted(default.get(f"runs/get?run_id={run['run_id']}"))
    assert default.ask("GET", path).body == b"weights"
    accepted(default.get(f"registered-models/get?name={quote(model)}"))
    not_found(first.get(f"runs/get?run_id={run['run_id']}"))


@pytest.mark.parametrize("kind", ["experiments", "registered-models"])
def test_nothing_moves_where_its_name_is_taken(first: Inside, many: Server, kind: str):
    default, name = Inside(many, ""), unique("taken")
    for inside in (default, first):
        accepted(inside.post(f"{kind}/create", {"name": name}))
    path = f"{API}/{first.workspace}?mode=SET_DEFAULT"
    assert name in refused(default.ask("DELETE", path), 400, "INVALID_STATE")
    accepted(first.ask("GET", f"{API}/{first.workspace}"))


def test_with_cascade_nothing_of_it_is_left_for_one_who_makes_it_again(first: Inside, many: Server):
    name = unique("gone")
    experiment_id = first.create_experiment(name)
    run_id = first.create_run(experiment_id)["run_id"]
    accepted(first.post("registered-models/create", {"name": "m"}))
    source = {"name": "m", "source": f"runs:/{run_id}/model", "run_id": run_id}
    accepted(first.post("model-versions/create", source))
    webhook = {"name": "ci", "url": "https://127.0.0.1:9/", "events": [FINISHED]}
    accepted(first.post("webhooks", webhook))
    default = Inside(many, "")
    path = f"{API}/{first.workspace}?mode=CASCADE"
    assert default.ask("DELETE", path).status == 204
    not_found(default.ask("DELETE", path))
    assert default.ask("POST", API, {"name": first.workspace}).status == 201
    for inside in (first, default):
        not_found(inside.get(f"runs/get?run_id={run_id}"))
        not_found(inside.post("experiments/restore", {"experiment_id": experiment_id}))
        not_found(inside.get("registered-models/get?name=m"))
    assert accepted(first.get("webhooks")) == {}
    page = accepted(first.post("experiments/search", {"max_results": 9, "view_type": "ALL"}))
    assert page == {}
    assert first.create_experiment(name) != experiment_id
    history = "/api/riverrun/v1/registered-models/m/history"
    not_found(first.ask("GET", history))


# Without workspaces ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_without_workspaces_has_no_such_paths(server: Server, method: str):
    answer = server.request(method, API, b"{}", JSON)
    assert (answer.status, answer.body) == (404, b"")


def test_a_server_without_workspaces_does_not_hide_what_is_in_them(
    databases: Databases, tmp_path: Path
):
    database = databases.new_database()
    with serving(tmp_path, "--enable-workspaces", database=database) as running:
        inside = new_workspace(running)
        inside.create_experiment("x")
    told = f"workspace '{inside.workspace}'"
    with pytest.raises(AssertionError, match=told), serving(tmp_path, database=database):
        pass
    with serving(tmp_path, "--enable-workspaces", database=database) as running:
        path = f"{API}/{inside.workspace}?mode=CASCADE"
        assert Inside(running, "").ask("DELETE", path).status == 204
    with serving(tmp_path, database=database) as running:
        assert running.request("GET", "/health").status == 200
