"""Subjects, screenings, findings, verdicts and decisions.

They are the evidence, so they are append-only by trigger and outlive what they judge: a subject holds its names
by value and refers to nothing in the catalog, and nothing here cascades.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from gatehouse.storage.sql.models.base import NEVER_REUSED, Base, JsonList, RowId, one_of
from gatehouse.storage.sql.types import BigInt

#: In order, as the contract lists them.
TIERS = ("none", "rank", "queue", "alert", "hold")
OUTCOMES = ("clean", "flagged", "incomplete")
SUBJECT_KINDS = ("project", "release", "file")


class SubjectRow(Base):
    """What is judged, by value. What a kind does not have is the empty text, so that the value is unique."""

    __tablename__ = "subjects"
    __table_args__ = (
        UniqueConstraint("source", "kind", "name", "version", "filename", "sha256"),
        one_of("kind", SUBJECT_KINDS),
        CheckConstraint("(kind = 'file') = (sha256 <> '')", name="digest"),
        CheckConstraint("(kind = 'file') = (filename <> '')", name="filename"),
        Index(None, "sha256"),
        NEVER_REUSED,
    )

    id: Mapped[RowId]
    source: Mapped[str]
    kind: Mapped[str]
    name: Mapped[str]
    version: Mapped[str]
    filename: Mapped[str]
    sha256: Mapped[str]


class ScreeningRow(Base):
    """One run over a subject, written when it has ended. One in the `shadow` reaches no desk and moves nothing."""

    __tablename__ = "screenings"
    __table_args__ = (
        one_of("outcome", OUTCOMES),
        one_of("tier", TIERS),
        CheckConstraint("(outcome = 'incomplete') = (incomplete_reason IS NOT NULL)", name="incomplete"),
        CheckConstraint("score >= 0 AND score <= 1", name="score"),
        Index(None, "subject_id"),
        NEVER_REUSED,
    )

    id: Mapped[RowId]
    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"))
    engine_version: Mapped[str]
    trigger: Mapped[str]
    attempt: Mapped[int]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]
    outcome: Mapped[str]
    incomplete_reason: Mapped[str | None]
    tier: Mapped[str]
    score: Mapped[float]
    seconds: Mapped[float]
    not_examined: Mapped[JsonList]
    checks: Mapped[JsonList]  # [name, version] of every check that ran
    shadow: Mapped[bool] = mapped_column(server_default=false())
    run_id: Mapped[int | None]  # of `check_runs`, if it is part of one
    costs: Mapped[JsonList | None]  # [check, seconds of processor time], where they were measured
    contributions: Mapped[JsonList | None]  # [what counted, its weight], where anything did


class FindingRow(Base):
    """One check's evidence in a screening."""

    __tablename__ = "findings"
    __table_args__ = (Index(None, "screening_id"), NEVER_REUSED)

    id: Mapped[RowId]
    screening_id: Mapped[int] = mapped_column(ForeignKey("screenings.id"))
    check: Mapped[str]
    version: Mapped[int]
    message: Mapped[str]
    classification: Mapped[str]
    confidence: Mapped[str]
    member: Mapped[str | None]
    line: Mapped[int | None]
    context: Mapped[str | None]
    chain: Mapped[JsonList]
    excerpt: Mapped[str | None]
    content: Mapped[str | None]


class VerdictRow(Base):
    """One check version's conclusion on a subject."""

    __tablename__ = "verdicts"
    __table_args__ = (
        one_of("tier", TIERS),
        Index(None, "subject_id"),
        Index(None, "screening_id"),
        Index(None, "check", "check_version"),
        NEVER_REUSED,
    )

    id: Mapped[RowId]
    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"))
    screening_id: Mapped[int] = mapped_column(ForeignKey("screenings.id"))
    check: Mapped[str]
    check_version: Mapped[int]
    engine_version: Mapped[str]
    classification: Mapped[str]
    confidence: Mapped[str]
    tier: Mapped[str]
    message: Mapped[str]
    created_at: Mapped[datetime]


class DecisionRow(Base):
    """A person's act on a subject."""

    __tablename__ = "decisions"
    __table_args__ = (Index(None, "subject_id"), NEVER_REUSED)

    id: Mapped[RowId]
    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"))
    actor: Mapped[str]
    action: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]


class DeskRow(Base):
    """What waits for a person: a view folded from screenings and decisions, kept so that the desk opens at once.

    It can be made again from them; nothing else is known here.
    """

    __tablename__ = "desk"
    __table_args__ = (Index(None, "tier_rank", "score", "screening_id"),)

    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"), primary_key=True, autoincrement=False)
    screening_id: Mapped[int] = mapped_column(ForeignKey("screenings.id"))
    tier_rank: Mapped[int]
    score: Mapped[float]


class FileSummaryRow(Base):
    """What the release after a file's is compared with: the newest one, compressed JSON. It can be made again."""

    __tablename__ = "file_summaries"

    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"), primary_key=True, autoincrement=False)
    summary: Mapped[bytes]
    screened_at: Mapped[datetime]


class FingerprintRow(Base):
    """A key of a file's fingerprint (`malware.fingerprints`): near-copies share one. It can be made again."""

    __tablename__ = "fingerprints"
    __table_args__ = (Index(None, "subject_id"),)

    key: Mapped[int] = mapped_column(BigInt, primary_key=True, autoincrement=False)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subjects.id"), primary_key=True, autoincrement=False)
