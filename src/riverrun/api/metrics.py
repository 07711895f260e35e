from collections.abc import AsyncGenerator, AsyncIterator

from riverrun.api.call import Answer, Call
from riverrun.services.metrics import HistoryRequest, IntervalRequest
from riverrun.wire.codec import encode
from riverrun.wire.messages import metrics as m

Part = tuple[bytes, str | None]


async def get_metric_history(call: Call, message: m.GetMetricHistory) -> bytes | Answer:
    """A page is one answer; a whole history is streamed, so that it never lives in memory."""
    request = HistoryRequest(message.metric_key or "", message.max_results, message.page_token)
    parts = await call.services.metrics.history(message.run, request, viewer=call.viewer)
    first: Part | None = await anext(parts, None)
    if first is None:
        return b"{}"
    if first[1] is None or request.is_one_part:
        await parts.aclose()
        return _closed(first)
    return Answer(_streamed(first, parts))


def _closed(part: Part) -> bytes:
    text, token = part
    if not text:
        return b"{}"
    following = b"" if token is None else b',"next_page_token":%b' % encode(token)
    return b'{"metrics":[%b]%b}' % (text, following)


async def _streamed(first: Part, parts: AsyncIterator[Part]) -> AsyncGenerator[bytes]:
    yield b'{"metrics":[' + first[0]
    token = first[1]
    async for text, following in parts:
        yield b"," + text
        token = following
    yield b"]" + (b"" if token is None else b',"next_page_token":%b' % encode(token)) + b"}"


async def get_metric_history_bulk(call: Call, message: m.GetMetricHistoryBulk) -> bytes:
    parts = await call.services.metrics.bulk(
        message.run_id or (), message.metric_key or "", message.max_results, viewer=call.viewer
    )
    return _listed(parts)


async def get_metric_history_bulk_interval(
    call: Call, message: m.GetMetricHistoryBulkInterval
) -> bytes:
    request = IntervalRequest(
        message.metric_key or "", message.start_step, message.end_step, message.max_results
    )
    parts = await call.services.metrics.interval(message.run_ids or (), request, viewer=call.viewer)
    return _listed(parts) if any(parts) else b"{}"


def _listed(parts: list[bytes]) -> bytes:
    return b'{"metrics":[%b]}' % b",".join(filter(None, parts))
