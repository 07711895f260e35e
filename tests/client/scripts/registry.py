"""The life of a registered model through MlflowClient, which needs no library of any framework."""

import json
import sys

import mlflow
from mlflow.exceptions import MlflowException

name = sys.argv[1]
copied, renamed = f"{name} copy", f"{name} renamed"
mlflow.set_experiment(name)
client = mlflow.MlflowClient()
with mlflow.start_run() as run:
    mlflow.log_text("flavors: {}\n", "model/MLmodel")
source = f"{run.info.artifact_uri}/model"


def refusal(action, *given, **named):
    try:
        action(*given, **named)
    except MlflowException as error:
        return error.error_code
    return None


def create_version(number):
    created = client.create_model_version(
        name, source, run.info.run_id, tags={"n": str(number)}, description=f"number {number}"
    )
    return [created.version, created.current_stage, created.status]


def stages():
    found = client.search_model_versions(f"name = '{name}'")
    return {each.version: each.current_stage for each in found}


def names(filter_string, **options):
    found = client.search_registered_models(filter_string=filter_string, **options)
    return [each.name.removeprefix(name) for each in found]


def versions(filter_string, **options):
    found = client.search_model_versions(f"name = '{name}' and {filter_string}", **options)
    return [each.version for each in found]


def describe_and_tag():
    client.update_registered_model(name, "last words")
    client.set_registered_model_tag(name, "größe", "10 µm")
    client.set_registered_model_tag(name, "passing", "by")
    client.delete_registered_model_tag(name, "passing")
    client.update_model_version(name, "1", "the first")
    client.set_model_version_tag(name, "1", "checked", "yes")
    client.delete_model_version_tag(name, "1", "n")
    model, version = client.get_registered_model(name), client.get_model_version(name, "1")
    return [[model.description, model.tags], [version.description, version.tags]]


def promote():
    """None, Staging, Production, Archived; what was in Production makes room."""
    told = [stages()]
    for version, stage, archive in (
        ("1", "Staging", False),
        ("1", "Production", False),
        ("2", "staging", False),
        ("2", "production", True),
        ("3", "Production", False),
        ("3", "Archived", False),
        ("3", "None", False),
        ("3", "Staging", True),
    ):
        client.transition_model_version_stage(
            name, version, stage, archive_existing_versions=archive
        )
        told.append(stages())
    return told


def point_aliases():
    client.set_registered_model_alias(name, "champion", "3")
    client.set_registered_model_alias(name, "champion", "2")
    client.set_registered_model_alias(name, "old", "1")
    client.set_registered_model_alias(name, "passing", "1")
    client.delete_registered_model_alias(name, "passing")
    client.delete_registered_model_alias(name, "passing")
    return [
        client.get_model_version_by_alias(name, "champion").version,
        client.get_registered_model(name).aliases,
        list(client.get_model_version(name, "1").aliases),
    ]


def copy():
    made = client.copy_model_version(f"models:/{name}@champion", copied)
    return [
        made.version,
        made.source.removeprefix(f"models:/{name}"),
        made.run_id == run.info.run_id,
        client.get_model_version_download_uri(copied, "1") == source,
    ]


def ordered_pages():
    options = {"filter_string": f"name LIKE '{name}%'", "order_by": ["name DESC"]}
    first = client.search_registered_models(**options, max_results=1)
    second = client.search_registered_models(**options, max_results=1, page_token=first.token)
    return [[each.name.removeprefix(name) for each in page] for page in (first, second)]


def delete():
    client.delete_model_version(name, "3")
    client.rename_registered_model(copied, renamed)
    told = [refusal(client.get_model_version, name, "3"), create_version(4)[0], sorted(stages())]
    told += [client.get_model_version(renamed, "1").name.removeprefix(name)]
    client.delete_registered_model(renamed)
    return [*told, refusal(client.get_registered_model, renamed)]


created = client.create_registered_model(name, tags={"team": name}, description="first words")
told = {
    "created": [created.description, created.tags == {"team": name}],
    "versions": [create_version(number) for number in (1, 2, 3)],
    "described": describe_and_tag(),
    "stages": promote(),
    "latest": {each.current_stage: each.version for each in client.get_latest_versions(name)},
    "latest in production": [
        each.version for each in client.get_latest_versions(name, ["production"])
    ],
    "aliases": point_aliases(),
    "source": client.get_model_version(name, "1").source == source,
    "copied": copy(),
    "found": {
        "by tag": names(f"tags.team = '{name}'"),
        "by prefix": sorted(names(f"name ILIKE '{name.upper()}%'")),
        "pages": ordered_pages(),
        "versions": versions("version_number >= 2", order_by=["version_number ASC"]),
        "of the run": sorted(versions(f"run_id = '{run.info.run_id}'")),
        "versions by tag": versions("tags.n = '3'"),
        "in two stages": sorted(
            versions("(current_stage = 'Staging' or current_stage = 'Production')")
        ),
    },
    "refused": {
        "same name": refusal(client.create_registered_model, name),
        "no model": refusal(client.get_registered_model, f"{name} none"),
        "no version": refusal(client.get_model_version, name, "9"),
        "no alias": refusal(client.get_model_version_by_alias, name, "none"),
        "no such stage": refusal(client.transition_model_version_stage, name, "1", "Live"),
        "another's files": refusal(client.create_model_version, name, "/etc", run.info.run_id),
    },
    "deleted": delete(),
}
print(json.dumps(told))
