"""Run search on a real database: what it finds, page by page, at which cost."""

import base64
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.api.protocol import offset_token
from tests.fixtures.databases import on_sqlite
from tests.store.naive_search import IDS, Maker, Run, in_order, run_id, written_order
from tests.store.tables import RememberingTx, Tables, insert, tables_of

from riverrun.errors import InvalidParameterValue
from riverrun.search import parse_filter, parse_order_by
from riverrun.search.fields import RUNS
from riverrun.store import key_names
from riverrun.store.engine import Tx
from riverrun.store.filters import View
from riverrun.store.filters import key_names as names_of
from riverrun.store.run_search import RunPage, RunQuery, search
from riverrun.store.run_walks import Effort

HASTY = Effort(few=2, many=4, window=3, trial=4, statements=8, branches=3, skip=5)
"""Takes every turn of the search already on a handful of runs."""


class Database:
    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def add(self, *runs: Run) -> None:
        self.tables.write(lambda tx: add(tx, runs))

    def keys(self) -> dict[str, int]:
        return dict(self.tables.fetch("SELECT name, key_id FROM key_names"))  # pyright: ignore[reportUnknownVariableType, reportArgumentType]

    def ask(self, query: RunQuery, effort: Effort | None = None) -> tuple[RunPage, RememberingTx]:
        return self.tables.watched(lambda tx: search(tx, query, effort=effort or Effort()))

    def query(self, filter_text: str = "", order_by: Sequence[str] = (), **more: Any) -> RunQuery:
        query = RunQuery(
            experiment_ids=(1,),
            filter=parse_filter(filter_text, RUNS),
            order_by=parse_order_by(order_by, RUNS),
            view=View.ACTIVE_ONLY,
            max_results=1000,
            keys={},
        )
        names = names_of(query.filter, query.order_by)
        known = {name: key for name, key in self.keys().items() if name in names}
        return replace(query, keys=known, **more)

    def pages(self, query: RunQuery, effort: Effort | None = None) -> Iterator[list[bytes]]:
        token: str | None = ""
        while token is not None:
            page, _ = self.ask(replace(query, page_token=token), effort)
            yield [run.run_id for run in page.runs]
            token = page.next_page_token

    def all(self, query: RunQuery, effort: Effort | None = None) -> list[bytes]:
        return [run_id for page in self.pages(query, effort) for run_id in page]


async def add(tx: Tx, runs: Iterable[Run]) -> None:
    for run in runs:
        at, experiment = run.run_id, run.experiment
        names = [*run.params, *run.tags, *run.metrics]
        keys = await key_names.create(tx, names) if names else {}
        head = (at, experiment, "", run.user, run.status, run.start, run.end, run.stage)
        await insert(tx, "runs", [(*head, None, run.uri, 1, 0, "", "")])
        for table, values, tail in (("params", run.params, ()), ("tags", run.tags, ("",))):
            rows = [(at, keys[name], experiment, text, *tail) for name, text in values.items()]
            await insert(tx, table, rows)
        for name, (value, low, high) in run.metrics.items():
            latest = (0.0, 1) if math.isnan(value) else (value, 0)
            row = (at, keys[name], experiment, *latest, 0, 0, low, high)
            await insert(tx, "latest_metrics", [row])
        for name, digest, context in run.inputs:
            dataset = f"{experiment} {name} {digest}".encode().ljust(16)
            row = (dataset, experiment, name, digest, "", "", None, None)
            await insert(tx, "datasets", [row])
            await insert(tx, "run_inputs", [(at, dataset, experiment, context, "[]")])


@pytest.fixture
def database(database: str) -> Iterator[Database]:
    with tables_of(database) as tables:
        yield Database(tables)


# Compared with a naive evaluator -----------------------------------------------------------------

ROUNDS = {"sqlite": 120, "postgresql": 30, "mariadb": 30}
SEEDS = [*range(8), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 40))]


