import msgspec


class Workspace(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a workspace says of itself; one without a root has a folder of the server's."""

    name: str
    description: str | None = None
    default_artifact_root: str | None = None
