"""What databases do differently, as verbs; no statement elsewhere asks which database it runs on.

Text that verbs take is a column or an expression of ours, values come back as binds.
"""

import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import LiteralString, Protocol, TypeAlias

Bind: TypeAlias = int | float | str | bytes

HEAD_LENGTH = 200
"""Characters of a text value that an index looks at."""

_SPACES = "[ \t\n\v\f\r]*"  # The characters themselves: the sign for \v means more to MySQL.
_NUMBER = f"{_SPACES}[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?0*[0-9]{{1,3}})?{_SPACES}"
"""Text that is a decimal number, as a regular expression that never steps back far. SQLite takes
exponents of any length; no double needs more digits than these.
"""
_MYSQL_NUMBER = rf"^{_NUMBER}\z"


@dataclass(frozen=True, slots=True)
class Sql:
    """SQL text with `?` where its values go."""

    text: LiteralString
    binds: tuple[object, ...] = ()


Changes = tuple[tuple[LiteralString, LiteralString], ...]
"""What an upsert makes of a row: columns and expressions, one after the other. `new(column)` is
the value that was to be inserted, `old(column)` the one that is there; on some databases that is
what an earlier change has made of it.
"""


class Dialect(Protocol):
    """The verbs, and what they are on most databases. Text always compares by code point, and
    exactly but for `ilike`.
    """

    def like(self, text: LiteralString, pattern: str) -> Sql:
        """`%` stands for any text and `_` for one character; nothing escapes them. Case counts."""
        ...

    def glob(self, text: LiteralString, pattern: str) -> Sql:
        """`*` stands for any text and everything else for itself. Case counts."""
        return Sql(f"{text} LIKE ? ESCAPE '|'", (_glob_as_like(pattern),))

    def ilike(self, text: LiteralString, pattern: str) -> Sql:
        """Like `like`, but for letters whose lower case is one character case does not count."""
        ...

    def number(self, text: LiteralString, operator: LiteralString, number: float) -> Sql:
        """Compares text as a decimal number; text that is no such number never matches. Of numbers
        that a double has no place for, the last digits may count or not.
        """
        ...

    def numbers(self, text: LiteralString, numbers: Sequence[float], *, negated: bool) -> Sql:
        """Whether text as a decimal number is, or if `negated` is not, among these."""
        ...

    def among(self, column: LiteralString, values: Sequence[Bind], *, negated: bool = False) -> Sql:
        """Whether a column is, or if `negated` is not, among these: any number of them, all of the
        column's type.
        """
        ...

    def pairs(self, columns: LiteralString, pairs: Sequence[tuple[Bind, Bind]]) -> Sql:
        """Whether the two columns, given with a comma between them, are one of these pairs."""
        ...

    def hex(self, blob: LiteralString) -> LiteralString:
        """Bytes as text of lower-case hexadecimal digits."""
        ...

    def digits(self, integer: LiteralString) -> LiteralString:
        """An integer as text."""
        ...

    def head(self, column: LiteralString) -> LiteralString:
        """What an index of long texts has of a column: its first 200 characters, or the column
        itself where it has all of it or the database finds its way from that. Two values are in the
        order of their heads, unless these are equal.
        """
        return column

    def head_of(self, value: str) -> str:
        """The head of a column that has this value."""
        return value

    def brief(self, column: LiteralString) -> LiteralString:
        """A text, or its first 200 characters where these sort more quickly."""
        return column

    def is_cut(self, column: LiteralString) -> LiteralString:  # noqa: ARG002 - None is.
        """Whether the column may have more than its head."""
        return "1 = 0"

    def begins(self, column: LiteralString, value: str) -> Sql:
        """Whether a column has the head of `value`. For the whole value, compare it besides."""
        return Sql(f"{column} = ?", (value,))

    def upsert(
        self,
        table: LiteralString,
        columns: tuple[LiteralString, ...],
        *,
        key: tuple[LiteralString, ...],
        changes: Changes | None = None,
    ) -> LiteralString:
        """The insert of one row that, where another row has its key, changes that one instead: as
        `changes` say, or without them each column beside the key to the new value. Empty changes
        leave it as it is. The text is made once for the same arguments.
        """
        return _on_conflict(table, columns, key, changes)

    @property
    def for_update(self) -> LiteralString:
        """What ends a SELECT that holds its rows until the transaction ends."""
        return " FOR UPDATE"


