"""The table of the API: every route with its message, its endpoint and its action.

A route without an action does not start: `Route` has no default for it. Paths are given below
`/api/<version>` and `/ajax-api/<version>`; a trailing `*` stands for the rest of the path.
`{name}` stands for one segment and `{name:path}`, at the end, for one or more; they become the
fields of the message that have these names.
"""

from riverrun.api import (
    artifacts,
    experiments,
    logged_models,
    metrics,
    registry,
    run_data,
    runs,
    server,
    setup,
    webhooks,
    workspaces,
)
from riverrun.api.access_routes import access_routes
from riverrun.api.route import AJAX, BOTH_3, OWN, ROOT, Route
from riverrun.auth.levels import edit, manage, public, read
from riverrun.auth.scopes import ACCESS
from riverrun.wire.message import Empty
from riverrun.wire.messages import artifacts as am
from riverrun.wire.messages import experiments as em
from riverrun.wire.messages import logged_models as lm
from riverrun.wire.messages import metrics as mm
from riverrun.wire.messages import registry as gm
from riverrun.wire.messages import runs as rm
from riverrun.wire.messages import setup as sm
from riverrun.wire.messages import webhooks as wm
from riverrun.wire.messages import workspaces as wsm


def routes(*, has_workspaces: bool = True) -> tuple[Route, ...]:
    """Without workspaces their routes are paths that are not there, at which clients say so."""
    return (
        *_experiments(),
        *_runs(),
        *_metrics(),
        *_artifacts(),
        *_logged_models(),
        *_registered_models(),
        *_model_versions(),
        *_lineage(),
        *_webhooks(),
        *(_workspaces() if has_workspaces else ()),
        *access_routes(),
        *_server(),
    )


def _experiments() -> tuple[Route, ...]:
    e, x = experiments, "experiment"
    path = "/mlflow/experiments"
    return (
        Route("POST", f"{path}/create", em.CreateExperiment, e.create_experiment, edit("server")),
        Route("GET", f"{path}/get", em.GetExperiment, e.get_experiment, read(x)),
        Route(
            "GET", f"{path}/get-by-name", em.GetExperimentByName, e.get_experiment_by_name, read(x)
        ),
        Route("POST", f"{path}/search", em.SearchExperiments, e.search_experiments, read(x)),
        Route("GET", f"{path}/search", em.SearchExperiments, e.search_experiments, read(x)),
        Route("POST", f"{path}/update", em.UpdateExperiment, e.update_experiment, edit(x)),
        Route("POST", f"{path}/delete", em.DeleteExperiment, e.delete_experiment, manage(x)),
        Route("POST", f"{path}/restore", em.RestoreExperiment, e.restore_experiment, manage(x)),
        Route(
            "POST", f"{path}/set-experiment-tag", em.SetExperimentTag, e.set_experiment_tag, edit(x)
        ),
        Route(
            "POST",
            f"{path}/delete-experiment-tag",
            em.DeleteExperimentTag,
            e.delete_experiment_tag,
            edit(x),
        ),
        Route("POST", f"{path}/search-datasets", em.SearchDatasets, e.search_datasets, read(x)),
        Route(
            "GET",
            "/experiments/{experiment_id}/storage",
            em.GetExperimentStorage,
            e.get_experiment_storage,
            read(x),
            OWN,
        ),
    )


