"""Many rows in few statements."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain

ROWS_TOGETHER = 100
"""Rows in one statement: at most 22 columns in 32 766 binds, and a bound on cached statements."""

_CHANGED_TABLE = re.compile(r"(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)")
_VALUES = re.compile(r"VALUES (\([?, ]+\))")


def in_batches(
    sql: str, rows: Sequence[Sequence[object]]
) -> Iterator[tuple[str, Sequence[object]]]:
    """The insert of one row as inserts of many; other statements for each row."""
    if with_rows(sql, 1) is None:
        yield from ((sql, row) for row in rows)
        return
    for start in range(0, len(rows), ROWS_TOGETHER):
        part = rows[start : start + ROWS_TOGETHER]
        together = with_rows(sql, len(part)) or sql
        yield together, tuple(chain.from_iterable(part))


@lru_cache(maxsize=1024)
def with_rows(sql: str, count: int) -> str | None:
    """The insert of one row as an insert of so many; None for other statements."""
    match = _VALUES.search(sql)
    if match is None:
        return None
    return f"{sql[: match.start()]}VALUES {', '.join([match[1]] * count)}{sql[match.end() :]}"


def in_one(
    waiting: Mapping[str, Sequence[Sequence[object]]], *, parts_max: int, binds_max: int
) -> tuple[str, Sequence[object]] | None:
    """Changes of different rows as one statement of PostgreSQL; None where it would be too long, or
    two of them are of one table, since none sees what another does.
    """
    if len(set(map(table_of, waiting))) < len(waiting):
        return None
    parts: list[str] = []
    binds: list[object] = []
    for sql, rows in waiting.items():
        for statement, values in in_batches(sql, rows):
            parts.append(statement)
            binds.extend(values)
            if len(parts) > parts_max or len(binds) > binds_max:
                return None
    *first, last = parts
    named = ", ".join(f"s{number} AS ({part})" for number, part in enumerate(first))
    return (f"WITH {named} {last}" if named else last), binds


@lru_cache(maxsize=1024)
def table_of(sql: str) -> str:
    """The table that a statement changes; the statement itself where that cannot be told."""
    found = _CHANGED_TABLE.match(sql)
    return found[1] if found else sql
