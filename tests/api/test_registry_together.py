"""What the registry keeps true when many clients change it at once."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

from tests.api.protocol import accepted, unique
from tests.api.registry import (
    ask_for_version,
    changes_of,
    create_model,
    create_version,
    delete_model,
    delete_version,
    get_model,
    latest_versions,
    read_model,
    read_version,
    rename,
    search_versions,
    set_alias,
    transition,
)
from tests.fixtures.server import Answered, Server

CLIENTS = 100


def at_once(count: int, act: Callable[[int], Answered]) -> list[Answered]:
    """What so many clients are answered who begin together."""
    barrier = Barrier(count)

    def client(number: int) -> Answered:
        barrier.wait()
        return act(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(client, range(count)))


def codes(answers: Sequence[Answered]) -> Counter[str]:
    return Counter("" if each.status == 200 else each.error_code for each in answers)


def test_versions_made_at_once_get_the_next_numbers_each_its_own(
    server: Server, registered_model: str
):
    answers = at_once(CLIENTS, lambda _: ask_for_version(server, registered_model))
    assert {answer.status for answer in answers} == {200}
    numbers = sorted(int(each.json["model_version"]["version"]) for each in answers)
    assert numbers == list(range(1, CLIENTS + 1))
    found = accepted(search_versions(server, f"name = '{registered_model}'"))["model_versions"]
    assert sorted(int(version["version"]) for version in found) == numbers
    lines = changes_of(server, registered_model, max_results=1_000)
    assert [line["version"] for line in lines[:-1]] == [str(n) for n in reversed(numbers)]


def test_a_name_is_given_once_however_many_want_it(server: Server):
    name = unique("wanted")
    answers = at_once(CLIENTS, lambda _: server.post("registered-models/create", {"name": name}))
    assert codes(answers) == {"": 1, "RESOURCE_ALREADY_EXISTS": CLIENTS - 1}
    assert {answer.status for answer in answers} == {200, 400}
    assert [line["change"] for line in changes_of(server, name)] == ["created"]


def test_of_two_who_promote_again_and_again_one_is_left(server: Server, registered_model: str):
    for _ in range(2):
        create_version(server, registered_model)
    times = 25
    for _ in range(times):
        answers = at_once(
            2,
            lambda number: transition(
                server, registered_model, str(number + 1), "Production", archive=True
            ),
        )
        assert {answer.status for answer in answers} == {200}
        stages = [read_version(server, registered_model, n)["current_stage"] for n in (1, 2)]
        assert sorted(stages) == ["Archived", "Production"]
    assert list(latest_versions(server, registered_model, "Production")) == ["Production"]


def test_one_model_of_many_takes_a_name(server: Server):
    names, wanted = [create_model(server) for _ in range(20)], unique("wanted")
    answers = at_once(20, lambda number: rename(server, names[number], wanted))
    assert codes(answers) == {"": 1, "RESOURCE_ALREADY_EXISTS": 19}
    left = [get_model(server, name).status for name in names]
    assert Counter(left) == {200: 19, 404: 1}


def test_a_model_is_deleted_once(server: Server, registered_model: str):
    create_version(server, registered_model)
    answers = at_once(20, lambda _: delete_model(server, registered_model))
    assert codes(answers) == {"": 1, "RESOURCE_DOES_NOT_EXIST": 19}


def test_an_alias_never_outlives_its_version(server: Server, registered_model: str):
    """Whichever of the two comes first."""
    name = registered_model
    for _ in range(15):
        number = create_version(server, name)["version"]
        alias, deletion = at_once(2, partial(alias_or_delete, server, name, number))
        assert alias.status in {200, 404}
        assert deletion.status == 200
        assert "aliases" not in read_model(server, name)


def alias_or_delete(server: Server, name: str, version: str, client: int) -> Answered:
    if client == 0:
        return set_alias(server, name, "best", version)
    return delete_version(server, name, version)


def test_readers_of_a_model_that_comes_and_goes_see_all_of_it_or_nothing(server: Server):
    name = unique("coming and going")
    answers = at_once(4, partial(live_or_read, server, name))
    assert answers[0].status == 404
    assert '"event":"unexpected error"' not in server.log


def live_or_read(server: Server, name: str, client: int) -> Answered:
    tags = [{"key": "k", "value": "v"}]
    for _ in range(40):
        if client == 0:
            create_model(server, name, tags=tags)
            create_version(server, name)
            accepted(delete_model(server, name))
            continue
        answer = get_model(server, name)
        assert answer.status in {200, 404}, answer.body
        if answer.status == 200:
            assert answer.json["registered_model"]["tags"] == tags
    return get_model(server, name)
