"""The filter language: what is accepted, what it means, and what errors say."""

from collections.abc import Callable

import pytest

from riverrun.errors import InvalidParameterValue
from riverrun.search import parse_filter
from riverrun.search.fields import EXPERIMENTS, RUNS, Entity, Field, Kind
from riverrun.search.limits import (
    MAX_CLAUSES,
    MAX_DEPTH,
    MAX_FILTER_LENGTH,
    MAX_PATTERN_LENGTH,
    MAX_VALUES,
)
from riverrun.search.nodes import And, Between, Compare, In, IsNull, Node, Not, Or

ACC = Field(Entity.METRIC, "acc", Kind.NUMBER, "metrics.acc")
LR = Field(Entity.PARAM, "lr", Kind.NUMERIC_TEXT, "params.lr")
ENV = Field(Entity.TAG, "env", Kind.TEXT, "tags.env")
NAME = Field(Entity.TAG, "mlflow.runName", Kind.TEXT, "run_name")


def message(text: str) -> str:
    with pytest.raises(InvalidParameterValue) as error:
        parse_filter(text, RUNS)
    return error.value.message


def test_text_given_for_a_metric_points_at_it() -> None:
    assert message("metrics.acc > 'x'") == (
        "Invalid filter: expected a number, because metrics are numeric\n"
        "  metrics.acc > 'x'\n"
        "                ^"
    )


def test_an_unknown_attribute_lists_the_known_ones() -> None:
    assert message("status = 'x' AND name = 'y'") == (
        "Invalid filter: unknown attribute field 'name'; expected one of "
        "artifact_uri, end_time, run_id, run_name, start_time, status, user_id\n"
        "  status = 'x' AND name = 'y'\n"
        "                   ^"
    )


@pytest.mark.parametrize(
    ("text", "reason", "place"),
    [
        ("foo.bar = 1", "unknown entity 'foo'; expected one of attribute, dataset, ", 0),
        ("METRICS.acc = 1", "unknown entity 'METRICS'; expected one of ", 0),
        ("dataset.foo = 'x'", "unknown dataset field 'foo'; expected one of dataset.context", 0),
        ("params.lr = 0x10", "this is not a decimal number", 12),
        ("params.lr = 1_000", "this is not a decimal number", 12),
        ("metrics.acc > - 5", "this is not a decimal number", 14),
        ("metrics.acc > 1e999", "a number beyond 64-bit floating point", 14),
        ("metrics.acc IN (1, 1e999)", "a number beyond 64-bit floating point", 19),
        ("params.lr < 1e999", "a number beyond 64-bit floating point", 12),
        ("start_time > 9223372036854775808", "an integer beyond 64 bits", 13),
        ("start_time > '5'", "expected a number, because start_time is numeric", 13),
        ("tags.env = 5", "expected text in quotes, because tags are text", 11),
        ("status = 5", "expected text in quotes, because status is text", 9),
        ("run_name = 5", "expected text in quotes, because run_name is text", 11),
        ("params.lr > '5'", "expected a number without quotes, because > compares numbers", 12),
        ("params.lr BETWEEN '1' AND 2", "expected a number without quotes", 18),
        ("params.lr IN ('1', 2)", "expected a list of one kind, text or numbers", 19),
        ("metrics.acc LIKE 'x'", "LIKE does not apply to metrics.acc; expected one of =, !=, ", 12),
        ("metrics.acc == 1", "== does not apply to metrics.acc; expected one of =", 12),
        ("metrics.acc <> 1", "<> does not apply to metrics.acc; expected one of =", 12),
        ("tags.env < 'x'", "< does not apply to tags.env; expected one of =", 9),
        ("status BETWEEN 1 AND 2", "BETWEEN does not apply to status; expected one of =", 7),
        ("params.lr NOT LIKE 'x'", "expected IN", 14),
        ("params.lr IS 5", "expected NULL", 13),
        ("params.lr = x", "expected a number or a text in single or double quotes", 12),
        ("params.lr = `x`", "expected a number or a text in single or double quotes", 12),
        ("params.lr =", "expected a number or a text in single or double quotes", 11),
        ("params.lr IN ()", "expected a number or a text in single or double quotes", 14),
        ("params.lr IN 'x'", "expected (", 13),
        ("params.lr IN ('x'", "expected )", 17),
        ("params.lr", "expected an operator such as =, LIKE, IN, BETWEEN or IS NULL", 9),
        ("params.lr 'x'", "expected an operator such as =, LIKE, IN, BETWEEN or IS NULL", 10),
        ("AND", "expected a field such as metrics.acc, params.lr, tags.env or status", 3),
        ("status = 'x' OR", "expected a field such as metrics.acc, params.lr, tags.env or", 15),
        ("1 < metrics.acc", "expected a field such as metrics.acc, params.lr, tags.env or", 0),
        ("(status = 'x'", "expected )", 13),
        ("status = 'x')", "expected AND, OR or the end", 12),
        ("status = 'x', status = 'y'", "expected AND, OR or the end", 12),
        ("status = 'x';", "unexpected ';'", 12),
        ("status = 'x", "this ' has no end", 9),
        ("tags.`env = 'x'", "expected a key after the dot; unusual characters need quotes", 4),
        ("metrics. > 1", "expected a key after the dot; unusual characters need quotes", 7),
        ("metrics.`` > 1", "expected a key after metrics.", 0),
        ("min(params.lr) > 1", "min() takes a metric", 0),
        ("min(metrics.acc > 1", "expected )", 16),
        ("metrics.acc BETWEEN 1, 2", "expected AND", 21),
        ("tags.env = 'a\0b'", "NUL and lone surrogates are not text", 13),
        ("tags.env = '\ud800'", "NUL and lone surrogates are not text", 12),
    ],
)
def test_an_error_points_at_its_place(text: str, reason: str, place: int) -> None:
    first, shown, caret = message(text).split("\n")
    assert first.startswith(f"Invalid filter: {reason}")
    assert len(shown) == len(text) + 2
    assert caret == " " * (place + 2) + "^"


