"""The command `riverrun`: each subcommand is imported when it is called."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from riverrun import __version__
from riverrun.errors import TrackingError
from riverrun.settings_values import SettingsError


class Riverrun(click.Group):
    """Turns what the operator can put right into one sentence and exit code 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return ["server", "db", "gc", "auth"]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Guides write `server auth create-user`."""
        is_auth = args[:2] in (["server", "auth"], ["ui", "auth"])
        return super().resolve_command(ctx, args[1:] if is_auth else args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        found = COMMANDS.get(cmd_name)
        return found() if found else None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            raise click.ClickException(str(error)) from None
        except TrackingError as error:
            raise click.ClickException(error.message) from None


def server() -> click.Command:
    from riverrun.cli.serve import command  # noqa: PLC0415 - see the module's first line.

    return command()


def db() -> click.Command:
    from riverrun.cli.db import command  # noqa: PLC0415 - see the module's first line.

    return command()


def gc() -> click.Command:
    from riverrun.cli.gc import command  # noqa: PLC0415 - see the module's first line.

    return command()


def auth() -> click.Command:
    from riverrun.cli.auth import command  # noqa: PLC0415 - see the module's first line.

    return command()


COMMANDS: dict[str, Callable[[], click.Command]] = {
    "server": server,
    "ui": server,
    "db": db,
    "gc": gc,
    "auth": auth,
}


def set_variables(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    del ctx, param
    if path is not None:
        from riverrun.cli.dotenv import read_env_file  # noqa: PLC0415 - rarely asked for.
        from riverrun.settings import process_environment  # noqa: PLC0415

        process_environment(read_env_file(path))


@click.group(
    cls=Riverrun,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="riverrun")
@click.option(
    "--env-file",
    type=click.Path(path_type=Path),
    callback=set_variables,
    expose_value=False,
    help="File of variables (NAME=value, one a line); variables that are set already stand.",
)
def main() -> None:
    """An experiment tracking server and model registry that speaks the MLflow protocol."""
