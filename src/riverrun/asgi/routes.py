import re
from collections.abc import Mapping
from typing import NamedTuple

from riverrun.api.route import Route

UNPREFIXED = ("/api/2.0/mlflow-artifacts/", "/ajax-api/2.0/mlflow-artifacts/")
"""Paths that answer with and without the static prefix, as upstream's artifact routes do."""


class Found(NamedTuple):
    """A route, what its `*` stands for, and what each `{name}` does."""

    route: Route
    rest: str = ""
    values: Mapping[str, str] = {}


Methods = dict[str, Found]


class RouteTable:
    """From method and path to a route: a dictionary for fixed paths, short lists for those that end
    in `*` and for those with `{name}` in them.
    """

    def __init__(self, routes: tuple[Route, ...], *, prefix: str) -> None:
        self._fixed: dict[str, Methods] = {}
        self._open: dict[str, Methods] = {}
        self._shaped: dict[str, tuple[re.Pattern[str], Methods]] = {}
        for route in routes:
            for path in route.paths:
                self._add(prefix + path, Found(route))
                if prefix and path.startswith(UNPREFIXED):
                    self._add(path, Found(route))

    def _add(self, path: str, found: Found) -> None:
        methods = self._methods(path)
        methods[found.route.method] = found
        if found.route.method == "GET":
            methods.setdefault("HEAD", found)

    def _methods(self, path: str) -> Methods:
        if "{" in path:
            return self._shaped.setdefault(path, (_shape(path), {}))[1]
        table = self._open if path.endswith("*") else self._fixed
        return table.setdefault(path.removesuffix("*"), {})

    def find(self, method: str, path: str) -> Found | str:
        """Without a route, the methods that the path has, if any."""
        if path.startswith("//"):
            path = "/" + path.lstrip("/")
        methods = self._fixed.get(path)
        if methods is not None:
            return methods.get(method) or _allowed(methods)
        methods, rest, values = self._search(path)
        found = methods.get(method)
        return Found(found.route, rest, values) if found else _allowed(methods)

    def _search(self, path: str) -> tuple[Methods, str, Mapping[str, str]]:
        for start, methods in self._open.items():
            if path.startswith(start) and len(path) > len(start):
                return methods, path[len(start) :], {}
        for shape, methods in self._shaped.values():
            if match := shape.fullmatch(path):
                return methods, "", match.groupdict()
        return {}, "", {}


def _allowed(methods: Methods) -> str:
    return ", ".join(sorted(methods))


def _shape(path: str) -> re.Pattern[str]:
    """`{name}` is one segment, `{name:path}` one or more: clients do not escape a key's slashes."""
    parts = re.split(r"\{(\w+(?::path)?)\}", path)
    parts[::2] = map(re.escape, parts[::2])
    parts[1::2] = [
        f"(?P<{name.removesuffix(':path')}>{'.+' if name.endswith(':path') else '[^/]+'})"
        for name in parts[1::2]
    ]
    return re.compile("".join(parts), re.DOTALL)
