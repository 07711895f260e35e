"""The secrets of webhooks, encrypted as they are stored (Fernet: AES-128 and HMAC-SHA256)."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from riverrun.errors import FeatureDisabled, InternalError
from riverrun.obs.logs import Log

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

log = Log("riverrun.webhooks")


class SecretUnreadableError(Exception):
    """It was encrypted with another key."""


class WebhookSecrets:
    """The key is the one given, else the one in the file, which is made when it is first needed.

    Servers that share a database need one key in common, which no file of one of them can be: for
    them there is no file, and the key has to be given.
    """

    def __init__(self, key: str | None, key_file: Path | None) -> None:
        self._key = key
        self._key_file = key_file
        self._fernet: Fernet | None = None
        self._opening = asyncio.Lock()

    async def encrypt(self, secret: str) -> str:
        """Raises FeatureDisabled when there is no key, InternalError when its file is no use."""
        fernet = await self._opened()
        return fernet.encrypt(secret.encode()).decode("ascii")

    async def decrypt(self, stored: str) -> str:
        """Raises SecretUnreadableError, and as `encrypt`."""
        fernet = await self._opened()
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - It is loaded by now.

        try:
            return fernet.decrypt(stored).decode()
        except InvalidToken:
            raise SecretUnreadableError from None

    async def _opened(self) -> "Fernet":
        """Both the library and the file take a moment."""
        async with self._opening:
            if self._fernet is None:
                self._fernet = await asyncio.to_thread(self._open)
        return self._fernet

    def _open(self) -> "Fernet":
        from cryptography.fernet import Fernet  # noqa: PLC0415 - Few servers have webhooks.

        if self._key is not None:
            return Fernet(self._key)
        if self._key_file is None:
            raise FeatureDisabled(
                "Secrets of webhooks need MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY, the same on every "
                "server of this database. Set it, or leave the secret out."
            )
        try:
            if not self._key_file.exists():
                _create(self._key_file, Fernet.generate_key())
            return Fernet(self._key_file.read_bytes().strip())
        except (OSError, ValueError) as error:
            log.error("webhook key unusable", path=str(self._key_file), reason=str(error))
            raise InternalError(
                "The key that encrypts secrets of webhooks cannot be used; the server's log says "
                "why."
            ) from None


def _create(path: Path, key: bytes) -> None:
    """Whole and on the disk, or not there; for nobody else to read."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, key + b"\n")
        os.fsync(file)
    finally:
        os.close(file)
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    log.info("webhook key created", path=str(path))
