"""What one user was granted: on single resources, and as a condition of a search."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from riverrun.store.dialects import Sql
from riverrun.store.engine import Reader
from riverrun.store.filters import all_of

EXPERIMENT = "experiment"
KEYS_TOGETHER = 500
"""Keys in one condition: below every database's limit of binds with those of a filter."""

_OF_USER: LiteralString = (
    "role_members AS m CROSS JOIN grants AS g "  # SQLite obeys the order.
    "WHERE m.user_id = ? AND g.role_id = m.role_id AND g.workspace = ?"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an experiment is and what it is called: what patterns are held against."""

    workspace: str
    name: str
    artifact_location: str


async def places(tx: Reader, experiment_ids: Sequence[int]) -> dict[int, Place]:
    """Of those experiments that exist, deleted ones too."""
    among = tx.dialect.among("experiment_id", experiment_ids)
    rows = await tx.fetch(
        "SELECT experiment_id, workspace, name, artifact_location FROM experiments "
        f"WHERE {among.text}",
        among.binds,
    )
    return {experiment_id: Place(*place) for experiment_id, *place in rows}


async def on(
    tx: Reader, user_id: int, workspace: str, types: Sequence[str], keys: Sequence[str]
) -> list[tuple[str, bool, int]]:
    """Pattern, whether it is a glob, and level of what the user has on these and by globs."""
    of_types = tx.dialect.among("g.resource_type", types)
    among = tx.dialect.among("g.pattern", keys)
    rows = await tx.fetch(
        f"SELECT g.pattern, g.is_glob, g.level FROM {_OF_USER} AND {of_types.text} "
        f"AND (g.is_glob = 1 OR {among.text})",
        (user_id, workspace, *of_types.binds, *among.binds),
    )
    return [(pattern, bool(is_glob), level) for pattern, is_glob, level in rows]


@dataclass(frozen=True, slots=True)
class Sight:
    """Whose search it is: `default_reads` says whether all may be read that nobody granted."""

    user_id: int
    workspace: str
    default_reads: bool


async def readable(
    tx: Reader,
    sight: Sight,
    *,
    types: Sequence[str],
    key: LiteralString,
    name: LiteralString,
) -> Sql | None:
    """What of a table the user may read, as a condition; None for all of it. `key` is its column
    that exact grants name, an experiment's id or a name; `name` the one that globs are held
    against. A user has few grants that are globs or take something away.
    """
    among = tx.dialect.among("g.resource_type", types)
    of_user = Sql(f"{_OF_USER} AND {among.text}", (sight.user_id, sight.workspace, *among.binds))
    rows = await tx.fetch(
        f"SELECT g.pattern, g.is_glob, g.level FROM {of_user.text} "
        "AND (g.is_glob = 1 OR g.level <= 0)",
        of_user.binds,
    )
    is_number = types == (EXPERIMENT,)

    def matching(levels: range) -> list[Sql]:
        found = [(pattern, is_glob) for pattern, is_glob, level in rows if level in levels]
        keys = [int(each) if is_number else each for each, is_glob in found if not is_glob]
        parts = (keys[at : at + KEYS_TOGETHER] for at in range(0, len(keys), KEYS_TOGETHER))
        exact = [tx.dialect.among(key, part) for part in parts]
        return exact + [tx.dialect.glob(name, each) for each, is_glob in found if is_glob]

    conditions: list[Sql] = []
    if denied := matching(range(-9, 0)):
        conditions.append(_none_of(denied))
    without = matching(range(1))
    if sight.default_reads and not without:
        return all_of(conditions) if conditions else None
    column: LiteralString = "experiment_id" if is_number else "pattern"
    exact = f"{key} IN (SELECT g.{column} FROM {of_user.text} AND g.is_glob = 0 AND g.level > 0)"
    allowed = [Sql(exact, of_user.binds), *matching(range(1, 9))]
    if sight.default_reads:
        allowed.append(_none_of(without))
    return all_of([_any_of(allowed), *conditions])


def _any_of(conditions: Sequence[Sql]) -> Sql:
    text: LiteralString = " OR ".join([each.text for each in conditions])
    return Sql(f"({text})", tuple(bind for each in conditions for bind in each.binds))


def _none_of(conditions: Sequence[Sql]) -> Sql:
    found = _any_of(conditions)
    return Sql(f"NOT {found.text}", found.binds)
