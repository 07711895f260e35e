"""The code in docs/metric-format.md reads what the server writes."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from riverrun.store.points import Codec, Points, encode_chunk, encode_log, merge

PAGE = Path(__file__).parents[3] / "docs" / "metric-format.md"

Reader = Callable[[bytes], list[tuple[Any, ...]]]


def documented(name: str) -> Reader:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names[name]


def points_of(rows: list[tuple[Any, ...]]) -> Points:
    return Points.of(
        steps=[row[-3] for row in rows],
        timestamps=[row[-2] for row in rows],
        values=[row[-1] for row in rows],
    )


def places(points: Points) -> list[tuple[int, int, float, bool]]:
    return [points.place(index) for index in range(len(points))]


@given(points=...)
def test_the_documented_code_reads_log_payloads(points: Points):
    key_ids = list(range(len(points)))
    payload = encode_log(
        key_ids, points.steps.tolist(), points.timestamps.tolist(), points.values.tolist()
    )
    rows = documented("read_log")(payload)
    assert [row[0] for row in rows] == key_ids
    assert places(points_of(rows)) == places(points)


@given(points=..., codec=st.sampled_from(list(Codec)))
def test_the_documented_code_reads_chunk_payloads(points: Points, codec: Codec):
    merged = merge([points])
    if len(merged):
        rows = documented("read_chunk")(encode_chunk(merged, codec=codec).payload)
        assert places(points_of(rows)) == places(merged)
