"""Values are found by their first 200 characters, on SQLite by the whole.

Other databases refuse keys that are too long. Searches compare the whole value besides, so a server
of the release before goes on serving, more slowly.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


VALUE = sa.text("substr(value, 1, 200)")
OF_RUNS = {
    "params": ["experiment_id", "key_id", VALUE, "run_id"],
    "tags": ["experiment_id", "key_id", VALUE, "run_id"],
}
OF_REGISTRY = {
    "registered_model_tags": ["tag_key", VALUE, "registered_model_id"],
    "model_version_tags": ["tag_key", VALUE, "registered_model_id", "version"],
}


def upgrade() -> None:
    on_sqlite = op.get_context().dialect.name == "sqlite"
    for table, columns in (OF_REGISTRY if on_sqlite else OF_RUNS).items():
        op.drop_index(f"{table}_by_value", table)
        op.create_index(f"{table}_by_value", table, columns)
