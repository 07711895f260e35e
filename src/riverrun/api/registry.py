from riverrun.api.call import Answer, Call
from riverrun.api.downloads import download
from riverrun.services.model_sources import GivenSource
from riverrun.services.model_versions import NewModelVersion
from riverrun.services.registered_models import RegistrySearch
from riverrun.wire.codec import encode_page
from riverrun.wire.message import Empty
from riverrun.wire.messages import registry as m


async def create_registered_model(
    call: Call, message: m.CreateRegisteredModel
) -> m.RegisteredModelResponse:
    model = await call.services.registered_models.create(
        message.model,
        description=message.description,
        tags=[(tag.key, tag.value) for tag in message.tags or ()],
        viewer=call.viewer,
    )
    return m.RegisteredModelResponse(model)


async def get_registered_model(call: Call, message: m.ModelName) -> bytes:
    model = await call.services.registered_models.get(message.model, viewer=call.viewer)
    return b'{"registered_model":%b}' % model


async def rename_registered_model(
    call: Call, message: m.RenameRegisteredModel
) -> m.RegisteredModelResponse:
    model = await call.services.registered_models.rename(
        message.model, message.new_name or "", viewer=call.viewer
    )
    return m.RegisteredModelResponse(model)


async def update_registered_model(
    call: Call, message: m.UpdateRegisteredModel
) -> m.RegisteredModelResponse:
    model = await call.services.registered_models.update(
        message.model, message.description, viewer=call.viewer
    )
    return m.RegisteredModelResponse(model)


async def delete_registered_model(call: Call, message: m.ModelName) -> Empty:
    await call.services.registered_models.delete(message.model, viewer=call.viewer)
    return Empty()


async def search_registered_models(call: Call, message: m.SearchRegisteredModels) -> bytes:
    page = await call.services.registered_models.search(_search(message), viewer=call.viewer)
    return encode_page(b"registered_models", page.models, page.next_page_token)


async def get_latest_versions(call: Call, message: m.GetLatestVersions) -> m.ModelVersionsResponse:
    versions = await call.services.registered_models.latest_versions(
        message.model, message.stages or (), viewer=call.viewer
    )
    return m.ModelVersionsResponse(versions)


async def set_registered_model_tag(call: Call, message: m.SetRegisteredModelTag) -> Empty:
    await call.services.registered_models.set_tag(
        message.model, message.key or "", message.value or "", viewer=call.viewer
    )
    return Empty()


async def delete_registered_model_tag(call: Call, message: m.DeleteRegisteredModelTag) -> Empty:
    await call.services.registered_models.delete_tag(
        message.model, message.key or "", viewer=call.viewer
    )
    return Empty()


async def set_registered_model_alias(call: Call, message: m.SetRegisteredModelAlias) -> Empty:
    await call.services.registered_models.set_alias(
        message.model, message.alias or "", message.version or "", viewer=call.viewer
    )
    return Empty()


async def delete_registered_model_alias(call: Call, message: m.ModelAlias) -> Empty:
    await call.services.registered_models.delete_alias(
        message.model, message.alias or "", viewer=call.viewer
    )
    return Empty()


async def get_model_version_by_alias(call: Call, message: m.ModelAlias) -> m.ModelVersionResponse:
    version = await call.services.registered_models.version_by_alias(
        message.model, message.alias or "", viewer=call.viewer
    )
    return m.ModelVersionResponse(version)


async def create_model_version(call: Call, message: m.CreateModelVersion) -> m.ModelVersionResponse:
    new = NewModelVersion(
        name=message.model,
        given=GivenSource(message.source or "", message.run_id, message.model_id),
        run_link=message.run_link or "",
        description=message.description,
        tags=[(tag.key, tag.value) for tag in message.tags or ()],
    )
    version = await call.services.model_versions.create(new, viewer=call.viewer)
    return m.ModelVersionResponse(version)


async def get_model_version(call: Call, message: m.VersionName) -> m.ModelVersionResponse:
    version = await call.services.model_versions.get(
        message.model, message.number, viewer=call.viewer
    )
    return m.ModelVersionResponse(version)


