"""The filter and order-by language of searches: text in, checked trees out; no SQL and no I/O."""

from collections.abc import Sequence

from riverrun.errors import InvalidParameterValue
from riverrun.search.checker import check, check_order
from riverrun.search.fields import Resource
from riverrun.search.limits import MAX_FILTER_LENGTH, MAX_ORDER_LENGTH, MAX_ORDER_TERMS
from riverrun.search.nodes import Name, Node, OrderBy
from riverrun.search.parser import parse, parse_order
from riverrun.search.tokens import Source


def parse_filter(text: str, resource: Resource) -> Node | None:
    """The checked tree, or None for a blank filter. Raises InvalidParameterValue with a caret."""
    if len(text) > MAX_FILTER_LENGTH:
        raise InvalidParameterValue(f"Invalid filter: more than {MAX_FILTER_LENGTH} characters")
    source = Source("filter", text)
    tree = parse(source)
    return None if tree is None else check(tree, resource, source)


def parse_order_by(items: Sequence[str], resource: Resource) -> tuple[OrderBy, ...]:
    """Raises InvalidParameterValue, also for a field that comes twice."""
    if len(items) > MAX_ORDER_TERMS:
        raise InvalidParameterValue(f"Invalid order_by: more than {MAX_ORDER_TERMS} fields")
    terms = tuple(_order(item, resource) for item in items)
    for place, term in enumerate(terms):
        if term.field in [earlier.field for earlier in terms[:place]]:
            raise InvalidParameterValue(f"Invalid order_by: {term.field.label} comes twice")
    return terms


def _order(item: str, resource: Resource) -> OrderBy:
    if len(item) > MAX_ORDER_LENGTH:
        raise InvalidParameterValue(
            f"Invalid order_by: an item of more than {MAX_ORDER_LENGTH} characters"
        )
    source = Source("order_by", item)
    name, ascending = parse_order(source)
    return check_order(name, ascending, resource, source)


def order_by_field(text: str, resource: Resource, *, ascending: bool) -> OrderBy:
    """The order by a field that is given alone, so that its key needs no quotes: `metrics.a b`."""
    if len(text) > MAX_ORDER_LENGTH:
        raise InvalidParameterValue(
            f"Invalid order_by: a field of more than {MAX_ORDER_LENGTH} characters"
        )
    entity, key = text.split(".", 1) if "." in text else ("", text)
    name = Name(entity, key.strip("`"), "", position=0)
    return check_order(name, ascending, resource, Source("order_by", text))