def _runs() -> tuple[Route, ...]:
    path = "/mlflow/runs"
    run = "run"
    return (
        Route("POST", f"{path}/create", rm.CreateRun, runs.create_run, edit("experiment")),
        Route("GET", f"{path}/get", rm.GetRun, runs.get_run, read(run)),
        Route("POST", f"{path}/update", rm.UpdateRun, runs.update_run, edit(run)),
        Route("POST", f"{path}/delete", rm.DeleteRun, runs.delete_run, manage(run)),
        Route("POST", f"{path}/restore", rm.RestoreRun, runs.restore_run, manage(run)),
        Route("POST", f"{path}/search", rm.SearchRuns, runs.search_runs, read("experiment")),
        Route("POST", f"{path}/log-metric", rm.LogMetric, run_data.log_metric, edit(run)),
        Route("POST", f"{path}/log-parameter", rm.LogParam, run_data.log_param, edit(run)),
        Route("POST", f"{path}/log-batch", rm.LogBatch, run_data.log_batch, edit(run)),
        Route("POST", f"{path}/set-tag", rm.SetTag, run_data.set_tag, edit(run)),
        Route("POST", f"{path}/delete-tag", rm.DeleteTag, run_data.delete_tag, edit(run)),
        Route("POST", f"{path}/log-model", rm.LogModel, run_data.log_model, edit(run)),
        Route("POST", f"{path}/log-inputs", rm.LogInputs, run_data.log_inputs, edit(run)),
        Route("POST", f"{path}/outputs", rm.LogOutputs, run_data.log_outputs, edit(run)),
    )


def _metrics() -> tuple[Route, ...]:
    path, run = "/mlflow/metrics", read("run")
    bulk = f"{path}/get-history-bulk"
    return (
        Route("GET", f"{path}/get-history", mm.GetMetricHistory, metrics.get_metric_history, run),
        Route("GET", bulk, mm.GetMetricHistoryBulk, metrics.get_metric_history_bulk, run, AJAX),
        Route(
            "GET",
            f"{bulk}-interval",
            mm.GetMetricHistoryBulkInterval,
            metrics.get_metric_history_bulk_interval,
            run,
        ),
    )


def _artifacts() -> tuple[Route, ...]:
    a, x, run = artifacts, "artifact", "run"
    proxied, uploads = "/mlflow-artifacts/artifacts", "/mlflow-artifacts/mpu"
    of_run = "/mlflow/artifacts"
    return (
        Route("GET", f"{of_run}/list", am.ListArtifacts, a.list_artifacts, read(run)),
        Route("GET", proxied, am.ListProxiedArtifacts, a.list_proxied_artifacts, read(x)),
        Route("GET", f"{proxied}/*", Empty, a.download_artifact, read(x)),
        Route("PUT", f"{proxied}/*", Empty, a.upload_artifact, edit(x)),
        Route("DELETE", f"{proxied}/*", Empty, a.delete_artifact, manage(x)),
        Route(
            "POST",
            f"{uploads}/create/*",
            am.CreateMultipartUpload,
            a.create_multipart_upload,
            edit(x),
        ),
        Route(
            "POST",
            f"{uploads}/complete/*",
            am.CompleteMultipartUpload,
            a.complete_multipart_upload,
            edit(x),
        ),
        Route(
            "POST", f"{uploads}/abort/*", am.AbortMultipartUpload, a.abort_multipart_upload, edit(x)
        ),
        Route("GET", "/mlflow-artifacts/presigned/*", Empty, a.get_presigned_download_url, read(x)),
        Route(
            "POST",
            f"{of_run}/presigned-upload-url",
            am.CreatePresignedUploadUrl,
            a.create_presigned_upload_url,
            edit(run),
        ),
        Route(
            "POST",
            f"{of_run}/presigned-download-url",
            am.CreatePresignedDownloadUrl,
            a.create_presigned_download_url,
            read(run),
        ),
        Route(
            "POST",
            "/mlflow/upload-artifact",
            am.GetArtifact,
            a.upload_run_artifact,
            edit(run),
            AJAX,
        ),
        Route("GET", "/get-artifact", am.GetArtifact, a.get_artifact, read(run), ROOT),
        Route(
            "GET",
            "/runs/{run_id}/artifacts.zip",
            am.GetRunArchive,
            a.get_run_archive,
            read(run),
            OWN,
        ),
        Route(
            "GET",
            "/logged-models/{model_id}/artifacts.zip",
            am.GetLoggedModelArchive,
            a.get_logged_model_archive,
            read("logged_model"),
            OWN,
        ),
    )


