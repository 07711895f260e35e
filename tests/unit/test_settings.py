from pathlib import Path

import pytest

from riverrun.cli.reference import settings_page
from riverrun.settings import Settings, database_at, settings_table
from riverrun.settings_upstream import UPSTREAM_OPTIONS, notices
from riverrun.settings_values import SettingsError, sqlite_path
from riverrun.store.credentials import Tls
from riverrun.store.urls import DatabaseUrl, parse

DOCS = Path(__file__).parents[2] / "docs"


def refusal(options: dict[str, object], environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as error:
        Settings.load(options, environ or {})
    return str(error.value)


def test_without_options_the_names_are_upstreams():
    settings = Settings.load({}, {})
    assert settings == Settings()
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 5000, 1)
    assert settings.database == Path("mlflow.db")
    assert settings.artifact_destination == str(Path("mlartifacts").absolute())
    assert settings.experiment_root == "mlflow-artifacts:"


def test_the_command_line_beats_the_environment_and_the_environment_the_default():
    environ = {"MLFLOW_PORT": "6000", "MLFLOW_HOST": "0.0.0.0"}
    settings = Settings.load({"port": "7000", "host": None}, environ)
    assert (settings.port, settings.host) == (7000, "0.0.0.0")


def test_an_empty_value_counts_as_not_given():
    environ = {"MLFLOW_PORT": "6000", "MLFLOW_STATIC_PREFIX": "", "MLFLOW_SERVE_ARTIFACTS": " "}
    assert Settings.load({"port": ""}, environ) == Settings(port=6000)


def test_spaces_around_a_value_do_not_count():
    assert Settings.load({}, {"MLFLOW_PORT": " 6000\n"}).port == 6000


def test_every_setting_has_a_name_a_help_sentence_an_option_and_a_variable():
    for each in settings_table():
        assert each.help.endswith("."), each.name
        assert each.variables or each.name == "app_name"  # MLflow has no variable for it, either.
        platform = {"cloud_run_service", "railway_public_domain", "pgpassword"} | {
            "bucket_location",
            "folder_location",
        }
        secrets = {"auth_config_path", "secret_key"}
        is_admins = each.name.startswith("admin_")
        assert each.options or is_admins or each.name in platform | secrets
        assert each.options == () or each.options[-1].startswith("--")


def test_no_option_and_no_variable_means_two_things():
    everything = [*settings_table(), *UPSTREAM_OPTIONS]
    options = [name for each in everything for name in each.options]
    variables = [name for each in everything for name in each.variables]
    assert len(options) == len(set(options))
    assert len(variables) == len(set(variables))


def test_every_default_is_a_value_that_an_operator_could_have_given():
    for each in settings_table():
        if each.shown_default:
            assert each.parse(each.shown_default) == each.default, each.name


@pytest.mark.parametrize("given", ["x", "-1", "65536", "5e3", "50_00", "٥", "1" * 5000, "5000;ls"])
def test_a_bad_port_is_refused_with_option_variable_and_value(given: str):
    assert refusal({"port": given}) == (
        f"--port (or MLFLOW_PORT) cannot be {given!r}: expected a whole number from 0 to 65535."
    )


def test_a_bad_variable_reads_like_a_bad_option():
    assert refusal({}, {"MLFLOW_SERVER_X_FRAME_OPTIONS": "ALLOWALL"}) == (
        "--x-frame-options (or MLFLOW_SERVER_X_FRAME_OPTIONS) cannot be 'ALLOWALL': expected one of"
        " SAMEORIGIN, DENY, NONE."
    )


@pytest.mark.parametrize(
    ("given", "value"), [("TRUE", True), ("1", True), ("off", False), ("no", False), (False, False)]
)
def test_flags_come_in_many_spellings(given: object, value: object):
    assert Settings.load({"serves_artifacts": given}, {}).serves_artifacts is value


def test_log_levels_of_mlflow_and_uvicorn_are_understood():
    assert Settings.load({}, {"MLFLOW_LOGGING_LEVEL": "WARN"}).log_level == "warning"
    assert Settings.load({"uvicorn_opts": "--log-level trace"}, {}).log_level == "debug"


def test_the_port_that_kubernetes_injects_is_ignored_with_a_notice():
    environ = {"MLFLOW_PORT": "tcp://10.43.0.7:5000"}
    assert Settings.load({}, environ).port == 5000
    assert list(notices({}, environ)) == [
        "MLFLOW_PORT is a Kubernetes service link (tcp://…) and is ignored."
    ]


