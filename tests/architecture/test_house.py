"""Rules of the house that no other tool checks."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "riverrun"
FOLDERS = ("src", "tests", "bench", "docs", "examples", "requirements")
LINES_MAX = {"src": 600, "bench": 600, "tests": 800}
FUNCTION_LINES_MAX = 70
HEAVY = (
    "numpy",
    "sqlalchemy",
    "alembic",
    "cryptography",
    "zstandard",
    "isal",
    "obstore",
    "asyncpg",
    "asyncmy",
    "uvicorn",
    "click",
)
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
OF_ONE_MACHINE = re.compile(
    r"(?<![\w.])/(?:work|opt/tools)/|\.\./shared|pypi\.org/simple|files\.pythonhosted"
)
ADDRESS = re.compile(
    r"[a-z][a-z0-9+.-]*://|--(?:extra-)?index-url|--find-links|(?:\d{1,3}\.){3}\d{1,3}:\d"
)


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def text_files() -> Iterator[Path]:
    """What a commit would hold: sources, documents, settings of tools."""
    yield from (path for path in ROOT.iterdir() if path.is_file())
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def lines_of(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return []


def test_a_cold_start_imports_nothing_heavy():
    """The first answer waits for every module that is imported before it."""
    code = "import sys, riverrun.wiring; print('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert "riverrun" in loaded
    assert sorted(loaded & set(HEAVY)) == []


def test_the_document_of_the_api_is_not_made_at_the_start():
    code = "import sys, riverrun.wiring; print('riverrun.api.openapi' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_no_module_of_ours_imports_mlflow():
    found = [
        shown(path)
        for path in python_files("src")
        if re.search(r"^\s*(?:import|from) mlflow\b", path.read_text(), re.MULTILINE)
    ]
    assert found == []


def test_a_file_is_at_most_so_long():
    long = {
        shown(path): count
        for folder, maximum in LINES_MAX.items()
        for path in python_files(folder)
        if (count := len(lines_of(path))) > maximum
    }
    assert long == {}


def test_a_function_is_at_most_so_long():
    long = {
        f"{shown(path)}:{node.name}": count
        for path in python_files("src")
        if "versions" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (count := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    }
    assert long == {}


@pytest.mark.parametrize("pattern", [UNFINISHED, OF_ONE_MACHINE], ids=["unfinished", "machine"])
def test_no_file_says_what_is_nobodys_business(pattern: re.Pattern[str]):
    found = [
        f"{shown(path)}:{number}: {line.strip()[:80]}"
        for path in text_files()
        if path != Path(__file__)
        for number, line in enumerate(lines_of(path), 1)
        if pattern.search(line)
    ]
    assert found == []


def test_pins_carry_hashes_and_no_address():
    pins = sorted((ROOT / "requirements").glob("*.txt"))
    assert pins
    for path in pins:
        text = path.read_text()
        assert not ADDRESS.search(text), path.name
        wanted = [line for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line)]
        assert wanted, path.name
        assert all(re.match(r"[\w.\[\],-]+==\S+ ", line) for line in wanted), path.name
        assert text.count("--hash=sha256:") >= len(wanted), path.name


def test_the_locks_of_npm_carry_hashes_and_no_address():
    locks = sorted((ROOT / "requirements").rglob("package-lock.json"))
    assert locks
    for path in locks:
        text = path.read_text()
        assert not ADDRESS.search(text), path.parent.name
        installed = [pin for name, pin in json.loads(text)["packages"].items() if name]
        assert installed, path.parent.name
        assert all(pin["integrity"].startswith("sha512-") for pin in installed), path.parent.name


def test_only_the_settings_read_the_environment():
    found = [
        shown(path)
        for path in sorted(SOURCE.rglob("*.py"))
        if re.search(r"\bos\.(?:environ|getenv)\b|\bgetenv\(", path.read_text())
    ]
    assert [path for path in found if not path.startswith("src/riverrun/settings")] == []


def swallows_everything(handler: ast.ExceptHandler) -> bool:
    """Clean up and raise again is fine; to catch everything and go on is not."""
    names = (
        {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
        if handler.type
        else {"Exception"}
    )
    raises = any(isinstance(node, ast.Raise) and node.exc is None for node in handler.body)
    return bool(names & {"Exception", "BaseException"}) and not raises


def test_only_the_error_boundary_catches_everything():
    found = [
        shown(path)
        for path in python_files("src")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and swallows_everything(node)
    ]
    # The engines hand every error to whoever waits for the work.
    engines = {f"src/riverrun/store/{engine}.py" for engine in ("networked", "sqlite")}
    assert set(found) == {"src/riverrun/asgi/app.py"} | engines
