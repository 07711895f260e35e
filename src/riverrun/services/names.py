"""Every naming rule, and the words in which it is broken."""

import posixpath
import re
from functools import lru_cache

from riverrun.errors import InvalidParameterValue, NoSuchResource, ResourceDoesNotExist
from riverrun.services import limits
from riverrun.store.model_versions import Stage

RUN_NAME_TAG = "mlflow.runName"
LOGGED_MODEL_HISTORY_TAG = "mlflow.log-model.history"
CONTEXT_TAG = "mlflow.data.context"

MODEL_VERSIONS_TAG = "mlflow.modelVersions"
"""Of a logged model: what it was registered as, a JSON list."""
MONITORS_TAG = "riverrun.monitors"
"""Of a run: the model version that it watches, as `models:/name/3`."""
WORKSPACES_FOLDER = "workspaces"
"""Of an artifact root: it has a folder for each workspace."""
RESERVED_WORKSPACES = frozenset({WORKSPACES_FOLDER, "api", "ajax-api", "static-files"})

_NOT_IN_MODEL_NAMES = ("/", ":", ".", "%", '"', "'")

_KEY = re.compile(r"[\w/.\- :]*")
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_RUN_ID_SHAPE = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}")
_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
_WEBHOOK_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WEBHOOK_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?")
_ALIAS = re.compile(r"[\w\-]+")
_RESERVED_ALIAS = re.compile(r"[vV]\d+")
_VERSION = re.compile(r"-?[0-9]{1,18}")
_EXPERIMENT_ID = re.compile(r"-?[0-9]{1,18}")
_WORKSPACE = re.compile(r"[a-z0-9][-a-z0-9]{0,61}[a-z0-9]")


@lru_cache(maxsize=4096)
def _is_key(key: str) -> bool:
    """Every write asks of its keys, and they are nearly always the same."""
    is_plain = _KEY.fullmatch(key) and len(key) <= limits.KEY_LENGTH_MAX
    return bool(is_plain) and posixpath.normpath(key) == key and not key.startswith(("..", "/"))


def check_key(key: str | None, *, what: str, name: str = "name") -> str:
    """A metric's, param's or tag's key: word characters, / . - : and spaces, and a path that stays
    itself.
    """
    if not key:
        raise _missing(name)
    if key != "." and _is_key(key):
        return key
    shown = f'"{key[: limits.KEY_LENGTH_MAX]}"'
    if not _KEY.fullmatch(key):
        raise InvalidParameterValue(
            f"Invalid value {shown} for parameter '{name}' supplied: Names may only contain "
            "alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and "
            "slashes (/)."
        )
    resolved = posixpath.normpath(key)
    if resolved != key or resolved == "." or resolved.startswith(("..", "/")):
        raise InvalidParameterValue(
            f"Invalid value {shown} for parameter '{name}' supplied: Names may be treated as files "
            "in certain cases, and must not resolve to other names when treated as such. "
            f"This name would resolve to '{resolved[: limits.KEY_LENGTH_MAX]}'"
        )
    return check_length(key, limits.KEY_LENGTH_MAX, f"{what} key")


def check_new_tag_key(key: str | None) -> str:
    """A tag's key that comes with a new run: clients send what later calls would refuse."""
    if not key:
        raise _missing("key")
    return check_length(key, limits.KEY_LENGTH_MAX, "Tag key")


def _missing(name: str) -> InvalidParameterValue:
    return InvalidParameterValue(
        f"Missing value for required parameter '{name}'. "
        "See the API docs for more information about request parameters."
    )


def check_length(value: str, length_max: int, what: str) -> str:
    if len(value) > length_max:
        raise InvalidParameterValue(
            f"'{what}' exceeds the maximum length of {length_max} characters: got {len(value)}."
        )
    return value


def run_key(run_id: str) -> bytes:
    """The 16 bytes of a run's id; what is not shaped like one does not exist."""
    if not _RUN_ID.fullmatch(run_id):
        raise run_not_found(run_id)
    return bytes.fromhex(run_id)


def is_run_id(run_id: str) -> bool:
    return _RUN_ID.fullmatch(run_id) is not None


def run_not_found(run_id: str) -> NoSuchResource:
    return NoSuchResource(f"Run with id={run_id[:256]} not found")


def check_run_id_shape(run_id: str) -> None:
    """log-batch and log-inputs say 400 to what could never be a run's id."""
    if not _RUN_ID_SHAPE.fullmatch(run_id):
        raise InvalidParameterValue(f"Invalid run ID: '{run_id[:256]}'")


def model_key(model_id: str) -> bytes:
    """The 16 bytes of a logged model's id; what is not shaped like one does not exist."""
    if not is_model_id(model_id):
        raise model_not_found(model_id)
    return bytes.fromhex(model_id.removeprefix("m-"))


def is_model_id(model_id: str) -> bool:
    return _MODEL_ID.fullmatch(model_id) is not None


def model_not_found(model_id: str) -> NoSuchResource:
    return NoSuchResource(f"Logged model with ID '{model_id[:256]}' not found.")


def unknown_model(model_id: str) -> InvalidParameterValue:
    """A metric names a model that is not there."""
    return InvalidParameterValue(
        f"Invalid value '{model_id[:256]}' for parameter 'model_id' supplied: there is no logged "
        "model with this ID."
    )


def check_model_name(name: str) -> str:
    """A logged model's name is a part of URIs."""
    if not name or any(character in name for character in _NOT_IN_MODEL_NAMES):
        raise InvalidParameterValue(
            f"Invalid model name ({name[:100]!r}) provided. Model name must be a non-empty string "
            f"and cannot contain the following characters: {_NOT_IN_MODEL_NAMES}"
        )
    return check_length(name, limits.LOGGED_MODEL_NAME_LENGTH_MAX, "name")


