"""Page tokens: where the last page ended and of which query; and conditions to go on from there."""

import base64
import binascii
import hashlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString, TypeAlias

from riverrun.errors import InvalidParameterValue
from riverrun.search.fields import Kind
from riverrun.store.dialects import Sql
from riverrun.store.filters import FALSE, TRUE, all_of, joined

REAL, NAN, MISSING = 0, 1, 2
"""The ranks of values, which come in this order whatever the direction."""

MAX_TOKEN_LENGTH = 1_000_000
"""Characters of a token: ten values of 8000 characters in base64 of escaped JSON, and some."""

MAX_OFFSET = 10_000_000
"""Rows that a token of MLflow's own kind may skip."""

NOWHERE: LiteralString = "NULL"
"""The value of a term that every row lacks."""

Place: TypeAlias = tuple[int, Any]
"""A rank and, for a real value, the value: where a row stands in one term of an order."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: after the row at `places`, or after `offset` rows."""

    places: tuple[Place, ...] | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Term:
    """One term of an order in SQL. `rank` is None where every row has a real value. An order by
    `head` is the order by value, too, as far as an index has that.
    """

    rank: LiteralString | None
    value: LiteralString
    ascending: bool
    head: LiteralString | None = None


def fingerprint(*query: object) -> str:
    """A short hash of everything that decides which rows come in which order."""
    return hashlib.blake2b(repr(query).encode(), digest_size=9).hexdigest()


def write_token(query: str, places: Sequence[Place]) -> str:
    kept = [[_written(value)] if rank == REAL else rank for rank, value in places]
    text = json.dumps({"q": query, "k": kept}, separators=(",", ":"), allow_nan=False)
    return base64.urlsafe_b64encode(text.encode()).decode()


def _written(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def read_token(token: str, query: str, kinds: Sequence[Kind | None]) -> Cursor:
    """Raises InvalidParameterValue if broken or another query's. The kind None is a run's id.

    Tokens of MLflow's own servers, which say how many rows to skip, are accepted, too.
    """
    if not token:
        return Cursor()
    document = _decoded(token)
    if "offset" in document:
        return Cursor(offset=_offset(document["offset"]))
    if document.get("q") != query:
        raise InvalidParameterValue(
            "Invalid page_token: it belongs to a search with another filter, order, view or "
            "other experiments. Repeat the search that gave it, or start without a token."
        )
    kept = document.get("k")
    if not isinstance(kept, list) or len(kept) != len(kinds):  # pyright: ignore[reportUnknownArgumentType]
        raise _broken()
    return Cursor(places=tuple(_place(item, kind) for item, kind in zip(kept, kinds, strict=True)))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _decoded(token: str) -> dict[str, Any]:
    if len(token) > MAX_TOKEN_LENGTH:
        raise _broken()
    try:
        text = base64.b64decode(token.replace("-", "+").replace("_", "/"), validate=True)
        document = json.loads(text)
    except (ValueError, binascii.Error, RecursionError):
        raise _broken() from None
    if not isinstance(document, dict):
        raise _broken()
    return document  # pyright: ignore[reportUnknownVariableType]


def _offset(offset: object) -> int:
    if isinstance(offset, str) and re.fullmatch(r"[0-9]{1,9}", offset):
        offset = int(offset)
    if type(offset) is int and 0 < offset <= MAX_OFFSET:
        return offset
    raise InvalidParameterValue(f"Invalid page_token: its offset is not in 1..{MAX_OFFSET}")


def _place(item: Any, kind: Kind | None) -> Place:
    match item:
        case 1 | 2 if type(item) is int:
            return item, None
        case [str() as text] if kind is None:
            return REAL, _run_id(text)
        case [str() as text] if kind in {Kind.TEXT, Kind.NUMERIC_TEXT} and _storable(text):
            return REAL, text
        case [int() | float() as number] if _fits(number, kind):
            return REAL, float(number) if kind is Kind.NUMBER else number
        case _:
            raise _broken()


def _run_id(text: str) -> bytes:
    if not re.fullmatch("[0-9a-f]{32}", text):
        raise _broken()
    return bytes.fromhex(text)


def _storable(text: str) -> bool:
    return not re.search("[\0\ud800-\udfff]", text)


def _fits(number: float, kind: Kind | None) -> bool:
    if kind is Kind.NUMBER:
        return type(number) is float and math.isfinite(number)
    return kind is Kind.INTEGER and type(number) is int and -(2**63) <= number < 2**63


def _broken() -> InvalidParameterValue:
    return InvalidParameterValue("Invalid page_token: this is no token that a search gave.")


def after(terms: Sequence[Term], places: Sequence[Place]) -> Sql:
    """Rows that come after the one at `places`: the first term that differs decides."""
    alternatives: list[Sql] = []
    for depth, (term, place) in enumerate(zip(terms, places, strict=True)):
        if further := further_in(term, place):
            equal = [same(*pair) for pair in zip(terms[:depth], places[:depth], strict=True)]
            alternative = all_of([*equal, further])
            alternatives.append(Sql(f"({alternative.text})", alternative.binds))
    inside = joined(alternatives, " OR ")
    return Sql(f"({inside.text})", inside.binds)


def further_in(term: Term, place: Place) -> Sql | None:
    """Rows further on in this term; None if there cannot be any."""
    rank, value = place
    if term.value == NOWHERE:
        return TRUE if rank < MISSING else None
    beyond = Sql(f"{term.value} {'>' if term.ascending else '<'} ?", (value,))
    if term.rank is None:
        return beyond
    if rank != REAL:
        return Sql(f"{term.rank} > ?", (rank,)) if rank < MISSING else None
    return Sql(f"({term.rank} > 0 OR ({term.rank} = 0 AND {beyond.text}))", beyond.binds)


def same(term: Term, place: Place) -> Sql:
    rank, value = place
    if term.value == NOWHERE:
        return TRUE if rank == MISSING else FALSE
    equal = Sql(f"{term.value} = ?", (value,))
    if term.rank is None:
        return equal
    if rank != REAL:
        return Sql(f"{term.rank} = ?", (rank,))
    return Sql(f"{term.rank} = 0 AND {equal.text}", equal.binds)


def order_by(terms: Sequence[Term]) -> LiteralString:
    return ", ".join(_order_items(terms))


def _order_items(terms: Sequence[Term]) -> Iterator[LiteralString]:
    for term in terms:
        if term.value == NOWHERE:
            continue
        if term.rank is not None:
            yield term.rank
        for column in (term.head, term.value):
            if column is not None:
                yield column if term.ascending else f"{column} DESC"