@pytest.mark.parametrize(
    "prefix",
    ["mlflow", "/", "/mlflow/", "/a{b}", "/a b", "//a", "/a?b", "/a%2f", "/a\\b", "/a/../b"],
)
def test_a_static_prefix_that_could_not_work_is_refused(prefix: str):
    assert refusal({"static_prefix": prefix}).startswith(
        "--static-prefix (or MLFLOW_STATIC_PREFIX)"
    )


def test_a_static_prefix_may_have_several_parts():
    assert Settings.load({"static_prefix": "/team/ml-flow_1.0"}, {}).static_prefix


# Stores


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:///mlflow.db", "mlflow.db"),
        ("sqlite:////data/mlflow.db", "/data/mlflow.db"),
        ("sqlite:///./a b/%20.db", "a b/%20.db"),
        ("sqlite+pysqlite:///x.db", "x.db"),
    ],
)
def test_sqlite_uris_name_a_file(uri: str, path: str):
    assert sqlite_path(uri) == Path(path)


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("./mlruns", "file stores are not supported; give a database such as sqlite:///mlflow.db"),
        ("/a:b", "file stores are not supported; give a database such as sqlite:///mlflow.db"),
        ("file:///x", "file stores are not supported; give a database such as sqlite:///mlflow.db"),
        ("mssql+pyodbc://h/d", "Microsoft SQL Server is not supported; give sqlite:///mlflow.db"),
        (
            "databricks://x",
            "expected a database: sqlite:///mlflow.db, postgresql://… or mysql://…",
        ),
        ("sqlite:///:memory:", "a database in memory is lost with the process; give a file"),
        ("sqlite://", "a database in memory is lost with the process; give a file"),
        ("sqlite:///", "a database in memory is lost with the process; give a file"),
        ("sqlite://host/x.db", "expected sqlite:///relative.db or sqlite:////absolute.db"),
        ("sqlite:///dir/", "expected sqlite:///relative.db or sqlite:////absolute.db"),
        (
            "sqlite:///x.db?timeout=5",
            "parameters after '?' are not supported for SQLite; leave them out",
        ),
    ],
)
def test_other_stores_are_refused_with_the_way_out(uri: str, sentence: str):
    assert refusal({"backend_store_uri": uri}).endswith(f": {sentence}.")


# Databases on a server


def test_a_server_is_named_by_its_url():
    uri = "postgresql+psycopg2://me:s3cret@db/mlflow"
    settings = Settings.load({"backend_store_uri": uri}, {})
    assert settings.database == parse("postgresql://me:s3cret@db/mlflow")
    assert settings.database_shown == "postgresql://me@db:5432/mlflow"
    assert Settings().database_shown == "sqlite:///mlflow.db"


def test_variables_complete_the_url():
    environ = {
        "MLFLOW_BACKEND_STORE_URI": "mysql://me@db/mlflow",
        "RIVERRUN_DATABASE_PASSWORD_COMMAND": "vault read -field=password 'my db'",
        "MLFLOW_MYSQL_SSL_CA": "ca.pem",
        "PGPASSWORD": "s3cret",
    }
    database = Settings.load({}, environ).database
    assert isinstance(database, DatabaseUrl)
    assert database.password.command == ("vault", "read", "-field=password", "my db")
    assert database.tls == Tls("verify-ca", "ca.pem")


def test_a_command_that_is_pointed_at_a_database_reads_the_same_variables():
    environ = {
        "MLFLOW_BACKEND_STORE_URI": "sqlite:///other.db",
        "MLFLOW_ARTIFACTS_ONLY": "true",
        "RIVERRUN_DATABASE_PASSWORD_FILE": "/run/secrets/password",
    }
    database = database_at("postgresql://me@db/mlflow", environ)
    assert isinstance(database, DatabaseUrl)
    assert database.password.file == "/run/secrets/password"
    assert database_at("sqlite:///x.db", environ) == Path("x.db")
    with pytest.raises(SettingsError):
        database_at("./mlruns", environ)


def test_the_pool_has_upstreams_names():
    environ = {
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "5",
        "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "10",
        "MLFLOW_SQLALCHEMYSTORE_POOL_RECYCLE": "-1",
    }
    settings = Settings.load({}, environ)
    assert (settings.database_connections, settings.pool_recycle_s) == (15, -1)
    assert Settings().database_connections == 6
    assert refusal({"pool_size": "1"}) == "--pool-size must be at least 2."
    assert Settings.load({"pool_size": "1", "pool_max_overflow": "1"}, {})


