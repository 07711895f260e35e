"""What a viewer may do: looked up once, and believed while the access epoch stays.

Whoever takes something away bumps the epoch in the same transaction; who gives something need not,
since a level that does not suffice is looked up again (`auth.viewer`).
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial

from riverrun.artifacts.contract import InvalidArtifactPath
from riverrun.artifacts.resolve import proxied_path
from riverrun.auth.levels import Level
from riverrun.auth.permissions import Permission, effective, matches
from riverrun.auth.viewer import (
    EXPERIMENT,
    FOLDER,
    REGISTERED_MODEL,
    THE_WORKSPACE,
    WORKSPACE,
    Resource,
    Undecided,
    Viewer,
)
from riverrun.services import names
from riverrun.store import epochs
from riverrun.store.access import granted, roles
from riverrun.store.access.granted import Sight
from riverrun.store.access.roles import What
from riverrun.store.dialects import Sql
from riverrun.store.engine import Engine, Reader, Tx

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
    tx: Reader, *, viewer: Viewer, resources: Collection[Resource]
) -> dict[Resource, Level]:
    """What the viewer's roles and the default come to, for each resource. What does not exist, or
    lies in another workspace, is nobody's.
    """
    standing = await _standing(tx, viewer)
    found: dict[Resource, Level] = {}
    for resource in resources:
        if resource == THE_WORKSPACE:
            found[resource] = standing
        elif resource.kind == FOLDER:
            found[resource] = await _on_folder(tx, viewer, str(resource.key), standing)
        elif resource.kind == REGISTERED_MODEL:
            found[resource] = await _on_model(tx, viewer, str(resource.key), standing)
    numbers = [int(each.key) for each in resources if each.kind == EXPERIMENT]
    if numbers:
        levels_there = await _on_experiments(tx, viewer, numbers, standing)
        found.update((Resource(EXPERIMENT, key), level) for key, level in levels_there.items())
    return found


async def _standing(tx: Reader, viewer: Viewer) -> Level:
    """On the workspace as a whole: EDIT may create in it; below READ the default does not apply."""
    if viewer.all_powerful or viewer.user_id is None:
        return Level.MANAGE
    rows = await granted.on(tx, viewer.user_id, viewer.workspace, [WORKSPACE], ["*"])
    level = effective((level for _, _, level in rows), viewer.default_on_workspace)
    return Level.EDIT if level == Level.USE else level  # Members may create.


async def manages_workspace(tx: Reader, viewer: Viewer, workspace: str) -> bool:
    """Of any workspace, not only the one that the viewer is in."""
    if viewer.all_powerful or viewer.user_id is None:
        return True
    rows = await granted.on(tx, viewer.user_id, workspace, [WORKSPACE], ["*"])
    return effective((level for _, _, level in rows), Level.PUBLIC) == Level.MANAGE


async def _on_experiments(
    tx: Reader, viewer: Viewer, experiment_ids: Sequence[int], standing: Level
) -> Mapping[int, Level]:
    places = await granted.places(tx, experiment_ids)
    rows: Granted = ()
    if viewer.user_id is not None and standing < Level.MANAGE:
        keys = [str(each) for each in experiment_ids]
        rows = await granted.on(tx, viewer.user_id, viewer.workspace, [EXPERIMENT], keys)
    found = dict.fromkeys(experiment_ids, Level.PUBLIC)
    for experiment_id, place in places.items():
        if place.workspace == viewer.workspace:
            matching = _matching(rows, str(experiment_id), place.name)
            found[experiment_id] = _level(matching, viewer, standing)
    return found


async def _on_model(tx: Reader, viewer: Viewer, name: str, standing: Level) -> Level:
    rows: Granted = ()
    if viewer.user_id is not None and standing < Level.MANAGE:
        rows = await granted.on(tx, viewer.user_id, viewer.workspace, MODEL_TYPES, [name])
    return _level(_matching(rows, name, name), viewer, standing)


async def _on_folder(tx: Reader, viewer: Viewer, path: str, standing: Level) -> Level:
    """Of the experiment whose id is the path's end, if its files really lie there."""
    last = path.rpartition("/")[2]
    if not names.is_experiment_id(last):
        return Level.PUBLIC
    experiment_id = int(last)
    place = (await granted.places(tx, [experiment_id])).get(experiment_id)
    if place is None or not _is_at(place.artifact_location, path):
        return Level.PUBLIC
    return (await _on_experiments(tx, viewer, [experiment_id], standing))[experiment_id]


