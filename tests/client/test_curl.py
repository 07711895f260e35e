"""What the documentation says to those who use curl."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from tests.fixtures.environments import ROOT, give_up
from tests.fixtures.server import Server

API = "$SERVER/api/2.0/mlflow"


@pytest.fixture
def shell(server: Server, tmp_path: Path):
    """Runs a command line as a reader of the documentation would, in an empty folder."""
    if shutil.which("curl") is None:
        give_up("curl is not installed.")

    def run(line: str, **variables: str) -> str:
        ended = subprocess.run(
            ["sh", "-c", line.replace("curl ", "curl --fail-with-body --silent --show-error ", 1)],
            cwd=tmp_path,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "SERVER": server.url, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, (line, ended.stdout, ended.stderr)
        return ended.stdout

    return run


def test_a_run_needs_only_curl(shell: Any):
    def post(call: str, message: object, **variables: str) -> Any:
        body = json.dumps(message)
        return json.loads(
            shell(f"curl {API}/{call} -H 'Content-Type: application/json' -d '{body}'", **variables)
        )

    experiment = post("experiments/create", {"name": "by curl"})["experiment_id"]
    run = post("runs/create", {"experiment_id": experiment, "run_name": "first"})["run"]["info"]
    run_id = run["run_id"]
    assert post("runs/log-parameter", {"run_id": run_id, "key": "lr", "value": "0.1"}) == {}
    point = {"run_id": run_id, "key": "loss", "value": 0.5, "timestamp": 1700000000000, "step": 3}
    assert post("runs/log-metric", point) == {}
    assert post("runs/set-tag", {"run_id": run_id, "key": "kind", "value": "trial"}) == {}
    assert post("runs/update", {"run_id": run_id, "status": "FINISHED"})["run_info"]["status"] == (
        "FINISHED"
    )
    query = {"experiment_ids": [experiment], "filter": "metrics.loss < 1"}
    [found] = post("runs/search", query)["runs"]
    assert found["info"]["run_id"] == run_id
    assert found["data"]["params"] == [{"key": "lr", "value": "0.1"}]
    history = shell(f'curl "{API}/metrics/get-history?run_id=$RUN&metric_key=loss"', RUN=run_id)
    assert json.loads(history)["metrics"] == [
        {"key": "loss", "value": 0.5, "timestamp": 1700000000000, "step": 3}
    ]


def test_the_artifact_commands_in_the_documentation_work(
    shell: Any, server: Server, tmp_path: Path
):
    lines = documented("artifacts/")
    plot = bytes(range(256))
    (tmp_path / "plot.png").write_bytes(plot)
    run = server.create_run()
    upload, listing, download, part, delete = lines
    assert json.loads(shell(upload, RUN=run)) == {}
    assert json.loads(shell(listing, RUN=run)) == {
        "files": [{"path": "plot.png", "is_dir": False, "file_size": 256}]
    }
    (tmp_path / "plot.png").unlink()
    shell(download, RUN=run)
    assert (tmp_path / "plot.png").read_bytes() == plot
    shell(f"{part} -o part.bin", RUN=run)
    assert (tmp_path / "part.bin").read_bytes() == plot[:100]
    assert json.loads(shell(delete, RUN=run)) == {}
    assert json.loads(shell(listing, RUN=run)) == {}


def documented(of: str) -> list[str]:
    """The lines for curl in the documentation of artifacts in which this occurs."""
    lines = re.findall(r"^    (curl .*)$", (ROOT / "docs/artifacts.md").read_text(), re.MULTILINE)
    return [line for line in lines if of in line.replace("artifacts?", "artifacts/?")]


def test_the_commands_for_archives_work(shell: Any, server: Server, tmp_path: Path):
    run = server.create_run()
    new = server.post("logged-models", {"experiment_id": "0", "name": "wine"})
    model = new.json["model"]["info"]["model_id"]
    for folder in (f"{run}/artifacts", f"models/{model}/artifacts"):
        path = f"/api/2.0/mlflow-artifacts/artifacts/0/{folder}/model/MLmodel"
        assert server.request("PUT", path, b"flavors: {}").status == 200
    whole, part, of_model = documented(".zip")
    for line, name, member in (
        (whole, f"{run}.zip", "model/MLmodel"),
        (part, f"{run}-model.zip", "MLmodel"),
        (of_model, f"{model}.zip", "model/MLmodel"),
    ):
        shell(line, RUN=run, MODEL=model)
        assert ZipFile(tmp_path / name).namelist() == [member]


def test_an_error_says_what_was_wrong(server: Server, shell: Any):
    line = f'curl "{API}/runs/get?run_id=none" || true'
    assert json.loads(shell(line))["message"] == "Run with id=none not found"
