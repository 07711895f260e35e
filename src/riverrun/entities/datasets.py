import msgspec


class InputTag(msgspec.Struct, frozen=True, gc=False):
    key: str
    value: str


class Dataset(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None = None
    profile: str | None = None


class DatasetInput(msgspec.Struct, frozen=True, omit_defaults=True):
    dataset: Dataset
    tags: list[InputTag] = []


class DatasetSummary(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    experiment_id: str
    name: str
    digest: str
    context: str | None = None
