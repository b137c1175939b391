"""Staff, their sessions, and the audit log. Only adds tables, so that the release before runs beside it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gatehouse.storage.sql.append_only import refuse_all
from gatehouse.storage.sql.types import BigInt, Json, PlainText, UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "staff",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("name", PlainText(), nullable=False),
        sa.Column("password_hash", PlainText(), nullable=False),
        sa.Column("totp_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("totp_last_step", BigInt, nullable=False),
        sa.Column("failures", BigInt, nullable=False),
        sa.Column("locked_until", UtcDateTime(), nullable=True),
        sa.Column("disabled_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("failures >= 0", name=op.f("ck_staff_failures")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff")),
        sa.UniqueConstraint("name", name=op.f("uq_staff_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "staff_sessions",
        sa.Column("token_sha256", PlainText(), nullable=False),
        sa.Column("staff_id", BigInt, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_staff_sessions_staff_id")),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_staff_sessions")),
    )
    op.create_index(op.f("ix_staff_sessions_staff_id"), "staff_sessions", ["staff_id"], unique=False)
    op.create_index(op.f("ix_staff_sessions_expires_at"), "staff_sessions", ["expires_at"], unique=False)
    op.create_table(
        "audit_log",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", PlainText(), nullable=False),
        sa.Column("action", PlainText(), nullable=False),
        sa.Column("detail", Json, nullable=False),
        sa.Column("remote", PlainText(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
        sqlite_autoincrement=True,
    )
    for statement in refuse_all(op.get_bind().dialect.name, "audit_log"):
        op.get_bind().exec_driver_sql(statement)
