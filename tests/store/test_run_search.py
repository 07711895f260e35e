"""Run search on a real database, compared with a naive evaluator in Python."""

import base64
import itertools
import json
import math
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

import pytest
from tests.fixtures.databases import on_sqlite
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
NAN = math.nan


@dataclass(frozen=True)
class Run:
    run_id: bytes
    experiment: int
    start: int
    end: int | None = None
    stage: str = "active"
    status: str = "RUNNING"
    user: str = ""
    uri: str = ""
    params: dict[str, str] = field(default_factory=dict[str, str])
    tags: dict[str, str] = field(default_factory=dict[str, str])
    metrics: dict[str, tuple[float, float | None, float | None]] = field(
        default_factory=dict[str, tuple[float, float | None, float | None]]
    )
    """Latest, smallest and largest value."""
    inputs: tuple[tuple[str, str, str | None], ...] = ()
    """Name, digest and context of each dataset."""


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


def run_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.fixture
def database(database: str) -> Iterator[Database]:
    with tables_of(database) as tables:
        yield Database(tables)


# A naive evaluator -------------------------------------------------------------------------------

Predicate = Callable[[Run], bool]
NUMBER = re.compile(
    r"[ \t\n\v\f\r]*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?[ \t\n\v\f\r]*", re.IGNORECASE | re.ASCII
)
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def exact_integer(text: str) -> float:
    """As SQLite reads numbers: integers of 64 bits, and doubles."""
    whole = int(text) if re.fullmatch(r"\s*[+-]?\d+\s*", text, re.ASCII) else 2**70
    return whole if -(2**63) <= whole < 2**63 else float(text)


READERS: dict[str, Callable[[str], Any]] = {
    "sqlite": exact_integer,
    "postgresql": Decimal,
    "mariadb": float,
}
OWN_LETTERS = {"sqlite": "", "postgresql": "", "mariadb": "ẞİ\u212a"}
"""Letters whose lower case the database has its own ideas about."""


def like(text: str, pattern: str) -> bool:
    signs = {"%": ".*", "_": "."}
    regex = "".join(signs.get(c, re.escape(c)) for c in pattern)
    return re.fullmatch(regex, text, re.DOTALL) is not None


def lower(text: str) -> str:
    def one(c: str) -> str:
        return c.lower() if len(c.lower()) == 1 and c.isascii() == c.lower().isascii() else c

    return "".join(map(one, text))


def places(run: Run, term: str) -> tuple[int, Any]:
    """The rank and the value of one term, such as `metrics.a` or `min(metrics.a)`."""
    function = term[:3] if term[:4] in {"min(", "max("} else ""
    entity, _, key = term.removeprefix(f"{function}(").removesuffix(")").partition(".")
    if entity == "metrics":
        return metric_place(run, key, function)
    if entity in {"params", "tags"}:
        values = run.params if entity == "params" else run.tags
        return (0, values[key]) if key in values else (2, None)
    values: dict[str, Any] = {
        "start_time": run.start,
        "end_time": run.end,
        "run_id": run.run_id.hex(),
        "run_name": run.tags.get("mlflow.runName"),
        "status": run.status,
        "user_id": run.user,
        "artifact_uri": run.uri,
    }
    return (2, None) if values[term] is None else (0, values[term])


def metric_place(run: Run, key: str, function: str) -> tuple[int, Any]:
    if key not in run.metrics:
        return 2, None
    value = run.metrics[key][["", "min", "max"].index(function)]
    return (1, None) if value is None or math.isnan(value) else (0, value)


Order = list[tuple[str, str]]
"""Terms and directions."""


def in_order(runs: Iterable[Run], order: Order) -> list[bytes]:
    terms = [*order, ("start_time", "DESC"), ("run_id", "")]

    def compare(left: Run, right: Run) -> int:
        for term, direction in terms:
            (left_rank, a), (right_rank, b) = places(left, term), places(right, term)
            if left_rank != right_rank:
                return left_rank - right_rank
            if left_rank == 0 and a != b:
                return (1 if a > b else -1) * (-1 if direction.lower() == "desc" else 1)
        return 0

    return [run.run_id for run in sorted(runs, key=cmp_to_key(compare))]


# Random data and random filters ------------------------------------------------------------------