def _logged_models() -> tuple[Route, ...]:
    x, model = logged_models, "logged_model"
    path = "/mlflow/logged-models"
    one = f"{path}/{{model_id}}"
    listed, file = artifacts.list_logged_model_artifacts, artifacts.get_logged_model_artifact
    return (
        Route("POST", path, lm.CreateLoggedModel, x.create_logged_model, edit("experiment")),
        Route(
            "POST",
            f"{path}/search",
            lm.SearchLoggedModels,
            x.search_logged_models,
            read("experiment"),
        ),
        Route("GET", one, lm.GetLoggedModel, x.get_logged_model, read(model)),
        Route("PATCH", one, lm.FinalizeLoggedModel, x.finalize_logged_model, edit(model)),
        Route("DELETE", one, lm.DeleteLoggedModel, x.delete_logged_model, manage(model)),
        Route("PATCH", f"{one}/tags", lm.SetLoggedModelTags, x.set_logged_model_tags, edit(model)),
        Route(
            "DELETE",
            f"{one}/tags/{{tag_key:path}}",
            lm.DeleteLoggedModelTag,
            x.delete_logged_model_tag,
            edit(model),
        ),
        Route(
            "POST", f"{one}/params", lm.LogLoggedModelParams, x.log_logged_model_params, edit(model)
        ),
        Route(
            "GET",
            f"{one}/artifacts/directories",
            am.ListLoggedModelArtifacts,
            listed,
            read(model),
        ),
        Route("GET", f"{one}/artifacts/files", am.GetLoggedModelArtifact, file, read(model), AJAX),
    )


def _registered_models() -> tuple[Route, ...]:
    x, model = registry, "registered_model"
    path = "/mlflow/registered-models"
    return (
        Route(
            "POST",
            f"{path}/create",
            gm.CreateRegisteredModel,
            x.create_registered_model,
            edit("server"),
        ),
        Route(
            "POST",
            f"{path}/rename",
            gm.RenameRegisteredModel,
            x.rename_registered_model,
            manage(model),
        ),
        Route(
            "PATCH",
            f"{path}/update",
            gm.UpdateRegisteredModel,
            x.update_registered_model,
            edit(model),
        ),
        Route("DELETE", f"{path}/delete", gm.ModelName, x.delete_registered_model, manage(model)),
        Route("GET", f"{path}/get", gm.ModelName, x.get_registered_model, read(model)),
        Route(
            "GET",
            f"{path}/search",
            gm.SearchRegisteredModels,
            x.search_registered_models,
            read(model),
        ),
        *(
            Route(
                method,
                f"{path}/get-latest-versions",
                gm.GetLatestVersions,
                x.get_latest_versions,
                read(model),
            )
            for method in ("POST", "GET")
        ),
        Route(
            "POST",
            f"{path}/set-tag",
            gm.SetRegisteredModelTag,
            x.set_registered_model_tag,
            edit(model),
        ),
        Route(
            "DELETE",
            f"{path}/delete-tag",
            gm.DeleteRegisteredModelTag,
            x.delete_registered_model_tag,
            edit(model),
        ),
        Route(
            "POST",
            f"{path}/alias",
            gm.SetRegisteredModelAlias,
            x.set_registered_model_alias,
            edit(model),
        ),
        Route(
            "DELETE", f"{path}/alias", gm.ModelAlias, x.delete_registered_model_alias, edit(model)
        ),
        Route("GET", f"{path}/alias", gm.ModelAlias, x.get_model_version_by_alias, read(model)),
    )


def _model_versions() -> tuple[Route, ...]:
    x, model = registry, "registered_model"
    path = "/mlflow/model-versions"
    return (
        Route("POST", f"{path}/create", gm.CreateModelVersion, x.create_model_version, edit(model)),
        Route(
            "PATCH", f"{path}/update", gm.UpdateModelVersion, x.update_model_version, edit(model)
        ),
        Route(
            "POST",
            f"{path}/transition-stage",
            gm.TransitionModelVersionStage,
            x.transition_model_version_stage,
            edit(model),
        ),
        Route("DELETE", f"{path}/delete", gm.VersionName, x.delete_model_version, manage(model)),
        Route("GET", f"{path}/get", gm.VersionName, x.get_model_version, read(model)),
        Route(
            "GET",
            f"{path}/search",
            gm.SearchRegisteredModels,
            x.search_model_versions,
            read(model),
        ),
        Route(
            "GET",
            f"{path}/get-download-uri",
            gm.VersionName,
            x.get_model_version_download_uri,
            read(model),
        ),
        Route(
            "POST", f"{path}/set-tag", gm.SetModelVersionTag, x.set_model_version_tag, edit(model)
        ),
        Route(
            "DELETE",
            f"{path}/delete-tag",
            gm.DeleteModelVersionTag,
            x.delete_model_version_tag,
            edit(model),
        ),
        Route(
            "GET",
            "/model-versions/get-artifact",
            gm.GetModelVersionArtifact,
            x.get_model_version_artifact,
            read(model),
            ROOT,
        ),
    )


