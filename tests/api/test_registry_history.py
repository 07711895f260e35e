"""Who changed what of a model and when, where a version comes from, and which runs watch it."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.api.protocol import NO_RUN, START_MS, accepted, not_found, refused, unique
from tests.api.registry import (
    IS_PROMPT,
    NO_LOGGED_MODEL,
    OWN,
    PROMPT,
    S3,
    artifact_uri,
    ask_for_version,
    changes_of,
    create_logged_model,
    create_model,
    create_version,
    delete_alias,
    delete_model,
    delete_model_tag,
    delete_version,
    delete_version_tag,
    get_history,
    read_version,
    rename,
    set_alias,
    set_model_tag,
    set_version_tag,
    transition,
    update_model,
    update_version,
)
from tests.fixtures.server import Answered, Server


def change(name: str, what: str, **fields: str) -> dict[str, str]:
    """A line of the history of a server where nobody logs in."""
    return {"user": "", "name": name, "change": what, **fields}


def added(server: Server, name: str, act: Callable[[], Any]) -> list[dict[str, Any]]:
    """The lines that an act adds, the newest first."""
    before = changes_of(server, name)
    act()
    after = changes_of(server, name)
    assert after[len(after) - len(before) :] == before
    return after[: len(after) - len(before)]


# What a history tells ----------------------------------------------------------------------------


def test_every_change_is_one_line_of_who_what_from_and_to(server: Server):
    name = create_model(server, description="d", tags=[{"key": "a", "value": "1"}])
    assert changes_of(server, name) == [change(name, "created")]
    told = {
        "version": (
            lambda: create_version(server, name, tags=[{"key": "t", "value": "1"}]),
            change(name, "version created", version="1", new=S3),
        ),
        "stage": (
            lambda: transition(server, name, "1", "staging"),
            change(name, "stage", version="1", old="None", new="Staging"),
        ),
        "alias": (
            lambda: set_alias(server, name, "best", "1"),
            change(name, "alias", version="1", item="best", new="1"),
        ),
        "moved alias": (
            lambda: create_version(server, name) and set_alias(server, name, "best", "2"),
            change(name, "alias", version="2", item="best", old="1", new="2"),
        ),
        "no alias": (
            lambda: delete_alias(server, name, "best"),
            change(name, "alias", version="2", item="best", old="2"),
        ),
        "tag": (
            lambda: set_model_tag(server, name, "a", "2"),
            change(name, "tag", item="a", old="1", new="2"),
        ),
        "no tag": (
            lambda: delete_model_tag(server, name, "a"),
            change(name, "tag", item="a", old="2"),
        ),
        "new tag": (
            lambda: set_model_tag(server, name, "b", ""),
            change(name, "tag", item="b", new=""),
        ),
        "version's tag": (
            lambda: set_version_tag(server, name, "1", "t", "2"),
            change(name, "tag", version="1", item="t", old="1", new="2"),
        ),
        "no version's tag": (
            lambda: delete_version_tag(server, name, "1", "t"),
            change(name, "tag", version="1", item="t", old="2"),
        ),
        "description": (
            lambda: update_model(server, name),
            change(name, "description", old="d"),
        ),
        "version's description": (
            lambda: update_version(server, name, "1", description="d1"),
            change(name, "description", version="1", old="", new="d1"),
        ),
        "deletion": (
            lambda: delete_version(server, name, "1"),
            change(name, "version deleted", version="1", old="Staging"),
        ),
    }
    for what, (act, line) in told.items():
        assert added(server, name, act)[0] == line, what


def test_the_time_of_a_change_is_the_time_that_the_model_shows(server: Server):
    before = time.time_ns() // 1_000_000
    name = create_model(server)
    version = create_version(server, name)
    lines = accepted(get_history(server, name))["changes"]
    assert lines[0]["timestamp"] == version["creation_timestamp"]
    assert before <= lines[1]["timestamp"] <= lines[0]["timestamp"]


def test_a_promotion_tells_of_every_version_that_it_moves(server: Server, registered_model: str):
    name = registered_model
    for _ in range(3):
        create_version(server, name)
    for number in ("1", "2"):
        accepted(transition(server, name, number, "Production"))
    lines = added(server, name, lambda: transition(server, name, "3", "Production", archive=True))
    assert sorted(lines, key=lambda line: line["version"]) == [
        change(name, "stage", version="1", old="Production", new="Archived"),
        change(name, "stage", version="2", old="Production", new="Archived"),
        change(name, "stage", version="3", old="None", new="Production"),
    ]


def test_a_deletion_tells_of_the_aliases_that_it_takes(server: Server, registered_model: str):
    name = registered_model
    create_version(server, name)
    for alias in ("a", "b"):
        accepted(set_alias(server, name, alias, "1"))
    assert added(server, name, lambda: delete_version(server, name, "1")) == [
        change(name, "version deleted", version="1", old="None"),
        change(name, "alias", version="1", item="b", old="1"),
        change(name, "alias", version="1", item="a", old="1"),
    ]


def test_what_changes_nothing_is_not_told(server: Server):
    name = create_model(server, description="d", tags=[{"key": "a", "value": "1"}])
    create_version(server, name, tags=[{"key": "t", "value": "1"}])
    accepted(set_alias(server, name, "best", "1"))
    for act in (
        lambda: accepted(set_model_tag(server, name, "a", "1")),
        lambda: accepted(set_version_tag(server, name, "1", "t", "1")),
        lambda: accepted(set_alias(server, name, "best", "1")),
        lambda: accepted(update_model(server, name, description="d")),
        lambda: accepted(rename(server, name, name)),
        lambda: accepted(update_version(server, name, "1", description="")),
        lambda: accepted(transition(server, name, "1", "None")),
        lambda: accepted(delete_model_tag(server, name, "nope")),
        lambda: accepted(delete_version_tag(server, name, "1", "nope")),
        lambda: accepted(delete_alias(server, name, "nope")),
    ):
        assert added(server, name, act) == []


def test_what_is_refused_is_not_told(server: Server, registered_model: str):
    name, other = registered_model, create_model(server)
    create_version(server, name)
    for act in (
        lambda: refused(ask_for_version(server, name, "/etc")),
        lambda: not_found(ask_for_version(server, name, "models:/nope/1")),
        lambda: refused(transition(server, name, "1", "bogus")),
        lambda: not_found(transition(server, name, "2", "Production", archive=True)),
        lambda: not_found(set_alias(server, name, "best", "2")),
        lambda: refused(set_model_tag(server, name, "..", "1")),
        lambda: refused(rename(server, name, other), 400, "RESOURCE_ALREADY_EXISTS"),
        lambda: not_found(delete_version(server, name, "2")),
    ):
        assert added(server, name, act) == []
    assert changes_of(server, other) == [change(other, "created")]


# Under which name --------------------------------------------------------------------------------


def test_a_history_goes_on_under_a_new_name_and_is_found_by_the_old_one(server: Server):
    old, new = create_model(server), unique("renamed")
    accepted(rename(server, old, new))
    create_version(server, new)
    expected = [
        change(new, "version created", version="1", new=S3),
        change(new, "renamed", old=old, new=new),
        change(old, "created"),
    ]
    assert changes_of(server, new) == expected
    assert changes_of(server, old) == expected


def test_a_history_outlives_its_model_and_whoever_gets_the_name_adds_to_it(
    server: Server, registered_model: str
):
    name = registered_model
    create_version(server, name)
    accepted(delete_model(server, name))
    expected = [
        change(name, "deleted"),
        change(name, "version created", version="1", new=S3),
        change(name, "created"),
    ]
    assert changes_of(server, name) == expected
    create_model(server, name)
    assert changes_of(server, name) == [change(name, "created"), *expected]


def test_a_history_of_what_never_was(server: Server):
    assert not_found(get_history(server, "nope")) == "Registered Model with name=nope not found"


@pytest.mark.parametrize("name", ["a b", "ä%41", "a+b?c#d", "history"])
def test_a_name_in_the_path_is_read_as_it_is(server: Server, name: str):
    name = create_model(server, f"{name}{unique('')}")
    assert changes_of(server, name) == [change(name, "created")]


# Pages -------------------------------------------------------------------------------------------


def test_pages_of_a_history_join_to_the_whole(server: Server, registered_model: str):
    for number in range(10):
        accepted(set_model_tag(server, registered_model, "k", str(number)))
    accepted(rename(server, registered_model, new := unique("renamed")))
    whole = changes_of(server, new)
    assert len(whole) == 12
    for size in (1, 5, 11, 12, 13):
        seen: list[Any] = []
        token = ""
        while True:
            answer = accepted(get_history(server, new, max_results=size, page_token=token))
            seen += answer["changes"]
            token = answer.get("next_page_token", "")
            if not token:
                break
            assert len(answer["changes"]) == size
        assert [{**line, "timestamp": 0} for line in seen] == [
            {**line, "timestamp": 0} for line in whole
        ]


@pytest.mark.parametrize("max_results", [0, -1, 1_001, "x"])
def test_a_page_of_a_history_has_1_to_1000_lines(
    server: Server, registered_model: str, max_results: object
):
    refused(get_history(server, registered_model, max_results=max_results))


@pytest.mark.parametrize("token", ["x", "-1", "1e3", "9" * 19, "٣"])
def test_a_token_that_no_history_gave(server: Server, registered_model: str, token: str):
    refused(get_history(server, registered_model, page_token=token))


# Lineage -----------------------------------------------------------------------------------------


def lineage(server: Server, name: str, version: str = "1") -> Answered:
    return server.get("model-versions/lineage", prefix=OWN, name=name, version=version)


def versions_of(server: Server, path: str) -> list[tuple[str, str]]:
    """The versions that a run or logged model became, as (name, version)."""
    answer = accepted(server.get(f"{path}/model-versions", prefix=OWN))
    found = answer.get("model_versions", [])
    assert all("aliases" not in each for each in found)
    return [(each["name"], each["version"]) for each in found]


def test_a_version_leads_to_its_run_experiment_data_and_logged_model(
    server: Server, registered_model: str, experiment: str, run: str
):
    dataset = {"name": "d", "digest": "1", "source_type": "local", "source": "{}"}
    inputs = {"run_id": run, "datasets": [{"dataset": dataset}]}
    accepted(server.post("runs/log-inputs", inputs))
    model_id = create_logged_model(server, experiment, source_run_id=run)["model_id"]
    create_version(server, registered_model, f"models:/{model_id}", model_id=model_id)
    accepted(set_alias(server, registered_model, "best", "1"))
    found = accepted(lineage(server, registered_model))
    shown = accepted(server.get("experiments/get", experiment_id=experiment))["experiment"]
    logged = accepted(server.get(f"logged-models/{model_id}"))["model"]["info"]
    assert found == {
        "model_version": read_version(server, registered_model, 1),
        "run": server.get_run(run),
        "experiment": shown,
        "logged_model": logged,
    }
    assert found["run"]["inputs"]["dataset_inputs"][0]["dataset"] == dataset


def test_a_version_may_come_from_nowhere_here(server: Server, registered_model: str):
    create_version(server, registered_model)
    create_version(server, registered_model, run_id=NO_RUN)
    create_version(server, registered_model, run_id="of another server")
    for number in ("1", "2", "3"):
        assert accepted(lineage(server, registered_model, number)) == {
            "model_version": read_version(server, registered_model, number)
        }


def test_a_run_and_a_logged_model_lead_to_their_versions(
    server: Server, registered_model: str, experiment: str, run: str
):
    other = create_model(server)
    model_id = create_logged_model(server, experiment, source_run_id=run)["model_id"]
    source = f"{artifact_uri(server, run)}/model"
    create_version(server, registered_model, source, run_id=run)
    create_version(server, other, f"models:/{model_id}", model_id=model_id)
    time.sleep(0.003)
    create_version(server, registered_model, f"models:/{other}/1")
    create_version(server, registered_model)
    of_model = [(registered_model, "2"), (other, "1")]
    assert versions_of(server, f"logged-models/{model_id}") == of_model
    of_run = versions_of(server, f"runs/{run}")
    assert of_run[0] == (registered_model, "2")
    assert sorted(of_run) == sorted([*of_model, (registered_model, "1")])
    accepted(delete_version(server, registered_model, "2"))
    accepted(rename(server, other, new := unique("renamed")))
    assert versions_of(server, f"logged-models/{model_id}") == [(new, "1")]
    accepted(delete_model(server, new))
    assert versions_of(server, f"logged-models/{model_id}") == []
    assert versions_of(server, f"runs/{run}") == [(registered_model, "1")]


def test_lineage_of_what_is_not_there(server: Server, registered_model: str):
    not_found(lineage(server, "nope"))
    not_found(lineage(server, registered_model))
    refused(lineage(server, registered_model, "one"))
    for path in (f"runs/{NO_RUN}", "runs/nope", f"logged-models/{NO_LOGGED_MODEL}"):
        not_found(server.get(f"{path}/model-versions", prefix=OWN))


# Monitoring --------------------------------------------------------------------------------------


def monitoring(server: Server, name: str, version: str = "1") -> Answered:
    return server.get("model-versions/monitoring", prefix=OWN, name=name, version=version)


def watchers(server: Server, name: str, version: str = "1") -> list[str]:
    found = accepted(monitoring(server, name, version)).get("monitoring_runs", [])
    return [each["info"]["run_id"] for each in found]


def test_runs_that_say_so_watch_a_version_the_newest_first(
    server: Server, registered_model: str, run: str
):
    name = registered_model
    source = f"{artifact_uri(server, run)}/model"
    create_version(server, name, source, run_id=run)
    create_version(server, name)
    assert accepted(monitoring(server, name)) == {
        "model_version": read_version(server, name, 1),
        "run": server.get_run(run),
    }
    tags = [{"key": "riverrun.monitors", "value": f"models:/{name}/1"}]
    experiments = [server.create_experiment(unique("monitored")) for _ in range(2)]
    made = [
        server.create_run(experiments[number % 2], start_time=START_MS + number, tags=tags)
        for number in range(4)
    ]
    assert watchers(server, name) == made[::-1]
    assert accepted(monitoring(server, name))["monitoring_runs"][3] == server.get_run(made[0])
    assert watchers(server, name, "2") == []
    accepted(server.post("runs/delete", {"run_id": made[0]}))
    tag = {"run_id": made[1], "key": "riverrun.monitors", "value": f"models:/{name}/2"}
    accepted(server.post("runs/set-tag", tag))
    assert watchers(server, name) == made[:1:-1]
    assert watchers(server, name, "2") == [made[1]]


def test_monitoring_of_what_is_not_there(server: Server, registered_model: str):
    not_found(monitoring(server, "nope"))
    not_found(monitoring(server, registered_model))
    refused(monitoring(server, registered_model, "one"))


def test_a_prompt_has_a_history_too(server: Server):
    name = create_model(server, tags=PROMPT)
    create_version(server, name, "dummy-source", tags=PROMPT)
    accepted(set_model_tag(server, name, IS_PROMPT, "false"))
    assert changes_of(server, name) == [
        change(name, "tag", item=IS_PROMPT, old="true", new="false"),
        change(name, "version created", version="1", new="dummy-source"),
        change(name, "created"),
    ]
