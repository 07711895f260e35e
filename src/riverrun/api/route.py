"""One row of the API's table."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from riverrun.api import artifacts
from riverrun.auth.levels import Action
from riverrun.wire.message import Message

Endpoint = Callable[[Any, Any], Awaitable[object]]

BOTH = ("/api/2.0", "/ajax-api/2.0")
AJAX = ("/ajax-api/2.0",)
OWN = ("/api/riverrun/v1",)
BOTH_3 = ("/api/3.0", "/ajax-api/3.0")
ROOT = ("",)


class Source(StrEnum):
    """Where a route's message comes from."""

    JSON = "json"
    QUERY = "query"
    FILE = "file"
    """The query; the body is a file that the endpoint streams."""


@dataclass(frozen=True, slots=True)
class Route:
    """`action` is what access control asks for; `prefixes` are what the path follows; `status` is
    that of a success, which with 204 has no body.
    """

    method: str
    path: str
    message: type[Message]
    endpoint: Endpoint
    action: Action
    prefixes: tuple[str, ...] = BOTH
    status: int = 200

    @property
    def source(self) -> Source:
        if self.endpoint in {artifacts.upload_artifact, artifacts.upload_run_artifact}:
            return Source.FILE
        return Source.QUERY if self.method in {"GET", "DELETE"} else Source.JSON

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(prefix + self.path for prefix in self.prefixes)
