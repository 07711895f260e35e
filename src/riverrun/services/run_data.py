"""What is logged to a run: metrics, params, tags, inputs and outputs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from riverrun.auth.viewer import Viewer
from riverrun.clock import new_run_id, now_ms
from riverrun.errors import InvalidParameterValue, ResourceDoesNotExist
from riverrun.services import limits, names
from riverrun.services.active import require_active, take_active
from riverrun.services.compaction import Compactor
from riverrun.services.key_names import KeyNames
from riverrun.services.logged_models import log_to_models
from riverrun.services.metric_batch import MetricBatch, Point, metric_batch
from riverrun.services.values import ValueRules
from riverrun.store import datasets, metrics, run_data, runs
from riverrun.store.datasets import InputEdge, NewDataset
from riverrun.store.engine import Engine, Tx
from riverrun.store.metrics import LogRow
from riverrun.store.runs import RunState


@dataclass(frozen=True, slots=True)
class Batch:
    """What one log-batch carries."""

    metrics: Sequence[Point] = ()
    params: Sequence[tuple[str | None, str | None]] = ()
    tags: Sequence[tuple[str | None, str | None]] = ()


@dataclass(frozen=True, slots=True)
class DatasetUse:
    """A dataset that a run reads, and the tags of the reading."""

    dataset: NewDataset
    tags: Sequence[tuple[str, str]]


class RunWriter:
    """Every write is one transaction: all of it is there, or nothing."""

    def __init__(
        self, engine: Engine, *, key_names: KeyNames, compactor: Compactor, values: ValueRules
    ) -> None:
        self._engine = engine
        self._key_names = key_names
        self._compactor = compactor
        self._values = values

    async def log_metric(self, run_id: str, point: Point, *, viewer: Viewer) -> None:
        await self._write(run_id, metric_batch([point]), {}, {}, viewer=viewer)

    async def log_param(self, run_id: str, key: str, value: str, *, viewer: Viewer) -> None:
        """The same value again changes nothing; another one is refused."""
        params = self._values.params([(key, value)])
        await self._write(run_id, metric_batch([]), params, {}, viewer=viewer)

    async def set_tag(self, run_id: str, key: str, value: str, *, viewer: Viewer) -> None:
        tags = self._values.tags([(key, value)])
        await self._write(run_id, metric_batch([]), {}, tags, viewer=viewer)

    async def log_batch(self, run_id: str, batch: Batch, *, viewer: Viewer) -> None:
        """All or nothing, also where upstream would keep the first half."""
        names.check_run_id_shape(run_id)
        _check_counts(batch)
        checked = metric_batch(batch.metrics)
        params = self._values.params(batch.params)
        tags = self._values.tags(batch.tags)
        await self._write(run_id, checked, params, tags, viewer=viewer)

    async def _write(
        self,
        run_id: str,
        batch: MetricBatch,
        params: dict[str, str],
        tags: dict[str, str],
        *,
        viewer: Viewer,
    ) -> None:
        key, at_ms = names.run_key(run_id), now_ms()
        ids = await self._ids({*batch.names, *params, *tags}, key, viewer)
        payload = batch.payload(ids) if batch else b""
        latest = batch.latest(ids) if batch else []

        async def work(tx: Tx) -> LogRow | None:
            state = await take_active(tx, key, viewer)
            row: LogRow | None = None
            if params:
                await _add_params(tx, _Run(key, state.experiment_id, ids), params)
            if tags:
                await _set_tags(tx, _Run(key, state.experiment_id, ids), tags, by=viewer.name)
            if latest:
                row = await metrics.append(tx, key, payload)
                await metrics.upsert_latest(tx, key, state.experiment_id, latest)
            if batch.of_models:
                await log_to_models(tx, key, batch, ids, viewer=viewer)
            await runs.touch(tx, key, by=viewer.name, at_ms=at_ms)
            return row

        row = await self._engine.write(work, key=key)
        if row:
            self._compactor.logged(key, len(batch), row)

    async def _ids(self, given: Iterable[str], run: bytes, viewer: Viewer) -> Mapping[str, int]:
        """Of these names, for a write to this run."""
        return await self._key_names.create(
            given, allowed=lambda: self._engine.glance(lambda tx: require_active(tx, run, viewer))
        )

    async def delete_tag(self, run_id: str, key: str, *, viewer: Viewer) -> None:
        """A missing tag is an error, as it is upstream. The run keeps its name when mlflow.runName
        goes.
        """
        run, at_ms = names.run_key(run_id), now_ms()
        ids = await self._key_names.find([key])

        async def work(tx: Tx) -> None:
            await take_active(tx, run, viewer)
            if key not in ids or not await run_data.delete_tag(tx, run, ids[key]):
                raise ResourceDoesNotExist(f"No tag with name: {key} in run with id {run_id}")
            await runs.touch(tx, run, by=viewer.name, at_ms=at_ms)

        await self._engine.write(work, key=run)

    async def log_model(self, run_id: str, model_json: str, *, viewer: Viewer) -> None:
        """Called by 2.x clients: adds a model's description to the tag mlflow.log-model.history,
        once.
        """
        model = _checked_model(model_json)
        run, at_ms = names.run_key(run_id), now_ms()
        tag = names.LOGGED_MODEL_HISTORY_TAG
        ids = await self._ids([tag], run, viewer)

        async def work(tx: Tx) -> None:
            state = await take_active(tx, run, viewer)
            history: list[Any] = json.loads(await run_data.tag(tx, run, ids[tag]) or "[]")
            if model in history:
                return
            value = {ids[tag]: json.dumps([*history, model])}
            await run_data.set_tags(tx, run, state.experiment_id, value, by=viewer.name)
            await runs.touch(tx, run, by=viewer.name, at_ms=at_ms)

        await self._engine.write(work, key=run)

    async def log_inputs(
        self,
        run_id: str,
        uses: Sequence[DatasetUse],
        models: Sequence[str],
        *,
        viewer: Viewer,
    ) -> None:
        """A dataset is known by name and digest within its experiment; what was written of it first
        stands.
        """
        names.check_run_id_shape(run_id)
        for use in uses:
            _check_use(use)
        _check_models(models)
        _check_count(len(uses), limits.DATASETS_PER_CALL_MAX, "datasets")
        run, at_ms = names.run_key(run_id), now_ms()
        state = await self._engine.glance(lambda tx: require_active(tx, run, viewer))
        known = {
            (use.dataset.name, use.dataset.digest): await self._dataset(state, use.dataset)
            for use in uses
        }
        edges = [
            InputEdge(
                dataset_id=known[use.dataset.name, use.dataset.digest],
                context=dict(use.tags).get(names.CONTEXT_TAG),
                tags=list(use.tags),
            )
            for use in uses
        ]

        async def work(tx: Tx) -> None:
            state = await take_active(tx, run, viewer)
            await datasets.insert_inputs(tx, run, state.experiment_id, edges)
            await datasets.insert_models(tx, run, "input", [(model, 0) for model in models])
            await runs.touch(tx, run, by=viewer.name, at_ms=at_ms)

        await self._engine.write(work, key=run)

    async def _dataset(self, state: RunState, dataset: NewDataset) -> bytes:
        """The id of the dataset, which is made in a transaction of its own: no run's write touches
        its table.
        """
        place = (state.experiment_id, dataset.name, dataset.digest)

        async def work(tx: Tx) -> bytes:
            found = await datasets.find(tx, *place)
            if found is not None:
                return found
            dataset_id = new_run_id()
            await datasets.insert(tx, dataset_id, state.experiment_id, dataset)
            return dataset_id

        return await self._engine.write(work)

    async def log_outputs(
        self, run_id: str, models: Sequence[tuple[str, int]], *, viewer: Viewer
    ) -> None:
        """An output that is there already stays as it is: clients repeat the call."""
        _check_models([model for model, _ in models])
        run, at_ms = names.run_key(run_id), now_ms()

        async def work(tx: Tx) -> None:
            await take_active(tx, run, viewer)
            await datasets.insert_models(tx, run, "output", models)
            await runs.touch(tx, run, by=viewer.name, at_ms=at_ms)

        await self._engine.write(work, key=run)


@dataclass(frozen=True, slots=True)
class _Run:
    """Where params and tags go, and the ids of their names."""

    key: bytes
    experiment_id: int
    ids: Mapping[str, int]


async def _add_params(tx: Tx, run: _Run, params: Mapping[str, str]) -> None:
    ids = run.ids
    existing = await run_data.params(tx, run.key, [ids[key] for key in params])
    changed = {
        key: existing[ids[key]]
        for key, value in params.items()
        if existing.get(ids[key], value) != value
    }
    if changed:
        raise _param_changed(run.key.hex(), changed, params)
    absent = {ids[key]: value for key, value in params.items() if ids[key] not in existing}
    await run_data.insert_params(tx, run.key, run.experiment_id, absent)


def _param_changed(
    run_id: str, old: Mapping[str, str], new: Mapping[str, str]
) -> InvalidParameterValue:
    """Upstream's words: clients look for "Changing param values is not allowed"."""
    if len(new) == 1:
        ((key, value),) = old.items()
        return InvalidParameterValue(
            f"Changing param values is not allowed. Param with key='{key}' was already logged with "
            f"value='{value}' for run ID='{run_id}'. Attempted logging new value '{new[key]}'."
        )
    conflicts = [
        {"key": key, "old_value": value, "new_value": new[key]} for key, value in old.items()
    ]
    return InvalidParameterValue(
        f"Changing param values is not allowed. Params were already logged='{conflicts}' "
        f"for run ID='{run_id}'."
    )


