"""The events that webhooks can listen to, each with the data that receivers get: MLflow's own with
MLflow's fields, and those of runs, which are ours.

What happens to a prompt, which is a registered model with a tag, has names of its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from riverrun.entities.runs import RunInfo
from riverrun.entities.webhooks import EVENTS, RUN, WebhookEvent
from riverrun.search.fields import PROMPT_TAG
from riverrun.services.outbox import Event

PROMPT_TEXT_TAG = "mlflow.prompt.text"
PROMPT_TYPE_TAG = "_mlflow_prompt_type"


def registered_model_created(
    name: str, *, tags: Mapping[str, str], description: str | None, is_prompt: bool
) -> Event:
    if is_prompt:
        data = {"name": name, "tags": _of_prompt(tags), "description": description or ""}
        return Event("PROMPT", "CREATED", data)
    data = {"name": name, "tags": dict(tags), "description": description or ""}
    return Event("REGISTERED_MODEL", "CREATED", data)


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What receivers are told of a new version; empty and None are the same."""

    name: str
    version: str
    source: str
    run_id: str | None
    tags: Mapping[str, str]
    description: str | None


def model_version_created(new: NewVersion, *, is_prompt: bool) -> Event:
    common = {"name": new.name, "version": new.version, "description": new.description or None}
    if is_prompt:
        template = new.tags.get(PROMPT_TEXT_TAG)
        data = {**common, "template": template, "tags": _of_prompt(new.tags)}
        return Event("PROMPT_VERSION", "CREATED", data)
    data = {**common, "source": new.source, "run_id": new.run_id or None, "tags": dict(new.tags)}
    return Event("MODEL_VERSION", "CREATED", data)


def model_version_tag_set(
    name: str, version: str, *, key: str, value: str, is_prompt: bool
) -> Event:
    data = {"name": name, "version": version, "key": key, "value": value}
    return Event(_of_version("TAG", is_prompt=is_prompt), "SET", data)


def model_version_tag_deleted(name: str, version: str, *, key: str, is_prompt: bool) -> Event:
    data = {"name": name, "version": version, "key": key}
    return Event(_of_version("TAG", is_prompt=is_prompt), "DELETED", data)


def alias_created(name: str, alias: str, *, version: str, is_prompt: bool) -> Event:
    """Also when the alias pointed at another version before."""
    data = {"name": name, "alias": alias, "version": version}
    return Event("PROMPT_ALIAS" if is_prompt else "MODEL_VERSION_ALIAS", "CREATED", data)


def alias_deleted(name: str, alias: str, *, is_prompt: bool) -> Event:
    data = {"name": name, "alias": alias}
    return Event("PROMPT_ALIAS" if is_prompt else "MODEL_VERSION_ALIAS", "DELETED", data)


def prompt_tag_set(name: str, *, key: str, value: str) -> Event:
    """Tags of registered models that are no prompts have no event."""
    return Event("PROMPT_TAG", "SET", {"name": name, "key": key, "value": value})


def prompt_tag_deleted(name: str, *, key: str) -> Event:
    return Event("PROMPT_TAG", "DELETED", {"name": name, "key": key})


def _of_version(part: str, *, is_prompt: bool) -> str:
    return f"PROMPT_VERSION_{part}" if is_prompt else f"MODEL_VERSION_{part}"


def _of_prompt(tags: Mapping[str, str]) -> dict[str, str]:
    """A prompt's tags without those that make it one."""
    hidden = {PROMPT_TAG, PROMPT_TEXT_TAG, PROMPT_TYPE_TAG}
    return {key: value for key, value in tags.items() if key not in hidden}


def run_ended(info: RunInfo) -> Event:
    """RUN.FINISHED, RUN.FAILED or RUN.KILLED, which the run's status says."""
    data = {
        "run_id": info.run_id,
        "run_name": info.run_name,
        "experiment_id": info.experiment_id,
        "user_id": info.user_id,
        "status": info.status,
        "start_time": info.start_time,
        "end_time": info.end_time,
    }
    return Event(RUN, info.status, data)


def example(of: WebhookEvent) -> Event:
    """What a test call sends: the same fields, with invented values."""
    kind = of.entity, of.action
    return next(each for each in _examples() if (each.entity, each.action) == kind)


def _examples() -> Iterator[Event]:
    """One of each kind."""
    name, version, key, value = "example", "1", "stage", "candidate"
    tags = {key: value, PROMPT_TEXT_TAG: "Summarize in one sentence: {{text}}"}
    for is_prompt in (False, True):
        told = _of_prompt(tags)
        yield registered_model_created(
            name, tags=told, description="An example", is_prompt=is_prompt
        )
        new = NewVersion(
            name, version, "models:/example/1", "0" * 32, tags if is_prompt else told, "An example"
        )
        yield model_version_created(new, is_prompt=is_prompt)
        yield model_version_tag_set(name, version, key=key, value=value, is_prompt=is_prompt)
        yield model_version_tag_deleted(name, version, key=key, is_prompt=is_prompt)
        yield alias_created(name, "champion", version=version, is_prompt=is_prompt)
        yield alias_deleted(name, "champion", is_prompt=is_prompt)
    yield prompt_tag_set(name, key=key, value=value)
    yield prompt_tag_deleted(name, key=key)
    for status in EVENTS[RUN]:
        yield Event(RUN, status, {**_RUN, "status": status})
    yield Event("BUDGET_POLICY", "EXCEEDED", _BUDGET)


_RUN: Mapping[str, object] = {
    "run_id": "0" * 32,
    "run_name": "brisk-otter-7",
    "experiment_id": "1",
    "user_id": "somebody",
    "start_time": 1_767_225_600_000,
    "end_time": 1_767_229_200_000,
}
_BUDGET: Mapping[str, object] = {
    "budget_policy_id": "bp-example",
    "budget_unit": "USD",
    "budget_amount": 50.0,
    "current_spend": 50.25,
    "duration_unit": "DAYS",
    "duration_value": 1,
    "target_scope": "GLOBAL",
    "workspace": "default",
    "target_value": None,
    "window_start": 1_767_225_600_000,
}
