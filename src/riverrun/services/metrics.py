"""Reading metric histories: pages, whole histories as streams, samples for charts."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from itertools import repeat
from math import isfinite, isnan

from riverrun.auth.viewer import Viewer
from riverrun.entities.metrics import Metric, MetricWithRunId
from riverrun.errors import InvalidParameterValue
from riverrun.search.fields import Kind
from riverrun.services import limits, names
from riverrun.services.key_names import KeyNames
from riverrun.store import metrics, runs
from riverrun.store.engine import Engine, Tx
from riverrun.store.paging import NAN, REAL, fingerprint, read_token, write_token
from riverrun.store.points import Place, Points
from riverrun.wire.codec import encode

ENCODED_TOGETHER = 1_000
"""Points: their objects are gone before the next ones come, and find the same memory."""


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """A part of one metric's history; without `max_results` all that follows the token."""

    key: str
    max_results: int | None
    page_token: str | None

    @property
    def is_one_part(self) -> bool:
        """Whether the answer is small enough to be one part."""
        return self.max_results is not None and self.max_results <= limits.HISTORY_PAGE_POINTS


@dataclass(frozen=True, slots=True)
class IntervalRequest:
    """A sample of one metric of several runs."""

    key: str
    start_step: int | None
    end_step: int | None
    max_results: int | None


Series = tuple[bytes, int]
"""A run and a key."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Some points as JSON; `more` says whether others follow behind `last`."""

    text: bytes
    points: int
    last: Place | None
    more: bool


class MetricReader:
    """Points come as JSON objects, without the brackets of their list; a run or key that is not
    there has none.
    """

    def __init__(self, engine: Engine, key_names: KeyNames) -> None:
        self._engine = engine
        self._key_names = key_names

    async def history(
        self, run_id: str, request: HistoryRequest, *, viewer: Viewer
    ) -> AsyncGenerator[tuple[bytes, str | None]]:
        """Parts of JSON by (timestamp, step, value, is_nan), each with the token of what follows
        it.
        """
        remaining = request.max_results
        if remaining is not None and remaining < 1:
            raise InvalidParameterValue(
                f"Invalid value {remaining} for parameter 'max_results' supplied. "
                "It must be a positive integer."
            )
        series = (await self._series([run_id], request.key, viewer)).get(run_id)
        query = fingerprint("history", run_id, request.key)
        after, skip = _read_token(request.page_token, query)
        if series is not None and skip:
            after = await self._skip(series, skip)
        return self._parts(series, request, query=query, after=after)

    async def _parts(
        self, series: Series | None, request: HistoryRequest, *, query: str, after: Place | None
    ) -> AsyncGenerator[tuple[bytes, str | None]]:
        remaining = request.max_results
        while series is not None and remaining != 0:
            limit = min(remaining or limits.HISTORY_PAGE_POINTS, limits.HISTORY_PAGE_POINTS)
            part = await self._part(series, request.key, after=after, limit=limit)
            remaining = None if remaining is None else remaining - part.points
            after = part.last
            yield part.text, _token(query, after) if part.more and after is not None else None
            if not part.more:
                return

    async def _part(self, series: Series, key: str, *, after: Place | None, limit: int) -> _Part:
        async def work(tx: Tx) -> _Part:
            points = await metrics.history_page(tx, *series, after=after, limit=limit + 1)
            kept = points[:limit]
            last = kept.place(-1) if len(kept) else None
            return _Part(_json(key, kept, None), len(kept), last, len(points) > limit)

        return await self._engine.read(work)

    async def _skip(self, series: Series, count: int) -> Place | None:
        """Where the first `count` points end."""
        after: Place | None = None
        while count:
            limit = min(count, limits.HISTORY_PAGE_POINTS)
            part = await self._part(series, "", after=after, limit=limit)
            after = part.last or after
            count -= limit
        return after

    async def bulk(
        self, run_ids: Sequence[str], key: str, max_results: int | None, *, viewer: Viewer
    ) -> list[bytes]:
        """By run id, then as a history; `max_results` counts over all runs, so that later ones are
        cut.
        """
        limit = limits.HISTORY_BULK_POINTS_MAX if max_results is None else max_results
        if limit < 1:
            raise InvalidParameterValue(
                f"Invalid value {limit} for parameter 'max_results' supplied. "
                "It must be a positive integer."
            )
        _check_runs(run_ids)
        remaining = min(limit, limits.HISTORY_BULK_POINTS_MAX)
        parts: list[bytes] = []
        for run_id, (run, key_id) in sorted((await self._series(run_ids, key, viewer)).items()):
            if not remaining:
                break
            points = await self._engine.read(
                lambda tx, run=run, key_id=key_id, limit=remaining: metrics.history_page(
                    tx, run, key_id, after=None, limit=limit
                )
            )
            remaining -= len(points)
            parts.append(_json(key, points, run_id))
        return parts

    async def interval(
        self, run_ids: Sequence[str], request: IntervalRequest, *, viewer: Viewer
    ) -> list[bytes]:
        """In the order of the runs given; each run's sample by (step, timestamp, value, is_nan)."""
        _check_runs(run_ids)
        count = limits.HISTORY_INTERVAL_POINTS_MAX
        if request.max_results is not None:
            count = request.max_results
        if not 1 <= count <= limits.HISTORY_INTERVAL_POINTS_MAX:
            raise InvalidParameterValue(
                f"Invalid value {count} for parameter 'max_results' supplied: it must be between 1 "
                f"and {limits.HISTORY_INTERVAL_POINTS_MAX}."
            )
        steps = _steps(request)
        parts: list[bytes] = []
        for run_id, (run, key_id) in (await self._series(run_ids, request.key, viewer)).items():
            points = await self._engine.read(
                lambda tx, run=run, key_id=key_id: metrics.sampled(
                    tx, run, key_id, count=count, steps=steps
                )
            )
            parts.append(_json(request.key, points, run_id))
        return parts

    async def _series(self, run_ids: Sequence[str], key: str, viewer: Viewer) -> dict[str, Series]:
        """Each run's and the key's ids, in the order given, of what is there.

        Raises NoSuchResource for a run that is not there to those who may not see everything: they
        would learn that it is none of those that they are denied.
        """
        asked = {each: names.run_key(each) for each in run_ids if names.is_run_id(each)}
        experiments = await self._engine.glance(
            lambda tx: runs.experiments_of(tx, list(asked.values()))
        )
        readable = set(viewer.readable(experiments.values()))
        found = {run_id: run for run_id, run in asked.items() if experiments.get(run) in readable}
        absent = [run_id for run_id in run_ids if run_id not in found]
        if absent and not viewer.all_powerful:
            raise names.run_not_found(absent[0])
        ids = await self._key_names.find([key])
        return {run_id: (run, ids[key]) for run_id, run in found.items() if key in ids}


