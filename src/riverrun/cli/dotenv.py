"""Files of variables: `KEY=value`, one a line."""

import re
from pathlib import Path

import click

NAMED = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*)", re.ASCII)
QUOTED = re.compile(r"""(?:'([^']*)'|"((?:[^"\\]|\\.)*)")\s*(?:\#.*)?""")
COMMENT = re.compile(r"(?:^|\s)#.*")
ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def read_env_file(path: Path) -> dict[str, str]:
    r"""The variables in a file. Raises UsageError with the number of a line that is none.

    Blank lines and what follows `#` are skipped; `export` before a name is accepted; in double
    quotes `\n` is a line break; nothing is expanded.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--env-file {path}: cannot be read ({error}).") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text and not text.startswith("#"):
            name, value = parse_line(text, where=f"--env-file {path}, line {number}")
            found[name] = value
    return found


def parse_line(text: str, *, where: str) -> tuple[str, str]:
    named = NAMED.fullmatch(text)
    quoted = QUOTED.fullmatch(named[2]) if named else None
    if named is None or (quoted is None and named[2].startswith(("'", '"'))):
        raise click.UsageError(f"{where}: expected NAME=value.")
    if quoted is None:
        return named[1], COMMENT.sub("", named[2]).strip()
    single, double = quoted.groups()
    if double is None:
        return named[1], single
    return named[1], re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[1]), double)
