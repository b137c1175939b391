"""Summaries of screened files. Only adds a table, so that the release before runs beside it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gatehouse.storage.sql.types import BigInt, UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "file_summaries",
        sa.Column("subject_id", BigInt, autoincrement=False, nullable=False),
        sa.Column("summary", sa.LargeBinary(), nullable=False),
        sa.Column("screened_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], name=op.f("fk_file_summaries_subject_id")),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_file_summaries")),
    )
