"""What the server says of itself to clients."""

from riverrun.api.call import Call
from riverrun.wire.message import Empty
from riverrun.wire.messages.server import (
    ServerFeatures,
    ServerInfo,
    UiTelemetry,
    UiTelemetryTaken,
)


async def get_server_info(call: Call, message: Empty) -> ServerInfo:
    """What clients ask before multipart transfers or workspaces; only what works is advertised."""
    transfers = call.services.direct_transfers
    advertised = await transfers.advertised()
    return ServerInfo(
        store_type="SqlStore",
        workspaces_enabled=call.services.workspaces.are_enabled,
        trace_archival_enabled=False,
        multipart_uploads_enabled=advertised.multipart_uploads,
        multipart_downloads_enabled=advertised.multipart_downloads,
        presigned_upload_run_id_supported=transfers.serves_direct_runs,
        presigned_upload_model_id_supported=transfers.serves_direct_runs,
        features_enabled=ServerFeatures(gateway=False),
    )


async def get_ui_telemetry(call: Call, message: Empty) -> UiTelemetry:
    """Nothing is ever reported to anybody."""
    return UiTelemetry(disable_ui_telemetry=True, disable_ui_events=True)


async def post_ui_telemetry(call: Call, message: Empty) -> UiTelemetryTaken:
    return UiTelemetryTaken()


async def get_openapi(call: Call, message: Empty) -> bytes:
    """This API as an OpenAPI 3.1 document."""
    return call.services.document()
