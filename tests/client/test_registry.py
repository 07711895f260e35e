"""Train & log → Register → Stage → Deploy → Monitor through every client that can."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures.environments import FULL_CLIENTS, ROOT, SCRIPT_S_MAX, Environment
from tests.fixtures.server import Server, serving

pytestmark = pytest.mark.client

OWN = "/api/riverrun/v1/"
NO_FAULT_OF_THE_SERVER = (
    "FutureWarning",  # Clients call stages deprecated; they stay.
    "installed pip version",  # There is none in these environments.
    "pickle or cloudpickle",
    "registering model based on models:/m-",  # `runs:/` of a model that is no part of the run.
    "UBJSON",  # XGBoost outran the client.
)


@pytest.fixture
def name(client: Environment, request: pytest.FixtureRequest) -> str:
    """A model for this test and client alone."""
    return f"{request.function.__name__} {client.name}"


def test_registered_models_live(client: Environment, server: Server, name: str, tmp_path: Path):
    ended = client.run("registry.py", name, url=server.url, folder=tmp_path)
    assert ended.told == {
        "created": ["first words", True],
        "versions": [["1", "None", "READY"], ["2", "None", "READY"], ["3", "None", "READY"]],
        "described": [
            ["last words", {"team": name, "größe": "10 µm"}],
            ["the first", {"checked": "yes"}],
        ],
        "stages": [
            stages("None", "None", "None"),
            stages("Staging", "None", "None"),
            stages("Production", "None", "None"),
            stages("Production", "Staging", "None"),
            stages("Archived", "Production", "None"),
            stages("Archived", "Production", "Production"),
            stages("Archived", "Production", "Archived"),
            stages("Archived", "Production", "None"),
            stages("Archived", "Production", "Staging"),
        ],
        "latest": {"Archived": "1", "Production": "2", "Staging": "3"},
        "latest in production": ["2"],
        "aliases": ["2", {"champion": "2", "old": "1"}, ["old"]],
        "source": True,
        "copied": ["1", "/2", True, True],
        "found": {
            "by tag": [""],
            "by prefix": ["", " copy"],
            "pages": [[" copy"], [""]],
            "versions": ["2", "3"],
            "of the run": ["1", "2", "3"],
            "versions by tag": ["3"],
            "in two stages": ["2", "3"],
        },
        "refused": {
            "same name": "RESOURCE_ALREADY_EXISTS",
            "no model": "RESOURCE_DOES_NOT_EXIST",
            "no version": "RESOURCE_DOES_NOT_EXIST",
            "no alias": "INVALID_PARAMETER_VALUE",
            "no such stage": "INVALID_PARAMETER_VALUE",
            "another's files": "INVALID_PARAMETER_VALUE",
        },
        "deleted": [
            "RESOURCE_DOES_NOT_EXIST",
            "4",
            ["1", "2", "4"],
            " renamed",
            "RESOURCE_DOES_NOT_EXIST",
        ],
    }
    assert complaints(ended.warnings) == []


@pytest.mark.parametrize("client", FULL_CLIENTS, indirect=True)
def test_what_one_process_registers_another_serves(
    client: Environment, server: Server, name: str, tmp_path: Path
):
    trained = client.run("workflow.py", "train", name, url=server.url, folder=tmp_path)
    first, second, third, boosted = trained.told["predictions"]
    runs, model_id = trained.told["runs"], trained.told["model_id"]
    assert trained.told["version"] == ["3", True, {"penalty": "high"}]
    # Since 3.0 a logged model is a resource of its own.
    assert (model_id is None) == (client.name == "mlflow-2.22")

    expected = {
        f"models:/{name}/3": third,
        f"models:/{name}/production": second,
        f"models:/{name}/Production": second,
        f"models:/{name}/archived": first,
        f"models:/{name}/latest": third,
        f"models:/{name}@champion": first,
        f"models:/{name} copy/1": second,
        f"models:/{name} trees/1": boosted,
        f"runs:/{runs[0]}/model": first,
        **({f"models:/{model_id}": third} if model_id else {}),
    }
    served = client.run("workflow.py", "serve", *expected, url=server.url, folder=tmp_path)
    assert served.told == pytest.approx(expected, rel=1e-6)
    assert complaints([*trained.warnings, *served.warnings]) == []
    assert made_from(server, name, "3") == {
        "run": runs[2],
        "experiment": name,
        "logged_model": model_id,
    }
    assert versions_of(server, f"runs/{runs[1]}") == [[f"{name} copy", "1"], [name, "2"]]
    if model_id:
        assert versions_of(server, f"logged-models/{model_id}") == [[name, "3"]]


@pytest.mark.parametrize("client", FULL_CLIENTS, indirect=True)
def test_prompts_live_beside_models(client: Environment, server: Server, tmp_path: Path):
    name = f"prompt-{client.name}"
    ended = client.run("prompts.py", name, url=server.url, folder=tmp_path)
    is_old = client.name == "mlflow-2.22"
    assert ended.told == {
        "versions": [1, 2],
        "loaded": {
            "by number": "Sum up {{text}} in {{count}} words.",
            "by alias": [1, "Sum up this.", "first"],
            "latest": 2,
            "author": "ann",
        },
        "found": None if is_old else [name],
        "models": [f"{name}-model"],
        "versions of models": 0,
        "of the run": [1],
        "over a model": "INVALID_PARAMETER_VALUE",
        "model over it": "RESOURCE_ALREADY_EXISTS",
        "alias deleted": "RESOURCE_DOES_NOT_EXIST" if is_old else "INVALID_PARAMETER_VALUE",
    }
    assert complaints(ended.warnings) == []


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path) as running:
        yield running


@pytest.mark.parametrize("client", ["mlflow-newest"], indirect=True)
def test_the_examples_and_the_commands_in_the_documentation_work(
    client: Environment, own_server: Server, tmp_path: Path
):
    assert "wine 1 is in Production" in example("registry.py", client, own_server, tmp_path)
    watched = example("monitor.py", client, own_server, tmp_path)
    assert re.search(r"^trained +0\.9\d\d$", watched, re.MULTILINE)
    assert re.search(r"^in service +0\.\d{3}( 0\.\d{3}){6}$", watched, re.MULTILINE)

    [run_id] = {each["run_id"] for each in registered(own_server)}
    [model_id] = {each["model_id"] for each in registered(own_server)}
    paths = re.findall(
        r'^    curl "\$SERVER(/.*)"$', (ROOT / "docs/registry.md").read_text(), re.MULTILINE
    )
    assert len(paths) == 5
    for path in paths:
        asked = path.replace("$RUN", run_id).replace("$MODEL_ID", model_id)
        assert own_server.request("GET", asked).status == 200, path


def example(script: str, client: Environment, server: Server, folder: Path) -> str:
    """What an example prints."""
    process = client.start(str(ROOT / "examples" / script), url=server.url, folder=folder)
    out, err = process.communicate(timeout=SCRIPT_S_MAX)
    assert process.returncode == 0, (out, err)
    return out


def registered(server: Server) -> list[Any]:
    return server.get("model-versions/search", filter="name = 'wine'").json["model_versions"]


def made_from(server: Server, name: str, version: str) -> dict[str, str | None]:
    found = server.get("model-versions/lineage", prefix=OWN, name=name, version=version).json
    return {
        "run": found["run"]["info"]["run_id"],
        "experiment": found["experiment"]["name"],
        "logged_model": found.get("logged_model", {}).get("model_id"),
    }


def versions_of(server: Server, what: str) -> list[list[str]]:
    found = server.get(f"{what}/model-versions", prefix=OWN).json["model_versions"]
    return [[each["name"], each["version"]] for each in found]


def stages(*given: str) -> dict[str, str]:
    return {str(number): stage for number, stage in enumerate(given, 1)}


def complaints(warnings: list[str]) -> list[str]:
    return [line for line in warnings if not any(known in line for known in NO_FAULT_OF_THE_SERVER)]
