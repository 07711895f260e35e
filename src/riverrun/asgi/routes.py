from riverrun.api.routes import Route

UNPREFIXED = ("/api/2.0/mlflow-artifacts/", "/ajax-api/2.0/mlflow-artifacts/")
"""Paths that answer with and without the static prefix, as upstream's artifact routes do."""


class RouteTable:
    """From method and path to a route: a dictionary for fixed paths, a short list for those that
    end in `*`.
    """

    def __init__(self, routes: tuple[Route, ...], *, prefix: str) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        self._open: dict[str, dict[str, Route]] = {}
        for route in routes:
            for path in route.paths:
                self._add(prefix + path, route)
                if prefix and path.startswith(UNPREFIXED):
                    self._add(path, route)

    def _add(self, path: str, route: Route) -> None:
        table = self._open if path.endswith("*") else self._fixed
        methods = table.setdefault(path.removesuffix("*"), {})
        methods[route.method] = route
        if route.method == "GET":
            methods.setdefault("HEAD", route)

    def find(self, method: str, path: str) -> tuple[Route | None, str]:
        """The route and what its `*` stands for; without a route, the methods that the path has, if
        any.
        """
        if path.startswith("//"):
            path = "/" + path.lstrip("/")
        methods = self._fixed.get(path)
        rest = ""
        if methods is None:
            start = next((start for start in self._open if path.startswith(start)), None)
            if start is None or len(path) == len(start):
                return None, ""
            methods, rest = self._open[start], path[len(start) :]
        route = methods.get(method)
        return (route, rest) if route is not None else (None, ", ".join(sorted(methods)))
