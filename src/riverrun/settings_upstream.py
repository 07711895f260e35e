"""Options of MLflow's server that are no settings here: they stop the start, or change nothing."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from riverrun.settings_values import SettingsError, flag_value

Fate = Literal["refused", "ignored", "uvicorn", "foreign server"]


@dataclass(frozen=True, slots=True)
class UpstreamOption:
    """`why` completes the sentence that an operator reads."""

    name: str
    options: tuple[str, ...]
    variables: tuple[str, ...]
    fate: Fate
    why: str
    is_flag: bool = False

    @property
    def label(self) -> str:
        option, variables = self.options[:1], " or ".join(self.variables)
        if not option:
            return variables
        return f"{option[0]} (or {variables})" if variables else option[0]

    def given(self, options: Mapping[str, object], environ: Mapping[str, str]) -> str:
        """Its text, empty when it is not given."""
        values = [options.get(self.name), *(environ.get(name) for name in self.variables)]
        return next((str(value).strip() for value in values if value not in {None, ""}), "")

    def is_asked_for(self, given: str) -> bool:
        """`MLFLOW_ENABLE_WORKSPACES=false` is not."""
        if not given or not self.is_flag:
            return bool(given)
        try:
            return flag_value(given)
        except ValueError as error:
            raise SettingsError(f"{self.label} cannot be {given!r}: {error}.") from None


def refuse_unserved(
    options: Mapping[str, object], environ: Mapping[str, str], *, backend_store_uri: str
) -> None:
    """Raises SettingsError for an option that says where data lives or who may enter.

    The registry and the workspaces may be named, too, as long as it is the backend store.
    """
    for each in UPSTREAM_OPTIONS:
        given = each.given(options, environ)
        is_backend = each.name in IN_BACKEND_STORE and given == backend_store_uri
        if each.fate == "refused" and each.is_asked_for(given) and not is_backend:
            raise SettingsError(f"{each.label} is not supported yet: {each.why}.")
        found = FACING_THE_NETWORK.search(given)
        if each.fate == "foreign server" and found:
            raise SettingsError(
                f"{each.label}: {found[1]} would have no effect; use --host, --port,"
                " --forwarded-allow-ips, --ssl-certfile and --ssl-keyfile."
            )


def notices(options: Mapping[str, object], environ: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each option that is accepted without effect."""
    for each in UPSTREAM_OPTIONS:
        without_effect = each.fate in {"ignored", "foreign server"}
        if without_effect and each.is_asked_for(each.given(options, environ)):
            yield f"{each.label} has no effect: {each.why}."
    if environ.get("MLFLOW_PORT", "").startswith("tcp://"):
        yield "MLFLOW_PORT is a Kubernetes service link (tcp://…) and is ignored."


# An operator who gives gunicorn a certificate or an address must not get plain http somewhere else.
FACING_THE_NETWORK = re.compile(
    r"(?:^|\s)(-b|--(?:bind|listen|host|port|unix[-_]socket|certfile|keyfile|ca[-_]certs|cert[-_]reqs"
    r"|ssl[-_]\w+|forwarded[-_]allow[-_]ips|trusted[-_]proxy)\b)"
)
# Arguments of uvicorn that `--uvicorn-opts` may carry; each is an option of ours, too.
UVICORN_ARGUMENTS = frozenset(
    {
        "--forwarded-allow-ips",
        "--log-level",
        "--proxy-headers",
        "--ssl-ca-certs",
        "--ssl-cert-reqs",
        "--ssl-certfile",
        "--ssl-ciphers",
        "--ssl-keyfile",
        "--ssl-keyfile-password",
        "--timeout-graceful-shutdown",
        "--timeout-keep-alive",
    }
)
UVICORN_OPTIONS = UpstreamOption(
    "uvicorn_opts",
    ("--uvicorn-opts",),
    ("MLFLOW_UVICORN_OPTS",),
    "uvicorn",
    "uvicorn's arguments for TLS, keep-alive, shutdown, proxy headers and log level",
)
IN_BACKEND_STORE = frozenset({"registry_store_uri", "workspace_store_uri"})
UPSTREAM_OPTIONS = (
    UVICORN_OPTIONS,
    UpstreamOption(
        "registry_store_uri",
        ("--registry-store-uri",),
        ("MLFLOW_REGISTRY_STORE_URI",),
        "refused",
        "the registry lives in the backend store; leave it out or give the same URI",
    ),
    UpstreamOption(
        "read_replica_backend_store_uri",
        ("--read-replica-backend-store-uri",),
        ("MLFLOW_READ_REPLICA_BACKEND_STORE_URI",),
        "refused",
        "every read goes to the backend store",
    ),
    UpstreamOption(
        "artifacts_only",
        ("--artifacts-only",),
        ("MLFLOW_ARTIFACTS_ONLY",),
        "refused",
        "the server always answers tracking calls, too",
        is_flag=True,
    ),
    UpstreamOption(
        "workspace_store_uri",
        ("--workspace-store-uri",),
        ("MLFLOW_WORKSPACE_STORE_URI",),
        "refused",
        "workspaces live in the backend store; leave it out or give the same URI",
    ),
    UpstreamOption(
        "trace_archival_config",
        ("--trace-archival-config",),
        ("MLFLOW_TRACE_ARCHIVAL_CONFIG",),
        "refused",
        "traces are not stored",
    ),
    UpstreamOption(
        "gunicorn_opts",
        ("--gunicorn-opts",),
        ("MLFLOW_GUNICORN_OPTS",),
        "foreign server",
        "the server does not run under gunicorn",
    ),
    UpstreamOption(
        "waitress_opts",
        ("--waitress-opts",),
        (),
        "foreign server",
        "the server does not run under waitress",
    ),
    UpstreamOption(
        "dev",
        ("--dev",),
        (),
        "ignored",
        "use --log-level debug to see more",
        is_flag=True,
    ),
    UpstreamOption(
        "expose_prometheus",
        ("--expose-prometheus",),
        ("MLFLOW_EXPOSE_PROMETHEUS",),
        "ignored",
        "server metrics come with a later release",
    ),
    UpstreamOption(
        "sqlalchemystore_echo",
        (),
        ("MLFLOW_SQLALCHEMYSTORE_ECHO",),
        "ignored",
        "statements are not logged",
        is_flag=True,
    ),
    UpstreamOption(
        "sqlalchemystore_poolclass",
        (),
        ("MLFLOW_SQLALCHEMYSTORE_POOLCLASS",),
        "ignored",
        "there is one kind of pool",
    ),
    UpstreamOption(
        "secrets_cache_ttl",
        ("--secrets-cache-ttl",),
        ("MLFLOW_SERVER_SECRETS_CACHE_TTL",),
        "ignored",
        "there is no gateway",
    ),
    UpstreamOption(
        "secrets_cache_max_size",
        ("--secrets-cache-max-size",),
        ("MLFLOW_SERVER_SECRETS_CACHE_MAX_SIZE",),
        "ignored",
        "there is no gateway",
    ),
)
