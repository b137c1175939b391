"""The life of checks and their runs; what each check cost, and which screenings are in the shadow.

Adds tables, and columns that have a value by themselves, so that the release before runs beside it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gatehouse.storage.sql.append_only import refuse_all
from gatehouse.storage.sql.types import BigInt, Json, PlainText, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TIERS = "tier IN ('none', 'rank', 'queue', 'alert', 'hold')"
_STATES = "state IN ('draft', 'shadow', 'enabled', 'retired')"


def upgrade() -> None:
    op.add_column("screenings", sa.Column("shadow", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("screenings", sa.Column("run_id", BigInt, nullable=True))
    op.add_column("screenings", sa.Column("costs", Json, nullable=True))
    _changes()
    _runs()
    _timetable()
    for table in ("check_changes", "check_differences", "check_timetable"):
        for statement in refuse_all(op.get_bind().dialect.name, table):
            op.get_bind().exec_driver_sql(statement)


def _changes() -> None:
    op.create_table(
        "check_changes",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("check", PlainText(), nullable=False),
        sa.Column("version", BigInt, nullable=False),
        sa.Column("number", BigInt, nullable=False),
        sa.Column("state", PlainText(), nullable=False),
        sa.Column("tier", PlainText(), nullable=False),
        sa.Column("actor", PlainText(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("reason", PlainText(), nullable=False),
        sa.Column("run_id", BigInt, nullable=True),
        sa.CheckConstraint(_STATES, name=op.f("ck_check_changes_state")),
        sa.CheckConstraint(_TIERS, name=op.f("ck_check_changes_tier")),
        sa.CheckConstraint("state = 'enabled' OR tier = 'none'", name=op.f("ck_check_changes_standing")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_check_changes")),
        sa.UniqueConstraint("check", "version", "number", name=op.f("uq_check_changes_check_version_number")),
        sqlite_autoincrement=True,
    )


def _runs() -> None:
    op.create_table(
        "check_runs",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("kind", PlainText(), nullable=False),
        sa.Column("check", PlainText(), nullable=False),
        sa.Column("version", BigInt, nullable=False),
        sa.Column("against", BigInt, nullable=True),
        sa.Column("subjects", PlainText(), nullable=False),
        sa.Column("state", PlainText(), nullable=False),
        sa.Column("actor", PlainText(), nullable=False),
        sa.Column("reason", PlainText(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("sample", BigInt, nullable=True),
        sa.Column("seed", PlainText(), nullable=True),
        sa.Column("total", BigInt, nullable=False),
        sa.Column("upto", BigInt, nullable=False),
        sa.Column("cursor", BigInt, nullable=False),
        sa.Column("counts", Json, nullable=False),
        sa.CheckConstraint("kind IN ('backfill', 'replay', 'retro-hunt')", name=op.f("ck_check_runs_kind")),
        sa.CheckConstraint(
            "state IN ('running', 'paused', 'cancelled', 'finished')", name=op.f("ck_check_runs_state")
        ),
        sa.CheckConstraint("subjects IN ('project', 'release', 'file')", name=op.f("ck_check_runs_subjects")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_check_runs")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "check_run_pieces",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("run_id", BigInt, nullable=False),
        sa.Column("files", Json, nullable=False),
        sa.Column("attempts", BigInt, nullable=False),
        sa.Column("leased_until", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["check_runs.id"], name=op.f("fk_check_run_pieces_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_check_run_pieces")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_check_run_pieces_run_id_id"), "check_run_pieces", ["run_id", "id"], unique=False)
    op.create_table(
        "check_differences",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("run_id", BigInt, nullable=False),
        sa.Column("subject_id", BigInt, nullable=False),
        sa.Column("gained", Json, nullable=False),
        sa.Column("lost", Json, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["check_runs.id"], name=op.f("fk_check_differences_run_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], name=op.f("fk_check_differences_subject_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_check_differences")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_check_differences_run_id"), "check_differences", ["run_id"], unique=False)


def _timetable() -> None:
    op.create_table(
        "check_timetable",
        sa.Column("id", BigInt, autoincrement=True, nullable=False),
        sa.Column("check", PlainText(), nullable=False),
        sa.Column("version", BigInt, nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=False),
        sa.Column("outcome", PlainText(), nullable=False),
        sa.Column("reason", PlainText(), nullable=True),
        sa.Column("found", BigInt, nullable=False),
        sa.Column("fresh", BigInt, nullable=False),
        sa.CheckConstraint(
            "outcome IN ('clean', 'flagged', 'incomplete')", name=op.f("ck_check_timetable_outcome")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_check_timetable")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_check_timetable_check_version_started_at"),
        "check_timetable",
        ["check", "version", "started_at"],
        unique=False,
    )