def experiment_key(experiment_id: str) -> int:
    if not _EXPERIMENT_ID.fullmatch(experiment_id):
        raise InvalidParameterValue(
            f"Invalid experiment ID '{experiment_id[:100]}'. Experiment ID must be a valid integer."
        )
    return int(experiment_id)


def is_experiment_id(text: str) -> bool:
    return not text.startswith("-") and _EXPERIMENT_ID.fullmatch(text) is not None


def check_experiment_name(name: str) -> str:
    if not name.strip():
        raise InvalidParameterValue("Invalid experiment name: it must not be blank.")
    return check_length(name, limits.EXPERIMENT_NAME_LENGTH_MAX, "name")


def check_registered_model_name(name: str | None) -> str:
    """A registered model's name is a part of URIs, and of paths of files."""
    if not name or not name.strip():
        raise InvalidParameterValue("Missing value for required parameter 'name'.")
    if "/" in name or ":" in name:
        raise InvalidParameterValue(
            f"Invalid model name '{name[:256]}'. Names cannot contain '/' or ':'."
        )
    is_way = name == "." or name.startswith("..")
    if is_way or any(ord(character) < 32 or character == "\x7f" for character in name):
        raise InvalidParameterValue(
            f"Invalid model name {name[:256]!r}. Names cannot be '.', begin with '..', or contain "
            "control characters."
        )
    return check_length(name, limits.REGISTERED_MODEL_NAME_LENGTH_MAX, "name")


def registered_model_not_found(name: str) -> NoSuchResource:
    return NoSuchResource(f"Registered Model with name={name[:256]} not found")


def model_version_not_found(name: str, version: int) -> ResourceDoesNotExist:
    return ResourceDoesNotExist(f"Model Version (name={name[:256]}, version={version}) not found")


def version_number(version: str) -> int:
    if not _VERSION.fullmatch(version):
        raise InvalidParameterValue(
            f"Parameter 'version' must be an integer, got '{version[:100]}'."
        )
    return int(version)


def check_new_alias(alias: str) -> str:
    check_alias(alias)
    if alias.lower() == "latest":
        raise InvalidParameterValue("'latest' alias name (case insensitive) is reserved.")
    if _RESERVED_ALIAS.fullmatch(alias):
        raise InvalidParameterValue(f"Version alias name '{alias[:255]}' is reserved.")
    return alias


def check_alias(alias: str) -> str:
    if not _ALIAS.fullmatch(alias):
        raise InvalidParameterValue(
            f"Invalid alias name: '{alias[:255]}'. It may only contain alphanumerics, underscores "
            "(_) and dashes (-)."
        )
    return check_length(alias, limits.ALIAS_LENGTH_MAX, "Registered model alias name")


def alias_not_found(alias: str) -> InvalidParameterValue:
    """Not a 404: clients know it by this code."""
    return InvalidParameterValue(f"Registered model alias {alias[:255]} not found.")


def latest_version_not_found(name: str) -> ResourceDoesNotExist:
    return ResourceDoesNotExist(f"Latest version not found for model {name[:256]}.")


def stage_of(text: str) -> Stage:
    """In any case, as upstream has it."""
    for stage in Stage:
        if stage.value.lower() == text.lower():
            return stage
    raise InvalidParameterValue(
        f"Invalid Model Version stage: {text[:100]}. "
        f"Value must be one of {', '.join(stage.value for stage in Stage)}."
    )


def experiment_of(path: str) -> int | None:
    """The one whose folder a path leads into, as this server lays them out below a root. -1, which
    is none, for what lies among the workspaces' folders.
    """
    segments = path.split("/", 3)
    is_of_workspace = segments[0] == WORKSPACES_FOLDER
    if is_of_workspace:
        segments = segments[2:]
    if segments and is_experiment_id(segments[0]):
        return int(segments[0])
    return -1 if is_of_workspace else None


def check_webhook_name(name: str) -> str:
    if not _WEBHOOK_NAME.fullmatch(name):
        raise InvalidParameterValue(
            f"Invalid webhook name '{name[:100]}'. It must have 1 to 63 letters, digits, dots, "
            "underscores and hyphens, and begin and end with a letter or a digit."
        )
    return name


def webhook_key(webhook_id: str) -> bytes:
    """The 16 bytes of a webhook's id; what is not shaped like one does not exist."""
    if not _WEBHOOK_ID.fullmatch(webhook_id):
        raise webhook_not_found(webhook_id)
    return bytes.fromhex(webhook_id.replace("-", ""))


def webhook_not_found(webhook_id: str) -> ResourceDoesNotExist:
    return ResourceDoesNotExist(f"Webhook with ID {webhook_id[:256]} not found.")


def check_workspace_name(name: str) -> str:
    """Upstream's rule, which is that of Kubernetes' namespaces but for names of one letter."""
    if not _WORKSPACE.fullmatch(name):
        raise InvalidParameterValue(
            f"Invalid workspace name '{name[:100]}'. It must have 2 to 63 lower-case letters of "
            "ASCII, digits and hyphens, and begin and end with a letter or a digit."
        )
    if name in RESERVED_WORKSPACES:
        raise InvalidParameterValue(f"Workspace name '{name}' is reserved and cannot be used.")
    return name


def workspace_not_found(name: str) -> NoSuchResource:
    return NoSuchResource(f"Workspace '{name[:100]}' not found")
