"""The stores that the server uses, and which of them holds what a URI names."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from riverrun.artifacts.contract import ArtifactStore, InvalidArtifactPath
from riverrun.artifacts.paths import safe_path
from riverrun.artifacts.resolve import local_folder, parse_location, proxied_path
from riverrun.errors import InvalidParameterValue, InvalidState, TemporarilyUnavailable
from riverrun.obs.logs import Log

LOCAL_SCHEMES = frozenset({"", "file"})
LOOK_AGAIN_S_MAX = 5
"""Between looks for a store that was out of reach at the start: it is often about to start, too."""

log = Log("riverrun.artifacts")

OpenStore = Callable[[str], ArtifactStore]


class NotServed(InvalidParameterValue):
    def __init__(self, uri: str) -> None:
        super().__init__(
            f"These artifacts are at '{uri}', which this server does not serve. "
            "Read them there directly."
        )


@dataclass(frozen=True, slots=True)
class Place:
    """A path in a store: of a folder, or of a file, which need not be there."""

    store: ArtifactStore
    path: str

    def below(self, path: str) -> "Place":
        return Place(self.store, "/".join(filter(None, (self.path, path))))


class Stores:
    """The proxy's own store at `destination` (None when artifacts are not served), and those at
    `roots`: places in clouds and local folders that the operator named. Whatever lies elsewhere is
    never opened, since clients choose URIs.

    A store is opened when it is first asked for and then kept; there are as many as roots.
    """

    def __init__(self, destination: str | None, roots: Sequence[str], opening: OpenStore) -> None:
        self._destination = destination
        # Of two roots that hold a URI, the inner one is meant.
        self._roots = sorted(roots, key=len, reverse=True)
        self._opening = opening
        self._opened: dict[str, ArtifactStore] = {}

    @property
    def has_cloud_roots(self) -> bool:
        return any(parse_location(root).scheme not in LOCAL_SCHEMES for root in self._roots)

    def served(self) -> ArtifactStore:
        """The store behind the proxy. Raises TemporarilyUnavailable when there is none."""
        if self._destination is None:
            raise TemporarilyUnavailable(
                "This server does not serve artifacts: it was started with --no-serve-artifacts.",
                retry_after_s=60,
            )
        return self.at_root(self._destination)

    def at_root(self, root: str) -> ArtifactStore:
        if root not in self._opened:
            self._opened[root] = self._opening(root)
        return self._opened[root]

    def own(self) -> list[Place]:
        """The roots, and what is behind the proxy."""
        served = [] if self._destination is None else [self._destination]
        return [Place(self.at_root(root), "") for root in dict.fromkeys((*served, *self._roots))]

    async def prepare(self, root: str) -> None:
        """Prepares the store at a root, again and again while it is out of reach.

        One that cannot be prepared only gets a line in the log: clients may have rights there that
        the server has not.
        """
        while True:
            try:
                return await self.at_root(root).prepare()
            except InvalidState as error:
                return log.warning("artifact store not usable", store=root, reason=error.message)
            except TemporarilyUnavailable as error:
                log.warning("artifact store out of reach", store=root, reason=error.message)
                await asyncio.sleep(min(error.retry_after_s, LOOK_AGAIN_S_MAX))

    def place(self, uri: str) -> Place:
        """Where the artifacts of a run, a logged model or a model version lie.

        Raises NotServed for what is not the server's own, and TemporarilyUnavailable and
        InvalidArtifactPath.
        """
        proxied = proxied_path(uri)
        if proxied is not None:
            return Place(self.served(), proxied)
        for root in self._roots:
            folder = path_below(root, uri)
            if folder is not None:
                return Place(self.at_root(root), folder)
        raise NotServed(uri)


def path_below(root: str, uri: str) -> str | None:
    """The path of `uri` below a root of the operator's, "" for the root itself, None if it lies
    elsewhere. Raises InvalidArtifactPath for one that no store could have.
    """
    if parse_location(root).scheme in LOCAL_SCHEMES:
        return _local_path_below(local_folder(root), uri)
    inner, outer = parse_location(uri), parse_location(root)
    if (inner.scheme, inner.host) != (outer.scheme, outer.host) or inner.query or "#" in uri:
        return None
    top = outer.path.strip("/")
    path = inner.path.removeprefix("/").removesuffix("/")
    if top and not f"{path}/".startswith(f"{top}/"):
        return None
    if "//" in path:
        raise InvalidArtifactPath("it contains an empty segment")
    return safe_path(path.removeprefix(top).removeprefix("/"))


def _local_path_below(root: Path, uri: str) -> str | None:
    try:
        folder = local_folder(uri)
    except InvalidParameterValue:
        return None
    if not folder.is_relative_to(root):
        return None
    return safe_path("/".join(folder.relative_to(root).parts))
