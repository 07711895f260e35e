"""How a table is described: the one list of them all, and the kinds that there are."""

from typing import Any

from sqlalchemy import Column, Index, MetaData, Table, UniqueConstraint

metadata = MetaData()

HOT = "hot"
"""One row or more per run or logged model: written on the run path, distributable by it."""
SMALL = "small"
"""Few rows, unique by name: the run path reads it, and adds to it only in a transaction of its own.
"""
OWNED = "owned"
"""Belongs to a row of a small table, whose key comes first in its own: it lies together by that."""
LOCAL = "local"
"""Bookkeeping of the database itself."""


def table(name: str, kind: str, *parts: Column[Any] | UniqueConstraint | Index) -> Table:
    return Table(
        name, metadata, *parts, info={"kind": kind}, sqlite_with_rowid=kind not in {HOT, OWNED}
    )