def test_of_a_long_filter_an_error_shows_the_surroundings() -> None:
    text = " AND ".join(["tags.env\n= 'x'"] * 50 + ["oops = 1"] + ["tags.env = 'x'"] * 50)
    _, shown, caret = message(text).split("\n")
    assert len(shown) < 110
    assert shown[len(caret) - 1 :].startswith("oops = 1")
    assert shown.strip().startswith("…")
    assert shown.endswith("…")


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_a_blank_filter_is_none(text: str) -> None:
    assert parse_filter(text, RUNS) is None


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("metrics.acc > .5", Compare(ACC, ">", 0.5)),
        ("metric.acc>-5", Compare(ACC, ">", -5.0)),
        ("`metrics`.acc <= 1E+3", Compare(ACC, "<=", 1000.0)),
        ('metrics."acc" != 5.', Compare(ACC, "!=", 5.0)),
        ("metrics.'acc' = +5", Compare(ACC, "=", 5.0)),
        ("metrics.acc = 99999999999999999999", Compare(ACC, "=", 1e20)),
        ("params.lr = 'it''s'", Compare(LR, "=", "it''s")),
        ("param.lr = 'a\\'b'", Compare(LR, "=", "a\\'b")),
        ('parameter.lr = "it\'s"', Compare(LR, "=", "it's")),
        ("parameters.`lr` = ''", Compare(LR, "=", "")),
        ("params.lr > 1", Compare(LR, ">", 1)),
        ("params.lr = 0.10", Compare(LR, "=", 0.1)),
        ("params.lr = 9223372036854775808", Compare(LR, "=", 2.0**63)),
        ("params.lr IN (1, 2.5)", In(LR, (1, 2.5), negated=False)),
        ("tags.env LiKe '%x'", Compare(ENV, "LIKE", "%x")),
        ("tag.env ilike 'x'", Compare(ENV, "ILIKE", "x")),
        ("tags.env not  In('a', \"b\",)", In(ENV, ("a", "b"), negated=True)),
        ("tags.env is null", IsNull(ENV)),
        ("tags.env Is  Not   Null", Not(IsNull(ENV))),
        ("metrics.acc between 1 AND 2", Between(ACC, 1.0, 2.0)),
        ("run_name = 'x'", Compare(NAME, "=", "x")),
        ("\"run name\" = 'x'", Compare(NAME, "=", "x")),
        ("`Run Name` = 'x'", Compare(NAME, "=", "x")),
        ("run.'Run name' = 'x'", Compare(NAME, "=", "x")),
        ("attr.run_name = 'x'", Compare(NAME, "=", "x")),
        ("AND metrics.acc = 1 and AND", Compare(ACC, "=", 1.0)),
        ("tags.env='x'AND metrics.acc=1", And((Compare(ENV, "=", "x"), Compare(ACC, "=", 1.0)))),
        ("tags.env='x' metrics.acc=1", And((Compare(ENV, "=", "x"), Compare(ACC, "=", 1.0)))),
        ("not(tags.env is null)", Not(IsNull(ENV))),
    ],
)
def test_a_filter_means(text: str, tree: Node) -> None:
    assert parse_filter(text, RUNS) == tree


