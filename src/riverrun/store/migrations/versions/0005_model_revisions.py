"""Registered models count their changes: a new column, which counts from nought."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    column = sa.Column("revision", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("registered_models", column)