def test_what_tunes_sqlalchemy_only_is_named_once():
    environ = {
        "MLFLOW_SQLALCHEMYSTORE_ECHO": "false",
        "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",
    }
    assert Settings.load({}, environ) == Settings()
    assert list(notices({}, environ)) == [
        "MLFLOW_SQLALCHEMYSTORE_POOLCLASS has no effect: there is one kind of pool."
    ]


def test_two_sources_of_a_password_are_refused_and_an_idle_one_is_warned_of():
    file: dict[str, object] = {"database_password_file": "/run/secrets/password"}
    assert refusal({**file, "database_password_command": "vault"}) == (
        "--database-password-file and --database-password-command exclude each other."
    )
    warning = "--database-password-file or -command has no effect: the database's URL needs none."
    for uri in ("sqlite:///x.db", "postgresql://me:p@db/m"):
        assert Settings.load({**file, "backend_store_uri": uri}, {}).warnings == (warning,)
    needed = {**file, "backend_store_uri": "postgresql://me@db/m"}
    assert Settings.load(needed, {}).warnings == ()


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("postgresql://me@db", "the name of the database is missing"),
        ("mysql://me@db/m?ssl_key=k.pem", "ssl_key needs ssl_cert"),
        ("postgresql://me:s3cret@db/m?s3cret=@x", "a parameter after '?' is not supported"),
        ("postgresql://db/m?password=s3cret&x=1", "parameter 'x' after '?' is not supported"),
        ("postgresql://me:s3cret@a,b/m", "expected one host"),
        ("postgresql://me:s3cret", "expected postgresql://USER:PASSWORD@HOST:5432/DATABASE"),
    ],
)
def test_a_url_that_cannot_be_is_refused_without_its_password(uri: str, sentence: str):
    said = refusal({}, {"MLFLOW_BACKEND_STORE_URI": uri})
    assert sentence in said
    assert "s3cret" not in said


def test_half_of_mysqls_certificate_is_refused():
    environ = {"MLFLOW_BACKEND_STORE_URI": "mysql://me@db/m", "MLFLOW_MYSQL_SSL_KEY": "k.pem"}
    assert refusal({}, environ) == "--backend-store-uri: ssl_key needs ssl_cert."


def test_no_password_of_a_database_stands_in_the_record():
    environ = {
        "MLFLOW_BACKEND_STORE_URI": "postgresql://me:s3cret@db/m",
        "RIVERRUN_DATABASE_PASSWORD_COMMAND": "echo s3cret",
        "PGPASSWORD": "s3cret",
    }
    settings = Settings.load({}, environ)
    for text in (repr(settings), repr(settings.database), settings.database_shown):
        assert "s3cret" not in text
    bad = {"RIVERRUN_DATABASE_PASSWORD_COMMAND": "echo 's3cret"}
    assert refusal({}, bad) == (
        "--database-password-command (or RIVERRUN_DATABASE_PASSWORD_COMMAND) cannot be '…': "
        "expected a command in one line, with quotation marks in pairs."
    )


# Secrets


def test_a_secret_stands_neither_in_a_refusal_nor_in_the_record():
    assert "s3cret" not in refusal({"ssl_keyfile_password": "s3cret\ns3cret"})
    assert "s3cret" not in repr(Settings(ssl_keyfile_password="s3cret"))
    key = {"MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": "s3cret"}
    assert refusal({}, key) == (
        "--webhook-secret-encryption-key (or MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY) cannot be '…': "
        "expected 32 bytes in URL-safe base64: 44 characters, the last one '='."
    )


# Options of MLflow's server


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"registry_store_uri": "sqlite:///other.db"}, "--registry-store-uri"),
        ({"read_replica_backend_store_uri": "sqlite:///x.db"}, "--read-replica-backend-store-uri"),
        ({"artifacts_only": True}, "--artifacts-only"),
        ({"workspace_store_uri": "sqlite:///x.db"}, "--workspace-store-uri"),
        ({"trace_archival_config": "policy.yaml"}, "--trace-archival-config"),
    ],
)
def test_options_that_say_where_data_lives_or_who_may_enter_stop_the_start(
    options: dict[str, object], name: str
):
    assert refusal(options).startswith(name)
    assert " is not supported yet: " in refusal(options)


