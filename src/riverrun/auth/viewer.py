from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

from riverrun.auth.levels import Action, Level
from riverrun.auth.scopes import EVERYTHING, Scopes
from riverrun.errors import PermissionDenied

DEFAULT_WORKSPACE = "default"
EXPERIMENT = "experiment"
REGISTERED_MODEL = "registered_model"
WORKSPACE = "workspace"
DENIAL_S = 1.0
"""How long a level that did not suffice is believed: a grant that another server wrote is asked for
again after that."""
FOUND_MAX = 10_000
"""Resources of one user that are remembered."""


class Resource(NamedTuple):
    """What a level is about: an experiment by its id, a registered model by its name, or the
    viewer's workspace as a whole.
    """

    kind: str
    key: int | str

    def __str__(self) -> str:
        if self.kind == WORKSPACE:
            return "the server"
        return f"{self.kind.replace('_', ' ')} {self.key}"


THE_WORKSPACE = Resource(WORKSPACE, "")


class Undecided(PermissionDenied):
    """Nobody has looked yet what the viewer may do with these; who catches it looks, and asks the
    endpoint again.
    """

    def __init__(self, resources: Sequence[Resource]) -> None:
        super().__init__(f"Permission denied: nothing is granted on {resources[0]}.")
        self.resources = resources


class Rights:
    """What was found out of one user's levels in one workspace, until something is changed."""

    def __init__(self) -> None:
        self._found: dict[Resource, tuple[Level, float]] = {}

    def learn(self, found: Mapping[Resource, Level]) -> None:
        if len(self._found) + len(found) > FOUND_MAX:
            self._found.clear()
        now = monotonic()
        self._found.update((resource, (level, now)) for resource, level in found.items())

    def forget(self, resource: Resource) -> None:
        self._found.pop(resource, None)

    def suffices(self, level: Level, resource: Resource) -> bool | None:
        """None when that is not known, or was a no that is too old."""
        found = self._found.get(resource)
        if found is None:
            return None
        if found[0] >= level:
            return True
        return False if monotonic() - found[1] < DENIAL_S else None


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks: a name for the record, a workspace, and what was granted.

    With access control off there is one viewer who may do everything; its name is what the client
    says of itself (`user_id`), or empty. `all_powerful` stands for that one and for admins;
    `user_id` is None without access control. `default` is the level on what nobody granted.
    """

    name: str
    workspace: str
    all_powerful: bool
    user_id: int | None = None
    default: Level = Level.PUBLIC
    rights: Rights = field(default_factory=Rights, compare=False)
    address: str = ""
    scopes: Scopes = EVERYTHING

    def check_scope(self, action: Action) -> None:
        """Raises PermissionDenied for what the viewer's token is not for."""
        if not self.scopes.include(action):
            raise PermissionDenied(
                f"Permission denied: the token's scopes are {', '.join(self.scopes.names)}."
            )

    def require(self, level: Level, experiment_id: int | None) -> None:
        """Raises PermissionDenied unless the viewer has `level` on the experiment; None stands for
        the workspace as a whole.
        """
        if not self.may(level, experiment_id):
            raise _denied(level, _experiment(experiment_id))

    def may(self, level: Level, experiment_id: int | None) -> bool:
        """Whether `require` would let the viewer pass. Raises Undecided as it does."""
        return self.all_powerful or self._suffices(level, _experiment(experiment_id))

    def readable(self, experiment_ids: Iterable[int]) -> list[int]:
        """Those that the viewer may read, in their order. Raises Undecided."""
        asked = list(experiment_ids)
        if self.all_powerful:
            return asked
        known = {each: self.rights.suffices(Level.READ, _experiment(each)) for each in asked}
        if unknown := [_experiment(each) for each, found in known.items() if found is None]:
            raise Undecided(unknown)
        return [each for each in asked if known[each]]

    def require_model(self, level: Level, name: str) -> None:
        """Raises PermissionDenied unless the viewer has `level` on the registered model."""
        resource = Resource(REGISTERED_MODEL, name)
        if not (self.all_powerful or self._suffices(level, resource)):
            raise _denied(level, resource)

    def require_admin(self) -> None:
        if not self.all_powerful:
            raise PermissionDenied("Permission denied: this is for admins.")

    def _suffices(self, level: Level, resource: Resource) -> bool:
        found = self.rights.suffices(level, resource)
        if found is None:
            raise Undecided([resource])
        return found


class Asking(NamedTuple):
    """What a request says of the one who sent it; `client` is a host and a port, which is 0 when a
    trusted proxy told the host.
    """

    headers: Mapping[bytes, bytes]
    client: tuple[str, int] | None

    @property
    def address(self) -> str | None:
        """None where it is a proxy's that nobody knows, or nobody's."""
        if self.client is None:
            return None
        host, port = self.client
        is_proxied = b"x-forwarded-for" in self.headers or b"forwarded" in self.headers
        return None if port and is_proxied else host


Authenticate = Callable[[Asking], Awaitable[Viewer]]
"""Who sends a request."""


async def everybody(asking: Asking) -> Viewer:
    """The one viewer of a server without access control."""
    del asking
    return Viewer(name="", workspace=DEFAULT_WORKSPACE, all_powerful=True)


def _experiment(experiment_id: int | None) -> Resource:
    return THE_WORKSPACE if experiment_id is None else Resource(EXPERIMENT, experiment_id)


def _denied(level: Level, resource: Resource) -> PermissionDenied:
    return PermissionDenied(f"Permission denied: {level.name} on {resource}.")
