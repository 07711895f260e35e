import getpass
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riverrun.store.credentials import Password, Tls
from riverrun.store.urls import DatabaseUrl, Defaults, kind_of, parse

TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1)
UNLIKELY_LENGTH = 8
"""Of a password that no sentence has by chance."""
BARE = st.text(st.sampled_from("ab1@:/?#=&+[],. '\"\\é"), min_size=3)


def refusal(uri: str, defaults: Defaults | None = None) -> str:
    with pytest.raises(ValueError) as error:
        parse(uri, defaults or Defaults())
    return str(error.value)


def place(uri: str) -> tuple[str, str, int, str, str, str]:
    url = parse(uri)
    return (url.kind, url.host, url.port, url.user, url.password.text, url.database)


# Where


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("postgresql://u:p@db:5433/mlflow", ("postgresql", "db", 5433, "u", "p", "mlflow")),
        ("postgres://u:p@db/mlflow", ("postgresql", "db", 5432, "u", "p", "mlflow")),
        ("postgresql+psycopg2://u:p@db/m", ("postgresql", "db", 5432, "u", "p", "m")),
        ("postgresql+psycopg://u:p@db/m", ("postgresql", "db", 5432, "u", "p", "m")),
        ("PostgreSQL+asyncpg://u:p@db/m", ("postgresql", "db", 5432, "u", "p", "m")),
        ("mysql://u:p@db:3307/m", ("mysql", "db", 3307, "u", "p", "m")),
        ("mysql+pymysql://u:p@db/m?charset=utf8mb4", ("mysql", "db", 3306, "u", "p", "m")),
        ("mysql+mysqldb://u:p@db/m", ("mysql", "db", 3306, "u", "p", "m")),
        ("mysql+asyncmy://u:p@db/m", ("mysql", "db", 3306, "u", "p", "m")),
        ("mariadb+mariadbconnector://u:p@db/m", ("mysql", "db", 3306, "u", "p", "m")),
        (
            "postgresql://u:p@[2001:db8::1]:5433/m",
            ("postgresql", "2001:db8::1", 5433, "u", "p", "m"),
        ),
        ("postgresql://u@/m", ("postgresql", "localhost", 5432, "u", "", "m")),
        ("postgresql://db/m?user=u&password=p%26q", ("postgresql", "db", 5432, "u", "p&q", "m")),
        ("postgresql://u@db/a%2Fb", ("postgresql", "db", 5432, "u", "", "a/b")),
    ],
)
def test_urls_of_sqlalchemy_and_libpq_say_where(uri: str, expected: tuple[object, ...]):
    assert place(uri) == expected


@pytest.mark.parametrize(
    ("uri", "socket", "port"),
    [
        ("postgresql://u:p@/m?host=/cloudsql/a-1:eu-west1:b", "/cloudsql/a-1:eu-west1:b", 5432),
        ("postgresql://u:p@db/m?host=%2Frun%2Fpg&port=5433", "/run/pg", 5433),
        ("postgresql://u:p@%2Frun%2Fpg:5433/m", "/run/pg", 5433),
        ("mysql://u:p@/m?unix_socket=/cloudsql/a-1:eu-west1:b", "/cloudsql/a-1:eu-west1:b", 3306),
        ("mysql+pymysql://u:p@localhost/m?unix_socket=/run/my.sock", "/run/my.sock", 3306),
    ],
)
def test_unix_sockets_begin_with_a_slash_and_need_no_tls(uri: str, socket: str, port: int):
    url = parse(uri)
    assert (url.host, url.port, url.user, url.password.text) == (socket, port, "u", "p")
    assert url.tls == Tls("disable")