class SqliteDialect(Dialect):
    """SQLite since 3.40, as its plain Python driver compiles it."""

    def register(self, connection: sqlite3.Connection) -> None:
        """Prepares a new connection for the statements that the verbs write."""
        connection.create_function("riverrun_ilike", 2, matches_ilike, deterministic=True)

    def like(self, text: LiteralString, pattern: str) -> Sql:
        # LIKE ignores the case of ASCII letters; GLOB does not. Its own signs go into brackets.
        glob = re.sub(r"[*?\[]", r"[\g<0>]", pattern).replace("%", "*").replace("_", "?")
        return Sql(f"{text} GLOB ?", (glob,))

    def glob(self, text: LiteralString, pattern: str) -> Sql:
        return Sql(f"{text} GLOB ?", (re.sub(r"[?\[]", r"[\g<0>]", pattern),))

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
                # Without the plus, SQLite takes texts that are equal as numbers for equal, and does
                # not sort them.
                return Sql(f"+{text} {operator} CAST(? AS NUMERIC)", (bind,))

    def numbers(self, text: LiteralString, numbers: Sequence[float], *, negated: bool) -> Sql:
        binds = (json.dumps([repr(number) for number in numbers]),)
        listed = "(SELECT CAST(value AS NUMERIC) FROM json_each(?))"
        if negated:
            return Sql(f"({text} NOT IN {listed} AND {_is_number(text)})", binds)
        return Sql(f"{text} IN {listed}", binds)

    def among(self, column: LiteralString, values: Sequence[Bind], *, negated: bool = False) -> Sql:
        if len(values) > 1 and all(isinstance(value, int) for value in values):
            word = "NOT IN" if negated else "IN"
            listed = json.dumps(values)
            return Sql(f"{column} {word} (SELECT value FROM json_each(?))", (listed,))
        return _in(column, values, negated=negated)

    def pairs(self, columns: LiteralString, pairs: Sequence[tuple[Bind, Bind]]) -> Sql:
        marks: list[LiteralString] = ["(?, ?)"] * len(pairs)
        binds = tuple(bind for pair in pairs for bind in pair)
        # Without the SELECT around it, SQLite reads the whole table instead of an index.
        listed: LiteralString = f"SELECT column1, column2 FROM (VALUES {', '.join(marks)})"
        return Sql(f"({columns}) IN ({listed})", binds)

    def hex(self, blob: LiteralString) -> LiteralString:
        return f"lower(hex({blob}))"

    def digits(self, integer: LiteralString) -> LiteralString:
        return f"CAST({integer} AS TEXT)"

    @property
    def for_update(self) -> LiteralString:
        return ""  # There is one writer.


