"""Fingerprints of files. Only adds a table, so that the release before runs beside it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gatehouse.storage.sql.types import BigInt

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fingerprints",
        sa.Column("key", BigInt, autoincrement=False, nullable=False),
        sa.Column("subject_id", BigInt, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], name=op.f("fk_fingerprints_subject_id")),
        sa.PrimaryKeyConstraint("key", "subject_id", name=op.f("pk_fingerprints")),
    )
    op.create_index(op.f("ix_fingerprints_subject_id"), "fingerprints", ["subject_id"], unique=False)
