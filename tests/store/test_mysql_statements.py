"""MySQL itself is not among the servers that tests run on: what it is told holds to the manual of
MySQL 8.0, also where MariaDB takes more.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from riverrun import store
from riverrun.store.schema import metadata
from riverrun.store.steps import statements

FOLDER = Path(store.__file__).parent
OTHERS = {
    *("sqlite.py", "flusher.py", "postgres.py", "postgres_schema.py", "distribute.py"),
    *("schema.py", "ddl.py"),
}
"""Modules that say nothing to MySQL themselves."""
OTHERS_PARTS = {"SqliteDialect", "PostgresDialect", "_on_conflict", "_array", "_is_number"}
"""Parts of `dialects.py` that do not, either."""

LACKING = {
    "RETURNING": r"\bRETURNING\b",
    "ON CONFLICT": r"\bON CONFLICT\b|\bINSERT OR\b|\bexcluded\.",
    "sequences": r"\bSEQUENCE\b|\bNEXT VALUE\b|\b(next|last|set)val\b",
    "types of MariaDB": r"\b(UUID|INET4|INET6|VECTOR|XMLTYPE)\b",
    "collations of MariaDB": r"\bCOLLATE\b.*(nopad|uca1400)",
    "casts to types of columns": r"\bAS (VARCHAR|TEXT|INT|INTEGER|BIGINT|BOOLEAN|NUMERIC)\b",
    "casts of PostgreSQL": r"[\w)]::\w",
    "a list of rows as a table": r"\bFROM \(VALUES\b",
    "an order of NULL": r"\bNULLS (FIRST|LAST)\b",
    "full joins": r"\bFULL (OUTER )?JOIN\b",
    "set operations before 8.0.31": r"\b(EXCEPT|INTERSECT)\b",
    "replacing tables": r"\bCREATE OR REPLACE (TABLE|SEQUENCE)\b",
    "columns and indexes that may be there": (
        r"\b(ADD|DROP|CHANGE|MODIFY) (COLUMN|INDEX) IF\b|\bINDEX IF\b"
    ),
    "indexes of expressions": r"\bINDEX\b.*\b(substr|lower|left)\s*\(",
    "limits of rows examined": r"\bROWS EXAMINED\b",
    "operators of others": r"[\w)?] (ILIKE|GLOB|SIMILAR TO|DISTINCT ON|IS DISTINCT FROM)\b",
    "functions of MariaDB": r"\b(NVL|TO_CHAR|CHR|LENGTHB|MEDIAN|JSON_DETAILED|WEIGHT)\s*\(",
}
RESERVED = set(
    """
    accessible add all alter analyze and as asc asensitive before between bigint binary blob both by
    call cascade case change char character check collate column condition constraint continue
    convert create cross cube cume_dist current_date current_time current_timestamp current_user
    cursor database databases day_hour day_microsecond day_minute day_second dec decimal declare
    default delayed delete dense_rank desc describe deterministic distinct distinctrow div double
    drop dual each else elseif empty enclosed escaped except exists exit explain false fetch
    first_value float float4 float8 for force foreign from fulltext function generated get grant
    group grouping groups having high_priority hour_microsecond hour_minute hour_second if ignore in
    index infile inner inout insensitive insert int int1 int2 int3 int4 int8 integer intersect
    interval into io_after_gtids io_before_gtids is iterate join json_table key keys kill lag
    last_value lateral lead leading leave left like limit linear lines load localtime localtimestamp
    lock long longblob longtext loop low_priority master_bind master_ssl_verify_server_cert match
    maxvalue mediumblob mediumint mediumtext middleint minute_microsecond minute_second mod modifies
    natural no_write_to_binlog not nth_value ntile null numeric of on optimize optimizer_costs
    option optionally or order out outer outfile over partition percent_rank precision primary
    procedure purge range rank read reads read_write real recursive references regexp release rename
    repeat replace require resignal restrict return revoke right rlike row row_number rows schema
    schemas second_microsecond select sensitive separator set show signal smallint spatial specific
    sql sqlexception sqlstate sqlwarning sql_big_result sql_calc_found_rows sql_small_result ssl
    starting stored straight_join system table terminated then tinyblob tinyint tinytext to trailing
    trigger true undo union unique unlock unsigned update usage use using utc_date utc_time
    utc_timestamp values varbinary varchar varcharacter varying virtual when where while window with
    write xor year_month zerofill
    """.split()  # noqa: SIM905
)
"""Words that are no names in MySQL 8.0, unless in quotes or behind a point."""


def texts() -> Iterator[tuple[str, str]]:
    """Every text in the modules that could be part of a statement, with its place."""
    for path in sorted(FOLDER.glob("*.py")):
        if path.name not in OTHERS:
            tree = ast.parse(path.read_text())
            if path.name == "dialects.py":
                tree.body = [node for node in tree.body if _name(node) not in OTHERS_PARTS]
            documentation = {id(text) for text in ast.walk(tree) if isinstance(text, ast.Expr)}
            for text, line in _texts(tree, documentation):
                yield f"{path.name}:{line}", text


def _name(node: ast.stmt) -> str:
    return node.name if isinstance(node, ast.ClassDef | ast.FunctionDef) else ""


def _texts(node: ast.AST, documentation: set[int]) -> Iterator[tuple[str, int]]:
    if id(node) in documentation:
        return
    match node:
        case ast.JoinedStr(values):
            parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in values]
            yield "".join(map(str, parts)), node.lineno
        case ast.Constant(str() as text):
            yield text, node.lineno
        case _:
            pass
    for child in ast.iter_child_nodes(node):
        if not isinstance(node, ast.JoinedStr) or not isinstance(child, ast.Constant):
            yield from _texts(child, documentation)


@pytest.mark.parametrize("what", LACKING)
def test_no_statement_has_what_mysql_lacks(what: str) -> None:
    found = [(place, text) for place, text in texts() if re.search(LACKING[what], text)]
    made = statements("mysql", since="", version_table="riverrun_schema_version")
    found += [("migrations", text) for text in made if re.search(LACKING[what], text)]
    assert found == []


def test_no_name_is_a_reserved_word() -> None:
    """Of a table's or a column's, or given by AS."""
    names = {table.name for table in metadata.sorted_tables}
    names |= {column.name for table in metadata.sorted_tables for column in table.columns}
    used = RESERVED & names
    wrong = re.compile(rf'(?<![".\w])({"|".join(used)})(?![\w"])') if used else None
    given = re.compile(r"\bAS ([a-z_]\w*)")
    for place, text in texts():
        if re.search(r"\b(SELECT|INSERT|UPDATE|DELETE|WHERE|ORDER BY)\b", text):
            assert wrong is None or not wrong.search(text), (place, text)
            assert not RESERVED & set(given.findall(text)), (place, text)


def test_the_statements_are_found() -> None:
    every = [text for _, text in texts()]
    assert sum("SELECT " in text for text in every) > 80
    assert any("ON DUPLICATE KEY UPDATE" in text for text in every)
    assert not any("ON CONFLICT" in text for text in every)
