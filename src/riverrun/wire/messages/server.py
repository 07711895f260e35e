from typing import Literal

import msgspec


class ServerFeatures(msgspec.Struct, frozen=True):
    gateway: bool


class ServerInfo(msgspec.Struct, frozen=True):
    """What a server can do; clients take what is not advertised for absent."""

    store_type: str
    workspaces_enabled: bool
    trace_archival_enabled: bool
    multipart_uploads_enabled: bool
    multipart_downloads_enabled: bool
    presigned_upload_run_id_supported: bool
    presigned_upload_model_id_supported: bool
    features_enabled: ServerFeatures


class UiTelemetry(msgspec.Struct, frozen=True):
    disable_ui_telemetry: bool
    disable_ui_events: bool


class UiTelemetryTaken(msgspec.Struct, frozen=True):
    status: Literal["disabled"] = "disabled"
