"""How the plain types, tables and indexes of `schema.py` and of the steps are spelt on each
database: importing this teaches SQLAlchemy's compilers.

Text compares by code point and to its last space everywhere: the collation C on PostgreSQL, and the
binary one that does not pad on MySQL and MariaDB, which name it differently.
"""

import re
from typing import Any, Literal

from sqlalchemy import LargeBinary, String, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex, CreateTable

DialectName = Literal["sqlite", "postgresql", "mysql", "mariadb"]
"""SQLAlchemy's names."""
COLLATIONS = {"mysql": "utf8mb4_0900_bin", "mariadb": "utf8mb4_nopad_bin"}

_BEGINNING = re.compile(r"substr\((\w+), 1, (\d+)\)")


@compiles(String, "postgresql")
def varchar(kind: String, compiler: Any, **_: Any) -> str:
    del compiler
    return f'VARCHAR({kind.length}) COLLATE "C"'


@compiles(Text, "postgresql")
def text(kind: Text, compiler: Any, **_: Any) -> str:
    del kind, compiler
    return 'TEXT COLLATE "C"'


@compiles(Text, "mysql", "mariadb")
def long_text(kind: Text, compiler: Any, **_: Any) -> str:
    """TEXT ends at 64 KiB there."""
    del kind, compiler
    return "LONGTEXT"


@compiles(LargeBinary, "mysql", "mariadb")
def binary(kind: LargeBinary, compiler: Any, **_: Any) -> str:
    """Bytes of a fixed length may be a key; BLOB ends at 64 KiB."""
    del compiler
    return f"BINARY({kind.length})" if kind.length else "LONGBLOB"


@compiles(CreateTable, "mysql", "mariadb")
def create_table(create: CreateTable, compiler: Any, **kw: Any) -> str:
    collation = COLLATIONS[compiler.dialect.name]
    return (
        f"{compiler.visit_create_table(create, **kw).rstrip()} "
        f"ENGINE=InnoDB ROW_FORMAT=DYNAMIC CHARACTER SET utf8mb4 COLLATE {collation}"
    )


@compiles(CreateIndex, "mysql", "mariadb")
def create_index(create: CreateIndex, compiler: Any, **kw: Any) -> str:
    """`substr(value, 1, 200)` as a prefix of the column, since MariaDB indexes no expressions."""
    return _BEGINNING.sub(r"\1(\2)", compiler.visit_create_index(create, **kw))


@compiles(CreateIndex, "sqlite")
def create_whole_index(create: CreateIndex, compiler: Any, **kw: Any) -> str:
    """`substr(value, 1, 200)` as the whole column: SQLite takes keys of any length, and reads the
    table besides where an index has an expression.
    """
    return _BEGINNING.sub(r"\1", compiler.visit_create_index(create, **kw))
