"""Compiles requirements/*.txt: every pin with its hashes, no address of an index."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
UV = Path(sys.executable).with_name("uv")
COMMON = ["--quiet", "--generate-hashes", "--no-header", "--universal", "--python-version", "3.11"]


def compile_pins(source: str, target: str, *options: str) -> None:
    command = [UV, "pip", "compile", source, *options, *COMMON, "-o", target]
    subprocess.run(command, check=True, cwd=HERE.parent)


def main() -> None:
    compile_pins("pyproject.toml", "requirements/riverrun.txt")
    compile_pins("pyproject.toml", "requirements/dev.txt", "--group", "dev")
    for source in sorted(HERE.glob("*.in")):
        compile_pins(f"requirements/{source.name}", f"requirements/{source.stem}.txt")


if __name__ == "__main__":
    main()
