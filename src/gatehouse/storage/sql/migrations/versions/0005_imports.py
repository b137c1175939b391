"""Imports of targets: how far each has come. Only adds a table, so that the release before runs beside it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gatehouse.storage.sql.types import BigInt, RawSha256, UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "target_imports",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("input", RawSha256, nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("cursor", BigInt, nullable=False),
        sa.Column("loaded", BigInt, nullable=False),
        sa.Column("replaced", BigInt, nullable=False),
        sa.Column("unchanged", BigInt, nullable=False),
        sa.Column("refused", BigInt, nullable=False),
        sa.CheckConstraint("length(input) = 32", name=op.f("ck_target_imports_input")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_target_imports")),
        sqlite_autoincrement=True,
    )