class PostgresDialect(Dialect):
    """PostgreSQL since 13. All text columns have the collation C.

    Lists are one bind, so that a statement is the same for lists of any length.
    """

    def like(self, text: LiteralString, pattern: str) -> Sql:
        return Sql(f"{text} LIKE ? ESCAPE '|'", (_without_escapes(pattern),))

    def ilike(self, text: LiteralString, pattern: str) -> Sql:
        # In this collation, lower() leaves all but ASCII as it is: exactly as we want it.
        lower: LiteralString = f'lower({text} COLLATE "C")'
        folded = fold(pattern)
        pairs = [(capital, small) for small in set(folded) for capital in capitals().get(small, "")]
        if not pairs:
            return self.like(lower, folded)
        like = self.like(f"translate({lower}, ?, ?)", folded)
        large, small = map("".join, zip(*pairs, strict=True))
        return Sql(like.text, (large, small, *like.binds))

    def number(self, text: LiteralString, operator: LiteralString, number: float) -> Sql:
        return self._if_number(text, operator, "CAST(CAST(? AS text) AS numeric)", repr(number))

    def numbers(self, text: LiteralString, numbers: Sequence[float], *, negated: bool) -> Sql:
        listed = "(CAST(CAST(? AS text[]) AS numeric[]))"
        binds = [repr(number) for number in numbers]
        if negated:
            return self._if_number(text, "<>", f"ALL {listed}", binds)
        return self._if_number(text, "=", f"ANY {listed}", binds)

    def _if_number(
        self, text: LiteralString, operator: LiteralString, other: LiteralString, bind: object
    ) -> Sql:
        # Only CASE promises that what is no number is never read as one.
        return Sql(
            f"CASE WHEN {text} ~ ? THEN CAST({text} AS numeric) {operator} {other} ELSE FALSE END",
            (f"^{_NUMBER}$", bind),
        )

    def among(self, column: LiteralString, values: Sequence[Bind], *, negated: bool = False) -> Sql:
        if len(values) <= 1:
            return _in(column, values, negated=negated)
        operator: LiteralString = "<> ALL" if negated else "= ANY"
        return Sql(f"{column} {operator} (CAST(? AS {_array(values)}))", (tuple(values),))

    def pairs(self, columns: LiteralString, pairs: Sequence[tuple[Bind, Bind]]) -> Sql:
        first, second = zip(*pairs, strict=True)
        lists: LiteralString = f"CAST(? AS {_array(first)}), CAST(? AS {_array(second)})"
        return Sql(f"({columns}) IN (SELECT * FROM unnest({lists}))", (first, second))

    def hex(self, blob: LiteralString) -> LiteralString:
        return f"encode({blob}, 'hex')"

    def digits(self, integer: LiteralString) -> LiteralString:
        return f"CAST({integer} AS text)"

    def head(self, column: LiteralString) -> LiteralString:
        return _beginning(column)

    def head_of(self, value: str) -> str:
        return value[:HEAD_LENGTH]

    def brief(self, column: LiteralString) -> LiteralString:
        return _beginning(column)

    def is_cut(self, column: LiteralString) -> LiteralString:
        return f"length({_beginning(column)}) = 200"

    def begins(self, column: LiteralString, value: str) -> Sql:
        return Sql(f"{_beginning(column)} = ?", (value[:HEAD_LENGTH],))


class MysqlDialect(Dialect):
    """MySQL since 8.0, as its manual has it, and MariaDB since 10.6. Their index of a column's
    beginning serves conditions on the column, and no order.
    """

    def like(self, text: LiteralString, pattern: str) -> Sql:
        return Sql(f"{text} LIKE ? ESCAPE '|'", (_without_escapes(pattern),))

    def ilike(self, text: LiteralString, pattern: str) -> Sql:
        # Which letters have a lower case is the server's to say, so it folds both sides.
        return Sql(f"LOWER({text}) LIKE LOWER(?) ESCAPE '|'", (_without_escapes(pattern),))

    def number(self, text: LiteralString, operator: LiteralString, number: float) -> Sql:
        return Sql(
            f"({text} REGEXP ? AND CAST({text} AS DOUBLE) {operator} ?)",
            (_MYSQL_NUMBER, float(number)),
        )

    def numbers(self, text: LiteralString, numbers: Sequence[float], *, negated: bool) -> Sql:
        inside = _in(f"CAST({text} AS DOUBLE)", [float(each) for each in numbers], negated=negated)
        return Sql(f"({text} REGEXP ? AND {inside.text})", (_MYSQL_NUMBER, *inside.binds))

    def among(self, column: LiteralString, values: Sequence[Bind], *, negated: bool = False) -> Sql:
        return _in(column, values, negated=negated)

    def pairs(self, columns: LiteralString, pairs: Sequence[tuple[Bind, Bind]]) -> Sql:
        marks: list[LiteralString] = ["(?, ?)"] * len(pairs)
        binds = tuple(bind for pair in pairs for bind in pair)
        return Sql(f"({columns}) IN ({', '.join(marks)})", binds)

    def hex(self, blob: LiteralString) -> LiteralString:
        return f"(lower(hex({blob})) COLLATE utf8mb4_bin)"

    def digits(self, integer: LiteralString) -> LiteralString:
        return f"(CAST({integer} AS CHAR) COLLATE utf8mb4_bin)"

    def brief(self, column: LiteralString) -> LiteralString:
        return _beginning(column)

    def upsert(
        self,
        table: LiteralString,
        columns: tuple[LiteralString, ...],
        *,
        key: tuple[LiteralString, ...],
        changes: Changes | None = None,
    ) -> LiteralString:
        return _on_duplicate_key(table, columns, key, changes)


