"""What can be granted: the words of the protocol, and what one must manage to grant it."""

from riverrun.auth.levels import Level
from riverrun.auth.permissions import Permission
from riverrun.auth.viewer import EXPERIMENT, REGISTERED_MODEL, WORKSPACE, Viewer
from riverrun.errors import InvalidParameterValue
from riverrun.services import limits, names
from riverrun.services.access.permissions import MODEL_TYPES
from riverrun.store.access.roles import What

ANY = "*"
NAMED_TYPES = (
    EXPERIMENT,
    *MODEL_TYPES,
    "scorer",
    "gateway_secret",
    "gateway_endpoint",
    "gateway_model_definition",
    "mcp_server",
)
"""Types of which single ones can be granted. All but the first three have no effect here."""
PARTS = {
    "run": EXPERIMENT,
    "logged_model": EXPERIMENT,
    "registered_model_version": REGISTERED_MODEL,
    "prompt_version": "prompt",
}
"""Types that have the permissions of what they are in, and none of their own."""
WHOLE_TYPES = (
    WORKSPACE,
    *PARTS,
    "trace",
    "assessment",
    "review_queue",
    "scorer_version",
    "mcp_server_version",
)
"""Types that can be granted as a whole only. All but the first have no effect here."""
GRANTABLE = ("READ", "USE", "EDIT", "MANAGE", "DENY")
LEGACY_GRANTABLE = (*GRANTABLE, "NO_PERMISSIONS")
"""What clients before 3.13 grant."""
WORKSPACE_GRANTABLE = ("USE", "MANAGE")
"""Membership, and the administration of the workspace."""


def what_of(resource_type: str, pattern: str) -> What:
    """An experiment by its id, a model by its name, or names with `*` for any text in them; of an
    experiment, everything that is not digits is such a pattern.
    """
    if resource_type not in {*NAMED_TYPES, *WHOLE_TYPES}:
        expected = ", ".join(sorted({*NAMED_TYPES, *WHOLE_TYPES}))
        raise InvalidParameterValue(
            f"Invalid resource type '{resource_type[:100]}'. Valid resource types are: {expected}"
        )
    names.check_length(pattern, limits.GRANT_PATTERN_LENGTH_MAX, "resource pattern")
    if pattern.count(ANY) > limits.GRANT_PATTERN_STARS_MAX:
        raise InvalidParameterValue(
            f"Invalid resource pattern: it has {pattern.count(ANY)} '*'; "
            f"{limits.GRANT_PATTERN_STARS_MAX} are possible."
        )
    if resource_type in WHOLE_TYPES and pattern != ANY:
        raise InvalidParameterValue(
            f"Invalid resource pattern '{pattern[:100]}' for resource type '{resource_type}': "
            "only '*' is possible."
        )
    if resource_type == EXPERIMENT:
        if pattern.isascii() and pattern.isdigit():
            return What(EXPERIMENT, str(names.experiment_key(pattern)), is_glob=False)
        return What(EXPERIMENT, pattern, is_glob=True)
    return What(resource_type, pattern, is_glob=ANY in pattern)


def permission_of(word: str, what: What, *, words: tuple[str, ...] = GRANTABLE) -> Permission:
    """The permission of this name, if it can be granted on this."""
    if what.resource_type == WORKSPACE:
        words = WORKSPACE_GRANTABLE
    if word not in words:
        raise InvalidParameterValue(
            f"Invalid permission '{word[:100]}' for resource type '{what.resource_type}'. "
            f"Valid permissions are: {', '.join(words)}"
        )
    permission = Permission[word]
    if permission <= Permission.NO_PERMISSIONS and what.resource_type in PARTS:
        # To accept what protects nothing would be worse than to refuse it.
        raise InvalidParameterValue(
            f"{word} on '{what.resource_type}' has no effect on this server: give it on the "
            f"'{PARTS[what.resource_type]}' that it belongs to."
        )
    return permission


def experiment_of(what: What) -> int | None:
    """The id of the one experiment that it is about."""
    return int(what.pattern) if what.resource_type == EXPERIMENT and not what.is_glob else None


def model_of(what: What) -> str | None:
    """The name of the one registered model or prompt that it is about."""
    return what.pattern if what.resource_type in MODEL_TYPES and not what.is_glob else None


def require_management(what: What, viewer: Viewer) -> None:
    """Raises PermissionDenied unless the viewer may say who has what on this: with MANAGE on the
    experiment or model, and for everything else with MANAGE on the workspace.
    """
    model = model_of(what)
    if model is None:
        viewer.require(Level.MANAGE, experiment_of(what))
    else:
        viewer.require_model(Level.MANAGE, model)
