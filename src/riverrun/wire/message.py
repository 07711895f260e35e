"""What every request message shares."""

from typing import Annotated, ClassVar

import msgspec

type_int64 = msgspec.Meta(ge=-(2**63), le=2**63 - 1)
type_int32 = msgspec.Meta(ge=-(2**31), le=2**31 - 1)

Int64 = Annotated[int, type_int64]
Int32 = Annotated[int, type_int32]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message inside a message.

    Unknown fields are forbidden so that the fast decoder stumbles over them, and over camelCase
    spellings; the codec then takes its tolerant path, which ignores the first and renames the
    second.
    """


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request. Every field is optional in JSON; `required` names those that must be given and not
    empty.
    """

    required: ClassVar[tuple[str, ...]] = ()


class Empty(Message, frozen=True):
    """A request without fields; also the answer of a write with nothing to say."""


class RunReference(Message, frozen=True):
    """A run by `run_id`, or by `run_uuid` as old clients send it (new ones send both)."""

    run_id: str | None = None
    run_uuid: str | None = None

    @property
    def run(self) -> str:
        """The id that was given; "" when none was, which the codec has refused before."""
        return self.run_id or self.run_uuid or ""
