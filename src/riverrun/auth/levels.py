from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """What a grant allows; each level includes those below it."""

    PUBLIC = 0
    READ = 1
    USE = 2
    EDIT = 3
    MANAGE = 4


@dataclass(frozen=True, slots=True)
class Action:
    """What a route does, and to what: the row of the route table that access control reads."""

    level: Level
    resource: str


def public() -> Action:
    """Needs no login: probes and what a client asks before it can log in."""
    return Action(Level.PUBLIC, "server")


def read(resource: str) -> Action:
    return Action(Level.READ, resource)


def edit(resource: str) -> Action:
    return Action(Level.EDIT, resource)


def manage(resource: str) -> Action:
    return Action(Level.MANAGE, resource)