def test_without_a_user_the_servers_own_account_is_meant():
    assert parse("postgresql://db/m").user == getpass.getuser()


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("postgresql://u@db", "the name of the database is missing"),
        ("mysql://u@db/", "the name of the database is missing"),
        ("postgresql://u@a:1,b:2/m", "expected one host"),
        ("postgresql://u@/m?host=a,b", "expected one host"),
        ("postgresql://u@db:0/m", "port must be a whole number from 1 to 65535"),
        ("postgresql://u@db:65536/m", "port must be a whole number from 1 to 65535"),
        ("postgresql://u@/m?port=x", "port must be a whole number from 1 to 65535"),
        ("postgresql://u@db/m?connect_timeout=0", "connect_timeout must be a whole number"),
        ("postgresql://u@db/m?application_name=%C3%A9", "application_name must be at most 63"),
        ("postgresql://u@db/m?options=-csearch_path%3Dx", "parameter 'options' after '?' is not"),
        ("postgresql://u@db/m?ssl_ca=x", "these are: host, port, user, password, sslmode,"),
        ("mysql://u@db/m?sslmode=require", "these are: unix_socket, user, password, ssl_mode,"),
        ("mysql://u@db/m?charset=latin1", "charset can only be utf8mb4"),
        ("postgresql://u@db/m?host=a&host=b", "parameter 'host' is given twice"),
        ("postgresql://u@db/a/b", "expected postgresql://USER:PASSWORD@HOST:5432/DATABASE"),
        ("mysql://u@db:x/m", "expected mysql://USER:PASSWORD@HOST:3306/DATABASE"),
        ("postgresql://u%00@db/m", "expected no NUL characters"),
        ("oracle://u@db/m", "expected postgresql://USER"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(uri: str, sentence: str):
    assert sentence in refusal(uri)


def test_only_database_servers_have_a_kind():
    assert kind_of("mariadb+asyncmy://h/d") == "mysql"
    assert [kind_of(uri) for uri in ("sqlite:///x.db", "mysql:x", "./mlruns", "mssql://h")] == [
        None
    ] * 4


# Users and passwords


@given(user=TEXTS, password=TEXTS)
def test_users_and_passwords_survive_percent_encoding(user: str, password: str):
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    for scheme in ("postgresql", "mysql"):
        url = parse(f"{scheme}://{login}@db:1234/mlflow?connect_timeout=5")
        assert (url.user, url.password.text, url.host, url.port) == (user, password, "db", 1234)
        again = parse(url.shown)
        assert (again.user, again.password.text, again.host, again.port) == (user, "", "db", 1234)


@given(BARE)
def test_a_bare_password_is_taken_as_it_is_or_refused_without_repeating_it(password: str):
    """But behind an @ in it, what looks like a host may be one."""
    try:
        found = parse(f"postgresql://u:{password}@db/mlflow").password.text
    except ValueError as error:
        found = str(error).replace(password, "repeated")
    assert found == password or "@" in password
    assert "repeated" not in found or len(password) < UNLIKELY_LENGTH


@pytest.mark.parametrize(
    "password",
    ["p@ss", "a/b", "a?b=c", "a#b", "a:b", "100%", "%zz", "p@ss/w:1@x", "a b", "+&=", "@"],
)
def test_a_bare_password_that_can_mean_one_thing_only_is_understood(password: str):
    for uri in (
        f"postgresql://u:{password}@db/m",
        f"mysql://u:{password}@db:3306/m?charset=utf8mb4",
    ):
        url = parse(uri)
        assert (url.user, url.password.text, url.host, url.database) == ("u", password, "db", "m")


def test_an_at_sign_in_a_user_or_a_parameter_is_no_end_of_a_login():
    assert place("postgresql://me@azure:p@db/m")[3:5] == ("me@azure", "p")
    assert place("postgresql://db:5432/m?user=me@azure")[1:4] == ("db", 5432, "me@azure")
    assert place("postgresql://u:p@db/m?application_name=a@b")[4] == "p"


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://u:s3cret@db/m",
        "postgresql://db/m?user=u&password=s3cret",
        "mysql://u:s3cret@/m?unix_socket=/run/my.sock",
    ],
)
def test_a_password_is_shown_nowhere(uri: str):
    url = parse(uri)
    for text in (
        repr(url),
        str(url),
        url.shown,
        f"{url}",
        repr(Defaults(postgres_password="s3cret")),
    ):
        assert "s3cret" not in text


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://u:s3cret",
        "postgresql://u:s3cret@",
        "postgresql://u:s3cret@db",
        "postgresql://u:s3cret@db:x/m",
        "postgresql://u:%ffs3cret@db/m",
        "postgresql://u:x@y?s3cret=z@db/m",
        "postgresql://u@db/m?password=s3cret&password=s3cret",
        "mysql://u:s3cret@a,b/m",
    ],
)
def test_no_error_repeats_a_password(uri: str):
    assert "s3cret" not in refusal(uri)


