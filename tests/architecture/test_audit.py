"""The audit log is appended to and read, and nothing else."""

import re

from tests.architecture.test_house import SOURCE

OTHER_USES = re.compile(
    r"(?:UPDATE|DELETE\s+FROM|TRUNCATE(?:\s+TABLE)?|REPLACE\s+INTO|DROP\s+TABLE)\s+audit_log",
    re.IGNORECASE,
)
MENTIONED_IN = {
    "store/audit.py",
    "store/schema_access.py",
    "store/migrations/versions/0008_access.py",
}


def test_no_code_changes_or_removes_an_entry():
    sources = {
        str(path.relative_to(SOURCE)): path.read_text() for path in sorted(SOURCE.rglob("*.py"))
    }
    assert [name for name, text in sources.items() if OTHER_USES.search(text)] == []
    mentioned = {name for name, text in sources.items() if "audit_log" in text}
    assert mentioned == MENTIONED_IN


def test_the_words_that_are_looked_for_would_be_found():
    for sql in ("DELETE FROM audit_log", "update audit_log SET actor = ''", "TRUNCATE audit_log"):
        assert OTHER_USES.search(sql)
