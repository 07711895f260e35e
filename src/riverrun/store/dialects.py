"""What databases do differently, as verbs; no statement elsewhere asks which database it runs on.

Text that verbs take is a column or an expression of ours, values come back as binds.
"""

import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import LiteralString, Protocol


@dataclass(frozen=True, slots=True)
class Sql:
    """SQL text with `?` where its values go."""

    text: LiteralString
    binds: tuple[object, ...] = ()


class Dialect(Protocol):
    """The verbs. Text always compares by code point, and exactly but for `ilike`."""

    def like(self, text: LiteralString, pattern: str) -> Sql:
        """`%` stands for any text and `_` for one character; nothing escapes them. Case counts."""
        ...

    def ilike(self, text: LiteralString, pattern: str) -> Sql:
        """Like `like`, but for letters whose lower case is one character case does not count."""
        ...

    def number(self, text: LiteralString, operator: LiteralString, number: float) -> Sql:
        """Compares text as a decimal number; text that is no such number never matches."""
        ...

    def numbers(self, text: LiteralString, numbers: Sequence[float], *, negated: bool) -> Sql:
        """Whether text as a decimal number is, or if `negated` is not, among these."""
        ...

    def one_of(self, integer: LiteralString, values: Sequence[int]) -> Sql:
        """Whether an integer is among these: any number of them."""
        ...

    def pairs(self, columns: LiteralString, pairs: Sequence[tuple[object, object]]) -> Sql:
        """Whether the two columns, given with a comma between them, are one of these pairs."""
        ...

    def hex(self, blob: LiteralString) -> LiteralString:
        """Bytes as text of lower-case hexadecimal digits."""
        ...


class SqliteDialect:
    """SQLite since 3.40, as its plain Python driver compiles it."""

    def register(self, connection: sqlite3.Connection) -> None:
        """Prepares a new connection for the statements that the verbs write."""
        connection.create_function("riverrun_ilike", 2, matches_ilike, deterministic=True)

    def like(self, text: LiteralString, pattern: str) -> Sql:
        # LIKE ignores the case of ASCII letters; GLOB does not. Its own signs go into brackets.
        glob = re.sub(r"[*?\[]", r"[\g<0>]", pattern).replace("%", "*").replace("_", "?")
        return Sql(f"{text} GLOB ?", (glob,))

    def ilike(self, text: LiteralString, pattern: str) -> Sql:
        if pattern.isascii():
            return Sql(f"{text} LIKE ?", (pattern,))
        return Sql(f"riverrun_ilike({text}, ?)", (pattern,))

    def number(self, text: LiteralString, operator: LiteralString, number: float) -> Sql:
        # Beside an operand of numeric affinity, SQLite reads text as a number if the whole of it is
        # one, and sorts all other text after every number. The number, too, is bound as text, so
        # that 0.1 is read alike on both sides.
        bind = repr(number)
        numeric = _is_number(text)
        match operator:
            case ">" | ">=":
                return Sql(f"({text} {operator} CAST(? AS NUMERIC) AND {numeric})", (bind,))
            case "<>":
                return Sql(f"({text} <> CAST(? AS NUMERIC) AND {numeric})", (bind,))
            case _:
                return Sql(f"{text} {operator} CAST(? AS NUMERIC)", (bind,))

    def numbers(self, text: LiteralString, numbers: Sequence[float], *, negated: bool) -> Sql:
        binds = (json.dumps([repr(number) for number in numbers]),)
        listed = "(SELECT CAST(value AS NUMERIC) FROM json_each(?))"
        if negated:
            return Sql(f"({text} NOT IN {listed} AND {_is_number(text)})", binds)
        return Sql(f"{text} IN {listed}", binds)

    def one_of(self, integer: LiteralString, values: Sequence[int]) -> Sql:
        if len(values) == 1:
            return Sql(f"{integer} = ?", (values[0],))
        listed = ",".join(map(str, values))
        return Sql(f"{integer} IN (SELECT value FROM json_each(?))", (f"[{listed}]",))

    def pairs(self, columns: LiteralString, pairs: Sequence[tuple[object, object]]) -> Sql:
        marks: list[LiteralString] = ["(?, ?)"] * len(pairs)
        binds = tuple(bind for pair in pairs for bind in pair)
        # Without the SELECT around it, SQLite reads the whole table instead of an index.
        listed: LiteralString = f"SELECT column1, column2 FROM (VALUES {', '.join(marks)})"
        return Sql(f"({columns}) IN ({listed})", binds)

    def hex(self, blob: LiteralString) -> LiteralString:
        return f"lower(hex({blob}))"


def _is_number(text: LiteralString) -> LiteralString:
    return f"{text} <= CAST('9e999' AS NUMERIC)"


def matches_ilike(text: str, pattern: str) -> bool:
    return _ilike(pattern).fullmatch(fold(text)) is not None


@lru_cache(maxsize=64)
def _ilike(pattern: str) -> re.Pattern[str]:
    """Each part between `%` as far left as it fits, for good: so no text takes long to refuse."""
    first, *rest = [".".join(map(re.escape, part.split("_"))) for part in fold(pattern).split("%")]
    if not rest:
        return re.compile(first, re.DOTALL)
    middle = [f"(?>.*?{part})" for part in rest[:-1] if part]
    return re.compile(f"{first}{''.join(middle)}.*{rest[-1]}", re.DOTALL)


def fold(text: str) -> str:
    """Lower case, one character for one; ASCII comes from ASCII only, as in SQLite's LIKE."""
    return text.lower() if text.isascii() else "".join(map(_fold_character, text))


def _fold_character(character: str) -> str:
    lower = character.lower()
    return lower if len(lower) == 1 and lower.isascii() == character.isascii() else character
