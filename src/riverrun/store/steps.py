"""The steps of `migrations/versions` as statements: Alembic writes them, whoever asks runs them.

Imported only when a schema changes: SQLAlchemy and Alembic take half a second.
"""

import io
import logging
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from riverrun.store.ddl import DialectName  # It teaches the compilers, too.


class _Statements(io.StringIO):
    """What Alembic takes for a file: it writes one statement or remark at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def write(self, text: str) -> int:
        statement = text.strip().removesuffix(";")
        if not statement.startswith("--"):
            self.texts.append(statement)
        return len(text)


def statements(dialect: DialectName, *, since: str, version_table: str) -> list[str]:
    """What brings a schema of the version `since`, which is empty for none, to today's; each step
    ends with the statement that writes its version down.
    """
    script = _script()
    written = _Statements()
    environment = EnvironmentContext(
        Config(),
        script,
        fn=lambda revision, _: script._upgrade_revs("head", revision),  # noqa: SLF001 # pyright: ignore[reportPrivateUsage, reportUnknownLambdaType, reportUnknownArgumentType]
        as_sql=True,
        starting_rev=since or None,
    )
    environment.configure(dialect_name=dialect, version_table=version_table, output_buffer=written)
    environment.get_context().dialect.insert_returning = False  # Nobody reads what is returned.
    environment.run_migrations()
    return written.texts


def history() -> list[tuple[str, str]]:
    """Each step's version and what it is about, from the first one on."""
    newest_first = [(step.revision, step.doc) for step in _script().walk_revisions()]
    return newest_first[::-1]


def _script() -> ScriptDirectory:
    logging.getLogger("alembic").setLevel(logging.WARNING)  # It tells of each of its plugins.
    return ScriptDirectory(str(Path(__file__).parent / "migrations"))
