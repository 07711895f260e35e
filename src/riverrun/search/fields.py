"""Which fields each resource has, of what kind they are, and which operators each kind knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
PATTERNS = ("LIKE", "ILIKE")
RUN_NAME_TAG = "mlflow.runName"


class Entity(StrEnum):
    ATTRIBUTE = "attribute"
    DATASET = "dataset"
    METRIC = "metric"
    PARAM = "param"
    TAG = "tag"


class Kind(StrEnum):
    NUMBER = "number"
    INTEGER = "integer"
    TEXT = "text"
    NUMERIC_TEXT = "numeric text"
    """Text that compares as a number with a number that is not in quotes."""


@dataclass(frozen=True, slots=True)
class Field:
    """`function` is empty, `min` or `max`; `label` is what messages call the field."""

    entity: Entity
    key: str
    kind: Kind
    label: str
    function: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """The fields of one entity: any key if `keys` is None, otherwise each spelling's own field.

    `functions` says whether min() and max() of a key are fields, too.
    """

    kind: Kind
    keys: Mapping[str, Field] | None = None
    orderable: bool = True
    functions: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """`entities` maps each accepted prefix to its entity; a bare name is an attribute."""

    entities: Mapping[str, Entity]
    groups: Mapping[Entity, Group]


def operators(kind: Kind) -> tuple[str, ...]:
    match kind:
        case Kind.NUMBER | Kind.INTEGER:
            return (*COMPARISONS, "BETWEEN", "IN", "NOT IN", "IS NULL")
        case Kind.TEXT:
            return ("=", "!=", *PATTERNS, "IN", "NOT IN", "IS NULL")
        case Kind.NUMERIC_TEXT:
            return (*COMPARISONS, *PATTERNS, "BETWEEN", "IN", "NOT IN", "IS NULL")


def _attribute(key: str, kind: Kind) -> Field:
    return Field(Entity.ATTRIBUTE, key, kind, key)


def _attributes(**kinds: Kind) -> dict[str, Field]:
    return {key: _attribute(key, kind) for key, kind in kinds.items()}


def _run_attributes() -> dict[str, Field]:
    fields = _attributes(
        artifact_uri=Kind.TEXT,
        end_time=Kind.INTEGER,
        run_id=Kind.TEXT,
        start_time=Kind.INTEGER,
        status=Kind.TEXT,
        user_id=Kind.TEXT,
    )
    # As MLflow has it, a run's name is its tag: without the tag, no search by name finds it.
    name = Field(Entity.TAG, RUN_NAME_TAG, Kind.TEXT, "run_name")
    start = fields["start_time"]
    return {
        **fields,
        "run_name": name,
        "run name": name,
        "Run name": name,
        "Run Name": name,
        "created": start,
        "Created": start,
    }


def _dataset_fields() -> dict[str, Field]:
    return {
        key: Field(Entity.DATASET, key, Kind.TEXT, f"dataset.{key}")
        for key in ("context", "digest", "name")
    }


RUN_ATTRIBUTES = _run_attributes()

RUNS = Resource(
    entities={
        "attribute": Entity.ATTRIBUTE,
        "attributes": Entity.ATTRIBUTE,
        "attr": Entity.ATTRIBUTE,
        "run": Entity.ATTRIBUTE,
        "dataset": Entity.DATASET,
        "datasets": Entity.DATASET,
        "metric": Entity.METRIC,
        "metrics": Entity.METRIC,
        "param": Entity.PARAM,
        "params": Entity.PARAM,
        "parameter": Entity.PARAM,
        "parameters": Entity.PARAM,
        "tag": Entity.TAG,
        "tags": Entity.TAG,
    },
    groups={
        Entity.ATTRIBUTE: Group(Kind.TEXT, RUN_ATTRIBUTES),
        Entity.DATASET: Group(Kind.TEXT, _dataset_fields(), orderable=False),
        Entity.METRIC: Group(Kind.NUMBER, functions=True),
        Entity.PARAM: Group(Kind.NUMERIC_TEXT),
        Entity.TAG: Group(Kind.TEXT),
    },
)

EXPERIMENT_ATTRIBUTES = _attributes(
    creation_time=Kind.INTEGER,
    experiment_id=Kind.TEXT,
    last_update_time=Kind.INTEGER,
    name=Kind.TEXT,
)

EXPERIMENTS = Resource(
    entities={"attribute": Entity.ATTRIBUTE, "tag": Entity.TAG, "tags": Entity.TAG},
    groups={
        Entity.ATTRIBUTE: Group(Kind.TEXT, EXPERIMENT_ATTRIBUTES),
        Entity.TAG: Group(Kind.TEXT, orderable=False),
    },
)


def _logged_model_attributes() -> dict[str, Field]:
    fields = _attributes(
        creation_timestamp=Kind.INTEGER,
        last_updated_timestamp=Kind.INTEGER,
        model_id=Kind.TEXT,
        model_type=Kind.TEXT,
        name=Kind.TEXT,
        source_run_id=Kind.TEXT,
        status=Kind.TEXT,
    )
    created, updated = fields["creation_timestamp"], fields["last_updated_timestamp"]
    return {
        **fields,
        "creation_time": created,
        "creation_timestamp_ms": created,
        "last_updated_time": updated,
        "last_updated_timestamp_ms": updated,
    }


LOGGED_MODEL_ATTRIBUTES = _logged_model_attributes()

LOGGED_MODELS = Resource(
    entities={
        "attribute": Entity.ATTRIBUTE,
        "attributes": Entity.ATTRIBUTE,
        "metric": Entity.METRIC,
        "metrics": Entity.METRIC,
        "param": Entity.PARAM,
        "params": Entity.PARAM,
        "tag": Entity.TAG,
        "tags": Entity.TAG,
    },
    groups={
        Entity.ATTRIBUTE: Group(Kind.TEXT, LOGGED_MODEL_ATTRIBUTES),
        Entity.METRIC: Group(Kind.NUMBER),
        Entity.PARAM: Group(Kind.NUMERIC_TEXT, orderable=False),
        Entity.TAG: Group(Kind.NUMERIC_TEXT, orderable=False),
    },
)

PROMPT_TAG = "mlflow.prompt.is_prompt"


def _registry(attributes: dict[str, Field]) -> Resource:
    return Resource(
        entities={
            "attribute": Entity.ATTRIBUTE,
            "attributes": Entity.ATTRIBUTE,
            "tag": Entity.TAG,
            "tags": Entity.TAG,
        },
        groups={
            Entity.ATTRIBUTE: Group(Kind.TEXT, attributes),
            Entity.TAG: Group(Kind.TEXT, orderable=False),
        },
    )


def _registered_model_attributes() -> dict[str, Field]:
    fields = _attributes(
        creation_timestamp=Kind.INTEGER, last_updated_timestamp=Kind.INTEGER, name=Kind.TEXT
    )
    return {**fields, "timestamp": fields["last_updated_timestamp"]}


REGISTERED_MODEL_ATTRIBUTES = _registered_model_attributes()
REGISTERED_MODELS = _registry(REGISTERED_MODEL_ATTRIBUTES)

MODEL_VERSION_ATTRIBUTES = _attributes(
    creation_timestamp=Kind.INTEGER,
    current_stage=Kind.TEXT,
    last_updated_timestamp=Kind.INTEGER,
    model_id=Kind.TEXT,
    name=Kind.TEXT,
    run_id=Kind.TEXT,
    source_path=Kind.TEXT,
    version_number=Kind.INTEGER,
)
MODEL_VERSIONS = _registry(MODEL_VERSION_ATTRIBUTES)
