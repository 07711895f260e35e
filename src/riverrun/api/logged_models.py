from riverrun.api.call import Call
from riverrun.services.logged_models import LoggedModelQuery, NewLoggedModel, OrderItem
from riverrun.store.logged_model_search import DatasetChoice
from riverrun.wire.codec import missing
from riverrun.wire.message import Empty
from riverrun.wire.messages import logged_models as m


async def create_logged_model(call: Call, message: m.CreateLoggedModel) -> m.LoggedModelResponse:
    new = NewLoggedModel(
        experiment_id=message.experiment_id or "",
        name=message.name or "",
        model_type=message.model_type or "",
        source_run_id=message.source_run_id or "",
        params=[(param.key, param.value) for param in message.params or ()],
        tags=[(tag.key, tag.value) for tag in message.tags or ()],
    )
    return m.LoggedModelResponse(await call.services.logged_models.create(new, viewer=call.viewer))


async def get_logged_model(call: Call, message: m.GetLoggedModel) -> m.LoggedModelResponse:
    model = await call.services.logged_models.get(
        message.model_id, allow_deleted=bool(message.allow_deleted), viewer=call.viewer
    )
    return m.LoggedModelResponse(model)


async def finalize_logged_model(
    call: Call, message: m.FinalizeLoggedModel
) -> m.LoggedModelResponse:
    if message.status is None:
        raise missing("status")
    model = await call.services.logged_models.finalize(
        message.model_id, message.status, viewer=call.viewer
    )
    return m.LoggedModelResponse(model)


async def delete_logged_model(call: Call, message: m.DeleteLoggedModel) -> Empty:
    await call.services.logged_models.delete(message.model_id, viewer=call.viewer)
    return Empty()


async def set_logged_model_tags(call: Call, message: m.SetLoggedModelTags) -> m.LoggedModelResponse:
    tags = [(tag.key, tag.value) for tag in message.tags or ()]
    model = await call.services.logged_models.set_tags(message.model_id, tags, viewer=call.viewer)
    return m.LoggedModelResponse(model)


async def delete_logged_model_tag(call: Call, message: m.DeleteLoggedModelTag) -> Empty:
    await call.services.logged_models.delete_tag(
        message.model_id, message.tag_key, viewer=call.viewer
    )
    return Empty()


async def log_logged_model_params(call: Call, message: m.LogLoggedModelParams) -> Empty:
    params = [(param.key, param.value) for param in message.params or ()]
    await call.services.logged_models.log_params(message.model_id, params, viewer=call.viewer)
    return Empty()


async def search_logged_models(
    call: Call, message: m.SearchLoggedModels
) -> m.SearchLoggedModelsResponse:
    query = LoggedModelQuery(
        experiment_ids=message.experiment_ids or (),
        filter=message.filter or "",
        datasets=[_dataset(each) for each in message.datasets or ()],
        max_results=message.max_results,
        order_by=[_order(each) for each in message.order_by or ()],
        page_token=message.page_token,
    )
    page = await call.services.logged_models.search(query, viewer=call.viewer)
    return m.SearchLoggedModelsResponse(page.models, page.next_page_token)


def _order(given: m.LoggedModelOrder) -> OrderItem:
    if not given.field_name:
        raise missing("order_by.field_name")
    return OrderItem(given.field_name, given.ascending is not False, _dataset(given))


def _dataset(given: m.LoggedModelDataset | m.LoggedModelOrder) -> DatasetChoice:
    return DatasetChoice(given.dataset_name or "", given.dataset_digest or "")
