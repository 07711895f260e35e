"""The audit log, in pages and as JSON lines."""

from collections.abc import AsyncGenerator

from riverrun.api.call import Answer, Call
from riverrun.entities.tokens import AuditEntry
from riverrun.errors import InvalidParameterValue
from riverrun.store.audit import Entry, Wanted
from riverrun.wire.codec import encode
from riverrun.wire.messages.tokens import GetAudit, GetAuditResponse

JSON_LINES = "application/x-ndjson"


async def get_audit(call: Call, message: GetAudit) -> GetAuditResponse | Answer:
    """A page, or with `Accept: application/x-ndjson` all of it as lines."""
    wanted = Wanted(
        actor=message.actor or "",
        action=message.action or "",
        resource_type=message.resource_type or "",
        resource=message.resource or "",
        since_ms=message.since,
        until_ms=message.until,
    )
    if message.format not in {None, "", "json", "jsonl"}:
        raise InvalidParameterValue("Invalid format: expected json or jsonl.")
    accepts = call.headers.get(b"accept", b"").split(b",")[0].split(b";")[0].strip()
    if message.format == "jsonl" or (not message.format and accepts == JSON_LINES.encode()):
        parts = call.services.audit.stream(wanted, viewer=call.viewer)
        return Answer(_lines(parts), JSON_LINES)
    page = await call.services.audit.page(
        wanted,
        max_results=message.max_results,
        page_token=message.page_token or "",
        viewer=call.viewer,
    )
    return GetAuditResponse([_shown(each) for each in page.entries], page.next_page_token)


async def _lines(parts: AsyncGenerator[list[Entry]]) -> AsyncGenerator[bytes]:
    async for entries in parts:
        yield b"".join(encode(_shown(each)) + b"\n" for each in entries)


def _shown(entry: Entry) -> AuditEntry:
    return AuditEntry(
        id=entry.entry_id.hex(),
        time=entry.at_ms,
        workspace=entry.workspace,
        actor=entry.actor,
        action=entry.action,
        outcome=entry.outcome,
        resource_type=entry.resource_type,
        resource=entry.resource,
        address=entry.address,
        request_id=entry.request_id,
        detail=entry.detail,
    )