def test_messages_name_the_place():
    assert parse("postgresql://me@x:p@db/m").shown == "postgresql://me%40x@db:5432/m"
    assert parse("mariadb://u:p@[::1]/m").shown == "mysql://u@[::1]:3306/m"
    socket = "postgresql://u@:5432/m?host=/cloudsql/a:b:c"
    assert parse("postgresql://u:p@/m?host=/cloudsql/a:b:c").shown == socket
    assert parse(socket).shown == socket


def test_a_password_in_the_url_beats_a_file_a_file_beats_the_variable():
    defaults = Defaults(postgres_password="v", password_file="f")
    assert parse("postgresql://u:p@db/m", defaults).password == Password("p")
    assert parse("postgresql://u@db/m", defaults).password == Password(file="f")
    command = Defaults(password_command=("vault", "read"))
    assert parse("mysql://u@db/m", command).password == Password(command=("vault", "read"))
    variable = Defaults(postgres_password="v")
    assert parse("postgresql://u@db/m", variable).password == Password("v")
    assert parse("mysql://u@db/m", variable).password == Password()


# TLS


def tls(uri: str, defaults: Defaults | None = None) -> Tls:
    return parse(uri, defaults or Defaults()).tls


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-full"])
def test_postgresql_has_libpqs_modes(mode: str):
    assert tls(f"postgresql://u@db/m?sslmode={mode}").mode == mode


def test_mysql_has_its_own_names_for_them():
    modes = ["DISABLED", "required", "VERIFY_IDENTITY"]
    found = [tls(f"mysql://u@db/m?ssl-mode={mode}").mode for mode in modes]
    assert found == ["disable", "require", "verify-full"]


def test_postgresql_prefers_tls_and_mysql_needs_to_be_told():
    assert tls("postgresql://u@db/m") == Tls("prefer")
    assert tls("mysql://u@db/m") == Tls("disable")


def test_who_names_an_authority_wants_it_asked():
    checked = Tls("verify-ca", root_certificate="ca.pem")
    assert tls("postgresql://u@db/m?sslrootcert=ca.pem") == checked
    assert tls("postgresql://u@db/m?sslrootcert=ca.pem&sslmode=require") == checked
    assert tls("mysql://u@db/m?ssl_ca=ca.pem") == checked
    assert tls("mysql://u@db/m?ssl_ca=ca.pem&ssl_check_hostname=true").mode == "verify-full"
    assert tls("postgresql://u@db/m?sslrootcert=system") == Tls("verify-full")


def test_a_client_certificate_asks_for_tls():
    uri = "postgresql://u@db/m?sslcert=c.pem&sslkey=k.pem"
    assert tls(uri) == Tls("require", certificate="c.pem", key="k.pem")


def test_mysqls_certificates_may_come_from_the_settings():
    defaults = Defaults(
        mysql_root_certificate="ca.pem", mysql_certificate="c.pem", mysql_key="k.pem"
    )
    assert tls("mysql://u@db/m", defaults) == Tls("verify-ca", "ca.pem", "c.pem", "k.pem")
    assert tls("mysql://u@db/m?ssl_ca=own.pem", defaults).root_certificate == "own.pem"
    assert tls("postgresql://u@db/m", defaults) == Tls("prefer")


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        (
            "postgresql://u@db/m?sslmode=on",
            "sslmode must be one of disable, allow, prefer, require, verify-ca, verify-full",
        ),
        (
            "mysql://u@db/m?ssl_mode=PREFERRED",
            "ssl_mode must be one of DISABLED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY",
        ),
        ("postgresql://u@db/m?sslkey=k.pem", "sslkey needs sslcert"),
        (
            "postgresql://u@db/m?sslmode=prefer&sslrootcert=ca.pem",
            "sslrootcert and sslcert need a stricter sslmode",
        ),
        (
            "mysql://u@db/m?ssl_mode=VERIFY_CA",
            "ssl_mode needs ssl_ca, or has to check the host's name, too",
        ),
    ],
)
def test_half_a_tls_configuration_is_refused(uri: str, sentence: str):
    assert refusal(uri) == sentence


def test_drivers_get_what_they_understand():
    def url(mode: str) -> DatabaseUrl:
        return parse(f"postgresql://u@db/m?sslmode={mode}")

    assert [url(mode).postgres_ssl() for mode in ("disable", "allow", "prefer")] == [
        False,
        "allow",
        "prefer",
    ]
    assert parse("mysql://u@db/m").mysql_ssl() is None
