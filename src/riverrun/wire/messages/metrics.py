from typing import ClassVar

import msgspec

from riverrun.entities.metrics import Metric, MetricWithRunId
from riverrun.wire.message import Int32, Int64, Message, RunReference


class GetMetricHistory(RunReference, frozen=True):
    required: ClassVar = ("run_id", "metric_key")
    metric_key: str | None = None
    page_token: str | None = None
    max_results: Int32 | None = None


class GetMetricHistoryResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """Streamed in parts; the struct describes it."""

    metrics: list[Metric] = []
    next_page_token: str | None = None


class GetMetricHistoryBulk(Message, frozen=True):
    """Sent by the web UI; here `run_id` is a list."""

    required: ClassVar = ("run_id", "metric_key")
    run_id: list[str] | None = None
    metric_key: str | None = None
    max_results: Int32 | None = None


class GetMetricHistoryBulkInterval(Message, frozen=True):
    required: ClassVar = ("run_ids", "metric_key")
    run_ids: list[str] | None = None
    metric_key: str | None = None
    start_step: Int64 | None = None
    end_step: Int64 | None = None
    max_results: Int32 | None = None


class GetMetricHistoryBulkResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """Joined from parts, one for each run; the struct describes it."""

    metrics: list[MetricWithRunId] = []
