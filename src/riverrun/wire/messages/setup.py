"""The first admin, by the link that the server left for its operator."""

from typing import ClassVar

import msgspec

from riverrun.wire.message import Message


class FinishSetup(Message, frozen=True):
    required: ClassVar = ("token", "username", "password")
    token: str | None = None
    username: str | None = None
    password: str | None = None


class SetupFinished(msgspec.Struct, frozen=True):
    username: str