def test_variables_that_ask_for_the_same_stop_the_start_too():
    assert refusal({}, {"MLFLOW_ARTIFACTS_ONLY": "true"}).startswith("--artifacts-only")
    assert "cannot be 'maybe'" in refusal({}, {"MLFLOW_ENABLE_WORKSPACES": "maybe"})


def test_saying_no_to_them_is_no_obstacle():
    options: dict[str, object] = {"artifacts_only": False}
    environ = {"MLFLOW_ENABLE_WORKSPACES": "false", "MLFLOW_REGISTRY_STORE_URI": ""}
    assert Settings.load(options, environ) == Settings()
    same: dict[str, object] = {
        "registry_store_uri": "sqlite:///x.db",
        "backend_store_uri": "sqlite:///x.db",
    }
    assert Settings.load(same, {}).backend_store_uri == "sqlite:///x.db"
    assert Settings.load({"registry_store_uri": "sqlite:///mlflow.db"}, {}) == Settings()
    assert Settings.load({"workspace_store_uri": "sqlite:///mlflow.db"}, {}) == Settings()


def test_workspaces_are_enabled_and_disabled_as_upstream_has_it():
    on = {"MLFLOW_ENABLE_WORKSPACES": "true"}
    assert not Settings.load({}, {}).workspaces
    assert Settings.load({}, on).workspaces
    assert Settings.load({"workspaces": True}, {}).workspaces
    assert not Settings.load({"workspaces": False}, on).workspaces


def test_options_that_tune_upstreams_machinery_are_named_once():
    options: dict[str, object] = {"waitress_opts": "--threads=8", "dev": True}
    assert Settings.load(options, {}) == Settings()
    assert list(notices(options, {"MLFLOW_SERVER_SECRETS_CACHE_TTL": "60"})) == [
        "--waitress-opts has no effect: the server does not run under waitress.",
        "--dev has no effect: use --log-level debug to see more.",
        (
            "--secrets-cache-ttl (or MLFLOW_SERVER_SECRETS_CACHE_TTL) has no effect:"
            " there is no gateway."
        ),
    ]


@pytest.mark.parametrize("opts", ["--certfile=/tls.crt", "-w 4 --bind 0.0.0.0:80", "-b :80"])
def test_an_address_or_a_certificate_for_gunicorn_is_not_dropped_silently(opts: str):
    assert "would have no effect; use --host" in refusal({"gunicorn_opts": opts})


def test_more_workers_than_one_are_warned_of():
    assert Settings.load({}, {"MLFLOW_WORKERS": "4"}).warnings == (
        "--workers 4: SQLite is served by one process, so one is started.",
    )


def test_open_doors_are_warned_of():
    settings = Settings(
        allowed_hosts=("*",), disable_security_middleware=True, webhook_allow_private_ips=True
    )
    assert len(settings.warnings) == 3


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "ml.example.com"])
def test_a_server_that_others_reach_warns_without_logins_and_without_tls(host: str):
    [warning] = Settings(host=host).warnings
    assert warning.startswith(f"--host {host} without --auth: ")
    [warning] = Settings(host=host, auth=True).warnings
    assert warning.startswith(f"--host {host} without TLS: ")
    assert Settings(host=host, auth=True, ssl_certfile="chain.pem").warnings == ()
    assert Settings(host=host, auth=True, cloud_run_service="ml").warnings == ()


@pytest.mark.parametrize("name", ["MLFLOW_ADMIN_PASSWORD", "MLFLOW_AUTH_ADMIN_PASSWORD_FILE"])
def test_an_admin_without_access_control_is_warned_of(name: str):
    [warning] = Settings.load({}, {name: "x"}).warnings
    assert warning.startswith("MLFLOW_ADMIN_PASSWORD has no effect without --auth")
    assert Settings.load({"app_name": "basic-auth"}, {name: "x"}).warnings == ()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_a_server_that_this_machine_alone_reaches_does_not_warn(host: str):
    assert Settings(host=host).warnings == Settings(host=host, app_name="basic-auth").warnings == ()


def test_the_set_up_link_lies_beside_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert Settings(backend_store_uri="sqlite:///data/ml.db").setup_file == (
        tmp_path / "data/ml.db.setup-link"
    )
    on_server = Settings(backend_store_uri="postgresql://me@db/ml")
    assert on_server.setup_file == tmp_path / "riverrun.setup-link"