async def update_model_version(call: Call, message: m.UpdateModelVersion) -> m.ModelVersionResponse:
    version = await call.services.model_versions.update(
        message.model, message.number, message.description, viewer=call.viewer
    )
    return m.ModelVersionResponse(version)


async def transition_model_version_stage(
    call: Call, message: m.TransitionModelVersionStage
) -> m.ModelVersionResponse:
    version = await call.services.model_versions.transition(
        message.model,
        message.number,
        message.stage or "",
        archive_others=bool(message.archive_existing_versions),
        viewer=call.viewer,
    )
    return m.ModelVersionResponse(version)


async def delete_model_version(call: Call, message: m.VersionName) -> Empty:
    await call.services.model_versions.delete(message.model, message.number, viewer=call.viewer)
    return Empty()


async def search_model_versions(
    call: Call, message: m.SearchRegisteredModels
) -> m.SearchModelVersionsResponse:
    page = await call.services.model_versions.search(_search(message), viewer=call.viewer)
    return m.SearchModelVersionsResponse(page.versions, page.next_page_token)


async def get_model_version_download_uri(
    call: Call, message: m.VersionName
) -> m.GetModelVersionDownloadUriResponse:
    location = await call.services.model_versions.location(
        message.model, message.number, viewer=call.viewer
    )
    return m.GetModelVersionDownloadUriResponse(location)


async def set_model_version_tag(call: Call, message: m.SetModelVersionTag) -> Empty:
    await call.services.model_versions.set_tag(
        message.model, message.number, message.key or "", message.value or "", viewer=call.viewer
    )
    return Empty()


async def delete_model_version_tag(call: Call, message: m.DeleteModelVersionTag) -> Empty:
    await call.services.model_versions.delete_tag(
        message.model, message.number, message.key or "", viewer=call.viewer
    )
    return Empty()


async def get_model_version_artifact(call: Call, message: m.GetModelVersionArtifact) -> Answer:
    """A direct link to a file of a version, as web pages use it."""
    file = await call.services.artifacts.open_of_version(
        message.model, message.number, message.path or "", viewer=call.viewer
    )
    return await download(call, file)


# Riverrun's own -----------------------------------------------------------------------------------


async def get_registry_history(
    call: Call, message: m.GetRegistryHistory
) -> m.RegistryHistoryResponse:
    page = await call.services.registered_models.history(
        message.name,
        max_results=message.max_results,
        page_token=message.page_token or "",
        viewer=call.viewer,
    )
    return m.RegistryHistoryResponse(page.changes, page.next_page_token)


async def get_model_version_lineage(
    call: Call, message: m.VersionName
) -> m.ModelVersionLineageResponse:
    found = await call.services.lineage.of_version(
        message.model, message.number, viewer=call.viewer
    )
    return m.ModelVersionLineageResponse(
        found.version, found.run, found.experiment, found.logged_model
    )


async def get_model_version_monitoring(
    call: Call, message: m.VersionName
) -> m.ModelVersionMonitoringResponse:
    found = await call.services.lineage.monitoring(
        message.model, message.number, viewer=call.viewer
    )
    return m.ModelVersionMonitoringResponse(found.version, found.run, found.monitoring_runs)


async def get_run_versions(call: Call, message: m.RunVersions) -> m.ModelVersionsResponse:
    versions = await call.services.lineage.versions_of_run(message.run_id, viewer=call.viewer)
    return m.ModelVersionsResponse(versions)


async def get_logged_model_versions(
    call: Call, message: m.LoggedModelVersions
) -> m.ModelVersionsResponse:
    versions = await call.services.lineage.versions_of_logged_model(
        message.model_id, viewer=call.viewer
    )
    return m.ModelVersionsResponse(versions)


def _search(message: m.SearchRegisteredModels) -> RegistrySearch:
    return RegistrySearch(
        filter=message.filter or "",
        max_results=message.max_results,
        order_by=message.order_by or (),
        page_token=message.page_token,
    )