async def _set_tags(tx: Tx, run: _Run, tags: Mapping[str, str], *, by: str) -> None:
    values = {run.ids[key]: value for key, value in tags.items()}
    await run_data.set_tags(tx, run.key, run.experiment_id, values, by=by)
    if names.RUN_NAME_TAG in tags:
        await runs.set_name(tx, run.key, tags[names.RUN_NAME_TAG])


def _check_counts(batch: Batch) -> None:
    counts = {"metrics": len(batch.metrics), "params": len(batch.params), "tags": len(batch.tags)}
    maxima = {
        "metrics": limits.METRICS_PER_BATCH_MAX,
        "params": limits.PARAMS_PER_BATCH_MAX,
        "tags": limits.TAGS_PER_BATCH_MAX,
    }
    for what, count in counts.items():
        _check_batch(count, maxima[what], what)
    _check_batch(sum(counts.values()), limits.ENTITIES_PER_BATCH_MAX, "metrics, params, and tags")


def _check_batch(count: int, maximum: int, what: str) -> None:
    if count > maximum:
        raise InvalidParameterValue(
            f"A batch logging request can contain at most {maximum} {what}. Got {count} {what}. "
            f"Please split up {what} across multiple requests and try again."
        )


def _check_count(count: int, maximum: int, what: str) -> None:
    if count > maximum:
        raise InvalidParameterValue(f"A call can name at most {maximum} {what}. Got {count}.")


