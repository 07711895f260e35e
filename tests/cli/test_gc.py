"""`riverrun gc` beside a running server, on databases of every kind."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from tests.api.protocol import unique
from tests.cli.test_commands import riverrun
from tests.fixtures.databases import Databases
from tests.fixtures.server import Server, serving

pytestmark = pytest.mark.slow

HEX = "[0-9a-f]{32}"


@pytest.fixture(scope="module")
def beside(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """A server of this module's own: the command sees everything that it has."""
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, database=databases.new_database()) as server:
        put(server, "notes/keep.txt")
        yield server


def gc(server: Server, *options: str) -> tuple[int, str, str]:
    """Exit code, output and complaint."""
    done = riverrun("gc", "--backend-store-uri", server.database, *options, cwd=server.folder)
    return done.returncode, done.stdout, done.stderr


def put(server: Server, path: str, size: int = 1024) -> None:
    answer = server.request("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}", b"x" * size)
    assert answer.status == 200, answer.body


def deleted_experiment(server: Server, name: str) -> tuple[str, str]:
    """With a run that has a file of 1 KiB."""
    experiment = server.create_experiment(name)
    run = server.create_run(experiment)
    put(server, f"{experiment}/{run}/artifacts/plots/a%20b.png")
    assert server.post("experiments/delete", {"experiment_id": experiment}).status == 200
    return experiment, run


