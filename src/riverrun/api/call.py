from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from riverrun.auth.viewer import Authenticate, Viewer
from riverrun.errors import FeatureDisabled
from riverrun.services.access.api_tokens import ApiTokens
from riverrun.services.access.grants import Grants
from riverrun.services.access.permissions import Permissions
from riverrun.services.access.roles import Roles
from riverrun.services.access.service_accounts import ServiceAccounts
from riverrun.services.access.setup_link import SetupLink
from riverrun.services.access.users import Users
from riverrun.services.artifacts import Artifacts
from riverrun.services.audit import Audit
from riverrun.services.direct_transfers import DirectTransfers
from riverrun.services.experiments import Experiments
from riverrun.services.lineage import Lineage
from riverrun.services.logged_models import LoggedModels
from riverrun.services.metrics import MetricReader
from riverrun.services.model_versions import ModelVersions
from riverrun.services.registered_models import RegisteredModels
from riverrun.services.run_data import RunWriter
from riverrun.services.runs import Runs
from riverrun.services.storage import Storage
from riverrun.services.webhooks import Webhooks
from riverrun.services.workspaces import Workspaces


@dataclass(frozen=True, slots=True)
class Access:
    """Users, and what they may do."""

    users: Users
    roles: Roles
    grants: Grants
    tokens: ApiTokens
    service_accounts: ServiceAccounts


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
    workspaces: Workspaces
    document: Callable[[], bytes]
    """The OpenAPI document."""
    setup: SetupLink | None = None
    access: Access | None = None
    """These are None without access control."""


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

    @property
    def access(self) -> Access:
        """Raises FeatureDisabled without access control: nobody knows who asks then."""
        if self.services.access is None:
            raise FeatureDisabled("This server has no access control: start it with --auth.")
        return self.services.access


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is not one JSON message: parts of JSON, or a file."""

    body: AsyncGenerator[bytes] | bytes
    media_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
