"""What is shown to a database's server, and asked of it: passwords and certificates.

They are read again for every connection, because they change: rotated secrets, and tokens of a
cloud's identity service that live for minutes.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from riverrun.errors import TemporarilyUnavailable

if TYPE_CHECKING:
    import ssl

TlsMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
"""PostgreSQL's names. `require` encrypts and checks nothing, `verify-ca` checks who signed the
server's certificate, and `verify-full` its host name, too.
"""


@dataclass(frozen=True, slots=True)
class Password:
    """The text, else the first line of the file, else the first line that the command prints."""

    text: str = field(default="", repr=False)
    file: str = ""
    command: tuple[str, ...] = field(default=(), repr=False)

    async def current(self) -> str:
        """Raises TemporarilyUnavailable when the file or the command gives none."""
        if self.text or not (self.file or self.command):
            return self.text
        from riverrun.store import passwords  # noqa: PLC0415 - Starts of commands need no asyncio.

        if self.file:
            return await passwords.from_file(self.file)
        return await passwords.from_command(self.command)


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates and the key are paths of PEM files. Without a root certificate, the authorities
    that this machine trusts count.
    """

    mode: TlsMode = "disable"
    root_certificate: str = ""
    certificate: str = ""
    key: str = ""

    def context(self) -> "ssl.SSLContext":
        """Raises TemporarilyUnavailable when a file is of no use."""
        import ssl  # noqa: PLC0415 - Most databases are reached without it.

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = self.mode == "verify-full"
        try:
            if self.mode not in {"verify-ca", "verify-full"}:
                context.verify_mode = ssl.CERT_NONE
            elif self.root_certificate:
                context.load_verify_locations(self.root_certificate)
            else:
                context.load_default_certs()
            if self.certificate:
                # Without a password here, OpenSSL would ask the terminal for that of the key.
                context.load_cert_chain(self.certificate, self.key or None, password="")
        except OSError as error:
            raise TemporarilyUnavailable(
                "The certificates or the key for the connection to the database cannot be used: "
                f"{error.strerror}."
            ) from error
        return context
