from riverrun.api.call import Call
from riverrun.services.run_data import Batch, DatasetUse
from riverrun.store.datasets import NewDataset
from riverrun.wire.message import Empty
from riverrun.wire.messages import runs as m


async def log_metric(call: Call, message: m.LogMetric) -> Empty:
    point = m.MetricInput(
        key=message.key or "",
        value=0.0 if message.value is None else message.value,
        timestamp=message.timestamp or 0,
        step=message.step or 0,
        model_id=message.model_id,
        dataset_name=message.dataset_name,
        dataset_digest=message.dataset_digest,
    )
    await call.services.run_writer.log_metric(message.run, point, viewer=call.viewer)
    return Empty()


async def log_param(call: Call, message: m.LogParam) -> Empty:
    await call.services.run_writer.log_param(
        message.run, message.key or "", message.value or "", viewer=call.viewer
    )
    return Empty()


async def set_tag(call: Call, message: m.SetTag) -> Empty:
    await call.services.run_writer.set_tag(
        message.run, message.key or "", message.value or "", viewer=call.viewer
    )
    return Empty()


async def delete_tag(call: Call, message: m.DeleteTag) -> Empty:
    await call.services.run_writer.delete_tag(message.run, message.key or "", viewer=call.viewer)
    return Empty()


async def log_batch(call: Call, message: m.LogBatch) -> Empty:
    batch = Batch(
        metrics=message.metrics or (),
        params=[(param.key, param.value) for param in message.params or ()],
        tags=[(tag.key, tag.value) for tag in message.tags or ()],
    )
    await call.services.run_writer.log_batch(message.run, batch, viewer=call.viewer)
    return Empty()


async def log_model(call: Call, message: m.LogModel) -> Empty:
    await call.services.run_writer.log_model(
        message.run, message.model_json or "", viewer=call.viewer
    )
    return Empty()


async def log_inputs(call: Call, message: m.LogInputs) -> Empty:
    uses = [
        DatasetUse(
            NewDataset(
                name=given.dataset.name or "",
                digest=given.dataset.digest or "",
                source_type=given.dataset.source_type or "",
                source=given.dataset.source or "",
                schema=given.dataset.schema,
                profile=given.dataset.profile,
            ),
            tags=[(tag.key, tag.value or "") for tag in given.tags or ()],
        )
        for given in message.datasets or ()
    ]
    models = [given.model_id for given in message.models or ()]
    await call.services.run_writer.log_inputs(message.run, uses, models, viewer=call.viewer)
    return Empty()


async def log_outputs(call: Call, message: m.LogOutputs) -> Empty:
    models = [(given.model_id, given.step or 0) for given in message.models or ()]
    await call.services.run_writer.log_outputs(message.run, models, viewer=call.viewer)
    return Empty()
