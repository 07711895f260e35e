"""Where a model version may come from. A source is a client's text, and hostile: it must lead to
the files of the run or the logged model that it names, and is never opened to find out.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote

from riverrun.artifacts.contract import InvalidArtifactPath
from riverrun.artifacts.opened import path_below
from riverrun.artifacts.paths import fully_decoded
from riverrun.artifacts.resolve import (
    PROXY_ROUTE,
    Location,
    leads_astray,
    parse_location,
    refuse_tricks,
)
from riverrun.auth.levels import Level
from riverrun.auth.viewer import Viewer
from riverrun.errors import InvalidParameterValue, NoSuchResource
from riverrun.services import limits, names
from riverrun.services.registered_models import require_model
from riverrun.store import logged_models, model_versions, registered_models, runs
from riverrun.store.engine import Tx
from riverrun.store.model_versions import Stage

PROMPT_SOURCES = frozenset({"dummy-source", "prompt-template"})
"""A prompt has no files; clients send one of these because the protocol wants a source."""

_LOCAL = frozenset({"", "file"})


@dataclass(frozen=True, slots=True)
class SourceRules:
    """What the operator decided: schemes that may lead to hosts, roots whose hosts are ours, and a
    pattern that every source must match.
    """

    allowed_schemes: tuple[str, ...] = ()
    own_roots: tuple[str, ...] = ()
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class GivenSource:
    """What the client said; None is what it left out."""

    source: str
    run_id: str | None
    model_id: str | None


@dataclass(frozen=True, slots=True)
class ModelSource:
    """What a version keeps: `location` is where the files are, `source` may only refer to them."""

    source: str
    location: str
    run_id: str
    model_id: str


def check_source(given: GivenSource, rules: SourceRules, *, is_prompt: bool) -> None:
    """What the text alone can tell. Raises InvalidParameterValue."""
    source = given.source
    names.check_length(source, limits.REGISTRY_TEXT_LENGTH_MAX, "source")
    names.check_length(given.run_id or "", limits.REGISTRY_RUN_ID_LENGTH_MAX, "run_id")
    names.check_length(given.model_id or "", limits.MODEL_ID_LENGTH_MAX, "model_id")
    if rules.pattern and not re.search(rules.pattern, source):
        raise _invalid(source, "This server accepts only sources that match its pattern.")
    if is_prompt:
        if source not in PROMPT_SOURCES:
            raise InvalidParameterValue(
                f"Invalid prompt source: '{source[:500]}'. A prompt has no files; the source must "
                f"be one of {', '.join(sorted(PROMPT_SOURCES))}."
            )
        return
    try:
        refuse_tricks(source)
    except InvalidParameterValue as error:
        raise _invalid(source, f"{error.message}.") from None
    location = parse_location(source)
    if leads_astray(location, rules.allowed_schemes, rules.own_roots):
        raise InvalidParameterValue(
            f"'source' cannot use the '{location.scheme}' scheme: it leads to a host that is not "
            "the server's own artifact storage. Set the "
            "MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES environment variable on the server "
            "to allow it."
        )
    if location.scheme not in _LOCAL and not _is_plain_path(fully_decoded(location.path)):
        raise _invalid(
            source, "An absolute path must be provided without relative path references present."
        )


def _is_plain_path(path: str) -> bool:
    segments = re.sub("/+", "/", path.rstrip("/")).split("/")
    return len(segments) > 1 and segments[0] == "" and "." not in segments


async def resolve_source(
    tx: Tx, given: GivenSource, rules: SourceRules, *, viewer: Viewer
) -> ModelSource:
    """What a version keeps of a source that `check_source` let pass. With workspaces, a source in
    the operator's roots names the run or logged model that holds it, too.

    Raises InvalidParameterValue when the run or logged model does not hold the source,
    ResourceDoesNotExist when it refers to a version that does not exist, and PermissionDenied when
    the viewer may not read there: who may read the version will.
    """
    location = parse_location(given.source)
    is_held = location.scheme in _LOCAL or _is_proxied(location)
    is_held |= _require_readable(given.source, rules, viewer) and viewer.is_confined
    if location.scheme == "models":
        if location.host:
            raise _invalid(given.source, "It must use the registry of this server.")
        parts = _tail(location)
        if len(parts) > 1 or not names.is_model_id(parts[0]):
            return await _of_version(tx, given, location, viewer)
    if given.model_id:
        return await _of_logged_model(tx, given, is_held=is_held, viewer=viewer)
    return await _of_run(tx, given, is_held=is_held, viewer=viewer)


async def _of_version(
    tx: Tx, given: GivenSource, location: Location, viewer: Viewer
) -> ModelSource:
    """A copy of another version: the same files, and the same run and logged model."""
    name, version = await _named_version(tx, given.source, _tail(location), viewer)
    model = await require_model(tx, name, Level.READ, viewer)
    origin = await model_versions.origin(tx, (model.registered_model_id, version))
    if origin is None:
        raise names.model_version_not_found(name, version)
    if model.is_prompt or origin.is_prompt:
        raise _invalid(given.source, "Prompt versions cannot be used as model version sources.")
    differs = given.run_id not in {None, origin.run_id} or given.model_id not in {
        None,
        origin.model_id,
    }
    if differs:
        raise _invalid(
            given.source,
            "The run_id and model_id request parameters must match the referenced model version.",
        )
    return ModelSource(f"models:/{name}/{version}", origin.location, origin.run_id, origin.model_id)


async def _named_version(
    tx: Tx, source: str, parts: Sequence[str], viewer: Viewer
) -> tuple[str, int]:
    """`name/3`, `name/Production`, `name/latest` or `name@alias`."""
    if len(parts) == 1 and "@" in parts[0]:
        name, _, alias = parts[0].rpartition("@")
        model = await require_model(tx, name, Level.READ, viewer)
        version = await registered_models.aliased(tx, model.registered_model_id, alias)
        if version is None:
            raise names.alias_not_found(alias)
        return name, version
    if len(parts) != 2 or not all(parts):
        raise _invalid(source, "Expected models:/<name>/<version> or models:/<name>@<alias>.")
    name, which = parts
    if re.fullmatch("[0-9]{1,18}", which):
        return name, int(which)
    model = await require_model(tx, name, Level.READ, viewer)
    stages = tuple(Stage) if which.lower() == "latest" else (names.stage_of(which),)
    found = await model_versions.latest(tx, [model.registered_model_id], stages)
    numbers = [int(version.version) for version in found[model.registered_model_id]]
    if not numbers:
        raise _invalid(source, f"The model has no version for '{which[:100]}'.")
    return name, max(numbers)


async def _of_logged_model(
    tx: Tx, given: GivenSource, *, is_held: bool, viewer: Viewer
) -> ModelSource:
    source, location = given.source, parse_location(given.source)
    model_id = given.model_id or ""
    model = await _logged_model(tx, model_id, viewer)
    is_ours = location.scheme in {"models", "runs"} or is_held
    if model is None:
        raise _not_within(source, "model_id") if is_ours else names.model_not_found(model_id)
    run_id = given.run_id or model.source_run_id
    if location.scheme == "models" and _tail(location) == [model_id]:
        return ModelSource(source, model.artifact_uri, run_id, model_id)
    if location.scheme in {"models", "runs"}:
        raise _not_within(source, "model_id")
    if is_ours:
        _require_within(source, model.artifact_uri, "model_id")
    return ModelSource(source, source, run_id, model_id)


async def _of_run(tx: Tx, given: GivenSource, *, is_held: bool, viewer: Viewer) -> ModelSource:
    source, location = given.source, parse_location(given.source)
    run_id = given.run_id or ""
    if location.scheme == "models":
        raise _not_within(source, "model_id")
    if location.scheme == "runs":
        if location.host or not run_id or _tail(location)[0] != run_id:
            raise _not_within(source, "run_id")
    elif is_held:
        info = await runs.info(tx, names.run_key(run_id)) if names.is_run_id(run_id) else None
        if info is None or _is_elsewhere(viewer, int(info.experiment_id)):
            raise _not_within(source, "run_id")
        _require_within(source, info.artifact_uri, "run_id")
    return ModelSource(source, source, run_id, "")


async def _logged_model(
    tx: Tx, model_id: str, viewer: Viewer
) -> logged_models.LoggedModelState | None:
    if not names.is_model_id(model_id):
        return None
    model = await logged_models.state(tx, names.model_key(model_id))
    if model is None or model.lifecycle_stage != "active":
        return None
    return None if _is_elsewhere(viewer, model.experiment_id) else model


def _require_readable(source: str, rules: SourceRules, viewer: Viewer) -> bool:
    """A source below a root of the operator's lies in the folder of some experiment. False for one
    that lies elsewhere.
    """
    for root in sorted(rules.own_roots, key=len, reverse=True):
        with suppress(InvalidArtifactPath, InvalidParameterValue):  # Nobody opens such a one.
            folder = path_below(root, source)
            if folder is None:
                continue
            experiment_id = names.experiment_of(folder)
            if experiment_id is not None:
                viewer.require(Level.READ, experiment_id)
            return True
    return False


def _is_elsewhere(viewer: Viewer, experiment_id: int) -> bool:
    """In another workspace. Raises PermissionDenied for what may not be read in this one."""
    try:
        viewer.require(Level.READ, experiment_id)
    except NoSuchResource:
        return True
    return False


def _tail(location: Location) -> list[str]:
    return location.path.lstrip("/").split("/")


def _is_proxied(location: Location) -> bool:
    """Whether clients would fetch it through an artifact API, ours or another server's."""
    if location.scheme == "mlflow-artifacts":
        return True
    path = f"{fully_decoded(location.path)}/"
    return location.scheme in {"http", "https"} and f"{PROXY_ROUTE}/" in path


