"""Files below the server's own roots that belong to nothing any more.

Only what is shaped like this server's folders is judged: `<experiment>/<run id>` and
`<experiment>/models/<model id>`, below a root, below `workspaces/<name>` in one or in the place
that an experiment was given, and what else lies in the folder of an experiment that was removed.
All else is left alone.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from riverrun.artifacts.contract import FileInfo, InvalidArtifactPath
from riverrun.artifacts.opened import NotServed, Place, Stores
from riverrun.clock import now_ms
from riverrun.errors import TemporarilyUnavailable
from riverrun.services import names
from riverrun.services.references import References
from riverrun.services.storage import Size, measured
from riverrun.store import removal
from riverrun.store.engine import Engine
from riverrun.store.removal import MODEL, RUN, Kind

AGE_MS_MIN = 24 * 3_600_000
"""What is younger may belong to something that is only being made, or brought in."""
MODELS = "models"
READ_TOGETHER = 1_000

Spot = tuple[int, str]
"""A folder of a store: places are compared by these."""


@dataclass(frozen=True, slots=True)
class Orphan:
    place: Place
    size: Size


async def find_orphans(
    engine: Engine, stores: Stores, references: References
) -> AsyncGenerator[Orphan]:
    """Raises TemporarilyUnavailable when a store or the database is out of reach."""
    homes, last_id = await _homes(engine, stores)
    search = _Search(engine, references, homes, _places(stores, references.places))
    for home in homes.values():
        async for orphan in search.below(home, is_gone=False):
            yield orphan
    for root in stores.own():
        for above in (root, *await _folders_in(root.below(names.WORKSPACES_FOLDER))):
            async with aclosing(above.store.list(above.path)) as pages:
                async for page in pages:
                    for info in page:
                        home = above.below(info.name)
                        if _was_experiment(info, last_id) and not search.is_lived_in(home):
                            async for orphan in search.below(home, is_gone=True):
                                yield orphan


async def _folders_in(place: Place) -> list[Place]:
    async with aclosing(place.store.list(place.path)) as pages:
        return [place.below(info.name) async for page in pages for info in page if info.is_dir]


class _Search:
    def __init__(
        self,
        engine: Engine,
        references: References,
        homes: Mapping[Spot, Place],
        places: Mapping[Spot, Place],
    ) -> None:
        self._engine = engine
        self._references = references
        self._homes = homes
        self._places = places
        self._above_homes = _all_up(homes.values())
        self._above_places = _all_up(places.values())

    def is_lived_in(self, folder: Place) -> bool:
        """Whether it is, holds or lies in the home of an experiment."""
        return _spot(folder) in self._above_homes or any(
            spot in self._homes for spot in _up(folder)
        )

    async def below(self, home: Place, *, is_gone: bool) -> AsyncGenerator[Orphan]:
        """In the folder of an experiment that is there or, if `is_gone`, was."""
        async for orphan in self._without(RUN, home):
            yield orphan
        async for orphan in self._without(MODEL, home.below(MODELS)):
            yield orphan
        if is_gone:
            async with aclosing(home.store.list(home.path)) as pages:
                async for page in pages:
                    others = [info for info in page if not _is_of_layout(info)]
                    async for orphan in self._old(home, others):
                        yield orphan

    async def _without(self, kind: Kind, folder: Place) -> AsyncGenerator[Orphan]:
        """Folders that bear the ids of runs or models that do not exist."""
        async with aclosing(folder.store.list(folder.path)) as pages:
            async for page in pages:
                keys = {
                    _key(kind, info.name): info
                    for info in page
                    if info.is_dir and _is_id(kind, info.name)
                }
                if keys:
                    existing = await self._engine.read(
                        lambda tx, keys=keys: removal.existing(tx, kind, list(keys))
                    )
                    lost = [
                        info
                        for key, info in keys.items()
                        if key not in existing and not self._references.reason(key)
                    ]
                    async for orphan in self._old(folder, lost):
                        yield orphan

    async def _old(self, folder: Place, found: Sequence[FileInfo]) -> AsyncGenerator[Orphan]:
        """Those that nobody needs and whose newest file is old enough."""
        for info in found:
            place = folder.below(info.name)
            if self._is_needed(place):
                continue
            size = Size(1, info.size_bytes, info.modified_ms)
            if info.is_dir:
                size = await measured(place)
            if size.newest_ms is not None and size.newest_ms <= now_ms() - AGE_MS_MIN:
                yield Orphan(place, size)

    def _is_needed(self, place: Place) -> bool:
        """Whether it holds a home, or holds or lies in what a registered version refers to."""
        holds_some = _spot(place) in self._above_homes or _spot(place) in self._above_places
        return holds_some or any(spot in self._places for spot in _up(place))


async def _homes(engine: Engine, stores: Stores) -> tuple[dict[Spot, Place], int]:
    """Where the experiments' folders are, and the highest id that one ever had."""
    homes: dict[Spot, Place] = {}
    after = -1
    while True:
        page = await engine.read(
            lambda tx, after=after: removal.experiments(
                tx, retention_tag="", after=after, limit=READ_TOGETHER
            )
        )
        if not page:
            return homes, max(after, await engine.read(removal.last_experiment_id))
        after = page[-1].experiment_id
        homes.update(_places(stores, [each.artifact_location for each in page]))


def _places(stores: Stores, uris: Iterable[str]) -> dict[Spot, Place]:
    """Those that are this server's."""
    found: dict[Spot, Place] = {}
    for uri in uris:
        try:
            place = stores.place(uri)
        except (NotServed, InvalidArtifactPath, TemporarilyUnavailable):
            continue
        found[_spot(place)] = place
    return found


def _spot(place: Place) -> Spot:
    return id(place.store), place.path


def _up(place: Place) -> Iterable[Spot]:
    """The folder itself and all above it."""
    store, path = _spot(place)
    segments = path.split("/") if path else []
    return [(store, "/".join(segments[:count])) for count in range(len(segments) + 1)]


def _all_up(places: Iterable[Place]) -> set[Spot]:
    return {spot for place in places for spot in _up(place)}


def _was_experiment(info: FileInfo, last_id: int) -> bool:
    is_number = info.name.isascii() and info.name.isdigit() and len(info.name) <= 18
    return (
        info.is_dir and is_number and info.name == str(int(info.name)) and int(info.name) <= last_id
    )


def _is_of_layout(info: FileInfo) -> bool:
    return info.is_dir and (info.name == MODELS or names.is_run_id(info.name))


def _is_id(kind: Kind, name: str) -> bool:
    return names.is_run_id(name) if kind is RUN else names.is_model_id(name)


def _key(kind: Kind, name: str) -> bytes:
    return names.run_key(name) if kind is RUN else names.model_key(name)
