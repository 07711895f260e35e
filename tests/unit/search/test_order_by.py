"""The order-by language."""

import pytest

from riverrun.errors import InvalidParameterValue
from riverrun.search import parse_order_by
from riverrun.search.fields import EXPERIMENTS, RUNS
from riverrun.search.limits import MAX_ORDER_LENGTH, MAX_ORDER_TERMS


def message(*items: str) -> str:
    with pytest.raises(InvalidParameterValue) as error:
        parse_order_by(items, RUNS)
    return error.value.message


@pytest.mark.parametrize(
    ("text", "label", "ascending"),
    [
        ("metrics.a", "metrics.a", True),
        ("metrics.a DESC", "metrics.a", False),
        (" metric.`a b`  aSc ", "metrics.a b", True),
        ("params.x desc", "params.x", False),
        ("tags.mlflow.runName", "tags.mlflow.runName", True),
        ("run_name DESC", "run_name", False),
        ("attributes.start_time", "start_time", True),
        ("Created desc", "start_time", False),
        ("max(metrics.a) DESC", "max(metrics.a)", False),
        ("run_id", "run_id", True),
    ],
)
def test_an_order_names_a_field_and_a_direction(text: str, label: str, *, ascending: bool) -> None:
    (term,) = parse_order_by([text], RUNS)
    assert (term.field.label, term.ascending) == (label, ascending)


def test_no_order_is_empty() -> None:
    assert parse_order_by([], RUNS) == ()


def test_an_unknown_direction_is_pointed_at() -> None:
    assert message("metrics.a upwards") == (
        "Invalid order_by: expected ASC, DESC or the end\n  metrics.a upwards\n            ^"
    )


def test_datasets_have_no_order() -> None:
    assert message("dataset.name").startswith("Invalid order_by: datasets have no order\n")


@pytest.mark.parametrize("text", ["", " ", "metrics", "a b c", "metrics.a, metrics.b", "'x'"])
def test_what_is_no_field_is_an_error(text: str) -> None:
    assert message(text).startswith("Invalid order_by: ")


@pytest.mark.parametrize("again", ["metric.`a` DESC", "metrics.a"])
def test_a_field_may_come_once(again: str) -> None:
    assert message("metrics.a", again) == "Invalid order_by: metrics.a comes twice"


def test_an_alias_is_the_same_field() -> None:
    assert message("start_time", "created") == "Invalid order_by: start_time comes twice"


def test_limits_are_named_when_they_are_passed() -> None:
    many = [f"metrics.a{n}" for n in range(MAX_ORDER_TERMS + 1)]
    assert len(parse_order_by(many[:-1], RUNS)) == MAX_ORDER_TERMS
    assert message(*many) == f"Invalid order_by: more than {MAX_ORDER_TERMS} fields"
    long = f"metrics.{'a' * MAX_ORDER_LENGTH}"
    assert message(long) == f"Invalid order_by: an item of more than {MAX_ORDER_LENGTH} characters"


def test_experiments_are_ordered_by_attributes_only() -> None:
    assert parse_order_by(["name", "attribute.creation_time DESC"], EXPERIMENTS)
    with pytest.raises(InvalidParameterValue, match="tags have no order"):
        parse_order_by(["tags.a"], EXPERIMENTS)
