from pathlib import Path

import click
import pytest

from riverrun.cli.dotenv import read_env_file


def read(text: str, folder: Path) -> dict[str, str]:
    path = folder / ".env"
    path.write_text(text, encoding="utf-8")
    return read_env_file(path)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("  export A = b c  ", "b c"),
        ("A=", ""),
        ("A= # nothing", ""),
        ("A=b # why", "b"),
        ("A=b#c", "b#c"),
        ("A='b # c'", "b # c"),
        ("A='b\\n'", "b\\n"),
        ('A="b\\n\\"c\\" \\\\" # why', 'b\n"c" \\'),
        ("A=postgresql://u:p@h/d?x=1&y='2'", "postgresql://u:p@h/d?x=1&y='2'"),
        ("A=$B", "$B"),
    ],
)
def test_a_line_names_a_variable(line: str, value: str, tmp_path: Path):
    assert read(line, tmp_path) == {"A": value}


def test_blank_lines_and_comments_are_skipped_and_the_last_line_wins(tmp_path: Path):
    assert read("\n# A=1\r\nA=2\n\nA=3\n", tmp_path) == {"A": "3"}


@pytest.mark.parametrize("line", ["A", "1A=b", "A B=c", 'A="b', "=b", "A='b' c"])
def test_another_line_is_refused_with_its_number_and_without_its_text(line: str, tmp_path: Path):
    with pytest.raises(click.UsageError) as error:
        read(f"OK=1\n{line}\n", tmp_path)
    assert error.value.message == f"--env-file {tmp_path}/.env, line 2: expected NAME=value."
