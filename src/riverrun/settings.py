"""Every setting of the server: one frozen record, read from the command line and the environment.

The command line beats the environment, the environment beats the default, and an empty value
counts as not given. Options, parsing and docs/settings.md all follow from the fields of `Settings`.
"""

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from riverrun.services.retention import read_age
from riverrun.settings_access import AccessSettings, access_doubts
from riverrun.settings_database import CONNECTIONS_MIN, DatabaseSettings
from riverrun.settings_field import Setting, as_setting, setting
from riverrun.settings_upstream import UVICORN_ARGUMENTS, UVICORN_OPTIONS, refuse_unserved
from riverrun.settings_values import (
    ADDRESSES,
    FERNET_KEY,
    FLAG,
    LIST,
    LOG_LEVEL,
    PATTERN,
    PREFIX,
    SCHEMES,
    TEXT,
    Kind,
    SettingsError,
    choice,
    whole,
)
from riverrun.store.urls import DatabaseUrl

AGE = Kind("an age such as 90d or 36h, or forever", read_age)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(AccessSettings):
    """What the operator decided. Only `wiring` and `cli` read it; other code is given values."""

    host: str = setting(
        TEXT,
        "127.0.0.1",
        "Address to listen on; 0.0.0.0 or :: for every network.",
        "-h --host MLFLOW_HOST",
    )
    port: int = setting(
        whole(0, 65535), 5000, "Port to listen on; 0 takes a free one.", "-p --port MLFLOW_PORT"
    )
    workers: int = setting(
        whole(1, 1024),
        1,
        "Server processes, which share the connections to the database; SQLite is served by one.",
        "-w --workers MLFLOW_WORKERS",
    )
    static_prefix: str = setting(
        PREFIX,
        "",
        "Path in front of every route, such as /mlflow behind a shared proxy.",
        "--static-prefix MLFLOW_STATIC_PREFIX",
    )
    allowed_hosts: tuple[str, ...] | None = setting(
        LIST,
        None,
        "Host headers that are let in, with wildcards; * lets all in; by default loopback, private"
        " and link-local addresses and internal names.",
        "--allowed-hosts MLFLOW_SERVER_ALLOWED_HOSTS",
    )
    cors_allowed_origins: tuple[str, ...] = setting(
        LIST,
        (),
        "Web origins that browsers may call from besides the server's own and localhost, with"
        " wildcards; * allows all without credentials.",
        "--cors-allowed-origins MLFLOW_SERVER_CORS_ALLOWED_ORIGINS",
    )
    x_frame_options: str = setting(
        choice("SAMEORIGIN", "DENY", "NONE"),
        "SAMEORIGIN",
        "Who may show pages of this server in a frame; NONE sends no such header.",
        "--x-frame-options MLFLOW_SERVER_X_FRAME_OPTIONS",
    )
    disable_security_middleware: bool = setting(
        FLAG,
        False,
        "Turn off the host and origin checks and the protective headers.",
        "--disable-security-middleware MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE",
    )
    proxy_headers: bool = setting(
        FLAG,
        True,
        "Read X-Forwarded-For, -Proto and -Prefix from the proxies in --forwarded-allow-ips.",
        "--proxy-headers RIVERRUN_PROXY_HEADERS",
    )
    forwarded_allow_ips: tuple[str, ...] = setting(
        ADDRESSES,
        ("127.0.0.1", "::1"),
        "Addresses or networks of proxies whose X-Forwarded headers count; * for all.",
        "--forwarded-allow-ips FORWARDED_ALLOW_IPS",
    )
    ssl_certfile: str | None = setting(
        TEXT,
        None,
        "File with the TLS certificate and its chain; turns on https.",
        "--ssl-certfile RIVERRUN_SSL_CERTFILE",
    )
    ssl_keyfile: str | None = setting(
        TEXT,
        None,
        "File with the TLS key, if it is not in the certificate's file.",
        "--ssl-keyfile RIVERRUN_SSL_KEYFILE",
    )
    ssl_keyfile_password: str | None = setting(
        TEXT,
        None,
        "Password of the TLS key.",
        "--ssl-keyfile-password RIVERRUN_SSL_KEYFILE_PASSWORD",
        secret=True,
    )
    ssl_ca_certs: str | None = setting(
        TEXT,
        None,
        "File with the authorities that sign client certificates.",
        "--ssl-ca-certs RIVERRUN_SSL_CA_CERTS",
    )
    ssl_cert_reqs: int = setting(
        whole(0, 2),
        0,
        "Client certificates: 0 not asked for, 1 checked when given, 2 required.",
        "--ssl-cert-reqs RIVERRUN_SSL_CERT_REQS",
    )
    ssl_ciphers: str | None = setting(
        TEXT,
        None,
        "TLS ciphers in OpenSSL's notation; by default Python's choice.",
        "--ssl-ciphers RIVERRUN_SSL_CIPHERS",
    )
    # Load balancers reuse idle connections for up to 600 s (Google's, fixed; nginx and AWS 60 s),
    # and a server that closes first makes them answer 502. Training scripts pause for minutes, too.
    keep_alive_s: int = setting(
        whole(1, 86400),
        620,
        "Seconds that an idle connection stays open; longer than proxies and clients keep theirs.",
        "--timeout-keep-alive RIVERRUN_TIMEOUT_KEEP_ALIVE",
    )
    # Kubernetes kills 30 s after SIGTERM; five of them are for closing the store.
    graceful_shutdown_s: int = setting(
        whole(0, 86400),
        25,
        "Seconds that requests in flight may take after SIGTERM before they are cut off.",
        "--timeout-graceful-shutdown RIVERRUN_TIMEOUT_GRACEFUL_SHUTDOWN",
    )
    # The largest message that the protocol allows is a dataset whose profile has 16 777 215
    # characters, which may be escaped; a log-batch at its limits stays under 8 MiB.
    request_bytes_max: int = setting(
        whole(1024, 2**31),
        32 * 1024 * 1024,
        "Largest JSON body in bytes; artifacts have no such limit.",
        "--request-bytes-max RIVERRUN_REQUEST_BYTES_MAX",
    )
    truncate_long_values: bool = setting(
        FLAG,
        True,
        "Shorten params and tags that are too long instead of refusing them.",
        "--truncate-long-values MLFLOW_TRUNCATE_LONG_VALUES",
    )
    artifact_location_max_length: int = setting(
        whole(1, 65535),
        2048,
        "Longest artifact location of an experiment, in characters.",
        "--artifact-location-max-length MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH",
    )
    allowed_host_addressed_artifact_schemes: tuple[str, ...] = setting(
        LIST,
        (),
        "Schemes (such as hdfs or https) of artifact locations that clients may point at other"
        " hosts.",
        "--allowed-host-addressed-artifact-schemes MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES",
    )
    retention_ms: int | None = setting(
        AGE,
        None,
        "How long after their deletion runs, logged models and experiments go for good, with their"
        " files, looked for once a day; forever: only where an experiment's tag says when. By"
        " default nothing goes.",
        "--retention RIVERRUN_RETENTION",
    )
    create_model_version_source_validation_regex: str = setting(
        PATTERN,
        "",
        "Regular expression that must be found in the source of every new model version.",
        "--create-model-version-source-validation-regex"
        " MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX",
    )
    webhook_secret_encryption_key: str | None = setting(
        FERNET_KEY,
        None,
        "Key that encrypts the secrets of webhooks in the database; by default one in a file beside"
        " a SQLite database.",
        "--webhook-secret-encryption-key MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY",
        secret=True,
    )
    webhook_request_timeout_s: int = setting(
        whole(1, 300),
        30,
        "Seconds that one attempt to call a webhook may take in all.",
        "--webhook-request-timeout MLFLOW_WEBHOOK_REQUEST_TIMEOUT",
    )
    webhook_request_max_retries: int = setting(
        whole(0, 20),
        3,
        "Attempts that follow the first one, after 1, 8, 64, 512 seconds, then hourly.",
        "--webhook-request-max-retries MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES",
    )
    webhook_delivery_max_workers: int = setting(
        whole(1, 100),
        10,
        "Webhooks that are called at once.",
        "--webhook-delivery-max-workers MLFLOW_WEBHOOK_DELIVERY_MAX_WORKERS",
    )
    webhook_allowed_schemes: tuple[str, ...] = setting(
        SCHEMES,
        ("https",),
        "Schemes that URLs of webhooks may have.",
        "--webhook-allowed-schemes MLFLOW_WEBHOOK_ALLOWED_SCHEMES",
    )
    webhook_allow_private_ips: bool = setting(
        FLAG,
        False,
        "Call webhooks at private, loopback and link-local addresses, too.",
        "--webhook-allow-private-ips MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS",
    )
    log_level: str = setting(
        LOG_LEVEL,
        "info",
        "Least level of events in the log; debug adds the traceback of each answer of 500.",
        "--log-level MLFLOW_LOGGING_LEVEL",
    )
    log_format: str = setting(
        choice("auto", "text", "json"),
        "auto",
        "Form of the log lines; auto is text on a terminal and JSON otherwise.",
        "--log-format RIVERRUN_LOG_FORMAT",
    )
    access_log: str = setting(
        choice("errors", "all", "off"),
        "errors",
        "Which requests get a line in the log: those answered with 400 and above, all, or none.",
        "--access-log RIVERRUN_ACCESS_LOG",
    )
    cloud_run_service: str = setting(
        TEXT, "", "Set by Cloud Run; hosts under .run.app are let in.", "K_SERVICE"
    )
    railway_public_domain: str = setting(
        TEXT, "", "Set by Railway; this host is let in.", "RAILWAY_PUBLIC_DOMAIN"
    )

    def __post_init__(self) -> None:
        AccessSettings.__post_init__(self)  # A class with slots has no super() here.
        if self.pool_connections < CONNECTIONS_MIN:
            raise SettingsError(
                f"--workers {self.workers} share {self.database_connections} connections to the "
                f"database; give a --pool-size of at least {CONNECTIONS_MIN * self.workers}."
            )
        if self.processes > 1 and self.artifact_destination == "memory://":
            raise SettingsError("memory:// is the memory of one process; give --workers 1.")
        if self.ssl_keyfile and not self.ssl_certfile:
            raise SettingsError("--ssl-keyfile needs --ssl-certfile.")
        if self.ssl_cert_reqs and not self.ssl_ca_certs:
            raise SettingsError("--ssl-cert-reqs needs --ssl-ca-certs.")

    @classmethod
    def load(cls, options: Mapping[str, object], environ: Mapping[str, str]) -> Self:
        """Reads options (by field name; None and empty count as not given) and variables.

        Raises SettingsError for a value that cannot be, and for an option of MLflow's server that
        says where data lives or who may enter and that is not implemented.
        """
        given = {**from_environment(environ), **from_uvicorn_options(options, environ)}
        given.update((key, value) for key, value in options.items() if is_given(value))
        settings = cls(**parsed(settings_table(), given))
        refuse_unserved(options, environ, backend_store_uri=settings.backend_store_uri)
        return settings

    @property
    def processes(self) -> int:
        return 1 if isinstance(self.database, Path) else self.workers

    @property
    def pool_connections(self) -> int:
        """To a database server, of one process."""
        return self.database_connections // self.processes

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an operator should know before relying on these settings, a sentence each."""
        doubts = {
            f"--workers {self.workers}: SQLite is served by one process, so one is started.": (
                self.workers > self.processes
            ),
            "--database-password-file or -command has no effect: the database's URL needs none.": (
                self.has_idle_password_source
            ),
            "--artifacts-destination memory://: artifacts are gone when the server stops.": (
                self.artifact_destination == "memory://"
            ),
            "--allowed-hosts *: DNS rebinding lets foreign web pages reach this server.": (
                "*" in (self.allowed_hosts or ())
            ),
            "--disable-security-middleware: host, origin and frame protections are off.": (
                self.disable_security_middleware
            ),
            "--webhook-allow-private-ips: whoever may create webhooks reaches this machine and its"
            " private network through them.": self.webhook_allow_private_ips,
            **access_doubts(
                self, self.host, has_tls=bool(self.ssl_certfile or self.platform_hosts)
            ),
        }
        return tuple(sentence for sentence, applies in doubts.items() if applies)

    @property
    def setup_file(self) -> Path:
        """Where the link for the first admin is written: beside SQLite's file, or where we are."""
        if isinstance(self.database, Path):
            path = self.database.resolve()
            return path.with_name(f"{path.name}.setup-link")
        return Path("riverrun.setup-link").resolve()

    @property
    def setup_page(self) -> str:
        """The address of the page for the first admin, seen from this machine."""
        host = self.host if ":" not in self.host else f"[{self.host}]"
        if self.host in {"0.0.0.0", "::", "127.0.0.1", "::1"}:  # noqa: S104 - Not listened on.
            host = "localhost"
        scheme = "https" if self.ssl_certfile else "http"
        return f"{scheme}://{host}:{self.port}{self.static_prefix}/setup"

    @property
    def webhook_key_file(self) -> Path | None:
        """Beside SQLite's file. A database that servers share has none, and needs the setting."""
        if not isinstance(self.database, Path):
            return None
        path = self.database.resolve()
        return path.with_name(f"{path.name}.webhook-key")

    @property
    def platform_hosts(self) -> tuple[str, ...]:
        """Names that the platform gave this server, for the default list of hosts."""
        cloud_run = ("*.run.app",) if self.cloud_run_service else ()
        railway = (self.railway_public_domain,) if self.railway_public_domain else ()
        return cloud_run + railway

    @property
    def trusted_proxies(self) -> tuple[str, ...]:
        return self.forwarded_allow_ips if self.proxy_headers else ()


