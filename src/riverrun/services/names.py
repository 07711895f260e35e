"""Every naming rule, and the words in which it is broken."""

import posixpath
import re
from functools import lru_cache

from riverrun.errors import InvalidParameterValue, ResourceDoesNotExist
from riverrun.services import limits

RUN_NAME_TAG = "mlflow.runName"
LOGGED_MODEL_HISTORY_TAG = "mlflow.log-model.history"
CONTEXT_TAG = "mlflow.data.context"

_NOT_IN_MODEL_NAMES = ("/", ":", ".", "%", '"', "'")

_KEY = re.compile(r"[\w/.\- :]*")
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_RUN_ID_SHAPE = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}")
_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
_EXPERIMENT_ID = re.compile(r"-?[0-9]{1,18}")


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


def run_not_found(run_id: str) -> ResourceDoesNotExist:
    return ResourceDoesNotExist(f"Run with id={run_id[:256]} not found")


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


def model_not_found(model_id: str) -> ResourceDoesNotExist:
    return ResourceDoesNotExist(f"Logged model with ID '{model_id[:256]}' not found.")


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


def check_experiment_name(name: str) -> str:
    if not name.strip():
        raise InvalidParameterValue("Invalid experiment name: it must not be blank.")
    return check_length(name, limits.EXPERIMENT_NAME_LENGTH_MAX, "name")
