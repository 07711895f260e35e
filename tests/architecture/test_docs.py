"""What the code has, the documents name."""

import re
from pathlib import Path

import pytest

from riverrun import errors
from riverrun.api.openapi import answer_type
from riverrun.api.route import Route
from riverrun.api.routes import routes
from riverrun.cli.main import COMMANDS
from riverrun.errors import TrackingError
from riverrun.settings import Setting, settings_table
from riverrun.wire.errors import codes_by_status

DOCS = Path(__file__).parents[2] / "docs"
PROTOCOL = (DOCS / "protocol.md").read_text()
SETTINGS = (DOCS / "settings.md").read_text()
EVERYTHING = "\n".join(path.read_text() for path in sorted(DOCS.glob("*.md")))


def row(route: Route) -> str:
    """The line of docs/protocol.md: what is asked, under which prefixes, with what, for whom."""
    prefixes = " ".join(f"`{prefix}`" for prefix in route.prefixes) if any(route.prefixes) else "–"
    action = f"{route.action.level.name.lower()} {route.action.resource}"
    cells = [route.method, f"`{route.path}`", prefixes, route.message.__name__, action]
    return f"| {' | '.join(cells)} |"


def table() -> str:
    return "\n".join(row(route) for route in routes())


def test_the_table_of_calls_is_that_of_the_code():
    given = re.findall(r"^\| (?:GET|POST|PUT|PATCH|DELETE) \|.*\|$", PROTOCOL, re.MULTILINE)
    assert given == table().splitlines(), f"docs/protocol.md needs this table:\n{table()}"


def test_every_error_code_is_explained_with_its_status():
    for status, codes in codes_by_status().items():
        for code in codes:
            assert re.search(rf"^\| `{code}` \|.*\b{status}\b.*\|$", PROTOCOL, re.MULTILINE), (
                code,
                status,
            )


def test_every_error_class_has_a_status():
    classes = [each for each in vars(errors).values() if isinstance(each, type)]
    codes = {each.code for each in classes if issubclass(each, TrackingError)}
    assert codes == {code for codes in codes_by_status().values() for code in codes}


@pytest.mark.parametrize("setting", settings_table(), ids=lambda setting: setting.label)
def test_every_setting_is_listed(setting: Setting):
    names = [*setting.options, *setting.variables]
    assert [name for name in names if f"`{name}`" not in SETTINGS] == []


def test_every_command_is_named():
    for name in COMMANDS:
        assert f"riverrun {name}" in EVERYTHING, name


def test_every_route_says_what_it_answers():
    """Endpoints that write JSON themselves need a line in the module of the OpenAPI document."""
    for route in routes():
        assert answer_type(route) is not bytes, route.endpoint


def test_documents_link_to_what_is_there():
    for path in [*DOCS.glob("*.md"), *DOCS.parent.glob("*.md")]:
        for link in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", path.read_text()):
            assert (path.parent / link).exists(), f"{path.name}: {link}"
