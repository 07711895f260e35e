import msgspec


class Metric(msgspec.Struct, frozen=True, gc=False):
    """One point. `value` is a number, or the text "NaN" as the protocol writes it."""

    key: str
    value: float | str
    timestamp: int
    step: int


class MetricWithRunId(msgspec.Struct, frozen=True, gc=False):
    """One point of one of several runs."""

    key: str
    value: float | str
    timestamp: int
    step: int
    run_id: str