FLOATS = [0.0, 1.0, 1.0, 0.5, -0.5, 0.1, 1e308, -1e308, 5e-324, 3.0, 1.7976931348623157e308]
TEXTS = [
    "a",
    "A",
    "ab",
    "a%b",
    "a_b",
    "a*b",
    "a?b",
    "[x]",
    "é",
    "É",
    "ß",
    "ẞ",
    "日本",
    "İ",
    "\u212a",
    "K",
    "k",
    "it's",
    '"q"',
    "0.1",
    "0.10",
    ".1",
    "1e3",
    "1000",
    "+5",
    "-0",
    "nan",
    "inf",
    "0x10",
    "1e999",
    "99999999999999999999",
    "9007199254740993",
    "9007199254740992",
    "a\\b",
    "🦀",
    "z",
]
KEYS = ["a", "b", "c.d", "e f", "never"]
IDS = [run_id(n) for n in range(200)]


def quoted(key: str) -> str:
    return f"`{key}`" if " " in key else key


class Maker:
    """Random runs, and random filters with their meaning."""

    def __init__(self, seed: int, kind: str = "sqlite") -> None:
        self.random = random.Random(seed)
        self.read = READERS[kind]
        long_text = "".join(self.random.choices("abcdefghé日 ", k=6000))
        self.texts = [*TEXTS, "", " 7 ", "x\ny", long_text, f"{long_text[:5999]}!"]
        known = [text for text in self.texts if not set(text) & set(OWN_LETTERS[kind])]
        self.texts = self.random.sample(known, 9)
        self.floats = self.random.sample(FLOATS, 5)

    def some(self, make: Callable[[], Any], share: float = 0.6) -> dict[str, Any]:
        return {key: make() for key in KEYS[:-1] if self.random.random() < share}

    def text(self) -> str:
        return self.random.choice(self.texts)

    def metric(self) -> tuple[float, float | None, float | None]:
        if self.random.random() < 0.15:
            return (NAN, None, None) if self.random.random() < 0.5 else (NAN, -1.0, 1.0)
        values = sorted(self.random.choices(self.floats, k=3))
        return self.random.choice(values), values[0], values[2]

    def run(self, at: bytes) -> Run:
        name = {"mlflow.runName": self.text()} if self.random.random() < 0.8 else {}
        return Run(
            run_id=at,
            experiment=self.random.choice([1, 1, 1, 2, 3, 4, 5]),
            start=self.random.choice([0, 1, 2, 2, 3, 2**62]),
            end=self.random.choice([None, 1, 2, 2**63 - 1]),
            stage=self.random.choice(["active"] * 4 + ["deleted"]),
            status=self.random.choice(["RUNNING", "FINISHED"]),
            user=self.text()[:255],
            uri=self.text(),
            params=self.some(self.text),
            tags=self.some(self.text) | name,
            metrics=self.some(self.metric),
            inputs=tuple(self.datasets()),
        )

    def datasets(self) -> Iterator[tuple[str, str, str | None]]:
        for name in "xy":
            if self.random.random() < 0.3:
                yield name, self.random.choice("12"), self.random.choice(["train", "test", None])

    def tree(self, depth: int) -> tuple[str, Predicate]:
        choice = self.random.random()
        if depth == 0 or choice < 0.35:
            return self.clause()
        if choice < 0.5:
            text, matches = self.tree(depth - 1)
            return f"NOT ({text})", lambda run: not matches(run)
        (left, one), (right, two) = self.tree(depth - 1), self.tree(depth - 1)
        if choice < 0.75:
            return f"({left}) and ({right})", lambda run: one(run) and two(run)
        return f"({left}) OR ({right})", lambda run: one(run) or two(run)

    def clause(self) -> tuple[str, Predicate]:
        makers = [
            self.on_number,
            self.on_text,
            self.on_numeric_param,
            self.on_dataset,
            self.is_null,
        ]
        return self.random.choice(makers)()

    def numeric_term(self) -> str:
        key = self.random.choice(KEYS)
        return self.random.choice(
            [f"metrics.{key}"] * 4
            + [f"min(metrics.{key})", f"max(metrics.{key})", "start_time", "end_time"]
        )

    def on_number(self) -> tuple[str, Predicate]:
        term = self.numeric_term()
        near = [0, 1, 2, 3, 1.5, 1e300] if "time" in term else self.floats
        text, holds = self.number_test(near, float)
        wants_nan = "!=" in text or "NOT" in text

        def matches(run: Run) -> bool:
            rank, value = places(run, term)
            return holds(value) if rank == 0 else rank == 1 and wants_nan

        return f"{written(term)} {text}", matches

    def number_test(
        self, near: Sequence[float], read: Callable[[str], Any]
    ) -> tuple[str, Callable[[Any], bool]]:
        one, two, three = map(repr, self.random.choices(near, k=3))
        a, b, c = map(read, (one, two, three))
        match self.random.randrange(4):
            case 0:
                return f"BETWEEN {one} AND {two}", lambda value: a <= value <= b
            case 1:
                return f"IN ({one}, {two})", lambda value: value in {a, b}
            case 2:
                return f"NOT IN ({one}, {three})", lambda value: value not in {a, c}
            case _:
                operator = self.random.choice(list(COMPARE))
                return f"{operator} {one}", lambda value: COMPARE[operator](value, a)

    def on_numeric_param(self) -> tuple[str, Predicate]:
        key = self.random.choice(KEYS)
        near = [0.1, 5, 7, 1000, 0, 9007199254740993, 9007199254740992.0, 1e20, -1]
        text, holds = self.number_test(near, self.read)

        def matches(run: Run) -> bool:
            value = run.params.get(key, "")
            return NUMBER.fullmatch(value) is not None and holds(self.read(value))

        return f"params.{quoted(key)} {text}", matches

    def on_text(self) -> tuple[str, Predicate]:
        attributes = ["run_name", "user_id", "artifact_uri", "status", "run_id"]
        key = self.random.choice(KEYS)
        term = self.random.choice([f"params.{key}", f"tags.{key}", self.random.choice(attributes)])
        text, holds = self.text_test([*self.texts, "RUNNING", IDS[3].hex(), IDS[4].hex()])

        def matches(run: Run) -> bool:
            rank, value = places(run, term)
            return rank == 0 and holds(value)

        return f"{written(term)} {text}", matches

    def text_test(self, near: Sequence[str]) -> tuple[str, Callable[[Any], bool]]:
        one, two = ("".join(c for c in self.random.choice(near) if c != "'") for _ in range(2))
        one, two = one.rstrip("\\"), two.rstrip("\\")
        pattern = self.pattern(one)
        match self.random.randrange(6):
            case 0:
                return f"LIKE '{pattern}'", lambda value: like(value, pattern)
            case 1:
                return f"ilike '{pattern}'", lambda value: like(lower(value), lower(pattern))
            case 2:
                return f"IN ('{one}', '{two}')", lambda value: value in {one, two}
            case 3:
                return f"not in ('{one}', '{two}')", lambda value: value not in {one, two}
            case 4:
                return f"!= '{one}'", lambda value: value != one
            case _:
                return f"= '{one}'", lambda value: value == one

    def pattern(self, text: str) -> str:
        start, end = sorted(self.random.choices(range(len(text) + 1), k=2))
        piece = text[start:end][:50] if len(text) < 5000 else text[start : start + 3]
        piece = "".join("_" if self.random.random() < 0.15 else c for c in piece)
        piece = piece.swapcase() if self.random.random() < 0.2 else piece
        return self.random.choice(["%", ""]) + piece.rstrip("\\") + self.random.choice(["%", ""])

    def on_dataset(self) -> tuple[str, Predicate]:
        place, name = self.random.choice(list(enumerate(["name", "digest", "context"])))
        text, holds = self.text_test(["x", "y", "1", "2", "train", "test"])

        def matches(run: Run) -> bool:
            values = [item[place] for item in run.inputs]
            return any(value is not None and holds(value) for value in values)

        return f"dataset.{name} {text}", matches

    def is_null(self) -> tuple[str, Predicate]:
        key = self.random.choice(KEYS)
        terms = [f"{kind}.{key}" for kind in ("params", "tags", "metrics")]
        term = self.random.choice([*terms, f"max(metrics.{key})", "end_time", "run_name", "status"])
        negated = self.random.random() < 0.5
        text = "IS NOT NULL" if negated else "is null"
        return f"{written(term)} {text}", lambda run: (places(run, term)[0] == 2) != negated

    def order_by(self) -> Order:
        key = self.random.choice(KEYS)
        terms = [f"{kind}.{key}" for kind in ("metrics", "params", "tags")] * 2
        terms += ["start_time", "end_time", "run_name", "status", "run_id", "user_id"]
        terms += [f"{f}(metrics.{key})" for f in ("min", "max")] + ["metrics.a", "params.a"]
        count = self.random.choice([0, 1, 1, 1, 2, 2, 3])
        chosen = list(dict.fromkeys(self.random.sample(terms, count)))
        return [(term, self.random.choice(["", "DESC", "asc"])) for term in chosen]


def written(term: str) -> str:
    return term.replace("e f", "`e f`")


def written_order(order: Order) -> list[str]:
    return [f"{written(term)} {direction}" for term, direction in order]


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


def offset_token(offset: object) -> str:
    return base64.b64encode(json.dumps({"offset": offset}).encode()).decode()


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
