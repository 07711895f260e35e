"""Prompts, which live in the registry beside models and share their names."""

import json
import sys

import mlflow
from mlflow.exceptions import MlflowException

name = sys.argv[1]
mlflow.set_experiment(name)
client = mlflow.MlflowClient()
old = mlflow.__version__.startswith("2.")
prompts = mlflow if old else mlflow.genai
tags = "version_metadata" if old else "tags"


def refusal(action, *given):
    try:
        action(*given)
    except MlflowException as error:
        return error.error_code
    return None


def used():
    """The prompts that the run has loaded."""
    if old:
        return [int(each.version) for each in client.list_logged_prompts(run.info.run_id)]
    tags = client.get_run(run.info.run_id).data.tags
    return [int(each["version"]) for each in json.loads(tags["mlflow.linkedPrompts"])]


first = prompts.register_prompt(
    name, "Sum up {{text}}.", commit_message="first", **{tags: {"author": "ann"}}
)
second = prompts.register_prompt(name, "Sum up {{text}} in {{count}} words.")
prompts.set_prompt_alias(name, "production", 1)
with mlflow.start_run() as run:
    served = prompts.load_prompt(f"prompts:/{name}@production")
client.create_registered_model(f"{name}-model")

told = {
    "versions": [int(first.version), int(second.version)],
    "loaded": {
        "by number": prompts.load_prompt(f"prompts:/{name}/2").template,
        "by alias": [int(served.version), served.format(text="this"), served.commit_message],
        "latest": int(prompts.load_prompt(name if old else f"prompts:/{name}@latest").version),
        "author": served.version_metadata["author"] if old else served.tags["author"],
    },
    "found": None
    if old
    else [each.name for each in prompts.search_prompts(f"name LIKE '{name}%'")],
    "models": [each.name for each in client.search_registered_models(f"name LIKE '{name}%'")],
    "versions of models": len(client.search_model_versions(f"name = '{name}'")),
    "of the run": used(),
    "over a model": refusal(prompts.register_prompt, f"{name}-model", "text"),
    "model over it": refusal(client.create_registered_model, name),
}
prompts.delete_prompt_alias(name, "production")
told["alias deleted"] = refusal(prompts.load_prompt, f"prompts:/{name}@production")
print(json.dumps(told))