@pytest.mark.parametrize(
    ("given", "page"),
    [
        ({}, "http://localhost:5000/setup"),
        ({"host": "::", "port": "80"}, "http://localhost:80/setup"),
        ({"host": "2001:db8::1"}, "http://[2001:db8::1]:5000/setup"),
        ({"host": "ml", "static_prefix": "/team"}, "http://ml:5000/team/setup"),
        ({"ssl_certfile": "chain.pem"}, "https://localhost:5000/setup"),
    ],
)
def test_the_set_up_link_leads_to_the_page(given: dict[str, str], page: str):
    assert Settings.load(given, {}).setup_page == page


def test_uvicorn_options_are_honoured():
    opts = (
        "--ssl-keyfile 'my key.pem' --ssl-certfile=cert.pem --timeout-keep-alive 30"
        " --no-proxy-headers --forwarded-allow-ips '10.0.0.0/8,::1' --log-level DEBUG"
    )
    settings = Settings.load({"uvicorn_opts": opts}, {"RIVERRUN_TIMEOUT_KEEP_ALIVE": "99"})
    assert settings == Settings(
        ssl_keyfile="my key.pem",
        ssl_certfile="cert.pem",
        keep_alive_s=30,
        proxy_headers=False,
        forwarded_allow_ips=("10.0.0.0/8", "::1"),
        log_level="debug",
    )
    assert settings.trusted_proxies == ()


def test_an_option_beats_the_same_inside_uvicorn_options():
    options: dict[str, object] = {"keep_alive_s": "7", "uvicorn_opts": "--timeout-keep-alive 30"}
    assert Settings.load(options, {}).keep_alive_s == 7


@pytest.mark.parametrize(
    ("opts", "part"),
    [
        ("--workers 4", "--workers is not supported"),
        ("--host 0.0.0.0", "--host is not supported"),
        ("--no-log-level", "--no-log-level is not supported"),
        ("--timeout-keep-alive", "--timeout-keep-alive needs a value"),
        ("--ssl-keyfile 'x", "a quotation mark without its partner"),
        (
            "--timeout-keep-alive x",
            "--timeout-keep-alive (or RIVERRUN_TIMEOUT_KEEP_ALIVE) cannot be",
        ),
    ],
)
def test_other_uvicorn_options_are_refused_by_name(opts: str, part: str):
    assert part in refusal({}, {"MLFLOW_UVICORN_OPTS": opts})


def test_half_a_tls_configuration_is_refused():
    assert refusal({"ssl_keyfile": "key.pem"}) == "--ssl-keyfile needs --ssl-certfile."
    assert refusal({"ssl_cert_reqs": "2"}) == "--ssl-cert-reqs needs --ssl-ca-certs."


def test_proxies_are_addresses_or_networks():
    assert "expected IP addresses" in refusal({"forwarded_allow_ips": "10.0.0.1,nginx"})
    assert Settings.load({}, {"FORWARDED_ALLOW_IPS": "*"}).trusted_proxies == ("*",)


@pytest.mark.parametrize(
    ("given", "schemes"),
    [("HTTPS", ("https",)), ("http, https", ("http", "https")), ("http,http", ("http",))],
)
def test_webhooks_are_called_by_http_and_https(given: str, schemes: tuple[str, ...]):
    settings = Settings.load({}, {"MLFLOW_WEBHOOK_ALLOWED_SCHEMES": given})
    assert settings.webhook_allowed_schemes == schemes


@pytest.mark.parametrize("given", ["ftp", "https,file", ","])
def test_webhooks_are_called_by_nothing_else(given: str):
    assert "expected https, http, or both" in refusal({"webhook_allowed_schemes": given})


def test_the_key_of_webhooks_lies_beside_the_database(tmp_path: Path):
    (tmp_path / "link.db").symlink_to("real.db")
    settings = Settings(backend_store_uri=f"sqlite:///{tmp_path}/link.db")
    assert settings.webhook_key_file == tmp_path / "real.db.webhook-key"
    assert Settings(backend_store_uri="postgresql://me@db/m").webhook_key_file is None


def test_the_platform_names_its_hosts():
    environ = {"K_SERVICE": "mlflow", "RAILWAY_PUBLIC_DOMAIN": "x.up.railway.app"}
    assert Settings.load({}, environ).platform_hosts == ("*.run.app", "x.up.railway.app")
    assert Settings.load({}, {}).platform_hosts == ()


def test_the_documentation_is_in_step():
    assert (DOCS / "settings.md").read_text(encoding="utf-8") == settings_page(), (
        "run: python -m riverrun.cli.reference > docs/settings.md"
    )