def test_and_binds_tighter_than_or_and_not_tighter_than_both() -> None:
    one, two, three = (f"tags.env = '{text}'" for text in "abc")
    a, b, c = (Compare(ENV, "=", text) for text in "abc")
    assert parse_filter(f"{one} OR {two} AND {three}", RUNS) == Or((a, And((b, c))))
    assert parse_filter(f"({one} OR {two}) AND {three}", RUNS) == And((Or((a, b)), c))
    assert parse_filter(f"NOT {one} AND {two}", RUNS) == And((Not(a), b))


@pytest.mark.parametrize("key", ["train/loss", "a-b", "a:b", "a.1", "1a", "é", "order", "and.or"])
def test_a_plain_key_needs_no_quotes(key: str) -> None:
    field = Field(Entity.METRIC, key, Kind.NUMBER, f"metrics.{key}")
    assert parse_filter(f"metrics.{key} > 1", RUNS) == Compare(field, ">", 1.0)


@pytest.mark.parametrize("key", ["a b", "a'b", 'a"b', "a=b", "not in", "a``b"])
def test_any_key_fits_into_backquotes(key: str) -> None:
    field = Field(Entity.METRIC, key, Kind.NUMBER, f"metrics.{key}")
    assert parse_filter(f"metrics.`{key}` > 1", RUNS) == Compare(field, ">", 1.0)


def test_created_is_the_start_time() -> None:
    assert parse_filter("Created > 5", RUNS) == parse_filter("attributes.start_time > 5", RUNS)


def test_the_smallest_value_of_a_metric_is_a_field() -> None:
    field = Field(Entity.METRIC, "loss", Kind.NUMBER, "min(metrics.loss)", "min")
    assert parse_filter("MIN(metrics.`loss`) < 1", RUNS) == Compare(field, "<", 1.0)


@pytest.mark.parametrize(
    "text",
    [
        "name LIKE 'x%'",
        "attribute.name = 'x'",
        "experiment_id IN ('1', '2')",
        "creation_time >= 5 AND last_update_time < 1e12",
        "tag.a IS NULL AND tags.`a b` ILIKE 'x'",
    ],
)
def test_experiments_have_fields_of_their_own(text: str) -> None:
    assert parse_filter(text, EXPERIMENTS)


@pytest.mark.parametrize("text", ["metrics.a > 1", "attributes.name = 'x'", "status = 'x'"])
def test_experiments_lack_the_fields_of_runs(text: str) -> None:
    with pytest.raises(InvalidParameterValue):
        parse_filter(text, EXPERIMENTS)


def nested(depth: int) -> str:
    return "(" * depth + "status = 'x'" + ")" * depth


def clauses(count: int) -> str:
    return " AND ".join(["status = 'x'"] * count)


def listed(count: int) -> str:
    values = ", ".join(["'x'"] * count)
    return f"status IN ({values})"


def blank(length: int) -> str:
    return " " * length


def pattern(length: int) -> str:
    return f"status LIKE '{'%' * length}'"


@pytest.mark.parametrize(
    ("make", "limit", "words"),
    [
        (nested, MAX_DEPTH, f"nested more than {MAX_DEPTH} deep"),
        (clauses, MAX_CLAUSES, f"more than {MAX_CLAUSES} clauses"),
        (listed, MAX_VALUES, f"more than {MAX_VALUES} values in lists"),
        (pattern, MAX_PATTERN_LENGTH, f"a pattern longer than {MAX_PATTERN_LENGTH} characters"),
        (blank, MAX_FILTER_LENGTH, f"more than {MAX_FILTER_LENGTH} char"),
    ],
)
def test_a_limit_is_named_when_it_is_passed(
    make: Callable[[int], str], limit: int, words: str
) -> None:
    parse_filter(make(limit), RUNS)
    assert message(make(limit + 1)).startswith(f"Invalid filter: {words}")


@pytest.mark.parametrize("text", ["(" * 100_000, "NOT " * 60_000, "min(" * 50_000, "'" * 99_999])
def test_deep_nonsense_is_an_ordinary_error(text: str) -> None:
    assert message(text).startswith("Invalid filter: ")


def test_a_filter_of_endless_signs_is_refused_early():
    with pytest.raises(InvalidParameterValue, match="more than 20000 words and signs"):
        parse_filter("(" * 200_000, RUNS)
