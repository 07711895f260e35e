import msgspec


class LoggedModelParameter(msgspec.Struct, frozen=True, gc=False):
    key: str
    value: str


class LoggedModelTag(msgspec.Struct, frozen=True, gc=False):
    key: str
    value: str


class LoggedModelMetric(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One point: the run that measured it, and the dataset it was measured on, if any.

    `value` is a number, or the text "NaN" as the protocol writes it.
    """

    key: str
    value: float | str
    timestamp: int
    step: int
    model_id: str
    run_id: str
    dataset_name: str = ""
    dataset_digest: str = ""


class LoggedModelInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """`model_type` and `source_run_id` are there when they are empty, too, as upstream has it."""

    model_id: str
    experiment_id: str
    name: str
    creation_timestamp_ms: int
    last_updated_timestamp_ms: int
    artifact_uri: str
    status: str
    model_type: str
    source_run_id: str
    tags: list[LoggedModelTag] = []


class LoggedModelData(msgspec.Struct, frozen=True, omit_defaults=True):
    params: list[LoggedModelParameter] = []
    metrics: list[LoggedModelMetric] = []


class LoggedModel(msgspec.Struct, frozen=True):
    info: LoggedModelInfo
    data: LoggedModelData