def stored(server: Server) -> list[str]:
    """The files of experiments in the server's folder."""
    root = server.folder / "mlartifacts"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*/*") if path.is_file())


def test_a_deleted_experiment_goes_and_its_name_is_free(beside: Server):
    name = unique("experiment")
    experiment, run = deleted_experiment(beside, name)
    assert beside.post("experiments/create", {"name": name}).status == 400
    code, output, complaint = gc(beside, "--dry-run")
    assert (code, complaint) == (0, "")
    assert output.splitlines() == [
        f"run {run} of {experiment}: 1 file, 1.0 KiB",
        f"experiment {experiment}: itself",
        f"experiment {experiment} takes 1 file, 1.0 KiB; would free 1 file, 1.0 KiB",
        "Would remove 1 run and 1 experiment: 1 file, 1.0 KiB.",
    ]
    assert beside.get_run(run)["info"]["lifecycle_stage"] == "deleted"
    assert gc(beside, "--older-than", "1d2h3.5m4s")[1] == "Removed nothing.\n"
    removed = "Removed 1 run and 1 experiment: 1 file, 1.0 KiB.\n"
    assert gc(beside) == (0, removed, "")
    assert beside.get("runs/get", run_id=run).status == 404
    assert beside.get("experiments/get", experiment_id=experiment).status == 404
    assert [path for path in stored(beside) if run in path] == []
    again = beside.create_experiment(name)
    assert int(again) > int(experiment)
    assert gc(beside) == (0, "Removed nothing.\n", "")


def test_a_registered_run_stays_and_the_command_says_why(beside: Server):
    run = beside.create_run()
    put(beside, f"0/{run}/artifacts/model/MLmodel")
    name = unique("model")
    assert beside.post("registered-models/create", {"name": name}).status == 200
    version = {"name": name, "source": f"runs:/{run}/model", "run_id": run}
    assert beside.post("model-versions/create", version).status == 200
    beside.post("runs/delete", {"run_id": run})
    said = f"run {run} of 0: stays, version 1 of model '{name}' refers to it\nRemoved nothing.\n"
    assert gc(beside) == (0, said, "")
    assert len([path for path in stored(beside) if run in path]) == 1
    assert beside.post("runs/restore", {"run_id": run}).status == 200


def test_only_what_is_named_goes(beside: Server):
    runs = [beside.create_run() for _ in range(3)]
    for run in runs[:2]:
        beside.post("runs/delete", {"run_id": run})
    asked = f"--run-ids={runs[0]}, {runs[2]}"
    refused = f"Error: Run {runs[2]} is not deleted, and only what is deleted can go.\n"
    assert gc(beside, asked) == (1, "", refused)
    assert gc(beside, f"--run-ids={runs[0]}")[1] == "Removed 1 run: 0 files, 0 B.\n"
    assert beside.get("runs/get", run_id=runs[1]).status == 200
    assert gc(beside)[1] == "Removed 1 run: 0 files, 0 B.\n"


def test_orphans_go_when_they_are_asked_for(beside: Server):
    lost = "f" * 32
    put(beside, f"0/{lost}/artifacts/a")
    folder = beside.folder / "mlartifacts" / "0" / lost / "artifacts"
    assert gc(beside, "--orphans")[1] == "Removed nothing.\n"
    os.utime(folder / "a", (1_700_000_000, 1_700_000_000))
    assert gc(beside)[1] == "Removed nothing.\n"
    line = f"orphan 0/{lost}: 1 file, 1.0 KiB\n"
    counted = "1 orphan: 1 file, 1.0 KiB.\n"
    assert gc(beside, "--orphans", "--dry-run")[1] == f"{line}Would remove {counted}"
    assert gc(beside, "--orphans")[1] == f"{line}Removed {counted}"
    assert not folder.exists()
    assert (beside.folder / "mlartifacts" / "notes" / "keep.txt").exists()


def test_the_storage_of_an_experiment_is_known(beside: Server):
    experiment = beside.create_experiment(unique("experiment"))
    route = f"/api/riverrun/v1/experiments/{experiment}/storage"
    assert beside.request("GET", route).json == {"files": 0, "size_bytes": 0}
    run = beside.create_run(experiment)
    put(beside, f"{experiment}/{run}/artifacts/a", 1_000)
    put(beside, f"{experiment}/{run}/artifacts/b/c", 24)
    beside.post("runs/delete", {"run_id": run})
    assert beside.request("GET", route).json == {"files": 2, "size_bytes": 1024}
    missing = beside.request("GET", "/api/riverrun/v1/experiments/777777/storage")
    assert (missing.status, missing.error_code) == (404, "RESOURCE_DOES_NOT_EXIST")
    elsewhere = {"name": unique("cloud"), "artifact_location": "s3://bucket/somewhere"}
    cloud = beside.post("experiments/create", elsewhere).json["experiment_id"]
    refused = beside.request("GET", f"/api/riverrun/v1/experiments/{cloud}/storage")
    assert (refused.status, refused.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert "s3://bucket/somewhere" in refused.json["message"]
    gc(beside)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--older-than", "soon"],
            (
                "--older-than cannot be 'soon': expected an age such as 90d, 36h or 1d12h30m, or"
                " forever."
            ),
        ),
        (
            ["--orphans", "--run-ids", "x"],
            "--orphans looks everywhere, so name no ids and no workspace with it.",
        ),
        (["--run-ids", "x"], "Run with id=x not found"),
        (["--experiment-ids", "99999999"], "No Experiment with id=99999999 exists"),
    ],
)
def test_what_cannot_be_is_one_sentence(beside: Server, options: list[str], sentence: str):
    assert gc(beside, *options) == (1, "", f"Error: {sentence}\n")


def test_a_terminal_has_a_bar(beside: Server):
    run = beside.create_run()
    beside.post("runs/delete", {"run_id": run})
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "riverrun", "gc", "--backend-store-uri", beside.database]
    done = subprocess.run(
        command, cwd=beside.folder, stdout=subprocess.PIPE, stderr=theirs, check=True, timeout=60
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.stdout == b"Removed 1 run: 0 files, 0 B.\n"
    assert re.search(r"Removing  \[#+\]  100%", shown)


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path):
    done = riverrun("gc", "--backend-store-uri", f"sqlite:///{tmp_path}/none.db", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The database ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", ["90d", "forever"])
def test_a_server_with_a_policy_starts_and_stops(tmp_path: Path, given: str):
    with serving(tmp_path, "--retention", given) as server:
        assert server.stop() == 0
        assert "Traceback" not in server.log


def test_a_policy_that_cannot_be_stops_the_start(tmp_path: Path):
    done = riverrun("server", "--retention", "soon", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        (
            "Error: --retention (or RIVERRUN_RETENTION) cannot be 'soon': expected an age such as"
            " 90d, 36h or 1d12h30m, or forever.\n"
        ),
    )


def test_the_variable_of_the_server_is_the_commands_age(beside: Server):
    run = beside.create_run()
    beside.post("runs/delete", {"run_id": run})
    environ = {"MLFLOW_BACKEND_STORE_URI": beside.database}
    for age, said in (("1d", "Removed nothing.\n"), ("0s", "Removed 1 run: 0 files, 0 B.\n")):
        done = riverrun("gc", cwd=beside.folder, **environ, RIVERRUN_RETENTION=age)
        assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


def test_without_the_servers_folder_nothing_goes(beside: Server, tmp_path: Path):
    """As when the command is called in another directory than the server."""
    run = beside.create_run()
    put(beside, f"0/{run}/artifacts/a")
    beside.post("runs/delete", {"run_id": run})
    done = riverrun("gc", "--backend-store-uri", beside.database, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: The folder {tmp_path}/mlartifacts does not exist: give --artifacts-destination as"
        " the server has it, and make the folder if nothing was ever kept there.\n"
    )
    assert gc(beside)[1] == "Removed 1 run: 1 file, 1.0 KiB.\n"


# Workspaces --------------------------------------------------------------------------------------


def deleted_in(server: Server, workspace: str) -> tuple[str, str]:
    """An experiment with a run that has a file of 1 KiB, in a workspace."""

    def asked(method: str, path: str, message: object) -> Any:
        headers = {"X-MLFLOW-WORKSPACE": workspace, "Content-Type": "application/json"}
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        answer = server.request(method, f"/api/2.0/{path}", body, headers)
        assert answer.status == 200, answer.body
        return answer.json

    made = asked("POST", "mlflow/experiments/create", {"name": "the same"})
    experiment = made["experiment_id"]
    run = asked("POST", "mlflow/runs/create", {"experiment_id": experiment})["run"]["info"]
    path = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    asked("PUT", f"mlflow-artifacts/artifacts/{path}/model", b"x" * 1024)
    asked("POST", "mlflow/experiments/delete", {"experiment_id": experiment})
    return experiment, run["run_id"]


def test_all_workspaces_are_cleaned_or_one(databases: Databases, tmp_path: Path):
    database = databases.new_database()
    with serving(tmp_path, "--enable-workspaces", database=database) as server:
        for name in ("team-a", "team-b", "team-c"):
            made = server.post("workspaces", {"name": name}, prefix="/api/3.0/mlflow/")
            assert made.status == 201
        found = {name: deleted_in(server, name) for name in ("default", "team-a", "team-b")}
        gone, _ = deleted_in(server, "team-c")
        deleted = server.request("DELETE", "/api/3.0/mlflow/workspaces/team-c?mode=CASCADE")
        assert deleted.status == 204
        of_a, run_of_a = found["team-a"]
        dry = gc(server, "--dry-run", "--workspace", "team-a")[1].splitlines()
        assert dry == [
            f"run {run_of_a} of {of_a}: 1 file, 1.0 KiB",
            f"experiment {of_a}: itself",
            f"experiment {of_a} takes 1 file, 1.0 KiB; would free 1 file, 1.0 KiB",
            "Would remove 1 run and 1 experiment: 1 file, 1.0 KiB.",
        ]
        of_b = ("--experiment-ids", found["team-b"][0])
        assert "exists" in gc(server, *of_b, "--workspace", "team-a")[2]
        assert "not found" in gc(server, "--workspace", "nobody")[2]
        assert gc(server, "--orphans", "--workspace", "team-a")[0] != 0
        removed = "Removed 1 run and 1 experiment: 1 file, 1.0 KiB.\n"
        assert gc(server, "--workspace", "team-a") == (0, removed, "")
        assert f"experiment {gone}: itself" in gc(server, "--dry-run")[1]
        removed = "Removed 3 runs and 3 experiments: 3 files, 3.0 KiB.\n"
        assert gc(server) == (0, removed, "")
        assert stored(server) == []
