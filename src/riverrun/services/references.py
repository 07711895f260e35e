"""What names a run or a logged model from outside, so that it must stay."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress

from riverrun.artifacts.contract import InvalidArtifactPath
from riverrun.artifacts.paths import fully_decoded
from riverrun.clock import now_ms
from riverrun.errors import InvalidParameterValue
from riverrun.store import removal
from riverrun.store.engine import Engine, Tx
from riverrun.store.removal import MODEL, REMOVING, RUN, Kind, VersionPlaces

READ_TOGETHER = 1_000
LOOKED_AT_TOGETHER = 100_000
"""Rows that one statement looks at, hardly any of which it finds: a bound on how long it takes."""
OVERLAP_MS = 3_600_000
"""How far the clocks of replicas may be apart."""

_ID = re.compile("(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")


class References:
    """Ids of runs and logged models that something else needs, with the reason in words: registered
    versions name them, or somebody else's files lie in their folders.

    What versions made since then name, `reason_since` finds.
    """

    def __init__(self, reasons: Mapping[str, str], places: frozenset[str], since_ms: int) -> None:
        self._reasons = reasons
        self._since_ms = since_ms
        self.places = places
        """Where the files of registered versions lie, as URIs."""

    def reason(self, key: bytes) -> str:
        """Empty when nothing needs it."""
        return self._reasons.get(key.hex(), "")

    async def reason_since(self, tx: Tx, key: bytes) -> str:
        """As `reason`, of what came after this was read."""
        recent = await removal.versions_since(tx, self._since_ms)
        return reasons_of_versions(recent).get(key.hex(), "")


async def read_references(engine: Engine) -> References:
    since_ms = now_ms() - OVERLAP_MS
    reasons: dict[str, str] = {}
    places: set[str] = set()
    after: VersionPlaces | None = None
    while True:
        page = await engine.read(
            lambda tx, after=after: removal.versions(tx, after=after, limit=READ_TOGETHER)
        )
        if not page:
            break
        reasons.update(reasons_of_versions(page))
        places.update(uri for each in page for uri in (each.source, each.location) if uri)
        after = page[-1]
    for number, location in await engine.read(removal.locations):
        reasons.update(
            dict.fromkeys(ids_in(location), f"experiment {number} keeps its files there")
        )
    for kind in (RUN, MODEL):
        reasons.update(await _reasons_of_guests(engine, kind))
    return References(reasons, frozenset(places), since_ms)


def reasons_of_versions(versions: Iterable[VersionPlaces]) -> dict[str, str]:
    return {
        found: f"version {each.version} of model '{each.model}' refers to it"
        for each in versions
        for text in (each.source, each.location, each.run_id, each.model_id)
        for found in ids_in(text)
    }


async def _reasons_of_guests(engine: Engine, kind: Kind) -> dict[str, str]:
    """Whose folders hold the files of runs or models that were put there."""
    reasons: dict[str, str] = {}
    after = b""
    while True:
        found, after = await engine.read(
            lambda tx, after=after: removal.elsewhere(
                tx, kind, after=after, limit=LOOKED_AT_TOGETHER
            )
        )
        for key, uri in found:
            reason = f"the files of {kind.name} {kind.public_id(key)} are there"
            reasons.update(dict.fromkeys(ids_in(uri), reason))
        if not after:
            return reasons


async def hold(
    tx: Tx, texts: Iterable[str], *, besides: frozenset[str] = frozenset()
) -> frozenset[str]:
    """Holds the runs and logged models that a new version names to the transaction's end: their
    removal does not begin before the version can be seen. What is looked up after this call does
    not vanish. The ids in the texts; those in `besides` are held already.

    Raises InvalidParameterValue for one whose removal has begun.
    """
    given = list(texts)
    named = frozenset(found for text in given for found in ids_in(text))
    for found in sorted(named - besides):
        key = bytes.fromhex(found)
        is_model = any(MODEL.public_id(key) in text for text in given)
        for kind in (MODEL, RUN) if is_model else (RUN, MODEL):  # Nothing is both.
            state = await removal.take(tx, kind, key)
            if state is not None and state.stage == REMOVING:
                raise InvalidParameterValue(
                    f"The {kind.name} {kind.public_id(key)}, which the source, run_id or model_id "
                    "names, is being removed for good."
                )
            if state is not None:
                break
    return named


def ids_in(text: str) -> list[str]:
    """What may be the id of a run or a logged model, in any spelling of a URI."""
    with suppress(InvalidArtifactPath):  # No client was let in with such a text.
        text = fully_decoded(text)
    return _ID.findall(text.lower())
