"""What the verbs of a dialect promise, asked of each database."""

import random
import re
from collections.abc import Iterator, Sequence
from itertools import chain

import pytest
from tests.store.tables import Tables, tables_of

from riverrun.auth.permissions import matches
from riverrun.store.dialects import Bind, Dialect, Sql, fold

LONG = "".join(random.Random(1).choices("abcdé日 ", k=8_000))
TEXTS = [
    *("", " ", "a", "A", "ab", "b", "a ", " a", "a\t", "a\n", "a\nb"),
    *("a%b", "a_b", "a|b", "a\\b", "a\\%b", "a*b", "[a]", "a?b", "||", "\\", "it's", '"q"'),
    *("é", "É", "e\u0301", "ß", "ẞ", "ss", "Σ", "σ", "ς", "ΑΣ", "日本", "🦀", "İ", "i", "I", "ı"),
    *("\u212a", "k", "K", "ſ", "s", "\u2126", "Ω", "ω", "\u212b", "Å", "å", "ǅ", "Ǆ", "ǆ"),
    *(LONG, f"{LONG[:7_999]}!", f"{LONG[:300]}x", f"{LONG[:200]}", f"{LONG[:199]}"),
]
NUMBERS = {
    "0": 0.0,
    "-0": 0.0,
    "7": 7.0,
    " 7 ": 7.0,
    "\n+7\t": 7.0,
    "007": 7.0,
    "0.10": 0.1,
    ".1": 0.1,
    "5.": 5.0,
    "1e3": 1000.0,
    "1E+03": 1000.0,
    "1e0003": 1000.0,
    "-2.5e-1": -0.25,
    "9007199254740991": 9007199254740991.0,
    "1" * 300: float("1" * 300),
}
OWN_LETTERS = "ẞİ\u212a\u2126\u212bǅ"
"""Letters of which MySQL has its own idea what their lower case is."""
NO_NUMBERS = [
    *("", " ", "+", "-", ".", "e", "1e", "1e+", "e5", "--1", "1-", "1 2", "1_000", "1,5", "0x10"),
    *("nan", "NaN", "inf", "Infinity", "-inf", "true", "1٣", "１２", "½", "5\u2028", "\u00a05"),
    *("5x", "1e3.5", "1.2.3", "9" * 6_000 + "x", "'1'", "1;"),
]


class Texts:
    """A column of texts, `x.value`, to put questions to."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.dialect: Dialect = tables.read(_dialect)

    def fill(self, texts: Sequence[str]) -> None:
        rows = [(1, f"{place:05}", text, "") for place, text in enumerate(texts)]
        self._tables.insert("experiment_tags", *rows)

    def found(self, condition: Sql) -> list[str]:
        """In the order of the column."""
        rows = self._tables.fetch(
            f"SELECT x.value FROM experiment_tags AS x WHERE {condition.text} ORDER BY x.value",
            condition.binds,
        )
        return [text for (text,) in rows]

    def value(self, sql: Sql) -> object:
        """Of one expression, which may ask for columns of the first text's row."""
        rows = self._tables.fetch(
            f"SELECT {sql.text} FROM experiment_tags AS x WHERE x.tag_key = '00000'", sql.binds
        )
        return rows[0][0]


async def _dialect(tx: object) -> Dialect:
    return tx.dialect  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def texts(database: str) -> Iterator[Texts]:
    with tables_of(database) as tables:
        texts = Texts(tables)
        texts.fill(TEXTS)
        yield texts


def patterns() -> Iterator[str]:
    """Random parts of the texts with random signs in them."""
    chance = random.Random(2)
    for text in [*TEXTS] * 3:
        start, end = sorted(chance.choices(range(min(len(text), 40) + 1), k=2))
        piece = "".join("_" if chance.random() < 0.2 else c for c in text[start:end])
        piece = piece.swapcase() if chance.random() < 0.3 else piece
        yield chance.choice(["", "%"]) + piece + chance.choice(["", "%", "%%", "_"])


