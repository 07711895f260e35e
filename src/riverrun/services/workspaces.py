"""Workspaces: which one a request is about, who may see it, and their life."""

from collections.abc import Mapping
from dataclasses import dataclass

from riverrun.artifacts.resolve import parse_location, proxied_path, validate_artifact_location
from riverrun.auth.levels import Level
from riverrun.auth.viewer import (
    DEFAULT_WORKSPACE,
    WORKSPACE,
    WORKSPACE_HEADER,
    Asking,
    Entered,
    Resource,
    Rights,
    Viewer,
    enter_the_only_one,
)
from riverrun.clock import new_run_id, now_ms
from riverrun.entities.workspaces import Workspace
from riverrun.errors import (
    InvalidParameterValue,
    InvalidState,
    PermissionDenied,
    ResourceAlreadyExists,
)
from riverrun.services import limits, names
from riverrun.services.access.permissions import ACCESS_EPOCH, manages_workspace
from riverrun.services.audit import Event, record
from riverrun.services.epoch import Epoch
from riverrun.services.experiments import ArtifactRules
from riverrun.store import epochs
from riverrun.store import workspaces as store
from riverrun.store.change import Change
from riverrun.store.engine import ConflictError, Engine, Tx

RESTRICT, SET_DEFAULT, CASCADE = "RESTRICT", "SET_DEFAULT", "CASCADE"
CONFLICTS_SHOWN_MAX = 10


@dataclass(frozen=True, slots=True)
class WorkspaceRules:
    """Whether there are several; `default` is the level on the default one of all who are known."""

    are_enabled: bool = False
    default: Level = Level.PUBLIC


@dataclass(frozen=True, slots=True)
class WorkspaceChange:
    """None leaves as it is, an empty root takes it away."""

    description: str | None
    default_artifact_root: str | None


