"""Many rows in few statements."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain

ROWS_TOGETHER = 100
"""Rows in one statement: at most 22 columns in 32 766 binds, and a bound on cached statements."""

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
