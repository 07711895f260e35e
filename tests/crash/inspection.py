"""Reading everything back: through the server, and from the database file itself."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.crash.ledger import Contents, Point
from tests.crash.writers import ARTIFACTS
from tests.fixtures.server import Server

from riverrun.store.points import decode_chunk

PAGE = 25_000


def contents(server: Server, run_id: str) -> Contents:
    """A run with the whole history of its metrics; also checks that histories are sets in order."""
    run = server.get_run(run_id)
    data = run["data"]
    points = {each["key"]: history(server, run_id, each["key"]) for each in data.get("metrics", [])}
    for key, each in points.items():
        # By timestamp and step; among equal ones a NaN counts as 0.
        assert [point[:2] for point in each] == sorted(point[:2] for point in each), (run_id, key)
        assert len(set(each)) == len(each), (run_id, key)
    found = Contents(
        params={each["key"]: each["value"] for each in data.get("params", [])},
        tags={each["key"]: each["value"] for each in data.get("tags", [])},
        status=run["info"]["status"],
    )
    found.points.update({key: set(each) for key, each in points.items()})
    return found


def latest(server: Server, run_id: str) -> dict[str, Point]:
    metrics = server.get_run(run_id)["data"].get("metrics", [])
    return {each["key"]: point(each) for each in metrics}


def history(server: Server, run_id: str, key: str) -> list[Point]:
    points: list[Point] = []
    token = None
    while token != "":
        page = server.get(
            "metrics/get-history",
            run_id=run_id,
            metric_key=key,
            max_results=PAGE,
            **({"page_token": token} if token else {}),
        ).json
        points.extend(map(point, page.get("metrics", [])))
        token = page.get("next_page_token", "")
    return points


def point(metric: dict[str, Any]) -> Point:
    return metric["timestamp"], metric["step"], metric["value"]


def run_ids_by_name(server: Server, experiment_id: str = "0") -> dict[str, list[str]]:
    """Every run that search shows."""
    found: dict[str, list[str]] = {}
    for run in _searched(server, experiment_id):
        found.setdefault(run["info"]["run_name"], []).append(run["info"]["run_id"])
    return found


def _searched(server: Server, experiment_id: str) -> Iterator[Any]:
    token = None
    while token != "":
        message = {"experiment_ids": [experiment_id], "max_results": 500, "page_token": token}
        page = server.post("runs/search", message).json
        yield from page.get("runs", [])
        token = page.get("next_page_token", "")


def artifact(server: Server, path: str) -> bytes | None:
    answer = server.request("GET", ARTIFACTS + path)
    assert answer.status in {200, 404}, answer
    return answer.body if answer.status == 200 else None


def check_database(path: Path) -> int:
    """The number of chunks, after checks of every one. Nobody else has the file open."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute(
            "SELECT run_id, key_id, first_timestamp, first_step, last_timestamp, last_step, "
            "points, payload FROM metric_chunks ORDER BY run_id, key_id, first_timestamp, "
            "first_step, chunk_id"
        ).fetchall()
    for *_, count, payload in rows:
        assert len(decode_chunk(payload, count)) == count
    for before, after in pairwise(rows):
        if before[:2] == after[:2]:
            # Points that share a place may lie in two neighbours.
            assert before[4:6] <= after[2:4], (before[:6], after[:6])
    return len(rows)


def log_rows(path: Path) -> int:
    """How much the compactor has left, also beside a running server."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT count(*) FROM metric_log").fetchone()[0]


def integrity(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone()[0]