def matching(pattern: str, texts: Sequence[str]) -> list[str]:
    signs = {"%": ".*", "_": "."}
    regex = re.compile("".join(signs.get(c, re.escape(c)) for c in pattern), re.DOTALL)
    return [text for text in texts if regex.fullmatch(text)]


def test_text_compares_and_sorts_by_code_point_to_its_last_space(texts: Texts) -> None:
    assert texts.found(Sql("1 = 1")) == sorted(TEXTS)
    for text in TEXTS:
        assert texts.found(Sql("x.value = ?", (text,))) == [text]
        assert texts.found(Sql("x.value > ?", (text,))) == [t for t in sorted(TEXTS) if t > text]


def test_like_is_exact_and_has_no_escapes(texts: Texts) -> None:
    for pattern in patterns():
        found = texts.found(texts.dialect.like("x.value", pattern))
        assert found == matching(pattern, sorted(TEXTS)), pattern


def globs() -> Iterator[str]:
    """Random parts of texts with stars in them, and with signs that mean something elsewhere."""
    chance = random.Random(3)
    for text in TEXTS:
        start, end = sorted(chance.choices(range(min(len(text), 40) + 1), k=2))
        signs = [*"*" * 3, *"%_?[]|\\^!", ""]
        piece = "".join(
            chance.choice(signs) if chance.random() < 0.2 else c for c in text[start:end]
        )
        yield chance.choice(["", "*", "**"]) + piece + chance.choice(["", "*", "*" + text[-1:]])
    yield from (
        "",
        "*",
        "**",
        "***",
        "[a]",
        "[^b]*",
        "a?b",
        "a_b",
        "a%b",
        "a|b",
        "a\\*b",
        "*[*",
        "?",
    )


def test_in_a_glob_all_but_a_star_means_itself_as_permissions_have_it(texts: Texts) -> None:
    found_some = 0
    for pattern in globs():
        found = texts.found(texts.dialect.glob("x.value", pattern))
        assert found == [text for text in sorted(TEXTS) if matches(pattern, text)], pattern
        regex = re.compile(".*".join(map(re.escape, re.split(r"\*+", pattern))), re.DOTALL)
        short = [text for text in sorted(TEXTS) if len(text) < 10]
        assert [text for text in found if len(text) < 10] == list(filter(regex.fullmatch, short))
        found_some += 0 < len(found) < len(TEXTS)
    assert found_some > 20


def test_ilike_folds_what_folds_to_one_character(texts: Texts, database_kind: str) -> None:
    own = set(OWN_LETTERS if database_kind == "mariadb" else "")
    known = sorted(text for text in TEXTS if not own & set(text))
    texts.fill([*known, *["never"] * (len(TEXTS) - len(known))])
    for pattern in patterns():
        if not own & set(pattern):
            wanted = set(matching(fold(pattern), list(map(fold, known))))
            found = texts.found(texts.dialect.ilike("x.value", pattern))
            expected = [text for text in known if fold(text) in wanted]
            assert [text for text in found if text != "never"] == expected, pattern


def test_a_pattern_that_backtracks_elsewhere_is_quick_here(texts: Texts) -> None:
    texts.fill(["a" * 8_000] * 5)
    pattern = "%a" * 30 + "%b"
    for ending in ("", "é"):
        assert texts.found(texts.dialect.like("x.value", pattern + ending)) == []
        assert texts.found(texts.dialect.ilike("x.value", pattern + ending)) == []


