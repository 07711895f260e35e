import msgspec


class ExperimentTag(msgspec.Struct, frozen=True, gc=False):
    key: str
    value: str


class Experiment(msgspec.Struct, frozen=True, omit_defaults=True):
    """Times are milliseconds since the epoch."""

    experiment_id: str
    name: str
    artifact_location: str
    lifecycle_stage: str
    last_update_time: int
    creation_time: int
    tags: list[ExperimentTag] = []
    workspace: str | None = None
