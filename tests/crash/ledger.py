"""What writers sent to a server, whether it was acknowledged, and what must be there at the end.

Every effect has a mark of its own (a param, a tag or a point that no other effect has). So of a
call that was never answered one can tell whether it was carried out, and then all of it must be
there.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

Point = tuple[int, int, float | str]
"""Timestamp, step, value; "NaN" as the server answers it."""
Points = Mapping[str, frozenset[Point]]
VALUE_MAX = 1.7976931348623157e308


@dataclass(frozen=True, slots=True)
class Effect:
    """What one call changes in a run."""

    points: Points = field(default_factory=dict[str, frozenset[Point]])
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    status: str | None = None


@dataclass(slots=True)
class Contents:
    """What a run holds. Metrics without points are left out."""

    points: defaultdict[str, set[Point]] = field(
        default_factory=lambda: defaultdict[str, set[Point]](set)
    )
    params: dict[str, str] = field(default_factory=dict[str, str])
    tags: dict[str, str] = field(default_factory=dict[str, str])
    status: str = "RUNNING"

    def apply(self, effect: Effect) -> None:
        for key, points in effect.points.items():
            self.points[key] |= points
        self.params.update(effect.params)
        self.tags.update(effect.tags)
        self.status = effect.status or self.status

    def holds_mark_of(self, effect: Effect) -> bool:
        """Params before tags, because some tags are overwritten."""
        if effect.params:
            return effect.params.keys() <= self.params.keys()
        if effect.points:
            key, points = next(iter(effect.points.items()))
            return next(iter(points)) in self.points.get(key, set())
        return effect.tags.items() <= self.tags.items()

    def latest(self) -> dict[str, Point]:
        """The greatest step, then timestamp, then value of each metric, a NaN counting as 0."""
        return {key: max(points, key=_rank) for key, points in self.points.items()}


def _rank(point: Point) -> tuple[int, int, float]:
    timestamp, step, value = point
    return step, timestamp, 0.0 if isinstance(value, str) else value


@dataclass(slots=True)
class RunLedger:
    """The calls to one run by its only writer, in order."""

    run_id: str
    calls: list[tuple[Effect, bool]] = field(default_factory=list[tuple[Effect, bool]])
    """With whether the call was acknowledged."""

    def note(self, effect: Effect, *, acknowledged: bool) -> None:
        self.calls.append((effect, acknowledged))

    def expected(self, found: Contents) -> Contents:
        """All that was acknowledged, and the whole of each unanswered call that left its mark."""
        contents = Contents()
        for effect, acknowledged in self.calls:
            if acknowledged or found.holds_mark_of(effect):
                contents.apply(effect)
        return contents