@pytest.mark.parametrize("seed", SEEDS)
def test_search_answers_as_a_naive_evaluator_does(
    database: Database, database_kind: str, seed: int
) -> None:
    make = Maker(seed, database_kind)
    runs = [make.run(at) for at in make.random.sample(IDS, 40)]
    database.add(*runs)
    for _ in range(ROUNDS[database_kind]):
        text, matches = make.tree(3) if make.random.random() < 0.9 else ("", everything)
        order = make.order_by()
        experiments = make.random.choice([(1,), (1,), (2, 1, 2), (1, 2, 3, 4, 5, 9), (9,), ()])
        view = make.random.choice([View.ACTIVE_ONLY, View.ACTIVE_ONLY, View.DELETED_ONLY, View.ALL])
        stages = {View.ACTIVE_ONLY: ["active"], View.DELETED_ONLY: ["deleted"]}
        wanted = [
            run
            for run in runs
            if run.experiment in experiments
            and run.stage in stages.get(view, ["active", "deleted"])
            and matches(run)
        ]
        size = make.random.choice([1, 2, 3, 7, 50])
        query = replace(
            database.query(text, written_order(order)),
            experiment_ids=experiments,
            view=view,
            max_results=size,
        )
        expected = in_order(wanted, order)
        for effort in (HASTY, Effort()):
            assert database.all(query, effort) == expected, (text, order, effort)
        offset = make.random.randrange(1, 8)
        page, _ = database.ask(replace(query, page_token=offset_token(offset)), HASTY)
        assert [run.run_id for run in page.runs] == expected[offset : offset + size]


def everything(_: Run) -> bool:
    return True


# Paging ------------------------------------------------------------------------------------------


