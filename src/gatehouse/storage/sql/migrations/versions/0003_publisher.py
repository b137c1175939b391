"""Changes set aside, and bins to render anew. Only adds tables, so that the release before runs beside it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gatehouse.storage.sql.append_only import refuse_all
from gatehouse.storage.sql.types import BigInt, PlainText, UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "refused_changes",
        sa.Column("journal_id", BigInt, autoincrement=False, nullable=False),
        sa.Column("reason", PlainText(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["journal_id"], ["journal.id"], name=op.f("fk_refused_changes_journal_id")),
        sa.PrimaryKeyConstraint("journal_id", name=op.f("pk_refused_changes")),
    )
    op.create_table(
        "dirty_bins",
        sa.Column("family", BigInt, autoincrement=False, nullable=False),
        sa.Column("bin", BigInt, autoincrement=False, nullable=False),
        sa.Column("mark", BigInt, nullable=False),
        sa.CheckConstraint("family IN (1, 2)", name=op.f("ck_dirty_bins_family")),
        sa.PrimaryKeyConstraint("family", "bin", name=op.f("pk_dirty_bins")),
    )
    for statement in refuse_all(op.get_bind().dialect.name, "refused_changes"):
        op.get_bind().exec_driver_sql(statement)