class Workspaces:
    """What changes here counts at once on this server, and within a second on others."""

    def __init__(
        self,
        engine: Engine,
        epoch: Epoch,
        *,
        rules: WorkspaceRules,
        artifacts: ArtifactRules,
    ) -> None:
        self._engine = engine
        self._epoch = epoch
        self._rules = rules
        self._artifacts = artifacts
        self._at_epoch = -1
        self._known: Mapping[str, Workspace] = {}
        self._rights: dict[str, Rights] = {}

    @property
    def are_enabled(self) -> bool:
        return self._rules.are_enabled

    # Entering ------------------------------------------------------------------------------------

    async def entered(self, asking: Asking) -> Entered:
        """By the request's header; without one it is the default workspace. Raises
        InvalidParameterValue for what cannot be a name.
        """
        if not self._rules.are_enabled:
            return await enter_the_only_one(asking)
        name = (
            asking.headers.get(WORKSPACE_HEADER, b"").decode("latin-1").strip() or DEFAULT_WORKSPACE
        )
        if name == DEFAULT_WORKSPACE:
            return Entered(name, is_there=True, default=self._rules.default, is_confined=True)
        names.check_workspace_name(name)
        is_there = name in await self._all()
        return Entered(name, is_there, Level.PUBLIC, is_confined=True)

    async def everybody(self, asking: Asking) -> Viewer:
        """The one viewer of a server without access control, in the workspace that is asked for.

        Raises NoSuchResource.
        """
        entered = await self.entered(asking)
        await self._all()  # What was found out holds as long as this.
        if not entered.is_there:
            raise names.workspace_not_found(entered.workspace)
        return Viewer(
            name="",
            workspace=entered.workspace,
            all_powerful=True,
            rights=self._rights.setdefault(entered.workspace, Rights()),
            address=asking.peer,
            request_id=asking.request_id,
            is_confined=entered.is_confined,
        )

    async def _all(self) -> Mapping[str, Workspace]:
        """By name, in its order."""
        epoch = await self._epoch.current()
        if epoch != self._at_epoch:
            found = await self._engine.read(store.all_workspaces)
            known = {each.name: each for each in (Workspace(DEFAULT_WORKSPACE), *found)}
            self._known = dict(sorted(known.items()))
            self._rights = {}
            self._at_epoch = epoch
        return self._known

    # Their life ----------------------------------------------------------------------------------

    async def all_of(self, viewer: Viewer) -> list[Workspace]:
        """Those that the viewer has something in, by name."""
        known = await self._all()
        if viewer.all_powerful:
            return list(known.values())
        assert viewer.user_id is not None  # noqa: S101 - Nobody else is not all-powerful.
        user_id = viewer.user_id
        mine = await self._engine.read(lambda tx: store.of_user(tx, user_id))
        if self._rules.default > Level.PUBLIC:
            mine.add(DEFAULT_WORKSPACE)
        return [each for each in known.values() if each.name in mine]

    async def get(self, name: str, *, viewer: Viewer) -> Workspace:
        _check_name(name)
        for each in await self.all_of(viewer):
            if each.name == name:
                return each
        raise names.workspace_not_found(name)

    async def create(self, new: Workspace, *, viewer: Viewer) -> Workspace:
        """For admins. What was granted in an earlier one of the name does not hold."""
        viewer.require_admin()
        if new.name == DEFAULT_WORKSPACE:
            raise InvalidParameterValue(
                f"The '{DEFAULT_WORKSPACE}' workspace is reserved and cannot be created"
            )
        names.check_workspace_name(new.name)
        self._check(new.description, new.default_artifact_root)
        if len(await self._all()) >= limits.WORKSPACES_MAX:
            raise InvalidParameterValue(
                f"A server can have at most {limits.WORKSPACES_MAX} workspaces."
            )
        made = Workspace(new.name, new.description, new.default_artifact_root or None)
        change = Change(viewer.name, now_ms())

        async def work(tx: Tx) -> None:
            await store.insert(tx, made, change)
            await store.delete_roles(tx, made.name)
            await _changed(tx, "workspace.create", made.name, viewer)

        try:
            await self._engine.write(work)
        except ConflictError:
            raise ResourceAlreadyExists(f"Workspace '{new.name}' already exists.") from None
        self._epoch.forget()
        return made

    async def update(self, name: str, change: WorkspaceChange, *, viewer: Viewer) -> Workspace:
        """For admins, and for those who manage the workspace."""
        _check_name(name)
        if change.description is None and change.default_artifact_root is None:
            raise InvalidParameterValue("Workspace update must have at least one key")
        self._check(change.description, change.default_artifact_root)

        async def work(tx: Tx) -> Workspace:
            if not await manages_workspace(tx, viewer, name):
                raise PermissionDenied(f"Permission denied: MANAGE on workspace {name}.")
            found = await _taken(tx, name)
            root, description = change.default_artifact_root, change.description
            changed = Workspace(
                name,
                found.description if description is None else description,
                found.default_artifact_root if root is None else root or None,
            )
            await store.put(tx, changed, Change(viewer.name, now_ms()))
            await _changed(tx, "workspace.update", name, viewer)
            return changed

        changed = await self._engine.write(work)
        self._epoch.forget()
        return changed

    async def delete(self, name: str, mode: str, *, viewer: Viewer) -> None:
        """For admins. RESTRICT wants it empty, SET_DEFAULT moves what is in it to the default
        workspace, CASCADE deletes it for good; files go with the next collection of garbage.
        """
        viewer.require_admin()
        if name == DEFAULT_WORKSPACE:
            raise InvalidParameterValue(
                f"The '{DEFAULT_WORKSPACE}' workspace is reserved and cannot be deleted"
            )
        names.check_workspace_name(name)
        if mode not in {RESTRICT, SET_DEFAULT, CASCADE}:
            raise InvalidParameterValue(
                f"Invalid deletion mode '{mode[:100]}'. "
                f"Must be one of: {SET_DEFAULT}, {CASCADE}, {RESTRICT}"
            )
        change = Change(viewer.name, now_ms())

        async def work(tx: Tx) -> None:
            await _taken(tx, name)
            await _empty(tx, name, mode, change)
            await store.delete_roles(tx, name)
            await store.delete(tx, name)
            await _changed(tx, "workspace.delete", name, viewer, mode)

        try:
            await self._engine.write(work)
        except ConflictError:  # Somebody took a name in the default workspace just now.
            raise _conflict(name, []) from None
        self._epoch.forget()

    def _check(self, description: str | None, root: str | None) -> None:
        length_max = limits.WORKSPACE_DESCRIPTION_LENGTH_MAX
        names.check_length(description or "", length_max, "description")
        if not root:
            return
        validate_artifact_location(
            root,
            allowed_schemes=self._artifacts.allowed_schemes,
            own_roots=self._artifacts.own_roots,
            length_max=self._artifacts.location_length_max,
        )
        if not parse_location(root).scheme and not root.startswith("/"):
            raise InvalidParameterValue(
                f"Invalid default_artifact_root '{root}': expected a URI, such as s3://bucket/team,"
                " or an absolute path."
            )
        path = proxied_path(root)
        if path and not _tells_experiments(path):
            raise InvalidParameterValue(
                f"Invalid default_artifact_root '{root}': behind the artifact proxy no folder of "
                f"it may be called by a number, and '{names.WORKSPACES_FOLDER}' is reserved."
            )


