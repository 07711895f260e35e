"""Values of params and tags are found by their first 200 characters.

A database refuses keys that are too long. Searches compare the whole value besides, so a server of
the release before goes on serving, more slowly.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for table in ("params", "tags"):
        index = f"{table}_by_value"
        op.drop_index(index, table)
        op.create_index(
            index, table, ["experiment_id", "key_id", sa.text("substr(value, 1, 200)"), "run_id"]
        )
