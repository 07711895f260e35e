from collections.abc import AsyncGenerator, AsyncIterator

from riverrun.api.call import Answer, Call
from riverrun.services.runs import NewRun, RunChange, RunPage, RunQuery
from riverrun.wire.codec import encode, encode_page
from riverrun.wire.message import Empty
from riverrun.wire.messages import runs as m
from riverrun.wire.messages.experiments import ViewType


async def create_run(call: Call, message: m.CreateRun) -> m.CreateRunResponse:
    new = NewRun(
        experiment_id=message.experiment_id or "",
        user_id=message.user_id or "",
        name=message.run_name or "",
        start_time=message.start_time or 0,
        tags=[(tag.key, tag.value) for tag in message.tags or ()],
    )
    return m.CreateRunResponse(await call.services.runs.create(new, viewer=call.viewer))


async def get_run(call: Call, message: m.GetRun) -> bytes:
    return b'{"run":%b}' % await call.services.runs.get(message.run, viewer=call.viewer)


async def update_run(call: Call, message: m.UpdateRun) -> m.UpdateRunResponse:
    change = RunChange(message.status, message.end_time, message.run_name)
    return m.UpdateRunResponse(
        await call.services.runs.update(message.run, change, viewer=call.viewer)
    )


async def delete_run(call: Call, message: m.DeleteRun) -> Empty:
    await call.services.runs.delete(message.run, viewer=call.viewer)
    return Empty()


async def restore_run(call: Call, message: m.RestoreRun) -> Empty:
    await call.services.runs.restore(message.run, viewer=call.viewer)
    return Empty()


async def search_runs(call: Call, message: m.SearchRuns) -> bytes | Answer:
    query = RunQuery(
        experiment_ids=message.experiment_ids or (),
        filter=message.filter or "",
        view=message.run_view_type or ViewType.ACTIVE_ONLY,
        max_results=message.max_results,
        order_by=message.order_by or (),
        page_token=message.page_token,
    )
    page = await call.services.runs.search(query, viewer=call.viewer)
    if isinstance(page.documents, list):
        return encode_page(b"runs", page.documents, page.next_page_token)
    return Answer(_streamed(page, page.documents))


async def _streamed(page: RunPage, parts: AsyncIterator[list[bytes]]) -> AsyncGenerator[bytes]:
    opening = b'{"runs":['
    async for documents in parts:
        yield opening + b",".join(documents)
        opening = b","
    yield b"{}" if opening != b"," else b"]%b}" % _token(page)


def _token(page: RunPage) -> bytes:
    if page.next_page_token is None:
        return b""
    return b',"next_page_token":%b' % encode(page.next_page_token)
