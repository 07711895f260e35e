from riverrun.api.call import Call
from riverrun.services.experiments import ExperimentQuery
from riverrun.wire.message import Empty
from riverrun.wire.messages import experiments as m


async def create_experiment(call: Call, message: m.CreateExperiment) -> m.CreateExperimentResponse:
    experiment_id = await call.services.experiments.create(
        message.name or "",
        artifact_location=message.artifact_location or "",
        tags=[(tag.key, tag.value or "") for tag in message.tags or ()],
        viewer=call.viewer,
    )
    return m.CreateExperimentResponse(experiment_id)


async def get_experiment(call: Call, message: m.GetExperiment) -> m.GetExperimentResponse:
    return m.GetExperimentResponse(
        await call.services.experiments.get(message.experiment_id or "", viewer=call.viewer)
    )


async def get_experiment_by_name(
    call: Call, message: m.GetExperimentByName
) -> m.GetExperimentResponse:
    return m.GetExperimentResponse(
        await call.services.experiments.get_by_name(
            message.experiment_name or "", viewer=call.viewer
        )
    )


async def search_experiments(
    call: Call, message: m.SearchExperiments
) -> m.SearchExperimentsResponse:
    query = ExperimentQuery(
        filter=message.filter or "",
        order_by=message.order_by or (),
        view=message.view_type or m.ViewType.ACTIVE_ONLY,
        max_results=message.max_results,
        page_token=message.page_token,
    )
    page = await call.services.experiments.search(query, viewer=call.viewer)
    return m.SearchExperimentsResponse(page.experiments, page.next_page_token)


async def update_experiment(call: Call, message: m.UpdateExperiment) -> Empty:
    await call.services.experiments.rename(
        message.experiment_id or "", message.new_name or "", viewer=call.viewer
    )
    return Empty()


async def delete_experiment(call: Call, message: m.DeleteExperiment) -> Empty:
    await call.services.experiments.delete(message.experiment_id or "", viewer=call.viewer)
    return Empty()


async def restore_experiment(call: Call, message: m.RestoreExperiment) -> Empty:
    await call.services.experiments.restore(message.experiment_id or "", viewer=call.viewer)
    return Empty()


async def set_experiment_tag(call: Call, message: m.SetExperimentTag) -> Empty:
    await call.services.experiments.set_tag(
        message.experiment_id or "", message.key or "", message.value or "", viewer=call.viewer
    )
    return Empty()


async def delete_experiment_tag(call: Call, message: m.DeleteExperimentTag) -> Empty:
    await call.services.experiments.delete_tag(
        message.experiment_id or "", message.key or "", viewer=call.viewer
    )
    return Empty()


async def search_datasets(call: Call, message: m.SearchDatasets) -> m.SearchDatasetsResponse:
    return m.SearchDatasetsResponse(
        await call.services.experiments.search_datasets(
            message.experiment_ids or (), viewer=call.viewer
        )
    )


async def get_experiment_storage(
    call: Call, message: m.GetExperimentStorage
) -> m.ExperimentStorageResponse:
    used = await call.services.storage.used(message.experiment_id, viewer=call.viewer)
    return m.ExperimentStorageResponse(used.files, used.size_bytes)
