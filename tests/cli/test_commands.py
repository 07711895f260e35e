import os
import subprocess
import sys
from pathlib import Path

import pytest

from riverrun import __version__


def riverrun(*arguments: str, cwd: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return subprocess.run(
        [sys.executable, "-m", "riverrun", *arguments],
        cwd=cwd,
        env={**environ, **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_version_is_shown(tmp_path: Path):
    done = riverrun("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"riverrun, version {__version__}\n")


def test_help_lists_the_commands_in_both_spellings(tmp_path: Path):
    short, long = riverrun("-h", cwd=tmp_path), riverrun("--help", cwd=tmp_path)
    assert short.stdout == long.stdout
    assert "server" in short.stdout
    assert "--backend-store-uri" in riverrun("ui", "--help", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--app-name", "oidc-auth"],
            "--app-name cannot be 'oidc-auth': expected basic-auth.",
        ),
        (
            ["-p", "http"],
            "--port (or MLFLOW_PORT) cannot be 'http': expected a whole number from 0 to 65535.",
        ),
        (
            ["--backend-store-uri", "./mlruns"],
            (
                "--backend-store-uri (or MLFLOW_BACKEND_STORE_URI) cannot be './mlruns': file"
                " stores are not supported; give a database such as sqlite:///mlflow.db."
            ),
        ),
        (
            ["--host", "192.0.2.1"],
            "--host 192.0.2.1: cannot listen there (Cannot assign requested address).",
        ),
        (["--ssl-keyfile", "x"], "--ssl-keyfile needs --ssl-certfile."),
    ],
)
@pytest.mark.parametrize("name", ["server", "ui"])
def test_what_cannot_start_ends_with_one_sentence(
    name: str, arguments: list[str], sentence: str, tmp_path: Path
):
    done = riverrun(name, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {sentence}\n")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_option_is_a_usage_error(tmp_path: Path):
    done = riverrun("server", "--bakend-store-uri", "x", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_variables_are_read(tmp_path: Path):
    done = riverrun("server", cwd=tmp_path, MLFLOW_ARTIFACTS_ONLY="true")
    assert done.stderr.startswith("Error: --artifacts-only (or MLFLOW_ARTIFACTS_ONLY)")


def test_an_env_file_sets_what_is_not_set_yet(tmp_path: Path):
    (tmp_path / "my.env").write_text("# ours\nexport MLFLOW_PORT='nine'  # port\n\n", "utf-8")
    done = riverrun("--env-file", "my.env", "server", cwd=tmp_path)
    assert done.stderr.startswith("Error: --port (or MLFLOW_PORT) cannot be 'nine'")
    done = riverrun("--env-file", "my.env", "server", cwd=tmp_path, MLFLOW_PORT="ten")
    assert done.stderr.startswith("Error: --port (or MLFLOW_PORT) cannot be 'ten'")


def test_a_missing_env_file_is_a_usage_error(tmp_path: Path):
    done = riverrun("--env-file", "my.env", "server", cwd=tmp_path)
    assert done.returncode == 2
    assert "Error: --env-file my.env: cannot be read" in done.stderr


def test_commands_import_nothing_heavy(tmp_path: Path):
    """Each of these would take a good part of the start that users were promised."""
    script = (
        "import sys; from riverrun.cli.serve import command; command();"
        "print([name for name in ('asyncio', 'uvicorn', 'sqlalchemy', 'alembic', 'numpy',"
        " 'msgspec', 'obstore', 'isal', 'starlette.responses', 'anyio') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