def _require_within(source: str, root: str, parameter: str) -> None:
    """By their text: a local path may be one of the client's machine."""
    inside, outside = _place(source), _place(root)
    if len(outside) < 4 or inside[: len(outside)] != outside:
        raise _not_within(source, parameter)


def _place(uri: str) -> list[str]:
    """Scheme, host, what the path begins with, and its segments: what lies below begins alike."""
    location = parse_location(uri)
    path = location.path
    if location.scheme == "file":
        path = unquote(path)
    scheme = "" if location.scheme in _LOCAL else location.scheme
    host = "" if location.host == "localhost" and not scheme else location.host
    start = "/" if path.startswith("/") or scheme else "."
    segments = [fully_decoded(part) for part in path.split("/") if part not in {"", "."}]
    return [scheme, host, start, *segments]


def _not_within(source: str, parameter: str) -> InvalidParameterValue:
    if parse_location(source).scheme in _LOCAL:
        return _invalid(
            source,
            "To use a local path as a model version source, the "
            f"{parameter} request parameter has to be specified and the local path has to be "
            f"contained within the artifact directory of what {parameter} specifies.",
        )
    return _invalid(
        source,
        f"The {parameter} request parameter must identify the resource that contains the source.",
    )


def _invalid(source: str, why: str) -> InvalidParameterValue:
    return InvalidParameterValue(f"Invalid model version source: '{source[:500]}'. {why}")