def _is_at(location: str, path: str) -> bool:
    with suppress(InvalidArtifactPath):
        return proxied_path(location) == path
    return False


def _level(granted_levels: Sequence[int], viewer: Viewer, standing: Level) -> Level:
    if standing == Level.MANAGE:
        return Level.MANAGE
    if granted_levels or standing >= Level.READ:
        return effective(granted_levels, viewer.default)
    return Level.PUBLIC


def _matching(rows: Granted, key: str, name: str) -> Sequence[int]:
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
    if resource.kind == EXPERIMENT:
        # Users of another server bring grants on experiments that had the same numbers there.
        await roles.sweep_resource(tx, viewer.workspace, [EXPERIMENT], str(resource.key))
    if viewer.user_id is None:
        return
    role = await roles.own(tx, viewer.user_id, viewer.workspace)
    what = What(resource.kind, str(resource.key), is_glob=False)
    earlier = await roles.find_grant(tx, role.role_id, what)
    if earlier is None:
        await roles.insert_grant(tx, role, what, Permission.MANAGE)
    elif earlier.level != Permission.DENY:
        await roles.set_level(tx, earlier.grant_id, Permission.MANAGE)


async def readable_experiments(tx: Reader, viewer: Viewer) -> Sql | None:
    """Which rows of `experiments AS e` of the viewer's workspace a search may show, so that a page
    is as full as it can be; None for all.
    """
    sight = await _sight(tx, viewer)
    if sight is None:
        return None
    return await granted.readable(
        tx, sight, types=(EXPERIMENT,), key="e.experiment_id", name="e.name"
    )


async def readable_models(tx: Reader, viewer: Viewer) -> Sql | None:
    """Which rows of `registered_models AS m` of the viewer's workspace a search may show; None for
    all.
    """
    sight = await _sight(tx, viewer)
    if sight is None:
        return None
    return await granted.readable(tx, sight, types=MODEL_TYPES, key="m.name", name="m.name")


async def readable_among(
    tx: Reader, viewer: Viewer, experiment_ids: Collection[int]
) -> Collection[int]:
    """As `Viewer.readable`, for experiments that only a unit of work gets to know."""
    with suppress(Undecided):
        return frozenset(viewer.readable(experiment_ids))
    resources = [Resource(EXPERIMENT, each) for each in experiment_ids]
    found = await levels(tx, viewer=viewer, resources=resources)
    viewer.rights.learn(found)
    return {int(each.key) for each, level in found.items() if level >= Level.READ}


async def _sight(tx: Reader, viewer: Viewer) -> Sight | None:
    """None for one who sees the whole workspace."""
    if viewer.all_powerful or viewer.user_id is None:
        return None
    manages = viewer.rights.suffices(Level.MANAGE, THE_WORKSPACE)
    if manages is None:
        found = await levels(tx, viewer=viewer, resources=[THE_WORKSPACE])
        viewer.rights.learn(found)
        manages = found[THE_WORKSPACE] >= Level.MANAGE
    if manages:
        return None
    is_member = viewer.rights.suffices(Level.READ, THE_WORKSPACE) or False
    default_reads = is_member and viewer.default >= Level.READ
    return Sight(viewer.user_id, viewer.workspace, default_reads=default_reads)


async def rename_grants(tx: Tx, workspace: str, old: str, new: str) -> None:
    """What was granted on a model goes with its name; a pattern may match another name now."""
    await roles.sweep_resource(tx, workspace, MODEL_TYPES, new)
    await roles.rename_resource(tx, workspace, MODEL_TYPES, old, new)
    await epochs.bump(tx, ACCESS_EPOCH)


async def sweep_grants(tx: Tx, workspace: str, name: str) -> None:
    """Of a model that is no more: another one may get its name."""
    await roles.sweep_resource(tx, workspace, MODEL_TYPES, name)
    await epochs.bump(tx, ACCESS_EPOCH)
