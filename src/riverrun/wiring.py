"""The composition root: settings -> engine -> stores -> services -> ASGI application. The one file
that knows all rooms.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from starlette.types import ASGIApp

from riverrun.api.call import Access, Services
from riverrun.api.routes import routes
from riverrun.artifacts.contract import ArtifactStore
from riverrun.artifacts.local import LocalStore
from riverrun.artifacts.opened import Stores
from riverrun.artifacts.resolve import open_store
from riverrun.asgi.app import Application, Lifecycle, Page
from riverrun.asgi.middleware.access_log import AccessLog
from riverrun.asgi.middleware.compression import Compression
from riverrun.asgi.middleware.forwarded import ForwardedHeaders
from riverrun.asgi.middleware.hosts import HostCheck, HostRule, OriginRule
from riverrun.asgi.middleware.request_id import RequestId
from riverrun.auth.levels import Level, public, read
from riverrun.auth.permissions import Permission
from riverrun.auth.viewer import Authenticate, everybody
from riverrun.errors import InvalidState, TemporarilyUnavailable, TrackingError
from riverrun.obs.health import probes
from riverrun.obs.logs import Log
from riverrun.outbound.client import Client
from riverrun.outbound.guard import Rules
from riverrun.services.access.api_tokens import ApiTokens
from riverrun.services.access.authentication import Authentication
from riverrun.services.access.first_admin import ConfiguredAdmin, ensure_admin
from riverrun.services.access.grants import Grants
from riverrun.services.access.permissions import ACCESS_EPOCH, Permissions
from riverrun.services.access.roles import Roles
from riverrun.services.access.service_accounts import ServiceAccounts
from riverrun.services.access.setup_link import SetupLink
from riverrun.services.access.signing_key import signing_key
from riverrun.services.access.user_import import import_users, was_done
from riverrun.services.access.users import Users
from riverrun.services.artifacts import Artifacts
from riverrun.services.audit import Audit
from riverrun.services.background import Background, Work
from riverrun.services.compaction import Compactor
from riverrun.services.direct_transfers import DirectTransfers, TransferRules
from riverrun.services.epoch import Epoch
from riverrun.services.experiments import ArtifactRules, Experiments
from riverrun.services.key_names import KeyNames
from riverrun.services.lineage import Lineage
from riverrun.services.logged_models import LoggedModels
from riverrun.services.metrics import MetricReader
from riverrun.services.model_sources import SourceRules
from riverrun.services.model_versions import ModelVersions
from riverrun.services.outbox import Outbox
from riverrun.services.registered_models import RegisteredModels
from riverrun.services.run_data import RunWriter
from riverrun.services.runs import Runs
from riverrun.services.storage import Storage
from riverrun.services.values import ValueRules
from riverrun.services.webhook_delivery import Deliverer, DeliveryRules
from riverrun.services.webhook_secrets import WebhookSecrets
from riverrun.services.webhook_sender import WebhookSender
from riverrun.services.webhooks import Webhooks
from riverrun.services.workspaces import WorkspaceRules, Workspaces, refuse_others
from riverrun.settings import Settings, database_at
from riverrun.settings_access import access_rules
from riverrun.settings_values import SettingsError
from riverrun.store.databases import open_engine
from riverrun.store.engine import Engine
from riverrun.store.pool import PoolRules
from riverrun.ui.landing import LandingPage
from riverrun.ui.setup import SetupPage

ARTIFACT_THREADS = 16
"""Disk calls at once: most of them wait for fsync, not for the processor."""
PREPARE_S_MAX = 4
"""How long the start waits for the artifact store: without it, all but the files can be served."""
PUBLIC_PAGES = frozenset({"/health", "/livez", "/readyz"})
"""What is shown without a login."""

log = Log("riverrun.access")


class Server:
    """One running server: what is made at its start, and unmade at its end."""

    def __init__(self, settings: Settings, environ: Mapping[str, str] | None = None) -> None:
        """`environ` is where the artifact stores find their credentials."""
        self._settings = settings
        self._environ = environ or {}
        self._engine: Engine | None = None
        self._compactor: Compactor | None = None
        self._deliverer: Deliverer | None = None
        self._stores_work: Background | None = None
        self._retention: Background | None = None
        self._access: Background | None = None
        self._authentication: Authentication | None = None
        self._setup: SetupLink | None = None
        self._epoch: Epoch | None = None

    async def start(self) -> Services:
        """Raises TrackingError with one sentence when the server cannot start."""
        settings = self._settings
        engine = self._engine = await open_engine(
            settings.database,
            PoolRules(settings.pool_connections, settings.database_wait_s, settings.pool_recycle_s),
            upgrade=settings.upgrade,
        )
        compactor = self._compactor = Compactor(engine)
        key_names = KeyNames(engine)
        values = ValueRules(truncate=settings.truncate_long_values)
        rules = ArtifactRules(
            root=settings.experiment_root,
            location_length_max=settings.artifact_location_max_length,
            allowed_schemes=settings.allowed_host_addressed_artifact_schemes,
            own_roots=settings.own_artifact_roots,
        )
        experiments = Experiments(engine, rules)
        logged_models = LoggedModels(engine, key_names=key_names)
        outbox = Outbox()
        model_versions = ModelVersions(
            engine, outbox, key_names=key_names, sources=self._source_rules()
        )
        runs = Runs(engine, outbox, key_names=key_names, compactor=compactor, values=values)
        stores = await self._prepared_stores()
        await experiments.ensure_default()
        workspaces = await self._opened_workspaces(engine, rules)
        compactor.start()
        webhooks = self._opened_webhooks(engine, outbox)
        self._start_retention(engine, stores)
        audit = Audit(engine)
        return Services(
            authenticate=await self._guarded(engine, audit, workspaces),
            permissions=Permissions(engine),
            audit=audit,
            experiments=experiments,
            runs=runs,
            run_writer=RunWriter(engine, key_names=key_names, compactor=compactor, values=values),
            metrics=MetricReader(engine, key_names),
            artifacts=Artifacts(
                stores,
                runs=runs,
                logged_models=logged_models,
                model_versions=model_versions,
                audit=audit,
            ),
            direct_transfers=DirectTransfers(
                stores, self._transfer_rules(), runs=runs, logged_models=logged_models
            ),
            logged_models=logged_models,
            registered_models=RegisteredModels(engine, outbox),
            model_versions=model_versions,
            lineage=Lineage(engine, key_names),
            webhooks=webhooks,
            storage=Storage(engine, stores),
            workspaces=workspaces,
            document=openapi_document,
            setup=self._setup,
            access=self._opened_access(engine),
        )

    async def _opened_workspaces(self, engine: Engine, artifacts: ArtifactRules) -> Workspaces:
        """Raises InvalidState when there is something in other workspaces, and they are off."""
        settings = self._settings
        default = Level.PUBLIC
        if not settings.workspaces:
            await refuse_others(engine)
        elif settings.has_access_control:
            rules = access_rules(settings)
            default = rules.default if rules.grants_default_workspace else default
        return Workspaces(
            engine,
            self._access_epoch(engine),
            rules=WorkspaceRules(settings.workspaces, default),
            artifacts=artifacts,
        )

    def _access_epoch(self, engine: Engine) -> Epoch:
        """One for all who ask, so that a change here counts here at once."""
        if self._epoch is None:
            self._epoch = Epoch(engine, ACCESS_EPOCH)
        return self._epoch

    async def _guarded(self, engine: Engine, audit: Audit, workspaces: Workspaces) -> Authenticate:
        """Who may enter; with access control there is a first admin, or a link for one, then."""
        settings = self._settings
        if not settings.has_access_control:
            return workspaces.everybody if settings.workspaces else everybody
        rules = access_rules(settings)
        authentication = self._authentication = Authentication(
            engine,
            self._access_epoch(engine),
            audit,
            default=rules.default,
            requests_per_s=settings.requests_per_second,
            enter=workspaces.entered,
        )
        await self._take_users(engine, rules.upstream_database)
        if rules.admin_password:
            admin = ConfiguredAdmin(rules.admin_username, rules.admin_password)
            await ensure_admin(engine, admin, authentication)
        await signing_key(engine, settings.secret_key)
        file = settings.setup_file
        setup = self._setup = SetupLink(engine, audit, authentication, file, settings.setup_page)
        is_offered = await setup.offer()
        log.info(
            "access control on",
            default_permission=Permission(rules.default).name,
            admin=f"nobody yet: {file} has the link" if is_offered else rules.admin_from or "known",
        )
        self._access = Background(audit.write_notes)
        self._access.start()
        return authentication

    def _opened_access(self, engine: Engine) -> Access | None:
        known = self._authentication
        if known is None:
            return None
        return Access(
            Users(engine, known),
            Roles(engine, known),
            Grants(engine, known),
            ApiTokens(engine, known),
            ServiceAccounts(engine, known),
        )

    async def _take_users(self, engine: Engine, uri: str | None) -> None:
        """From the database of an MLflow server, once. Raises TrackingError when it is out of
        reach: a server without its users is of no use.
        """
        if uri is None or await was_done(engine):
            return
        from riverrun.store.access.upstream_users import read_users  # noqa: PLC0415 - Once, if at all.

        try:
            found = await read_users(database_at(uri, self._environ))
        except SettingsError:
            found = None
        except TrackingError as error:
            raise InvalidState(f"database_uri in basic_auth.ini: {error.message}") from error
        if found is not None:
            await import_users(engine, found)
        else:
            log.info("database_uri in basic_auth.ini has no users: they live in the backend store")

    def _opened_webhooks(self, engine: Engine, outbox: Outbox) -> Webhooks:
        """And starts to deliver."""
        settings = self._settings
        rules = Rules(settings.webhook_allowed_schemes, settings.webhook_allow_private_ips)
        client = Client(rules, timeout_s=settings.webhook_request_timeout_s)
        secrets = WebhookSecrets(settings.webhook_secret_encryption_key, settings.webhook_key_file)
        sender = WebhookSender(client, secrets)
        pace = DeliveryRules(
            timeout_s=settings.webhook_request_timeout_s,
            retries=settings.webhook_request_max_retries,
            workers=settings.webhook_delivery_max_workers,
        )
        self._deliverer = Deliverer(engine, outbox, sender, pace)
        self._deliverer.start()
        return Webhooks(engine, client=client, secrets=secrets, sender=sender)

    def _source_rules(self) -> SourceRules:
        settings = self._settings
        return SourceRules(
            allowed_schemes=settings.allowed_host_addressed_artifact_schemes,
            own_roots=(settings.experiment_root, *settings.own_artifact_roots),
            pattern=settings.create_model_version_source_validation_regex,
        )

    def _transfer_rules(self) -> TransferRules:
        settings = self._settings
        return TransferRules(
            settings.direct_transfers,
            redirects=settings.redirect_downloads,
            download_url_ttl_s=settings.presigned_download_url_ttl_s,
        )

    async def _prepared_stores(self) -> Stores:
        """Opens what the settings name. The proxy's own store is ready then, or out of reach for
        now; a root that clients use directly, with rights of their own, is seen to meanwhile.
        """
        settings = self._settings
        stores = stores_of(settings, self._environ)
        works: list[Work] = []
        if settings.serves_artifacts:
            destination = settings.artifact_destination
            store = stores.served()
            if isinstance(store, LocalStore):
                works.append(store.sweep_daily)
            try:
                async with asyncio.timeout(PREPARE_S_MAX):
                    await store.prepare()
            except (TemporarilyUnavailable, TimeoutError):
                works.append(lambda: stores.prepare(destination))
        for root in settings.own_artifact_roots:
            stores.at_root(root)  # What cannot be meant stops the start, and not a request.
        if settings.hands_out_cloud_root:
            works.append(lambda: stores.prepare(settings.experiment_root))
        self._stores_work = Background(*works)
        self._stores_work.start()
        return stores

    def _start_retention(self, engine: Engine, stores: Stores) -> None:
        age_ms = self._settings.retention_ms
        if age_ms is None:
            return
        from riverrun.services.garbage import Garbage  # noqa: PLC0415 - Most servers have none.
        from riverrun.services.retention import Retention  # noqa: PLC0415 - Likewise.

        async def collect_daily() -> None:
            await Garbage(engine, stores).collect_daily(Retention(age_ms))

        self._retention = Background(collect_daily)
        self._retention.start()

    async def stop(self) -> None:
        if self._access is not None:
            await self._access.stop()
        if self._authentication is not None:
            await self._authentication.close()
        if self._retention is not None:
            await self._retention.stop()
        if self._stores_work is not None:
            await self._stores_work.stop()
        if self._deliverer is not None:
            await self._deliverer.stop()
        if self._compactor is not None:
            await self._compactor.stop()
        if self._engine is not None:
            await self._engine.close()

    @property
    def setup(self) -> SetupLink | None:
        """None while the server starts, and without access control."""
        return self._setup

    async def ready(self) -> str | None:
        """Why requests should go elsewhere; None when they are welcome."""
        if self._engine is None:
            return "starting"
        return await self._engine.trouble()


def stores_of(settings: Settings, environ: Mapping[str, str]) -> Stores:
    """What the settings name; each is opened when it is first asked for."""
    threads = ThreadPoolExecutor(ARTIFACT_THREADS, thread_name_prefix="artifacts")

    def opening(uri: str) -> ArtifactStore:
        return open_store(uri, threads, fsync=settings.artifact_fsync, environ=environ)

    destination = settings.artifact_destination if settings.serves_artifacts else None
    return Stores(destination, settings.own_artifact_roots, opening)


def openapi_document() -> bytes:
    from riverrun.api.openapi import document  # noqa: PLC0415 - Rarely asked for, and large.

    return document()


def pages_of(settings: Settings, server: Server) -> dict[str, Page]:
    """What is shown at which path, beside the API."""
    landing = LandingPage(prefix=settings.static_prefix)
    pages = {
        path: Page(page, public() if path in PUBLIC_PAGES else read("server"))
        for path, page in {**probes(server.ready), "/": landing, "": landing}.items()
    }
    if settings.has_access_control:
        page = SetupPage(lambda: server.setup)
        pages["/setup"] = Page(page, public(), ("GET", "HEAD", "POST"))
    return pages


def build(settings: Settings, environ: Mapping[str, str] | None = None) -> ASGIApp:
    """The whole application; its lifespan opens and closes the stores, whose credentials are in
    `environ`.
    """
    server = Server(settings, environ)
    prefix = settings.static_prefix
    app: ASGIApp = Application(
        routes(has_workspaces=settings.workspaces),
        Lifecycle(server.start, server.stop),
        pages=pages_of(settings, server),
        prefix=prefix,
        request_bytes_max=settings.request_bytes_max,
    )
    # The last one sees a request first.
    app = Compression(app)
    if not settings.disable_security_middleware:
        app = HostCheck(
            app,
            hosts=HostRule(settings.allowed_hosts, settings.platform_hosts),
            origins=OriginRule(settings.cors_allowed_origins),
            x_frame_options=settings.x_frame_options,
            prefix=prefix,
        )
    if settings.access_log != "off":
        app = AccessLog(app, every=settings.access_log == "all")
    app = RequestId(app)
    if settings.trusted_proxies:
        app = ForwardedHeaders(app, trusted=settings.trusted_proxies)
    return app