@pytest.mark.parametrize("number", [0.0, 7, 0.1, 1000.0, -0.25, 6.5, 1e300, -1e300, 5e-324])
def test_text_that_is_a_number_compares_as_one(texts: Texts, number: float) -> None:
    texts.fill([*NUMBERS, *NO_NUMBERS, *TEXTS])
    dialect = texts.dialect
    wanted = {
        "=": [text for text, value in NUMBERS.items() if value == number],
        "<>": [text for text, value in NUMBERS.items() if value != number],
        "<": [text for text, value in NUMBERS.items() if value < number],
        "<=": [text for text, value in NUMBERS.items() if value <= number],
        ">": [text for text, value in NUMBERS.items() if value > number],
        ">=": [text for text, value in NUMBERS.items() if value >= number],
    }
    for operator, expected in wanted.items():
        found = texts.found(dialect.number("x.value", operator, number))  # pyright: ignore[reportArgumentType]
        assert found == sorted(expected), operator
    pair = [number, 5.0]
    expected = sorted({*wanted["="], "5."})
    assert texts.found(dialect.numbers("x.value", pair, negated=False)) == expected
    others = sorted(set(NUMBERS) - set(expected))
    assert texts.found(dialect.numbers("x.value", pair, negated=True)) == others


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1e-400", "1e99999999999999999999", "0e9999"])
def test_a_number_beyond_every_double_does_no_harm(texts: Texts, text: str) -> None:
    texts.fill([text])
    found = set(texts.found(texts.dialect.number("x.value", "<", 1.0)))
    found |= set(texts.found(texts.dialect.number("x.value", ">=", 1.0)))
    assert found <= {text}


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("x.experiment_id", [1, -(2**63), 2**63 - 1]),
        ("x.value", ["a ", "日本", LONG, "never"]),
        ("CAST(x.experiment_id AS DECIMAL)", [1]),
    ],
)
@pytest.mark.parametrize("count", [0, 1, 2, 1_000])
def test_a_column_is_among_any_number_of_values(
    texts: Texts, column: str, values: list[Bind], count: int
) -> None:
    listed = list(chain.from_iterable([values] * count))[:count]
    inside = texts.found(texts.dialect.among(column, listed))  # pyright: ignore[reportArgumentType]
    outside = texts.found(texts.dialect.among(column, listed, negated=True))  # pyright: ignore[reportArgumentType]
    expected = [t for t in sorted(TEXTS) if (t if column == "x.value" else 1) in listed]
    assert inside == expected
    assert outside == [t for t in sorted(TEXTS) if t not in expected]


def test_two_columns_are_one_of_many_pairs(texts: Texts) -> None:
    pairs = [(1, f"{place:05}") for place in range(5)] + [(2, "00007"), (7, "x")]
    condition = texts.dialect.pairs("x.experiment_id, x.tag_key", pairs)
    assert texts.found(condition) == sorted(TEXTS[:5])
    assert texts.found(texts.dialect.pairs("x.experiment_id, x.tag_key", pairs[:1])) == [TEXTS[0]]


@pytest.mark.parametrize("size", [0, 1, 199, 200, 201, 8_000])
def test_a_head_is_in_the_order_of_the_values(texts: Texts, size: int) -> None:
    value, dialect = LONG[:size], texts.dialect
    texts.fill([value, *TEXTS[1:]])
    found = texts.found(dialect.begins("x.value", value))
    assert {t for t in TEXTS[1:] if t == value} | {value} <= set(found)
    assert all(dialect.head_of(t) == dialect.head_of(value) for t in found)
    head = dialect.head("x.value")
    above = texts.found(Sql(f"{head} >= ? AND x.value > ?", (dialect.head_of(value), value)))
    assert above == sorted({t for t in TEXTS[1:] if t > value})
    cut = texts.found(Sql(dialect.is_cut("x.value")))
    assert {t for t in TEXTS if dialect.head_of(t) != t} <= set(cut)


def test_bytes_and_integers_read_as_text(texts: Texts) -> None:
    dialect = texts.dialect
    assert texts.value(Sql(dialect.digits("x.experiment_id"))) == "1"
    assert texts.value(Sql(dialect.digits("-x.experiment_id"))) == "-1"
    assert texts.found(dialect.like(dialect.digits("x.experiment_id"), "1")) == sorted(TEXTS)
