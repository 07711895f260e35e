"""`riverrun server`: options and variables into settings, settings into a running server."""

import click

from riverrun.asgi.server import Serving, Tls, open_sockets, serve
from riverrun.obs.logs import Log, configure_logs, masked
from riverrun.settings import Setting, Settings, process_environment, settings_table
from riverrun.settings_access import access_rules
from riverrun.settings_upstream import UPSTREAM_OPTIONS, UpstreamOption, notices

log = Log("riverrun.server")


def command() -> click.Command:
    """Options come from the settings and from the table of MLflow's other options."""
    settings = [option_of(each) for each in settings_table() if each.options]
    upstream = [upstream_option(each) for each in UPSTREAM_OPTIONS if each.options]
    return click.Command(
        "server",
        params=[*settings, *upstream],
        callback=run,
        help="Start the server. Every option has a variable; an option beats its variable.",
        # `-h` is MLflow's short form of --host.
        context_settings={"help_option_names": ["--help"]},
    )


def option_of(setting: Setting) -> click.Option:
    names = setting.options
    if setting.is_flag and setting.negation:
        names = (f"{names[0]}/{setting.negation}",)
    told = [", ".join(setting.variables)]
    if setting.shown_default:
        told.append(f"default: {setting.shown_default}")
    return click.Option(
        [setting.name, *names],
        type=bool if setting.is_flag else str,
        default=None,
        metavar=None if setting.is_flag else "VALUE",
        help=f"{setting.help} [{'; '.join(told)}]",
    )


def upstream_option(option: UpstreamOption) -> click.Option:
    return click.Option(
        [option.name, "/".join(option.options)],
        type=bool if option.is_flag else str,
        default=None,
        is_flag=option.is_flag,
        hidden=option.fate != "uvicorn",
        help=f"{option.why[0].upper()}{option.why[1:]}.",
    )


def run(**options: object) -> None:
    """Serves until a signal comes. Raises SettingsError when it cannot start."""
    environ = process_environment({})
    settings = Settings.load(options, environ)
    if settings.has_access_control:
        access_rules(settings)  # What cannot be must stop the start before anything is made.
    configure_logs(settings.log_level, settings.log_format)
    sockets = open_sockets(settings.host, settings.port)
    for sentence in (*settings.warnings, *notices(options, environ)):
        log.warning(sentence)
    log.info(
        "starting",
        database=settings.database_shown,
        experiment_root=masked(settings.experiment_root),
        artifacts=masked(settings.artifact_destination),
    )
    from riverrun.wiring import build  # noqa: PLC0415 - after all that can go wrong cheaply.

    if settings.processes == 1:
        serve(build(settings, environ), sockets, serving_of(settings))
    from riverrun.asgi.workers import become_worker  # noqa: PLC0415 - A laptop has one.

    on_ready = become_worker(settings.processes)
    serve(build(settings, environ), sockets, serving_of(settings), on_ready=on_ready)


def serving_of(settings: Settings) -> Serving:
    tls = None
    if settings.ssl_certfile:
        tls = Tls(
            settings.ssl_certfile,
            keyfile=settings.ssl_keyfile,
            password=settings.ssl_keyfile_password,
            ca_certs=settings.ssl_ca_certs,
            client_certificates=settings.ssl_cert_reqs,
            ciphers=settings.ssl_ciphers,
        )
    return Serving(
        keep_alive_s=settings.keep_alive_s,
        graceful_shutdown_s=settings.graceful_shutdown_s,
        tls=tls,
    )
