"""What is measured of the model registry."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from urllib.parse import quote
from uuid import uuid4

import msgspec

from loadgen import API, Client, Json, Measurement
from scenarios import ARTIFACTS, PEERS, Scenario, Stage, Task, expect, repeat, targets
from seed import MODELS, create_experiment, create_run
from shapes import MODEL_FILTER, PAGE, models_expected

NO_REGISTRY = PEERS - {"mlflow", "mlflow-best"}
FILES = ("MLmodel", "conda.yaml", "model.pkl", "python_env.yaml", "requirements.txt")


async def create_versions(stage: Stage) -> Task:
    """Each client registers the model of its run, again and again, as a model of its own."""
    experiment = await create_experiment(stage.client, f"versions-{uuid4().hex}")
    models, requests = list[str](), list[bytes]()
    for number in range(stage.clients):
        models.append(f"created-{uuid4().hex}")
        await stage.client.post("/registered-models/create", {"name": models[-1]})
        run_id, root = await _run(stage.client, experiment, f"run-{number}")
        body = {"name": models[-1], "source": f"{root}/model", "run_id": run_id}
        path = f"{API}/model-versions/create"
        requests.append(stage.server.address.post(path, msgspec.json.encode(body)))

    async def operation(client: Client) -> None:
        await client.exchange(requests[client.index])

    async def verify(result: Measurement) -> None:
        stored = sum([await _newest(stage.client, model) for model in models])
        most = result.calls + result.failed + stage.clients
        expect(result.calls <= stored <= most, f"{stored} versions, {result.calls} answered")

    return Task(operation, verify)


async def search_models(stage: Stage) -> Task:
    path = f"{API}/registered-models/search?filter={quote(MODEL_FILTER)}&max_results={PAGE}"
    found = (await stage.client.get(path))["registered_models"]
    names = [str(model["name"]) for model in found]
    expect(names == models_expected(MODELS), f"wrong models: {names[:3]}… of {len(names)}")
    expect(len(found[0]["latest_versions"]) == 2, "the latest versions are missing")
    return Task(repeat(stage.server.address.get(path)))


@dataclass(frozen=True, slots=True)
class Published:
    """A model of three versions; the second is in Production, and the alias champion names it."""

    name: str
    uri: str
    """Where the second's files are."""


async def get_version(stage: Stage) -> Task:
    model = await _publish(stage.client)
    path = f"{API}/model-versions/get?name={model.name}&version=2"
    return await _answers_second(stage, model, path)


async def get_by_alias(stage: Stage) -> Task:
    model = await _publish(stage.client)
    path = f"{API}/registered-models/alias?name={model.name}&alias=champion"
    return await _answers_second(stage, model, path)


async def _answers_second(stage: Stage, model: Published, path: str) -> Task:
    version = (await stage.client.get(path))["model_version"]
    given = version["version"], version["source"], len(version["tags"])
    expect(given == ("2", model.uri, 3), f"another version: {given}")
    return Task(repeat(stage.server.address.get(path)))


async def resolve_production(stage: Stage) -> Task:
    """What `load_model("models:/name/Production")` asks before it downloads, call by call."""
    model, address = await _publish(stage.client), stage.server.address
    asked = {"name": model.name, "stages": ["Production"]}
    place = f"{API}/model-versions/get-download-uri?name={model.name}&version=2"
    folder = model.uri.removeprefix("mlflow-artifacts:/")
    listing = f"{ARTIFACTS}?path={quote(folder)}"
    requests = [
        address.post(f"{API}/registered-models/get-latest-versions", msgspec.json.encode(asked)),
        address.get(f"{API}/registered-models/get?name={model.name}"),
        address.get(place),
        address.get(listing),  # Is it a folder? And then, what is in it?
        address.get(listing),
    ]
    [version] = await _latest(stage.client, asked)
    expect(version["version"] == "2", "another version is in Production")
    found = (await stage.client.get(place))["artifact_uri"]
    expect(found == model.uri, f"the files should be in {model.uri}, not in {found}")
    files = [str(each["path"]) for each in (await stage.client.get(listing))["files"]]
    expect(sorted(files) == sorted(FILES), f"other files: {files}")

    async def operation(client: Client) -> None:
        for request in requests:
            await client.exchange(request)

    return Task(operation)


async def _publish(client: Client) -> Published:
    name = f"published-{uuid4().hex}"
    experiment = await create_experiment(client, name)
    await client.post("/registered-models/create", {"name": name})
    uri = ""
    for number in (1, 2, 3):
        run_id, root = await _run(client, experiment, f"run-{number}")
        body = {"name": name, "source": f"{root}/model", "run_id": run_id, "tags": _tags(number)}
        await client.post("/model-versions/create", body)
        if number == 2:
            uri = f"{root}/model"
    for file in FILES:
        path = f"{ARTIFACTS}/{uri.removeprefix('mlflow-artifacts:/')}/{file}"
        await client.exchange(client.address.put(path, file.encode()))
    await client.post(
        "/model-versions/transition-stage", {"name": name, "version": "2", "stage": "Production"}
    )
    alias = {"name": name, "alias": "champion", "version": "2"}
    await client.post("/registered-models/alias", alias)
    return Published(name, uri)


def _tags(number: int) -> list[dict[str, str]]:
    return [{"key": f"t{j}", "value": f"x{number}"} for j in range(3)]


async def _run(client: Client, experiment: str, name: str) -> tuple[str, str]:
    """A new run's id and where its files are."""
    run_id = await create_run(client, experiment, name)
    info = (await client.get(f"{API}/runs/get?run_id={run_id}"))["run"]["info"]
    return run_id, str(info["artifact_uri"])


async def _newest(client: Client, model: str) -> int:
    versions = await _latest(client, {"name": model})
    return max((int(each["version"]) for each in versions), default=0)


async def _latest(client: Client, asked: Json) -> list[Json]:
    answer = await client.post("/registered-models/get-latest-versions", asked)
    return answer.get("model_versions", [])


def _scenario(
    name: str, title: str, prepare: Callable[[Stage], Awaitable[Task]], times: float
) -> Scenario:
    return Scenario(
        name,
        f"{title}, 8 clients",
        prepare,
        targets(times, times),
        clients=8,
        without=NO_REGISTRY,
    )


REGISTRY_SCENARIOS = (
    _scenario("create_version", "create model version", create_versions, 20),
    _scenario("get_version", "get model version", get_version, 12),
    _scenario("get_by_alias", "get model version by alias", get_by_alias, 12),
    replace(
        _scenario("resolve_production", "resolve models:/name/Production", resolve_production, 8),
        unit="times/s",
    ),
    Scenario(
        "search_models_10000",
        "registered-models/search, 10 k models: two tag filters",
        search_models,
        targets(20, 20),
        seeded=True,
        without=NO_REGISTRY,
    ),
)
