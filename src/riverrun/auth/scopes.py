"""What a token may be used for, whatever its user may do."""

from dataclasses import dataclass

from riverrun.auth.levels import Action, Level

READ = "read"
WRITE = "write"
ADMIN = "admin"
METRICS = "metrics"
SCOPES = {
    READ: "read what the user may read",
    WRITE: "and write, share and delete it",
    ADMIN: "everything that the user may do",
    METRICS: "read /metrics, and nothing else",
}
"""Each, with what it stands for; what it says of `write` holds beside `read`."""
ACCESS = "access"
"""The resource of actions on users, roles, grants and tokens."""
AUDIT = "audit"
"""That of the audit log, which is kept without access control, too."""
METRICS_RESOURCE = "metrics"


@dataclass(frozen=True, slots=True)
class Scopes:
    names: tuple[str, ...]

    def include(self, action: Action) -> bool:
        if action.resource == METRICS_RESOURCE:
            return METRICS in self.names or ADMIN in self.names
        if ADMIN in self.names:
            return True
        if action.resource in {ACCESS, AUDIT}:
            return False
        if WRITE in self.names:
            return True
        return READ in self.names and action.level <= Level.USE


EVERYTHING = Scopes((ADMIN,))