@cache
def _on_conflict(
    table: LiteralString,
    columns: tuple[LiteralString, ...],
    key: tuple[LiteralString, ...],
    changes: Changes | None,
) -> LiteralString:
    """SQLite has taken this over from PostgreSQL."""
    sets = _sets(columns, key, changes)
    for column in columns:
        sets = sets.replace(f"new({column})", f"excluded.{column}")
        sets = sets.replace(f"old({column})", f"{table}.{column}")
    action = f"UPDATE SET {sets}" if sets else "NOTHING"
    return f"{_insert(table, columns)} ON CONFLICT ({', '.join(key)}) DO {action}"


@cache
def _on_duplicate_key(
    table: LiteralString,
    columns: tuple[LiteralString, ...],
    key: tuple[LiteralString, ...],
    changes: Changes | None,
) -> LiteralString:
    sets = _sets(columns, key, changes)
    for column in columns:
        sets = sets.replace(f"new({column})", f"VALUES({column})")
        sets = sets.replace(f"old({column})", column)
    # INSERT IGNORE would let values pass that are too long, and more.
    action = sets or f"{key[0]} = {key[0]}"
    return f"{_insert(table, columns)} ON DUPLICATE KEY UPDATE {action}"


def _insert(table: LiteralString, columns: tuple[LiteralString, ...]) -> LiteralString:
    marks: list[LiteralString] = ["?"] * len(columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(marks)})"


def _sets(
    columns: tuple[LiteralString, ...], key: tuple[LiteralString, ...], changes: Changes | None
) -> LiteralString:
    if changes is None:
        changes = tuple((column, f"new({column})") for column in columns if column not in key)
    return ", ".join(f"{column} = {text}" for column, text in changes)


def _in(column: LiteralString, values: Sequence[Bind], *, negated: bool) -> Sql:
    if not values:
        return Sql("1 = 1" if negated else "1 = 0")
    if len(values) == 1:
        return Sql(f"{column} {'<>' if negated else '='} ?", tuple(values))
    marks: list[LiteralString] = ["?"] * len(values)
    return Sql(f"{column} {'NOT IN' if negated else 'IN'} ({','.join(marks)})", tuple(values))


def _array(values: Sequence[Bind]) -> LiteralString:
    """PostgreSQL's type of a list of these."""
    match values[0]:
        case bytes():
            return "bytea[]"
        case str():
            return "text[]"
        case _ if any(isinstance(value, float) for value in values):
            return "double precision[]"
        case _:
            return "bigint[]"


def _beginning(column: LiteralString) -> LiteralString:
    """The first 200 characters, spelt as the indexes have it."""
    return f"substr({column}, 1, 200)"


def _without_escapes(pattern: str) -> str:
    """For LIKE with the escape character `|`."""
    return pattern.replace("|", "||")


def _glob_as_like(pattern: str) -> str:
    return re.sub(r"[|%_]", r"|\g<0>", pattern).replace("*", "%")


def _is_number(text: LiteralString) -> LiteralString:
    return f"{text} <= CAST('9e999' AS NUMERIC)"


def matches_ilike(text: str, pattern: str) -> bool:
    return _ilike(pattern).fullmatch(fold(text)) is not None


@cache
def capitals() -> dict[str, str]:
    """The letters beyond ASCII that `fold` turns into each letter."""
    found: dict[str, str] = {}
    for character in map(chr, range(0x80, 0x20000)):
        small = _fold_character(character)
        if small != character:
            found[small] = found.get(small, "") + character
    return found


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