def _lineage() -> tuple[Route, ...]:
    x, model = registry, "registered_model"
    return (
        Route(
            "GET",
            "/registered-models/{name}/history",
            gm.GetRegistryHistory,
            x.get_registry_history,
            read(model),
            OWN,
        ),
        Route(
            "GET",
            "/model-versions/lineage",
            gm.VersionName,
            x.get_model_version_lineage,
            read(model),
            OWN,
        ),
        Route(
            "GET",
            "/model-versions/monitoring",
            gm.VersionName,
            x.get_model_version_monitoring,
            read(model),
            OWN,
        ),
        Route(
            "GET",
            "/runs/{run_id}/model-versions",
            gm.RunVersions,
            x.get_run_versions,
            read("run"),
            OWN,
        ),
        Route(
            "GET",
            "/logged-models/{model_id}/model-versions",
            gm.LoggedModelVersions,
            x.get_logged_model_versions,
            read("logged_model"),
            OWN,
        ),
    )


def _webhooks() -> tuple[Route, ...]:
    path, action = "/mlflow/webhooks", manage("webhook")
    one = f"{path}/{{webhook_id}}"
    history = "/api/riverrun/v1/webhooks/{webhook_id}/deliveries"
    w = webhooks
    return (
        Route("POST", path, wm.CreateWebhook, w.create_webhook, action),
        Route("GET", path, wm.ListWebhooks, w.list_webhooks, action),
        Route("GET", one, wm.GetWebhook, w.get_webhook, action),
        Route("PATCH", one, wm.UpdateWebhook, w.update_webhook, action),
        Route("DELETE", one, wm.DeleteWebhook, w.delete_webhook, action),
        Route("POST", f"{one}/test", wm.TestWebhook, w.test_webhook, action),
        Route("GET", history, wm.ListWebhookDeliveries, w.list_webhook_deliveries, action, ROOT),
    )


def _workspaces() -> tuple[Route, ...]:
    path, see, change = "/mlflow/workspaces", read("workspace"), manage(ACCESS)
    one = f"{path}/{{workspace_name}}"
    w = workspaces
    return (
        Route("GET", path, Empty, w.list_workspaces, see, BOTH_3),
        Route("POST", path, wsm.CreateWorkspace, w.create_workspace, change, BOTH_3, 201),
        Route("GET", one, wsm.GetWorkspace, w.get_workspace, see, BOTH_3),
        Route("PATCH", one, wsm.UpdateWorkspace, w.update_workspace, change, BOTH_3),
        Route("DELETE", one, wsm.DeleteWorkspace, w.delete_workspace, change, BOTH_3, 204),
    )


def _server() -> tuple[Route, ...]:
    telemetry = "/mlflow/ui-telemetry"
    ajax_3 = ("/ajax-api/3.0",)
    return (
        Route("GET", "/mlflow/server-info", Empty, server.get_server_info, public(), BOTH_3),
        Route("GET", telemetry, Empty, server.get_ui_telemetry, public(), ajax_3),
        Route("POST", telemetry, Empty, server.post_ui_telemetry, public(), ajax_3),
        Route("GET", "/api/riverrun/v1/openapi.json", Empty, server.get_openapi, public(), ROOT),
        Route("POST", "/setup", sm.FinishSetup, setup.finish_setup, public(), OWN),
    )