async def refuse_others(engine: Engine) -> None:
    """Raises InvalidState when something lies in other workspaces, which nobody would reach."""
    found = await engine.read(lambda tx: store.elsewhere(tx, DEFAULT_WORKSPACE))
    if found is not None:
        raise InvalidState(
            f"The database holds experiments, models or webhooks of workspace '{found}': start the "
            "server with --enable-workspaces, or delete the workspace first."
        )


async def _changed(tx: Tx, action: str, name: str, viewer: Viewer, detail: str = "") -> None:
    """Last in the transaction."""
    await record(tx, Event(action, Resource(WORKSPACE, name), detail), by=viewer)
    await epochs.bump(tx, ACCESS_EPOCH)


async def _taken(tx: Tx, name: str) -> Workspace:
    found = await store.take(tx, name)
    if found is None and name != DEFAULT_WORKSPACE:
        raise names.workspace_not_found(name)
    return found or Workspace(name)


async def _empty(tx: Tx, name: str, mode: str, change: Change) -> None:
    if mode == CASCADE:
        await store.delete_contents(tx, name, f"{store.GONE}{new_run_id().hex()}", change)
    elif mode == SET_DEFAULT:
        shared = await store.shared_names(tx, name, DEFAULT_WORKSPACE, limit=CONFLICTS_SHOWN_MAX)
        if shared:
            raise _conflict(name, shared)
        await store.move_contents(tx, name, DEFAULT_WORKSPACE)
    elif left := await store.contents(tx, name):
        listed = ", ".join(f"{each.what}s: {each.count}" for each in left)
        raise InvalidState(
            f"Cannot delete workspace '{name}': it still contains resources ({listed}). Remove "
            f"them first, or delete it with mode {SET_DEFAULT} or {CASCADE}."
        )


def _conflict(name: str, shared: list[str]) -> InvalidState:
    listed = f": {', '.join(repr(each[:100]) for each in shared)}" if shared else ""
    return InvalidState(
        f"Cannot move what is in workspace '{name}' to '{DEFAULT_WORKSPACE}': both have experiments"
        f" or models of the same name{listed}. Rename these first."
    )


def _check_name(name: str) -> None:
    if name != DEFAULT_WORKSPACE:
        names.check_workspace_name(name)


def _tells_experiments(root: str) -> bool:
    """Whether paths below this folder lead to the experiment whose id comes next."""
    has_number = any(names.is_experiment_id(each) for each in root.split("/"))
    return not has_number and names.experiment_of(f"{root}/1") in {None, 1}
