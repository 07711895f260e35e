from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

from riverrun.auth.levels import Action, Level
from riverrun.auth.scopes import EVERYTHING, Scopes
from riverrun.errors import NoSuchResource, PermissionDenied, TrackingError

DEFAULT_WORKSPACE = "default"
WORKSPACE_HEADER = b"x-mlflow-workspace"
EXPERIMENT = "experiment"
FOLDER = "folder"
REGISTERED_MODEL = "registered_model"
WORKSPACE = "workspace"
DENIAL_S = 1.0
"""How long a level that did not suffice is believed: a grant that another server wrote is asked for
again after that."""
FOUND_MAX = 10_000
"""Resources of one user that are remembered."""


class Resource(NamedTuple):
    """What a level is about: an experiment by its id, a registered model by its name, a folder
    behind the artifact proxy by its path, or the viewer's workspace as a whole.
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


@dataclass(slots=True)  # Not frozen: one is made for each request, and that is three times as fast.
class Viewer:
    """Who asks: a name for the record, a workspace, and what was granted.

    With access control off there is one viewer who may do everything; its name is what the client
    says of itself (`user_id`), or empty. `all_powerful` stands for that one and for admins;
    `user_id` is None without access control. `default` is the level on what nobody granted,
    `default_on_workspace` the one on the workspace itself: PUBLIC for one who is no member.
    `is_confined` where there are several workspaces: to the all-powerful, too, what lies in another
    one does not exist.
    """

    name: str
    workspace: str
    all_powerful: bool
    user_id: int | None = None
    default: Level = Level.PUBLIC
    rights: Rights = field(default_factory=Rights, compare=False)
    address: str = ""
    scopes: Scopes = EVERYTHING
    expiry_time: int | None = None
    """Milliseconds; when a token that expires does."""
    request_id: str = field(default="", compare=False)
    default_on_workspace: Level = Level.EDIT
    is_confined: bool = False

    @property
    def is_free(self) -> bool:
        """Whether nothing needs to be looked up to tell what the viewer may do."""
        return self.all_powerful and not self.is_confined

    def check_scope(self, action: Action) -> None:
        """Raises PermissionDenied for what the viewer's token is not for."""
        if not self.scopes.include(action):
            raise PermissionDenied(
                f"Permission denied: the token's scopes are {', '.join(self.scopes.names)}."
            )

    def require(self, level: Level, experiment_id: int | None) -> None:
        """Raises PermissionDenied unless the viewer has `level` on the experiment; None stands for
        the workspace as a whole. The all-powerful are told NoSuchResource of what is elsewhere.
        """
        if not self.may(level, experiment_id):
            raise self._refusal(level, _experiment(experiment_id))

    def may(self, level: Level, experiment_id: int | None) -> bool:
        """Whether `require` would let the viewer pass. Raises Undecided as it does."""
        if self.all_powerful and (experiment_id is None or not self.is_confined):
            return True
        return self._suffices(level, _experiment(experiment_id))

    def require_all(self, level: Level, experiment_ids: Iterable[int]) -> None:
        """As `require` for each of them, all asked at once."""
        passed = set(self._passing(level, asked := list(experiment_ids)))
        for each in asked:
            if each not in passed:
                raise self._refusal(level, _experiment(each))

    def readable(self, experiment_ids: Iterable[int]) -> list[int]:
        """Those that the viewer may read, in their order. Raises Undecided."""
        return self._passing(Level.READ, list(experiment_ids))

    def _passing(self, level: Level, asked: list[int]) -> list[int]:
        if self.is_free:
            return asked
        known = {each: self.rights.suffices(level, _experiment(each)) for each in asked}
        if None in known.values():
            # All of them: what makes room for the rest must not be what is asked here.
            raise Undecided([_experiment(each) for each in known])
        return [each for each in asked if known[each]]

    def require_folder(self, level: Level, path: str) -> None:
        """Raises as `require` unless the viewer has `level` on the experiment whose files lie in
        this folder behind the artifact proxy.
        """
        resource = Resource(FOLDER, path)
        if not (self.is_free or self._suffices(level, resource)):
            raise self._refusal(level, resource)

    def require_model(self, level: Level, name: str) -> None:
        """Raises PermissionDenied unless the viewer has `level` on the registered model."""
        resource = Resource(REGISTERED_MODEL, name)
        if not (self.all_powerful or self._suffices(level, resource)):
            raise _denied(level, resource)

    def require_admin(self) -> None:
        if not self.all_powerful:
            raise PermissionDenied("Permission denied: this is for admins.")

    def _refusal(self, level: Level, resource: Resource) -> TrackingError:
        if not self.all_powerful:
            return _denied(level, resource)
        what = "Experiment with id=" if resource.kind == EXPERIMENT else f"{resource.kind} "
        return NoSuchResource(f"No {what}{resource.key} exists")

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
    request_id: str = ""

    @property
    def peer(self) -> str:
        """Who is at the other end, as far as anybody knows; "" for a socket without addresses."""
        return self.client[0] if self.client else ""

    @property
    def address(self) -> str | None:
        """None where it is a proxy's that nobody knows, or nobody's."""
        if self.client is None:
            return None
        host, port = self.client
        is_proxied = b"x-forwarded-for" in self.headers or b"forwarded" in self.headers
        return None if port and is_proxied else host


class Entered(NamedTuple):
    """The workspace that a request is about; `default` is the level on it of one to whom nothing
    was granted there.
    """

    workspace: str
    is_there: bool
    default: Level
    is_confined: bool


Enter = Callable[[Asking], Awaitable[Entered]]
"""Which workspace a request is about."""


_THE_ONLY_ONE = Entered(DEFAULT_WORKSPACE, is_there=True, default=Level.EDIT, is_confined=False)


async def enter_the_only_one(asking: Asking) -> Entered:
    """On a server without workspaces."""
    del asking
    return _THE_ONLY_ONE


Authenticate = Callable[[Asking], Awaitable[Viewer]]
"""Who sends a request."""


async def everybody(asking: Asking) -> Viewer:
    """The one viewer of a server without access control."""
    return Viewer(
        name="",
        workspace=DEFAULT_WORKSPACE,
        all_powerful=True,
        address=asking.peer,
        request_id=asking.request_id,
    )


def _experiment(experiment_id: int | None) -> Resource:
    return THE_WORKSPACE if experiment_id is None else Resource(EXPERIMENT, experiment_id)


def _denied(level: Level, resource: Resource) -> PermissionDenied:
    return PermissionDenied(f"Permission denied: {level.name} on {resource}.")
