"""Lanes of the outbox. Adds columns with defaults, so that the release before runs beside it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gatehouse.storage.sql.types import BigInt, PlainText

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_ALIVE = sa.text("dead_at IS NULL")


def upgrade() -> None:
    op.add_column("outbox", sa.Column("lane", PlainText(), server_default="", nullable=False))
    op.add_column("outbox", sa.Column("turn", BigInt, server_default="0", nullable=False))
    op.drop_index("ix_outbox_waiting", table_name="outbox")
    for name, columns in (
        ("ix_outbox_waiting", ["topic", "turn", "available_at", "id"]),
        ("ix_outbox_lanes", ["topic", "lane", "turn"]),
    ):
        op.create_index(name, "outbox", columns, unique=False, sqlite_where=_ALIVE, postgresql_where=_ALIVE)
