"""A tree of clauses to a tree of tests, by the fields of a resource, or an error with a caret."""

import math

from riverrun.search.fields import COMPARISONS, PATTERNS, Entity, Field, Kind, Resource, operators
from riverrun.search.limits import MAX_PATTERN_LENGTH
from riverrun.search.nodes import (
    And,
    Between,
    Clause,
    Compare,
    In,
    IsNull,
    Literal,
    Name,
    Node,
    Not,
    Number,
    Or,
    OrderBy,
    Test,
    Tree,
    Value,
)
from riverrun.search.tokens import Source

_INT64 = range(-(2**63), 2**63)


def check(tree: Tree[Clause], resource: Resource, source: Source) -> Node:
    """Raises InvalidParameterValue for an unknown field, a wrong operator or kind of value."""
    match tree:
        case And(items):
            return And(tuple(check(item, resource, source) for item in items))
        case Or(items):
            return Or(tuple(check(item, resource, source) for item in items))
        case Not(item):
            return Not(check(item, resource, source))
        case Clause():
            return _test(tree, resolve(tree.name, resource, source), source)


def check_order(name: Name, ascending: bool, resource: Resource, source: Source) -> OrderBy:  # noqa: FBT001
    field = resolve(name, resource, source)
    if not resource.groups[_entity(name, resource, source)].orderable:
        raise source.error(name.position, f"{_plural(field)} have no order")
    return OrderBy(field, ascending)


def resolve(name: Name, resource: Resource, source: Source) -> Field:
    """The field that a name stands for, with every alias resolved."""
    entity = _entity(name, resource, source)
    group = resource.groups[entity]
    if name.function and entity is not Entity.METRIC:
        raise source.error(name.position, f"{name.function}() takes a metric")
    if name.function and not group.functions:
        raise source.error(name.position, f"{name.function}() takes a metric of a run")
    if not name.key:
        raise source.error(name.position, f"expected a key after {name.entity}.")
    if group.keys is None:
        label = f"{entity}s.{name.key}"
        shown = f"{name.function}({label})" if name.function else label
        return Field(entity, name.key, group.kind, shown, name.function)
    if name.key not in group.keys:
        known = ", ".join(sorted({field.label for field in group.keys.values()}))
        raise source.error(
            name.position, f"unknown {entity} field {name.key!r}; expected one of {known}"
        )
    return group.keys[name.key]


def _entity(name: Name, resource: Resource, source: Source) -> Entity:
    if not name.entity:
        return Entity.ATTRIBUTE
    if name.entity not in resource.entities:
        known = ", ".join(sorted(set(resource.entities.values())))
        raise source.error(
            name.position, f"unknown entity {name.entity!r}; expected one of {known}"
        )
    return resource.entities[name.entity]


def _test(clause: Clause, field: Field, source: Source) -> Test:
    allowed = operators(field.kind)
    if clause.operator not in allowed:
        listed = ", ".join(allowed)
        reason = f"{clause.operator} does not apply to {field.label}; expected one of {listed}"
        raise source.error(clause.position, reason)
    if clause.operator == "IS NULL":
        return IsNull(field)
    if clause.operator == "BETWEEN":
        low, high = (_number(operand, field, source) for operand in clause.operands)
        return Between(field, low, high)
    if clause.operator in {"IN", "NOT IN"}:
        return In(field, _values(clause, field, source), negated=clause.operator == "NOT IN")
    return Compare(field, clause.operator, _operand(clause, field, source))


def _operand(clause: Clause, field: Field, source: Source) -> Value:
    literal = clause.operands[0]
    if clause.operator in PATTERNS:
        if len(literal.text) > MAX_PATTERN_LENGTH:
            reason = f"a pattern longer than {MAX_PATTERN_LENGTH} characters"
            raise source.error(literal.position, reason)
        return _text(literal, field, source)
    ordering = clause.operator in COMPARISONS[2:]
    if field.kind is Kind.NUMERIC_TEXT and ordering and not literal.is_number:
        reason = f"expected a number without quotes, because {clause.operator} compares numbers"
        raise source.error(literal.position, reason)
    return _value(literal, field, source)


def _values(clause: Clause, field: Field, source: Source) -> tuple[Value, ...]:
    first = clause.operands[0]
    for literal in clause.operands:
        if literal.is_number != first.is_number:
            raise source.error(literal.position, "expected a list of one kind, text or numbers")
    return tuple(_value(literal, field, source) for literal in clause.operands)


def _value(literal: Literal, field: Field, source: Source) -> Value:
    match field.kind:
        case Kind.TEXT:
            return _text(literal, field, source)
        case Kind.NUMERIC_TEXT if not literal.is_number:
            return literal.text
        case _:
            return _number(literal, field, source)


def _text(literal: Literal, field: Field, source: Source) -> str:
    if literal.is_number:
        reason = f"expected text in quotes, because {_plural(field)} {_are(field)} text"
        raise source.error(literal.position, reason)
    return literal.text


def _number(literal: Literal, field: Field, source: Source) -> Number:
    """Metrics compare as doubles; times and params keep integers exact."""
    if not literal.is_number:
        reason = f"expected a number, because {_plural(field)} {_are(field)} numeric"
        if field.kind is Kind.NUMERIC_TEXT:
            reason = "expected a number without quotes"
        raise source.error(literal.position, reason)
    if field.kind is not Kind.NUMBER and literal.text.lstrip("+-").isdigit():
        whole = int(literal.text) if len(literal.text) < 32 else 2**63
        if whole in _INT64:
            return whole
        if field.kind is Kind.INTEGER:
            raise source.error(literal.position, "an integer beyond 64 bits")
    number = float(literal.text)
    if not math.isfinite(number):
        raise source.error(literal.position, "a number beyond 64-bit floating point")
    return number


def _plural(field: Field) -> str:
    return (
        field.label
        if field.entity is Entity.ATTRIBUTE or "." not in field.label
        else f"{field.entity}s"
    )


def _are(field: Field) -> str:
    return "is" if _plural(field) == field.label else "are"