def _check_use(use: DatasetUse) -> None:
    dataset = use.dataset
    for what, value, length_max in (
        ("name", dataset.name, limits.DATASET_NAME_LENGTH_MAX),
        ("digest", dataset.digest, limits.DATASET_DIGEST_LENGTH_MAX),
        ("source_type", dataset.source_type, limits.DATASET_SOURCE_TYPE_LENGTH_MAX),
        ("source", dataset.source, limits.DATASET_SOURCE_LENGTH_MAX),
        ("schema", dataset.schema or "", limits.DATASET_SCHEMA_LENGTH_MAX),
        ("profile", dataset.profile or "", limits.DATASET_PROFILE_LENGTH_MAX),
    ):
        names.check_length(value, length_max, f"dataset.{what}")
    _check_count(len(use.tags), limits.INPUT_TAGS_MAX, "tags of an input")
    for key, value in use.tags:
        names.check_length(key, limits.INPUT_TAG_KEY_LENGTH_MAX, "Key of an input tag")
        names.check_length(value, limits.INPUT_TAG_VALUE_LENGTH_MAX, f"Value of input tag '{key}'")


def _check_models(models: Sequence[str]) -> None:
    _check_count(len(models), limits.MODELS_PER_CALL_MAX, "models")
    for model in models:
        names.check_length(model, limits.MODEL_ID_LENGTH_MAX, "model_id")


_MODEL_FIELDS = ("artifact_path", "flavors", "utc_time_created", "run_id")


def _checked_model(model_json: str) -> Any:
    names.check_length(model_json, limits.MODEL_JSON_LENGTH_MAX, "model_json")
    try:
        model: Any = json.loads(model_json)
    except (ValueError, RecursionError):
        raise InvalidParameterValue(
            f"Malformed model info: expected JSON, got '{model_json[:100]}'."
        ) from None
    absent = [field for field in _MODEL_FIELDS if not isinstance(model, dict) or field not in model]
    if absent:
        raise InvalidParameterValue(f"Model json is missing mandatory fields: {absent}")
    return cast("Any", model)
