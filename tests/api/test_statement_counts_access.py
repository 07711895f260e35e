"""What access control adds to a request: a few statements, and the same for much as for little."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.api.test_statement_counts import COSTS, MOST, House, housed
from tests.fixtures.people import add_person, grant

from riverrun.auth.levels import Level
from riverrun.auth.permissions import Permission
from riverrun.auth.viewer import (
    DEFAULT_WORKSPACE,
    EXPERIMENT,
    REGISTERED_MODEL,
    THE_WORKSPACE,
    Resource,
    Rights,
    Viewer,
)
from riverrun.services.access.permissions import Permissions
from riverrun.services.experiments import ExperimentQuery
from riverrun.services.registered_models import RegistrySearch

ADDED_MAX = 5
"""A maker's role and grant; who looks at what it says of others, two look-ups; a search, the
viewer's patterns.
"""


class Known(Rights):
    """Of one who may do everything but manage the workspace, and has just been asked all that."""

    def suffices(self, level: Level, resource: Resource) -> bool | None:
        return resource != THE_WORKSPACE or level <= Level.EDIT


async def restricted(house: House, name: str) -> House:
    """As somebody sees it who was granted everything by pattern."""
    person = await add_person(house.engine, name)
    for kind in ("experiment", "registered_model"):
        await grant(house.engine, person.user_id, kind, "*", Permission.MANAGE)
    viewer = Viewer(
        name, DEFAULT_WORKSPACE, all_powerful=False, user_id=person.user_id, rights=Known()
    )
    return replace(house, viewer=viewer)


@pytest.mark.parametrize("call", COSTS)
def test_a_login_adds_a_few_statements_however_much_a_request_carries(call: str, tmp_path: Path):
    measure, most = COSTS[call]

    async def measured() -> tuple[int, int]:
        async with housed(f"sqlite:///{tmp_path}/mlflow.db") as bare:
            house = await restricted(bare, "somebody")
            return await measure(house, 1), await measure(house, MOST)

    little, much = asyncio.run(measured())
    assert much == little
    assert much <= most + ADDED_MAX


def test_searches_cost_the_same_however_much_was_granted(tmp_path: Path):
    async def searched(house: House) -> int:
        query = ExperimentQuery("", [], "ALL", 10, None)
        models = RegistrySearch("", 10, [], None)
        return await house.cost(
            house.experiments.search(query, viewer=house.viewer)
        ) + await house.cost(house.registered_models.search(models, viewer=house.viewer))

    async def measured() -> tuple[int, int]:
        async with housed(f"sqlite:///{tmp_path}/mlflow.db") as bare:
            house = await restricted(bare, "somebody")
            little = await searched(house)
            user_id = house.viewer.user_id
            assert user_id is not None
            for number in range(MOST):
                await grant(bare.engine, user_id, "experiment", str(number), Permission.READ)
                await grant(bare.engine, user_id, "experiment", f"{number}*", Permission.DENY)
                model = f"model {number}"
                await grant(bare.engine, user_id, "registered_model", model, Permission.READ)
            return little, await searched(house)

    little, much = asyncio.run(measured())
    assert much == little


def test_many_things_are_decided_together(tmp_path: Path):
    async def measured() -> tuple[int, int]:
        async with housed(f"sqlite:///{tmp_path}/mlflow.db") as house:
            person = await add_person(house.engine, "somebody")
            viewer = Viewer(
                "somebody", DEFAULT_WORKSPACE, all_powerful=False, user_id=person.user_id
            )
            permissions = Permissions(house.engine)
            few = [Resource(EXPERIMENT, 0), Resource(REGISTERED_MODEL, "model")]
            little = await house.cost(permissions.decide(viewer, few))
            many = [*few, *(Resource(EXPERIMENT, number) for number in range(MOST))]
            return little, await house.cost(permissions.decide(viewer, many))

    little, much = asyncio.run(measured())
    assert (much, much) == (little, 4)
