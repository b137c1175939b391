"""The content that a finding is in, so that what people let through is known again. Only adds a column."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gatehouse.storage.sql.types import PlainText

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("findings", sa.Column("content", PlainText(), nullable=True))
