"""What a viewer may do: looked up once, and believed while the access epoch stays.

Whoever takes something away bumps the epoch in the same transaction; who gives something need not,
since a level that does not suffice is looked up again (`auth.viewer`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial

from riverrun.auth.levels import Level
from riverrun.auth.permissions import Permission, effective, matches
from riverrun.auth.viewer import (
    EXPERIMENT,
    REGISTERED_MODEL,
    THE_WORKSPACE,
    WORKSPACE,
    Resource,
    Viewer,
)
from riverrun.store import epochs, granted, roles
from riverrun.store.dialects import Sql
from riverrun.store.engine import Engine, Reader, Tx
from riverrun.store.granted import Sight
from riverrun.store.roles import What

ACCESS_EPOCH = "access"
"""The epoch of users, tokens, roles and grants, and of names that patterns may match."""
MODEL_TYPES = ("registered_model", "prompt")
"""A prompt is a registered model, and what is granted on either counts."""

Granted = Sequence[tuple[str, bool, int]]
"""Pattern, whether it is a glob, level."""


class Permissions:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def decide(self, viewer: Viewer, resources: Collection[Resource]) -> None:
        """Looks up the viewer's levels on these, for the viewer to remember."""
        found = await self._engine.read(partial(levels, viewer=viewer, resources=resources))
        viewer.rights.learn(found)


async def levels(
    tx: Tx, *, viewer: Viewer, resources: Collection[Resource]
) -> dict[Resource, Level]:
    """What the viewer's roles and the default come to, for each resource. What does not exist, or
    lies in another workspace, is nobody's.
    """
    found: dict[Resource, Level] = {}
    is_manager = await _is_manager(tx, viewer)
    for resource in resources:
        if resource == THE_WORKSPACE:
            found[resource] = Level.MANAGE if is_manager else Level.EDIT
    experiments = [each for each in resources if each.kind == EXPERIMENT]
    if experiments:
        found.update(await _on_experiments(tx, viewer, experiments, is_manager=is_manager))
    for resource in resources:
        if resource.kind == REGISTERED_MODEL:
            found[resource] = (
                Level.MANAGE if is_manager else await _on_model(tx, viewer, str(resource.key))
            )
    return found


async def _is_manager(tx: Tx, viewer: Viewer) -> bool:
    """Of the workspace as a whole."""
    user_id = viewer.user_id
    if user_id is None:
        return True
    rows = await granted.on(tx, user_id, viewer.workspace, WORKSPACE, ["*"])
    return effective((level for _, _, level in rows), Level.PUBLIC) >= Level.MANAGE


async def _on_experiments(
    tx: Tx, viewer: Viewer, resources: Sequence[Resource], *, is_manager: bool
) -> Mapping[Resource, Level]:
    numbers = [int(each.key) for each in resources]
    places = await granted.places(tx, numbers)
    rows: Granted = ()
    if viewer.user_id is not None:
        keys = [str(number) for number in numbers]
        rows = await granted.on(tx, viewer.user_id, viewer.workspace, EXPERIMENT, keys)
    found: dict[Resource, Level] = {}
    for resource, number in zip(resources, numbers, strict=True):
        place = places.get(number)
        if place is None or place.workspace != viewer.workspace:
            found[resource] = Level.PUBLIC
        elif is_manager:
            found[resource] = Level.MANAGE
        else:
            found[resource] = effective(_matching(rows, str(number), place.name), viewer.default)
    return found


async def _on_model(tx: Tx, viewer: Viewer, name: str) -> Level:
    assert viewer.user_id is not None  # noqa: S101 - Others manage everything.
    rows = [
        row
        for kind in MODEL_TYPES
        for row in await granted.on(tx, viewer.user_id, viewer.workspace, kind, [name])
    ]
    return effective(_matching(rows, name, name), viewer.default)


def _matching(rows: Granted, key: str, name: str) -> Iterable[int]:
    """The levels of those grants that are about this resource: by its key, or by its name."""
    return [
        level
        for pattern, is_glob, level in rows
        if (matches(pattern, name) if is_glob else pattern == key)
    ]


async def grant_to_creator(tx: Tx, resource: Resource, viewer: Viewer) -> None:
    """Who makes something manages it, in the transaction that makes it. Nothing is taken away by
    that, so that no epoch needs to say so.
    """
    if viewer.user_id is None:
        return
    role = await roles.own(tx, viewer.user_id, viewer.workspace)
    what = What(resource.kind, str(resource.key), is_glob=False)
    if await roles.find_grant(tx, role.role_id, what) is None:
        await roles.insert_grant(tx, role, what, Permission.MANAGE)


async def readable_experiments(tx: Reader, viewer: Viewer) -> Sql:
    """Which rows of `experiments AS e` a search may show: a page is as full as it can be."""
    mine = Sql("e.workspace = ?", (viewer.workspace,))
    sight = _sight(viewer)
    if sight is None:
        return mine
    seen = await granted.readable(
        tx, sight, types=(EXPERIMENT,), key="e.experiment_id", name="e.name"
    )
    return Sql(f"{mine.text} AND {seen.text}", (*mine.binds, *seen.binds))


async def readable_models(tx: Reader, viewer: Viewer) -> Sql | None:
    """Which rows of `registered_models AS m` a search may show; None for all of the workspace."""
    sight = _sight(viewer)
    if sight is None:
        return None
    return await granted.readable(tx, sight, types=MODEL_TYPES, key="m.name", name="m.name")


def _sight(viewer: Viewer) -> Sight | None:
    """None for one who sees the whole workspace."""
    if viewer.all_powerful or viewer.user_id is None:
        return None
    if viewer.rights.suffices(Level.MANAGE, THE_WORKSPACE):
        return None
    return Sight(viewer.user_id, viewer.workspace, default_reads=viewer.default >= Level.READ)


async def rename_grants(tx: Tx, workspace: str, old: str, new: str) -> None:
    """What was granted on a model goes with its name; a pattern may match another name now."""
    await roles.sweep_resource(tx, workspace, MODEL_TYPES, new)
    await roles.rename_resource(tx, workspace, MODEL_TYPES, old, new)
    await epochs.bump(tx, ACCESS_EPOCH)


async def sweep_grants(tx: Tx, workspace: str, name: str) -> None:
    """Of a model that is no more: another one may get its name."""
    await roles.sweep_resource(tx, workspace, MODEL_TYPES, name)
    await epochs.bump(tx, ACCESS_EPOCH)
