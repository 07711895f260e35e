"""Registered models and their versions, as the protocol has them. Times are milliseconds."""

import msgspec


class ModelTag(msgspec.Struct, frozen=True, gc=False):
    key: str
    value: str


class ModelAlias(msgspec.Struct, frozen=True, gc=False):
    alias: str
    version: str


class ModelVersion(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """`description` None was cleared, "" was never given; `aliases` are only in some answers."""

    name: str
    version: str
    creation_timestamp: int
    last_updated_timestamp: int
    current_stage: str
    description: str | None = None
    source: str
    run_id: str
    status: str
    tags: list[ModelTag] = []
    run_link: str
    aliases: list[str] = []
    model_id: str = ""


class RegisteredModel(msgspec.Struct, frozen=True, omit_defaults=True):
    """`latest_versions` are the newest of each stage."""

    name: str
    creation_timestamp: int
    last_updated_timestamp: int
    description: str | None = None
    latest_versions: list[ModelVersion] = []
    tags: list[ModelTag] = []
    aliases: list[ModelAlias] = []


class RegistryChange(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line of a model's history. `version`, `item` (an alias or a tag's key), `old` and `new`
    are there where the change has them.
    """

    timestamp: int
    user: str
    name: str
    change: str
    version: str | None = None
    item: str | None = None
    old: str | None = None
    new: str | None = None
