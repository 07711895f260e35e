"""docs/settings.md, written from the settings themselves."""

from riverrun.settings import Setting, settings_table
from riverrun.settings_upstream import UPSTREAM_OPTIONS, UpstreamOption

HEAD = """# Settings

`riverrun server` reads each setting from its option, else from its variable, else it takes the
default. An empty value counts as not given. Variables may also stand in a file, one `NAME=value` a
line: `riverrun --env-file FILE server`; what is set in the environment already beats the file.

This page is written from the code: `python -m riverrun.cli.reference > docs/settings.md`.

| option | variable | default | value | meaning |
|---|---|---|---|---|
"""
PLATFORM = """
## Variables only

| variable | meaning |
|---|---|
"""
UVICORN = """
## Inside `--uvicorn-opts`

`--uvicorn-opts "--timeout-keep-alive 30"` (or `MLFLOW_UVICORN_OPTS`) works as MLflow's users know
it, for these arguments; each is also an option of its own, which beats the one inside. Any other
argument stops the start.

"""
REFUSED = """
## MLflow options that stop the start

They say where data lives or who may enter, and are not supported yet: going on without them would
break a promise.

| option | variable | because |
|---|---|---|
"""
IGNORED = """
## MLflow options without effect

They are accepted, with a warning in the log. An address, a proxy or a certificate inside
`--gunicorn-opts` or `--waitress-opts` stops the start.

| option | variable | because |
|---|---|---|
"""


def settings_page() -> str:
    """The whole page in Markdown."""
    table = settings_table()
    refused = [each for each in UPSTREAM_OPTIONS if each.fate == "refused"]
    ignored = [each for each in UPSTREAM_OPTIONS if each.fate in {"ignored", "foreign server"}]
    return "".join(
        [
            HEAD,
            *(setting_row(each) for each in table if each.options),
            PLATFORM,
            *(f"| {code(each.variables)} | {each.help} |\n" for each in table if not each.options),
            UVICORN,
            *(f"- `{each.options[-1]}`\n" for each in table if each.is_uvicorn_argument),
            REFUSED,
            *(upstream_row(each) for each in refused),
            IGNORED,
            *(upstream_row(each) for each in ignored),
        ]
    )


def setting_row(each: Setting) -> str:
    options = each.options
    if each.is_flag and each.negation:
        options = (*options, each.negation)
    default = f"`{each.shown_default}`" if each.default not in {None, "", ()} else "–"
    cells = (code(options), code(each.variables), default, each.kind.expects, each.help)
    return f"| {' | '.join(cells)} |\n"


def upstream_row(each: UpstreamOption) -> str:
    return f"| {code(each.options) or '–'} | {code(each.variables)} | {each.why} |\n"


def code(names: tuple[str, ...]) -> str:
    return " ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    print(settings_page(), end="")  # noqa: T201 - its purpose.
