"""What a setting is: a field of the settings, with its options, its variables and its help."""

from dataclasses import Field, dataclass, field
from typing import Any, TypeVar, cast

from riverrun.settings_upstream import UVICORN_ARGUMENTS
from riverrun.settings_values import FLAG, Kind, SettingsError, without_password

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """What the command line, the parser and the documentation know about one field."""

    name: str
    kind: Kind[Any]
    default: object
    help: str
    options: tuple[str, ...]
    variables: tuple[str, ...]
    secret: bool

    @property
    def is_flag(self) -> bool:
        return self.kind is FLAG

    @property
    def negation(self) -> str:
        """The option that says no to a flag; empty where the flag is a negation already."""
        first = self.options[0]
        if first.startswith("--disable-"):
            return ""
        if first.startswith("--enable-"):
            return f"--disable-{first.removeprefix('--enable-')}"
        return f"--no-{first[2:]}"

    @property
    def is_uvicorn_argument(self) -> bool:
        return not UVICORN_ARGUMENTS.isdisjoint(self.options)

    @property
    def shown_default(self) -> str:
        if isinstance(self.default, bool):
            return str(self.default).lower()
        if isinstance(self.default, tuple):
            return ",".join(cast("tuple[str, ...]", self.default))
        return "" if self.default is None else str(self.default)

    @property
    def label(self) -> str:
        """`--port (or MLFLOW_PORT)`: what an error calls the setting."""
        option, variables = self.options[-1:], " or ".join(self.variables)
        if not option:
            return variables
        return f"{option[0]} (or {variables})" if variables else option[0]

    def parse(self, given: object) -> object:
        try:
            return self.kind.read(str(given).strip())
        except ValueError as error:
            shown = "…" if self.secret else without_password(str(given))
            raise SettingsError(f"{self.label} cannot be {shown!r}: {error}.") from None


def setting(  # noqa: PLR0913 - A line of a table.
    kind: Kind[T],
    default: T,
    text: str,
    names: str,
    *,
    secret: bool = False,
    in_repr: bool = True,
) -> T:
    """A field of the settings: `names` lists its options (`-p --port`), then its variables.

    `secret` keeps the value out of messages; without `in_repr` it only stays out of the repr, since
    a part of it may be secret.
    """
    told = (kind, text, names, secret)
    return field(default=default, repr=in_repr and not secret, metadata={"setting": told})


def as_setting(of: Field[Any]) -> Setting:
    kind, text, names, secret = of.metadata["setting"]
    words = names.split()
    return Setting(
        name=of.name,
        kind=kind,
        default=of.default,
        help=text,
        options=tuple(word for word in words if word.startswith("-")),
        variables=tuple(word for word in words if not word.startswith("-")),
        secret=secret,
    )
