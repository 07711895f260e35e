from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from riverrun.auth.viewer import Authenticate, Viewer
from riverrun.services.artifacts import Artifacts
from riverrun.services.audit import Audit
from riverrun.services.direct_transfers import DirectTransfers
from riverrun.services.experiments import Experiments
from riverrun.services.lineage import Lineage
from riverrun.services.logged_models import LoggedModels
from riverrun.services.metrics import MetricReader
from riverrun.services.model_versions import ModelVersions
from riverrun.services.permissions import Permissions
from riverrun.services.registered_models import RegisteredModels
from riverrun.services.run_data import RunWriter
from riverrun.services.runs import Runs
from riverrun.services.storage import Storage
from riverrun.services.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class Services:
    authenticate: Authenticate
    permissions: Permissions
    audit: Audit
    experiments: Experiments
    runs: Runs
    run_writer: RunWriter
    metrics: MetricReader
    artifacts: Artifacts
    direct_transfers: DirectTransfers
    logged_models: LoggedModels
    registered_models: RegisteredModels
    model_versions: ModelVersions
    lineage: Lineage
    webhooks: Webhooks
    storage: Storage
    document: Callable[[], bytes]
    """The OpenAPI document."""


class Call(NamedTuple):
    """What an endpoint gets beside its message.

    `path` is what a route's trailing `*` stood for, decoded once; `body` gives the bytes of a route
    that takes a file.
    """

    services: Services
    viewer: Viewer
    path: str
    headers: Mapping[bytes, bytes]
    body: Callable[[], AsyncGenerator[bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is not one JSON message: parts of JSON, or a file."""

    body: AsyncGenerator[bytes] | bytes
    media_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