def settings_table(of: type[DatabaseSettings] = Settings) -> tuple[Setting, ...]:
    """Every setting, in the order of the documentation."""
    return tuple(as_setting(each) for each in fields(of))


def database_at(uri: str, environ: Mapping[str, str]) -> Path | DatabaseUrl:
    """The database that a command is pointed at, with passwords and certificates from the same
    variables as the server's.

    Raises SettingsError.
    """
    given = {**from_environment(environ), "backend_store_uri": uri}
    return DatabaseSettings(**parsed(settings_table(DatabaseSettings), given)).database


def parsed(table: Iterable[Setting], given: Mapping[str, object]) -> dict[str, Any]:
    return {each.name: each.parse(given[each.name]) for each in table if each.name in given}


def process_environment(defaults: Mapping[str, str]) -> Mapping[str, str]:
    """The variables of this process, after adding `defaults`; what is set already stands.

    They are really set, because the SDKs of the artifact stores read theirs from the process.
    """
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    return os.environ


def is_given(value: object) -> bool:
    return value is not None and value != ""


def from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    """The first variable of each setting that is given and meant for us."""
    found: dict[str, object] = {}
    for each in settings_table():
        values = [environ.get(name, "").strip() for name in each.variables]
        meant = [value for value in values if value and not is_service_link(each.name, value)]
        if meant:
            found[each.name] = meant[0]
    return found


