"""The tree of a filter: `And`, `Or`, `Not` over clauses as written, then over tests as checked."""

from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from riverrun.search.fields import Field

Leaf = TypeVar("Leaf")
Number: TypeAlias = int | float
Value: TypeAlias = int | float | str


@dataclass(frozen=True, slots=True)
class And(Generic[Leaf]):
    items: "tuple[Tree[Leaf], ...]"


@dataclass(frozen=True, slots=True)
class Or(Generic[Leaf]):
    items: "tuple[Tree[Leaf], ...]"


@dataclass(frozen=True, slots=True)
class Not(Generic[Leaf]):
    """Matches exactly what its item does not match, also where a key is missing."""

    item: "Tree[Leaf]"


Tree: TypeAlias = Leaf | And[Leaf] | Or[Leaf] | Not[Leaf]


@dataclass(frozen=True, slots=True)
class Name:
    """A field as written: `status` has no `entity`, `min(metrics.loss)` has the `function` min."""

    entity: str
    key: str
    function: str
    position: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as written: text without its quotes, or the text of a number."""

    text: str
    is_number: bool
    position: int


@dataclass(frozen=True, slots=True)
class Clause:
    """One comparison as written; `operator` is in upper case, its words one space apart."""

    name: Name
    operator: str
    operands: tuple[Literal, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Compare:
    """`operator` is one of = != < <= > >= LIKE ILIKE; a param and a number compare as numbers."""

    field: Field
    operator: str
    value: Value


@dataclass(frozen=True, slots=True)
class In:
    """Like = or !=, also when negated: what lacks the field never matches."""

    field: Field
    values: tuple[Value, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Between:
    """Both ends included."""

    field: Field
    low: Number
    high: Number


@dataclass(frozen=True, slots=True)
class IsNull:
    """The field is missing."""

    field: Field


@dataclass(frozen=True, slots=True)
class IsNaN:
    """The metric is there and is NaN; no text says this, the order of results asks for it."""

    field: Field


Test: TypeAlias = Compare | In | Between | IsNull | IsNaN
Node: TypeAlias = Tree[Test]


@dataclass(frozen=True, slots=True)
class OrderBy:
    """In either direction: real values first, then NaN, then what lacks the field."""

    field: Field
    ascending: bool
