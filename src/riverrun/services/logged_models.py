"""Models that runs log (MLflow 3): their life, params, tags and search."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan

from riverrun.artifacts.resolve import join_uri
from riverrun.auth.levels import Level
from riverrun.auth.viewer import Resource, Viewer
from riverrun.clock import new_run_id, now_ms
from riverrun.entities.logged_models import LoggedModel
from riverrun.errors import InvalidParameterValue, ResourceDoesNotExist
from riverrun.search import order_by_field, parse_filter
from riverrun.search.fields import LOGGED_MODELS
from riverrun.search.limits import MAX_ORDER_TERMS
from riverrun.services import audit, limits, names
from riverrun.services.active import require_active_experiment, require_on_model
from riverrun.services.key_names import KeyNames
from riverrun.services.metric_batch import MetricBatch
from riverrun.services.run_names import random_run_name
from riverrun.services.siblings import shown_logged_model, shown_logged_models
from riverrun.services.values import Pairs
from riverrun.store import logged_model_search
from riverrun.store import logged_models as store
from riverrun.store.change import Change
from riverrun.store.engine import Engine, Tx
from riverrun.store.filters import key_names
from riverrun.store.logged_model_search import DatasetChoice, ModelOrder


@dataclass(frozen=True, slots=True)
class NewLoggedModel:
    """What a client says of a model that it creates; an empty name asks for a generated one."""

    experiment_id: str
    name: str
    model_type: str
    source_run_id: str
    params: Sequence[tuple[str | None, str | None]]
    tags: Sequence[tuple[str | None, str | None]]


@dataclass(frozen=True, slots=True)
class OrderItem:
    """An attribute, or `metrics.<key>` by its newest value on a dataset."""

    field_name: str
    ascending: bool
    dataset: DatasetChoice


@dataclass(frozen=True, slots=True)
class LoggedModelQuery:
    """What a search asks for."""

    experiment_ids: Sequence[str]
    filter: str
    datasets: Sequence[DatasetChoice]
    max_results: int | None
    order_by: Sequence[OrderItem]
    page_token: str | None


@dataclass(frozen=True, slots=True)
class LoggedModelPage:
    models: list[LoggedModel]
    next_page_token: str | None


class LoggedModels:
    """Deleted models are hidden from `get` and `search`; what changes a model changes them, too."""

    def __init__(self, engine: Engine, *, key_names: KeyNames) -> None:
        self._engine = engine
        self._key_names = key_names

    async def create(self, new: NewLoggedModel, *, viewer: Viewer) -> LoggedModel:
        """The experiment must exist and be active; names need not be unique."""
        experiment_id = names.experiment_key(new.experiment_id)
        name = names.check_model_name(new.name or random_run_name())
        _check_origin(new)
        params, tags = _params(new.params), _tags(new.tags)
        viewer.require(Level.EDIT, experiment_id)
        ids = await self._key_names.create({*params, *tags})
        model_id, at_ms = new_run_id(), now_ms()

        async def work(tx: Tx) -> LoggedModel:
            experiment = await require_active_experiment(tx, experiment_id, viewer)
            await store.insert(
                tx,
                store.NewLoggedModel(
                    model_id=model_id,
                    experiment_id=experiment_id,
                    name=name,
                    model_type=new.model_type,
                    source_run_id=new.source_run_id,
                    artifact_uri=join_uri(
                        experiment.artifact_location,
                        "models",
                        store.public_id(model_id),
                        "artifacts",
                    ),
                    created_by=viewer.name,
                    at_ms=at_ms,
                ),
            )
            await store.insert_params(tx, model_id, experiment_id, _by_id(params, ids))
            await store.set_tags(tx, model_id, experiment_id, _by_id(tags, ids), by=viewer.name)
            return await _found(tx, model_id, viewer)

        return await self._engine.write(work, key=model_id)

    async def get(self, model_id: str, *, allow_deleted: bool, viewer: Viewer) -> LoggedModel:
        key = names.model_key(model_id)

        async def work(tx: Tx) -> LoggedModel:
            state = await _require(tx, key, Level.READ, viewer)
            if state.lifecycle_stage != "active" and not allow_deleted:
                raise names.model_not_found(model_id)
            return await _found(tx, key, viewer)

        return await self._engine.read(work)

    async def artifact_uri(self, model_id: str, *, viewer: Viewer, level: Level) -> str:
        key = names.model_key(model_id)
        state = await self._engine.glance(lambda tx: _require(tx, key, level, viewer))
        if state.lifecycle_stage != "active":
            raise names.model_not_found(model_id)
        return state.artifact_uri

    async def finalize(self, model_id: str, status: str, *, viewer: Viewer) -> LoggedModel:
        """Any status may follow any other, again and again."""
        key, change = names.model_key(model_id), Change(viewer.name, now_ms())

        async def work(tx: Tx) -> LoggedModel:
            await _take(tx, key, Level.EDIT, viewer)
            await store.set_status(tx, key, status, change)
            return await _found(tx, key, viewer)

        return await self._engine.write(work, key=key)

    async def delete(self, model_id: str, *, viewer: Viewer) -> None:
        """Its files stay. Deleting it again is no error, and the first time of deletion stands."""
        key, change = names.model_key(model_id), Change(viewer.name, now_ms())

        async def work(tx: Tx) -> None:
            state = await _take(tx, key, Level.MANAGE, viewer)
            if state.lifecycle_stage == "active":
                await store.delete(tx, key, change)
                event = audit.Event("logged_model.delete", Resource("logged_model", model_id))
                await audit.record(tx, event, by=viewer)

        await self._engine.write(work, key=key)

    async def set_tags(self, model_id: str, given: Pairs, *, viewer: Viewer) -> LoggedModel:
        """The last value of each key stands; other tags stay."""
        key, tags = names.model_key(model_id), _tags(given)
        ids = await self._ids(tags, key, viewer)

        async def work(tx: Tx) -> LoggedModel:
            state = await _take(tx, key, Level.EDIT, viewer)
            values = _by_id(tags, ids)
            await store.set_tags(tx, key, state.experiment_id, values, by=viewer.name)
            return await _found(tx, key, viewer)

        return await self._engine.write(work, key=key)

    async def delete_tag(self, model_id: str, tag_key: str, *, viewer: Viewer) -> None:
        """A missing tag is an error, as it is upstream."""
        key = names.model_key(model_id)
        ids = await self._key_names.find([tag_key])

        async def work(tx: Tx) -> None:
            await _take(tx, key, Level.EDIT, viewer)
            if tag_key not in ids or not await store.delete_tag(tx, key, ids[tag_key]):
                raise ResourceDoesNotExist(
                    f"No tag with key '{tag_key[: limits.KEY_LENGTH_MAX]}' found for model with "
                    f"ID '{model_id}'."
                )

        await self._engine.write(work, key=key)

    async def log_params(self, model_id: str, given: Pairs, *, viewer: Viewer) -> None:
        """The same value again changes nothing, since clients retry; another one is refused."""
        key, params = names.model_key(model_id), _params(given)
        ids = await self._ids(params, key, viewer)

        async def work(tx: Tx) -> None:
            state = await _take(tx, key, Level.EDIT, viewer)
            existing = await store.params(tx, key, [ids[name] for name in params])
            for name, value in params.items():
                if existing.get(ids[name], value) != value:
                    raise _param_changed(model_id, name, existing[ids[name]], value)
            absent = {ids[name]: value for name, value in params.items()}
            for key_id in existing:
                del absent[key_id]
            await store.insert_params(tx, key, state.experiment_id, absent)

        await self._engine.write(work, key=key)

    async def _ids(self, given: Iterable[str], key: bytes, viewer: Viewer) -> Mapping[str, int]:
        """Of these names, for a change of this model."""
        return await self._key_names.create(
            given,
            allowed=lambda: self._engine.glance(lambda tx: _require(tx, key, Level.EDIT, viewer)),
        )

    async def search(self, query: LoggedModelQuery, *, viewer: Viewer) -> LoggedModelPage:
        """No experiments, no models; unknown experiments are ignored."""
        if len(query.experiment_ids) > limits.EXPERIMENTS_PER_SEARCH_MAX:
            raise InvalidParameterValue(
                f"A search takes at most {limits.EXPERIMENTS_PER_SEARCH_MAX} experiment ids. "
                f"Got {len(query.experiment_ids)}."
            )
        experiments = [names.experiment_key(each) for each in query.experiment_ids]
        tree = parse_filter(query.filter, LOGGED_MODELS)
        orders = _orders(query.order_by)
        _check_datasets(query.datasets)
        search = logged_model_search.LoggedModelQuery(
            experiment_ids=viewer.readable(experiments),
            filter=tree,
            datasets=tuple(query.datasets),
            order_by=orders,
            max_results=_page_size(query.max_results),
            keys=await self._key_names.find(key_names(tree, [each.order for each in orders])),
            page_token=query.page_token or "",
        )

        async def work(tx: Tx) -> LoggedModelPage:
            page = await logged_model_search.search(tx, search)
            models = await store.find_all(
                tx, page.model_ids, points_per_metric=limits.LOGGED_MODEL_POINTS_IN_PAGE_MAX
            )
            models = await shown_logged_models(tx, viewer, models)
            return LoggedModelPage(models, page.next_page_token)

        return await self._engine.read(work)


async def log_to_models(
    tx: Tx, run_id: bytes, batch: MetricBatch, ids: Mapping[str, int], *, viewer: Viewer
) -> None:
    """Adds those points of a run's batch that measure models, within the transaction of the batch.

    Raises InvalidParameterValue for a model that does not exist.
    """
    model_ids = sorted({point.model_id for point in batch.of_models})
    experiments = await store.experiments_of(tx, model_ids)
    here = experiments.values()
    if viewer.all_powerful:
        here = viewer.readable(here)
    for model_id in model_ids:
        if experiments.get(model_id) not in here:
            raise names.unknown_model(store.public_id(model_id))
    viewer.require_all(Level.EDIT, experiments.values())
    rows: list[store.MetricRow] = []
    for point in batch.of_models:
        value = batch.values[point.index]
        rows.append(
            (
                point.model_id,
                ids[batch.keys[point.index]],
                batch.timestamps[point.index],
                batch.steps[point.index],
                run_id,
                point.dataset_name,
                point.dataset_digest,
                experiments[point.model_id],
                0.0 if isnan(value) else value,
                int(isnan(value)),
            )
        )
    await store.upsert_metrics(tx, rows)


async def _require(tx: Tx, model_id: bytes, level: Level, viewer: Viewer) -> store.LoggedModelState:
    """The state of a model on which the viewer has the level, deleted or not."""
    return _existing(await store.state(tx, model_id), model_id, level, viewer)


async def _take(tx: Tx, model_id: bytes, level: Level, viewer: Viewer) -> store.LoggedModelState:
    """As `_require`, for a change of the model or of something that belongs to it."""
    return _existing(await store.take(tx, model_id), model_id, level, viewer)


def _existing(
    state: store.LoggedModelState | None, model_id: bytes, level: Level, viewer: Viewer
) -> store.LoggedModelState:
    if state is None:
        raise names.model_not_found(store.public_id(model_id))
    require_on_model(viewer, level, store.public_id(model_id), state.experiment_id)
    return state


async def _found(tx: Tx, model_id: bytes, viewer: Viewer) -> LoggedModel:
    (model,) = await store.find_all(
        tx, [model_id], points_per_metric=limits.LOGGED_MODEL_POINTS_MAX
    )
    return await shown_logged_model(tx, viewer, model)


def _by_id(values: Mapping[str, str], ids: Mapping[str, int]) -> dict[int, str]:
    return {ids[key]: value for key, value in values.items()}


def _check_origin(new: NewLoggedModel) -> None:
    names.check_length(new.model_type, limits.LOGGED_MODEL_TYPE_LENGTH_MAX, "model_type")
    names.check_length(new.source_run_id, limits.LOGGED_MODEL_SOURCE_LENGTH_MAX, "source_run_id")


def _tags(pairs: Pairs) -> dict[str, str]:
    return dict(_checked(pairs, "tag"))


def _params(pairs: Pairs) -> dict[str, str]:
    """Each key once, even if its values are equal."""
    checked = _checked(pairs, "param")
    counts = Counter(key for key, _ in checked)
    duplicates = [key for key, count in counts.items() if count > 1]
    if duplicates:
        raise InvalidParameterValue(
            f"Duplicate parameter keys have been submitted: {duplicates}. Please ensure the "
            "request contains only one param value per param key."
        )
    return dict(checked)


def _checked(pairs: Pairs, what: str) -> list[tuple[str, str]]:
    """Values are never cut: `mlflow.modelVersions` is JSON."""
    pairs = list(pairs)
    if len(pairs) > limits.LOGGED_MODEL_VALUES_MAX:
        raise InvalidParameterValue(
            f"A call can name at most {limits.LOGGED_MODEL_VALUES_MAX} {what}s. Got {len(pairs)}."
        )
    length_max = limits.LOGGED_MODEL_VALUE_LENGTH_MAX
    return [
        (
            names.check_key(key, what=what.title(), name="key"),
            names.check_length(value or "", length_max, f"Value of {what} '{key}'"),
        )
        for key, value in pairs
    ]


def _param_changed(model_id: str, key: str, old: str, new: str) -> InvalidParameterValue:
    return InvalidParameterValue(
        f"Changing param values is not allowed. Param with key='{key}' was already logged with "
        f"value='{old[:250]}' for model ID='{model_id}'. Attempted logging new value "
        f"'{new[:250]}'."
    )


def _page_size(max_results: int | None) -> int:
    if max_results is None or max_results == 0:
        return limits.LOGGED_MODELS_PAGE_DEFAULT
    if max_results < 0:
        raise InvalidParameterValue(
            f"Invalid value {max_results} for parameter 'max_results' supplied. "
            "It must be a positive integer."
        )
    return min(max_results, limits.LOGGED_MODELS_PAGE_MAX)


def _orders(items: Sequence[OrderItem]) -> tuple[ModelOrder, ...]:
    if len(items) > MAX_ORDER_TERMS:
        raise InvalidParameterValue(f"Invalid order_by: more than {MAX_ORDER_TERMS} fields")
    return tuple(
        ModelOrder(
            order_by_field(item.field_name, LOGGED_MODELS, ascending=item.ascending), item.dataset
        )
        for item in items
    )


def _check_datasets(datasets: Sequence[DatasetChoice]) -> None:
    if len(datasets) > limits.LOGGED_MODEL_DATASETS_MAX:
        raise InvalidParameterValue(
            f"A search takes at most {limits.LOGGED_MODEL_DATASETS_MAX} datasets. "
            f"Got {len(datasets)}."
        )
    if not all(dataset.name for dataset in datasets):
        raise InvalidParameterValue("`dataset_name` in the `datasets` clause must be specified.")