_PLACE_KINDS = (Kind.INTEGER, Kind.INTEGER, Kind.NUMBER)


def _token(query: str, after: Place) -> str:
    timestamp, step, value, is_nan = after
    return write_token(
        query, [(REAL, timestamp), (REAL, step), (NAN, None) if is_nan else (REAL, value)]
    )


def _read_token(token: str | None, query: str) -> tuple[Place | None, int]:
    """The place to go on from, or how many points to skip as upstream's tokens say."""
    cursor = read_token(token or "", query, _PLACE_KINDS)
    if cursor.places is None:
        return None, cursor.offset
    (_, timestamp), (_, step), (rank, value) = cursor.places
    number = 0.0 if rank == NAN else value
    if timestamp is None or step is None or number is None:
        raise InvalidParameterValue("Invalid page_token: this is no token that a history gave.")
    return (timestamp, step, number, rank == NAN), 0


def _json(key: str, points: Points, run_id: str | None) -> bytes:
    """JSON objects with commas between them."""
    slices = range(0, len(points), ENCODED_TOGETHER)
    return b",".join(_slice(key, points[at : at + ENCODED_TOGETHER], run_id) for at in slices)


def _slice(key: str, points: Points, run_id: str | None) -> bytes:
    timestamps, steps = points.timestamps.tolist(), points.steps.tolist()
    values: Sequence[float | str] = (numbers := points.values.tolist())
    if not isfinite(sum(numbers)):
        values = ["NaN" if isnan(number) else number for number in numbers]
    if run_id is None:
        return encode(list(map(Metric, repeat(key), values, timestamps, steps)))[1:-1]
    rows = map(MetricWithRunId, repeat(key), values, timestamps, steps, repeat(run_id))
    return encode(list(rows))[1:-1]


def _check_runs(run_ids: Sequence[str]) -> None:
    if len(run_ids) > limits.HISTORY_RUNS_MAX:
        raise InvalidParameterValue(
            f"GetMetricHistoryBulk request cannot specify more than {limits.HISTORY_RUNS_MAX} "
            f"run_ids. Received {len(run_ids)} run_ids."
        )


def _steps(request: IntervalRequest) -> tuple[int, int] | None:
    start, end = request.start_step, request.end_step
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise InvalidParameterValue(
            "If either start step or end step are specified, both must be specified."
        )
    if start > end:
        raise InvalidParameterValue(
            "end_step must be greater than start_step. "
            f"Found start_step={start} and end_step={end}."
        )
    return start, end
