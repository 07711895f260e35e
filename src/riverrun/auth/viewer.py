from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from riverrun.auth.levels import Level
from riverrun.errors import PermissionDenied

DEFAULT_WORKSPACE = "default"


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks: a name for the record, a workspace, and what was granted.

    With access control off there is one viewer who may do everything; its name is what the client
    says of itself (`user_id`), or empty.
    """

    name: str
    workspace: str
    all_powerful: bool

    def require(self, level: Level, experiment_id: int | None) -> None:
        """Raises PermissionDenied unless the viewer has `level` on the experiment; None stands for
        the server as a whole.
        """
        if not self.may(level, experiment_id):
            what = "the server" if experiment_id is None else f"experiment {experiment_id}"
            raise PermissionDenied(f"Permission denied: {level.name} on {what}.")

    def may(self, level: Level, experiment_id: int | None) -> bool:
        """Whether `require` would let the viewer pass."""
        del level, experiment_id
        return self.all_powerful

    def require_model(self, level: Level, name: str) -> None:
        """Raises PermissionDenied unless the viewer has `level` on the registered model."""
        if not self.all_powerful:
            raise PermissionDenied(f"Permission denied: {level.name} on registered model {name}.")


Authenticate = Callable[[Mapping[bytes, bytes]], Awaitable[Viewer]]
"""Who sends a request with these headers."""


async def everybody(headers: Mapping[bytes, bytes]) -> Viewer:
    """The one viewer of a server without access control."""
    del headers
    return Viewer(name="", workspace=DEFAULT_WORKSPACE, all_powerful=True)
