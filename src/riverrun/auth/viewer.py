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

    def require(self, level: Level, experiment_id: int) -> None:
        """Raises PermissionDenied unless the viewer has `level` on the experiment."""
        if not self.all_powerful:
            raise PermissionDenied(
                f"Permission denied: {level.name} on experiment {experiment_id}."
            )


def everybody() -> Viewer:
    """The one viewer of a server without access control."""
    return Viewer(name="", workspace=DEFAULT_WORKSPACE, all_powerful=True)
