"""How much the files of something take."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

from riverrun.artifacts.opened import Place, Stores
from riverrun.auth.levels import Level
from riverrun.auth.viewer import Viewer
from riverrun.errors import ResourceDoesNotExist
from riverrun.services import names
from riverrun.services.artifacts import require_on_place
from riverrun.store import experiments
from riverrun.store.engine import Engine


@dataclass(frozen=True, slots=True)
class Size:
    """`newest_ms` is when the youngest file was written; None without files, or where the store
    does not know it of each.
    """

    files: int = 0
    size_bytes: int = 0
    newest_ms: int | None = None

    def __add__(self, other: "Size") -> "Size":
        return Size(self.files + other.files, self.size_bytes + other.size_bytes)


class Storage:
    def __init__(self, engine: Engine, stores: Stores) -> None:
        self._engine = engine
        self._stores = stores
        self._measuring: dict[str, asyncio.Task[Size]] = {}

    async def used(self, experiment_id: str, *, viewer: Viewer) -> Size:
        """What all files of an experiment take, of deleted runs, too: as of now, by looking at
        each. Who asks while somebody else's answer is being found gets that.

        Raises NotServed where the files are not this server's to read.
        """
        key = names.experiment_key(experiment_id)
        experiment = await self._engine.glance(
            lambda tx: experiments.find(tx, key, workspace=viewer.workspace)
        )
        viewer.require(Level.READ, key)
        if experiment is None:
            raise ResourceDoesNotExist(f"No Experiment with id={experiment_id} exists")
        location = experiment.artifact_location
        place = self._stores.place(location)
        require_on_place(viewer, Level.READ, place)
        return await self._measured(location, place)

    async def _measured(self, location: str, place: Place) -> Size:
        task = self._measuring.get(location)
        if task is None:
            task = self._measuring[location] = asyncio.create_task(measured(place))
            task.add_done_callback(lambda _: self._measuring.pop(location, None))
        # One who leaves must not take the others' answer along.
        return await asyncio.shield(task)


async def measured(place: Place) -> Size:
    """What all files below a folder take."""
    files = size_bytes = newest_ms = 0
    is_known = True
    async with aclosing(place.store.walk(place.path)) as pages:
        async for page in pages:
            files += len(page)
            size_bytes += sum(info.size_bytes for info in page)
            times = [info.modified_ms for info in page if info.modified_ms is not None]
            is_known = is_known and len(times) == len(page)
            newest_ms = max(newest_ms, *times, 0)
    return Size(files, size_bytes, newest_ms if files and is_known else None)
