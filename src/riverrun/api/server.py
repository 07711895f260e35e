"""What the server says of itself to clients."""

from riverrun.api.call import Answer, Call
from riverrun.wire.codec import encode
from riverrun.wire.message import Empty


async def get_server_info(call: Call, message: Empty) -> bytes:
    """What clients ask before they use multipart transfers or workspaces; only what works is
    advertised.
    """
    return encode(
        {
            "store_type": "SqlStore",
            "workspaces_enabled": False,
            "trace_archival_enabled": False,
            "multipart_uploads_enabled": call.services.multipart_uploads,
            "multipart_downloads_enabled": call.services.multipart_downloads,
            "presigned_upload_run_id_supported": False,
            "presigned_upload_model_id_supported": False,
            "features_enabled": {"gateway": False},
        }
    )


async def get_ui_telemetry(call: Call, message: Empty) -> bytes:
    """Nothing is ever reported to anybody."""
    return encode({"disable_ui_telemetry": True, "disable_ui_events": True})


async def post_ui_telemetry(call: Call, message: Empty) -> bytes:
    return encode({"status": "disabled"})


async def get_openapi(call: Call, message: Empty) -> Answer:
    from riverrun.api.openapi import document  # noqa: PLC0415 - Rarely asked for, and large.

    return Answer(document())
