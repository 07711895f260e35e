"""A new password, from wherever it is safe to take one."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])

PASSWORD_BYTES_MAX = 65_536


@dataclass(frozen=True, slots=True)
class PasswordSource:
    """What the options of `password_options` said."""

    password: str | None = field(repr=False)
    password_file: Path | None
    password_stdin: bool

    @property
    def is_given(self) -> bool:
        return self.password is not None or self.password_file is not None or self.password_stdin

    def read(self, username: str) -> str:
        """Asks for it, twice, when nothing was said. Raises click's errors."""
        if (self.password is not None) + (self.password_file is not None) + self.password_stdin > 1:
            raise click.UsageError(
                "--password, --password-file and --password-stdin exclude each other."
            )
        if self.password is not None:
            click.echo(
                "Warning: --password shows in lists of processes and in the shell's history; "
                "--password-file, --password-stdin or none of them does not.",
                err=True,
            )
            return _as_text(self.password.encode(errors="surrogateescape"))
        if self.password_file is not None:
            return _first_line(self.password_file)
        if self.password_stdin:
            return _as_text(sys.stdin.buffer.readline(PASSWORD_BYTES_MAX))
        if not sys.stdin.isatty():
            raise click.UsageError(
                "There is no terminal to ask for a password: give --password-file or "
                "--password-stdin."
            )
        again = "The password again"
        return click.prompt(
            f"Password for {username}", hide_input=True, confirmation_prompt=again, err=True
        )


def password_options(function: F) -> F:
    """The options whose values a `PasswordSource` takes by their names."""
    for option in (
        click.option(
            "--password-stdin", is_flag=True, help="Read the password from the first line of stdin."
        ),
        click.option(
            "--password-file",
            type=click.Path(path_type=Path),
            help="Read the password from the first line of this file.",
        ),
        click.option("--password", help="The password, for everybody on this machine to see."),
    ):
        function = option(function)
    return function


def _first_line(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return _as_text(opened.readline(PASSWORD_BYTES_MAX))
    except OSError as error:
        raise click.ClickException(
            f"--password-file {file}: cannot be read ({error.strerror})."
        ) from None


def _as_text(given: bytes) -> str:
    try:
        return given.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise click.ClickException("The password is not UTF-8.") from None