def some_runs(count: int) -> list[Run]:
    return [
        Run(
            run_id(n),
            1,
            start=n // 3,
            params={"lr": f"0.{n % 5}"},
            tags={"env": "prod"},
            metrics={"acc": (float(n % 7), float(n % 7), float(n % 7))} if n % 4 else {},
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("order", [[], ["metrics.acc DESC"], ["params.lr", "metrics.acc"]])
def test_writes_between_pages_neither_repeat_nor_hide_other_runs(
    database: Database, order: list[str]
) -> None:
    runs = some_runs(60)
    database.add(*runs)
    query = database.query("tags.env = 'prod'", order, max_results=4)
    seen: list[bytes] = []
    for at, page in zip(itertools.count(), database.pages(query, HASTY), strict=False):
        seen += page
        database.add(replace(runs[0], run_id=run_id(1000 + at), start=at * 7))
        gone = run_id(2000 + at)
        database.add(Run(gone, 1, start=at * 7, tags={"env": "prod"}))
        database.tables.write(
            lambda tx, gone=gone: tx.execute("DELETE FROM runs WHERE run_id = ?", (gone,))
        )
    old = [found for found in seen if found < run_id(1000)]
    assert len(old) == len(set(old)) == 60


def test_a_token_is_given_only_if_one_more_run_exists(database: Database) -> None:
    database.add(*some_runs(4))
    page, _ = database.ask(database.query(max_results=4))
    assert page.next_page_token is None
    page, _ = database.ask(database.query(max_results=3))
    assert page.next_page_token


def test_a_token_of_another_query_is_refused(database: Database) -> None:
    database.add(*some_runs(9))
    query = database.query("params.lr != '7'", max_results=3)
    page, _ = database.ask(query)
    token = page.next_page_token or ""
    others = [
        database.query("params.lr != '8'"),
        database.query("params.lr != '7'", ["metrics.acc"]),
        replace(query, experiment_ids=(1, 2)),
        replace(query, view=View.ALL),
    ]
    for other in others:
        with pytest.raises(InvalidParameterValue, match="another filter, order, view"):
            database.ask(replace(other, page_token=token))
    again = replace(query, experiment_ids=(1, 1), max_results=2, page_token=token)
    assert len(database.ask(again)[0].runs) == 2


def tampered(token: str, **changes: object) -> str:
    document = json.loads(base64.urlsafe_b64decode(token))
    return base64.b64encode(json.dumps({**document, **changes}).encode()).decode()


def test_a_broken_token_is_refused(database: Database) -> None:
    database.add(*some_runs(9))
    query = database.query("", ["metrics.acc", "params.lr", "end_time"], max_results=3)
    token = database.ask(query)[0].next_page_token or ""
    good = json.loads(base64.urlsafe_b64decode(token))["k"]
    bad: list[object] = [
        *[[*good[:place], 3, *good[place + 1 :]] for place in range(5)],
        *[[*good[:place], [["x"]], *good[place + 1 :]] for place in range(5)],
        *[[*good[:place], [None], *good[place + 1 :]] for place in range(5)],
        [["x"], *good[1:]],
        [[True], *good[1:]],
        [good[0], [7], *good[2:]],
        [good[0], ["a\0"], *good[2:]],
        [*good[:3], [2**63], good[4]],
        [*good[:3], [1.5], good[4]],
        [*good[:4], ["zz"]],
        good[1:],
        7,
        None,
    ]
    tokens = [tampered(token, k=places) for places in bad]
    tokens += ["x", "é", "A" * 2_000_000, base64.b64encode(b"[1]").decode(), token[:-5], "[" * 5000]
    tokens += [base64.b64encode(b"[" * 100_000).decode(), base64.b64encode(b"\xff{}").decode()]
    offsets: list[object] = [0, -1, 1.5, "x", None, ["1"], True, 10**9, "0"]
    tokens += [offset_token(wrong) for wrong in offsets]
    for wrong in tokens:
        with pytest.raises(InvalidParameterValue, match="Invalid page_token"):
            database.ask(replace(query, page_token=wrong))
    assert len(database.ask(replace(query, page_token=tampered(token)))[0].runs) == 3


@pytest.mark.parametrize("value", [0.1, 1e-320, -1.7976931348623157e308, 1 / 3, 2.0**60 + 2**8])
def test_numbers_survive_a_token_exactly(database: Database, value: float) -> None:
    first = Run(run_id(0), 1, start=2**63 - 1, metrics={"a": (value, value, value)})
    database.add(*[replace(first, run_id=run_id(n), start=first.start - n) for n in range(6)])
    for order in (["metrics.a"], ["min(metrics.a) DESC"], ["start_time"]):
        assert len(database.all(database.query("", order, max_results=1))) == 6


def test_a_key_first_logged_between_two_pages_breaks_nothing(database: Database) -> None:
    database.add(*some_runs(6))
    first, _ = database.ask(database.query("", ["metrics.new"], max_results=3))
    database.add(Run(run_id(50), 1, start=0, metrics={"new": (1.0, 1.0, 1.0)}))
    token = first.next_page_token or ""
    second, _ = database.ask(database.query("", ["metrics.new"], max_results=3, page_token=token))
    assert len({run.run_id for run in (*first.runs, *second.runs)}) == 6


def test_a_deleted_run_name_tag_hides_the_run_from_name_searches(database: Database) -> None:
    database.add(Run(run_id(1), 1, start=0, tags={"mlflow.runName": "x"}))
    database.add(Run(run_id(2), 1, start=0))
    assert database.all(database.query("run_name = 'x'")) == [run_id(1)]
    assert database.all(database.query("run_name != 'y'")) == [run_id(1)]
    assert database.all(database.query("`Run Name` IS NULL")) == [run_id(2)]


# Cost --------------------------------------------------------------------------------------------

TYPICAL: list[tuple[str, list[str]]] = [
    ("", []),
    ("", ["metrics.acc DESC"]),
    ("", ["params.lr", "tags.env DESC"]),
    ("metrics.acc > 3 and params.lr = '0.1'", ["metrics.acc DESC"]),
    ("tags.env LIKE '%ro%'", []),
    ("params.lr > 0.2 or tags.env = 'dev'", ["start_time"]),
    ("dataset.name = 'x'", []),
]


@pytest.mark.parametrize(("text", "order"), TYPICAL)
@pytest.mark.parametrize("effort", [HASTY, Effort()])
def test_statements_per_page_are_bounded(
    database: Database, text: str, order: list[str], effort: Effort
) -> None:
    database.add(*some_runs(80))
    query = database.query(text, order, max_results=7)
    token: str | None = ""
    while token is not None:
        page, tx = database.ask(replace(query, page_token=token), effort)
        assert len(tx.asked) <= effort.statements + 2 * (len(order) + 2)
        token = page.next_page_token


def test_a_default_page_is_one_statement_and_a_following_one_two(database: Database) -> None:
    database.add(*some_runs(9))
    query = database.query(max_results=3)
    page, tx = database.ask(query)
    assert len(tx.asked) == 1
    _, tx = database.ask(replace(query, page_token=page.next_page_token or ""))
    assert len(tx.asked) == 2


def plan(database: Database, tx: RememberingTx) -> list[str]:
    return [
        str(row[3])
        for sql, binds in tx.asked
        for row in database.tables.fetch(f"EXPLAIN QUERY PLAN {sql}", binds)
    ]


@on_sqlite
def test_a_default_page_walks_the_index_by_start_time_alone(database: Database) -> None:
    _, tx = database.ask(database.query())
    lines = plan(database, tx)
    assert any("r USING COVERING INDEX runs_by_start (experiment_id=?)" in line for line in lines)
    assert any("w USING PRIMARY KEY (run_id=?)" in line for line in lines)


@on_sqlite
@pytest.mark.parametrize(("text", "order"), TYPICAL)
@pytest.mark.parametrize("experiments", [(1,), (1, 2)])
def test_no_statement_reads_a_whole_table(
    database: Database, text: str, order: list[str], experiments: tuple[int, ...]
) -> None:
    database.add(*some_runs(80))
    query = replace(database.query(text, order, max_results=7), experiment_ids=experiments)
    page, first = database.ask(query, HASTY)
    lines = plan(database, first)
    if page.next_page_token:
        _, second = database.ask(replace(query, page_token=page.next_page_token), HASTY)
        lines += plan(database, second)
    assert [line for line in lines if re.match(r"SCAN [roxwtid]\d?\b", line)] == []


@on_sqlite
def test_an_order_by_a_metric_walks_its_index(database: Database) -> None:
    database.add(*some_runs(80))
    _, tx = database.ask(database.query("", ["metrics.acc DESC"], max_results=7))
    lines = plan(database, tx)
    assert any("o USING COVERING INDEX latest_metrics_by_value" in line for line in lines)
    assert any("r USING PRIMARY KEY (run_id=?)" in line for line in lines)


# Limits ------------------------------------------------------------------------------------------


def nested(depth: int) -> str:
    parts = ["metrics.a > 1 AND (NOT ", "tags.b = 'x' OR ("]
    opening = "".join(parts[n % 2] for n in range(depth))
    return opening + "status = 'x'" + ")" * depth


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        nested(8),
        "NOT " * 12 + "status = 'x'",
        "(" * 12 + "status = 'x'" + ")" * 12,
        " OR ".join([f"params.k{n} = 'x' and metrics.a > {n}" for n in range(100)]),
        " AND ".join([f"NOT params.k{n} LIKE '%x%'" for n in range(200)]),
        f"params.a IN ({','.join(['1.5'] * 5000)})",
        f"params.a NOT IN ({','.join(['1.5'] * 5000)})",
        f"params.a IN ({','.join(['*'.join('xy').join(chr(39) * 2)] * 5000)})",
        f"run_id NOT IN ({','.join([repr(run_id(n).hex()) for n in range(5000)])})",
        f"params.a LIKE '{'%🦀[*?' * 1600}'",
    ],
)
@pytest.mark.parametrize("experiments", [(1,), range(32), range(10_000)])
def test_the_largest_filters_run(database: Database, text: str, experiments: Sequence[int]) -> None:
    database.add(*some_runs(5))
    for name in ("a", "b", *(f"k{n}" for n in range(200))):
        database.tables.key(name)
    orders = [[], [f"metrics.k{n}" for n in range(10)]]
    for order in orders:
        query = database.query(text, order, experiment_ids=tuple(experiments), max_results=2)
        assert len(database.ask(query, HASTY)[0].runs) <= 2
        assert len(database.ask(query)[0].runs) <= 2


def test_a_pattern_that_backtracks_elsewhere_is_quick_here(database: Database) -> None:
    database.add(*[Run(run_id(n), 1, start=n, params={"a": "a" * 6000}) for n in range(20)])
    for text in ("params.a LIKE '{}'", "params.a ILIKE '{}é'", "params.a ILIKE '{}'"):
        pattern = "%a" * 30 + "%b"
        assert database.all(database.query(text.format(pattern))) == []
