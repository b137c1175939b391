"""The life of checks, and the runs over what the index holds.

Steps, differences and timetable runs are facts and append-only by trigger. A run and its pieces are work: a run's
counts grow with each piece that is finished, in the transaction that stores what the piece found.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from gatehouse.malware.lifecycle import State
from gatehouse.storage.sql.models.base import NEVER_REUSED, Base, JsonList, JsonObject, RowId, one_of
from gatehouse.storage.sql.models.screening import OUTCOMES, TIERS

RUN_KINDS = ("backfill", "replay", "retro-hunt")
RUN_STATES = ("running", "paused", "cancelled", "finished")


class CheckChangeRow(Base):
    """A step in the life of one version of a check. `number` counts them: of two that meet, one is refused."""

    __tablename__ = "check_changes"
    __table_args__ = (
        UniqueConstraint("check", "version", "number"),
        one_of("state", State),
        one_of("tier", TIERS),
        CheckConstraint("state = 'enabled' OR tier = 'none'", name="standing"),
        NEVER_REUSED,
    )

    id: Mapped[RowId]
    check: Mapped[str]
    version: Mapped[int]
    number: Mapped[int]
    state: Mapped[str]
    tier: Mapped[str]
    actor: Mapped[str]
    at: Mapped[datetime]
    reason: Mapped[str]
    run_id: Mapped[int | None]


class CheckRunRow(Base):
    """A run of one version of a check over files of the index.

    `upto` is the highest file number when it began, `cursor` the last one that was handed out; a sample is handed
    out as pieces from the start, and its cursor stands at `upto`.
    """

    __tablename__ = "check_runs"
    __table_args__ = (
        one_of("kind", RUN_KINDS),
        one_of("state", RUN_STATES),
        one_of("subjects", ("project", "release", "file")),
        NEVER_REUSED,
    )

    id: Mapped[RowId]
    kind: Mapped[str]
    check: Mapped[str]
    version: Mapped[int]
    against: Mapped[int | None]
    subjects: Mapped[str]
    state: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    sample: Mapped[int | None]
    seed: Mapped[str | None]
    total: Mapped[int]
    upto: Mapped[int]
    cursor: Mapped[int]
    counts: Mapped[JsonObject]


class CheckRunPieceRow(Base):
    """Files of a run that somebody works on, or that wait for somebody. It goes when its results are stored."""

    __tablename__ = "check_run_pieces"
    __table_args__ = (Index(None, "run_id", "id"), NEVER_REUSED)

    id: Mapped[RowId]
    run_id: Mapped[int] = mapped_column(ForeignKey("check_runs.id"))
    files: Mapped[JsonList]
    attempts: Mapped[int]
    leased_until: Mapped[datetime | None]


class CheckDifferenceRow(Base):
    """A subject on which a replay found something else than what was stored."""

    __tablename__ = "check_differences"
    __table_args__ = (Index(None, "run_id"), NEVER_REUSED)

    id: Mapped[RowId]
    run_id: Mapped[int] = mapped_column(ForeignKey("check_runs.id"))
    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"))
    gained: Mapped[JsonList]  # [message, member] of each finding that only the replay has
    lost: Mapped[JsonList]  # and of each that only the stored screening has


class CheckTimetableRow(Base):
    """A run of a scheduled check over the index."""

    __tablename__ = "check_timetable"
    __table_args__ = (Index(None, "check", "version", "started_at"), one_of("outcome", OUTCOMES), NEVER_REUSED)

    id: Mapped[RowId]
    check: Mapped[str]
    version: Mapped[int]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    outcome: Mapped[str]
    reason: Mapped[str | None]
    found: Mapped[int]
    fresh: Mapped[int]