def is_service_link(name: str, value: str) -> bool:
    """Kubernetes puts `MLFLOW_PORT=tcp://…` into every pod beside a service called mlflow."""
    return name == "port" and value.startswith("tcp://")


def from_uvicorn_options(
    options: Mapping[str, object], environ: Mapping[str, str]
) -> dict[str, object]:
    """The settings inside `--uvicorn-opts`. Raises SettingsError for any other argument."""
    try:
        words = iter(shlex.split(UVICORN_OPTIONS.given(options, environ)))
    except ValueError:
        raise SettingsError("--uvicorn-opts has a quotation mark without its partner.") from None
    known = {
        option: each
        for each in settings_table()
        for option in each.options
        if option in UVICORN_ARGUMENTS
    }
    found: dict[str, object] = {}
    for word in words:
        option, equals, value = word.partition("=")
        each = known.get(positive(option))
        if each is None or (option != positive(option) and not each.is_flag):
            served = ", ".join(sorted(UVICORN_ARGUMENTS))
            raise SettingsError(f"--uvicorn-opts: {option} is not supported; these are: {served}.")
        found[each.name] = uvicorn_value(each, option, value if equals else None, words)
    return found


def positive(option: str) -> str:
    return "--" + option.removeprefix("--no-") if option.startswith("--no-") else option


def uvicorn_value(each: Setting, option: str, value: str | None, rest: Iterator[str]) -> object:
    if each.is_flag:
        return not option.startswith("--no-") if value is None else value
    value = next(rest, None) if value is None else value
    if value is None:
        raise SettingsError(f"--uvicorn-opts: {option} needs a value.")
    return value
