"""What one user was granted: on single resources, and as a condition of a search."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from riverrun.store.dialects import Sql
from riverrun.store.engine import Reader, Tx

_OF_USER: LiteralString = (
    "grants AS g JOIN role_members AS m ON m.role_id = g.role_id WHERE m.user_id = ? "
    "AND g.workspace = ?"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an experiment is and what it is called: what patterns are held against."""

    workspace: str
    name: str


async def places(tx: Tx, experiment_ids: Sequence[int]) -> dict[int, Place]:
    """Of those experiments that exist, deleted ones too."""
    among = tx.dialect.among("experiment_id", experiment_ids)
    rows = await tx.fetch(
        f"SELECT experiment_id, workspace, name FROM experiments WHERE {among.text}", among.binds
    )
    return {experiment_id: Place(workspace, name) for experiment_id, workspace, name in rows}


async def on(
    tx: Tx, user_id: int, workspace: str, resource_type: str, keys: Sequence[str]
) -> list[tuple[str, bool, int]]:
    """Pattern, whether it is a glob, and level of what the user has on these and by globs."""
    among = tx.dialect.among("g.pattern", keys)
    rows = await tx.fetch(
        f"SELECT g.pattern, g.is_glob, g.level FROM {_OF_USER} AND g.resource_type = ? "
        f"AND (g.is_glob = 1 OR {among.text})",
        (user_id, workspace, resource_type, *among.binds),
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
) -> Sql:
    """What of a table the user may read, as a condition. `key` is its column that exact grants
    name, an experiment's id or a name; `name` the one that globs are held against.
    """
    among = tx.dialect.among("g.resource_type", types)
    of_user = Sql(f"{_OF_USER} AND {among.text}", (sight.user_id, sight.workspace, *among.binds))
    globs = await tx.fetch(
        f"SELECT g.pattern, g.level FROM {of_user.text} AND g.is_glob = 1", of_user.binds
    )
    column: LiteralString = "experiment_id" if types == ("experiment",) else "pattern"

    def granted(condition: LiteralString, levels: range) -> Sql:
        texts: list[LiteralString] = [
            f"{key} IN (SELECT g.{column} FROM {of_user.text} AND g.is_glob = 0 AND {condition})"
        ]
        binds: list[object] = [*of_user.binds]
        for pattern, level in globs:
            if level in levels:
                matching = tx.dialect.glob(name, pattern)
                texts.append(matching.text)
                binds.extend(matching.binds)
        return Sql(f"({' OR '.join(texts)})", tuple(binds))

    denied = granted("g.level < 0", range(-9, 0))
    allowed = granted("g.level > 0", range(1, 9))
    if not sight.default_reads:
        return Sql(f"({allowed.text} AND NOT {denied.text})", (*allowed.binds, *denied.binds))
    without = granted("g.level = 0", range(1))
    return Sql(
        f"(({allowed.text} OR NOT {without.text}) AND NOT {denied.text})",
        (*allowed.binds, *without.binds, *denied.binds),
    )
