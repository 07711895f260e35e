"""Run search as a naive evaluator in Python does it, and random runs and filters to try it with."""

import math
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

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


def run_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


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
