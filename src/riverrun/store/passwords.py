"""Passwords from files and commands."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from riverrun.errors import TemporarilyUnavailable

COMMAND_S_MAX = 20
"""Cloud tools that ask for a token take a second or two, and more on a busy machine."""
PASSWORD_BYTES_MAX = 65_536


async def from_file(file: str) -> str:
    """The first line. Raises TemporarilyUnavailable when there is none."""
    return await asyncio.to_thread(_first_line, Path(file))


async def from_command(command: tuple[str, ...]) -> str:
    """The first line that it prints. Raises TemporarilyUnavailable when there is none, when the
    command fails, and when it takes too long.
    """
    try:
        async with asyncio.timeout(COMMAND_S_MAX):
            return await _printed_line(command)
    except TimeoutError:
        raise _no_password(f"its command took longer than {COMMAND_S_MAX} s") from None


def _first_line(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return _password(opened.readline(PASSWORD_BYTES_MAX), "its file has none")
    except OSError as error:
        raise _no_password(f"its file cannot be read ({error.strerror})") from error


async def _printed_line(command: tuple[str, ...]) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            start_new_session=True,
            limit=PASSWORD_BYTES_MAX,
        )
    except OSError as error:
        raise _no_password(f"its command cannot be started ({error.strerror})") from error
    try:
        line = await process.stdout.readline() if process.stdout else b""
        code = await process.wait()
    except ValueError:
        raise _no_password("its command printed a line without an end") from None
    finally:
        if process.returncode is None:
            # The command may have started others; all of them are in its session.
            os.killpg(process.pid, signal.SIGKILL)
            # What nobody reads keeps the pipe open, and `wait` waits for its end, too.
            if process.stdout:
                await process.stdout.read()
            await process.wait()
    if code:
        raise _no_password(f"its command ended with code {code}")
    return _password(line, "its command printed none")


def _password(line: bytes, otherwise: str) -> str:
    try:
        password = line.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise _no_password("it is not UTF-8") from None
    if not password:
        raise _no_password(otherwise)
    return password


def _no_password(reason: str) -> TemporarilyUnavailable:
    return TemporarilyUnavailable(f"There is no password for the database: {reason}.")
