"""What grants say, and what several of them come to."""

from collections.abc import Iterable
from enum import IntEnum

from riverrun.auth.levels import Level


class Permission(IntEnum):
    """A grant's word (semantics.md, section 9.2). The positive ones are levels; DENY takes
    everything away; NO_PERMISSIONS, which only clients before 3.13 give, takes the default away.
    """

    DENY = -1
    NO_PERMISSIONS = 0
    READ = 1
    USE = 2
    EDIT = 3
    MANAGE = 4


def effective(granted: Iterable[int], default: Level) -> Level:
    """The level of one who was granted these on a resource: DENY beats all, the highest of the
    others counts, and where a positive one or none applies the default is the least.
    """
    permissions = set(granted)
    if not permissions:
        return default
    if Permission.DENY in permissions:
        return Level.PUBLIC
    highest = max(permissions)
    return Level(max(highest, default)) if highest else Level.PUBLIC


def matches(pattern: str, name: str) -> bool:
    """`*` in a pattern stands for any text; everything else for itself."""
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    if not name.startswith(first):
        return False
    at = len(first)
    *middle, last = rest
    for part in middle:
        found = name.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(name) - at >= len(last) and name.endswith(last)
