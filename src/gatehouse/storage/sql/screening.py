"""Screenings and decisions in SQL: implements `gate.ports.ScreeningStore`.

Facts are appended; the table `desk` is the fold of what waits, written in the same transaction as the fact
that changes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, Select, delete, func, select

from gatehouse.core.errors import InternalError
from gatehouse.gate.ports.screening import Action, Decision, ScreeningRecord, Waiting
from gatehouse.malware.model import (
    Classification,
    Confidence,
    Context,
    Finding,
    Kind,
    NotExamined,
    Outcome,
    Screened,
    Subject,
    Tier,
    Verdict,
)
from gatehouse.storage.sql.models import DecisionRow, DeskRow, FindingRow, ScreeningRow, SubjectRow, VerdictRow
from gatehouse.storage.sql.statements import insert, pieces

AnyRow: TypeAlias = Row[*tuple[Any, ...]]

_SUBJECT = (
    SubjectRow.id,
    SubjectRow.source,
    SubjectRow.kind,
    SubjectRow.name,
    SubjectRow.version,
    SubjectRow.filename,
    SubjectRow.sha256,
)


class SqlScreening:
    """Screenings, findings, verdicts and decisions, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # --- screenings ----------------------------------------------------------------------------------------------

    def add(
        self, screened: Screened, *, trigger: str, attempt: int, started_at: datetime, finished_at: datetime
    ) -> int:
        """Append a screening with all its findings and verdicts; its id."""
        subject_id = self._ensure_subject(screened.subject)
        screening_id: int = self._connection.execute(
            insert(self._connection, ScreeningRow)
            .values(
                subject_id=subject_id,
                engine_version=screened.engine_version,
                trigger=trigger,
                attempt=attempt,
                started_at=started_at,
                finished_at=finished_at,
                outcome=screened.outcome,
                incomplete_reason=screened.incomplete_reason,
                tier=screened.tier.word,
                score=screened.score,
                seconds=screened.seconds,
                not_examined=[[item.member, item.reason] for item in screened.not_examined],
                checks=[list(check) for check in screened.checks],
            )
            .returning(ScreeningRow.id)
        ).scalar_one()
        self._add_findings(screening_id, screened.findings)
        self._add_verdicts(screening_id, subject_id, screened, finished_at)
        self._fold(subject_id, screening_id, screened)
        return screening_id

    def latest(self, subject: Subject) -> ScreeningRecord | None:
        """The newest screening of a subject."""
        records = self._records(subject, limit=1)
        return records[0] if records else None

    def screenings(self, subject: Subject, *, limit: int) -> list[ScreeningRecord]:
        """The newest screenings of a subject, newest first."""
        return self._records(subject, limit=limit)

    def count_screenings(self, subject: Subject) -> int:
        """How often a subject was screened."""
        query = select(func.count()).where(ScreeningRow.subject_id == self.subject_id(subject))
        return self._connection.execute(query).scalar_one()

    # --- subjects ------------------------------------------------------------------------------------------------

    def subject(self, subject_id: int) -> Subject | None:
        """A subject by its id."""
        row = self._connection.execute(select(*_SUBJECT).where(SubjectRow.id == subject_id)).one_or_none()
        return None if row is None else _subject(row)

    def subject_id(self, subject: Subject) -> int | None:
        """The id of a subject, if it is known."""
        known: int | None = self._connection.execute(
            select(SubjectRow.id).filter_by(**_columns(subject))
        ).scalar_one_or_none()
        return known

    def _ensure_subject(self, subject: Subject) -> int:
        columns = _columns(subject)
        self._connection.execute(
            insert(self._connection, SubjectRow)
            .values(**columns)
            .on_conflict_do_nothing(index_elements=list(columns))
        )
        known = self.subject_id(subject)
        if known is None:
            raise InternalError(f"The subject {subject.name!r} was not recorded.")
        return known

    # --- the desk ------------------------------------------------------------------------------------------------

    def waiting(self, *, limit: int, offset: int = 0) -> list[Waiting]:
        """What waits: the highest tier first, then the highest score, then the oldest."""
        rows = self._connection.execute(
            select(*_SUBJECT, DeskRow.screening_id)
            .join(DeskRow, DeskRow.subject_id == SubjectRow.id)
            .order_by(DeskRow.tier_rank.desc(), DeskRow.score.desc(), DeskRow.screening_id)
            .limit(limit)
            .offset(offset)
        ).all()
        records = {record.id: record for record in self._load([row.screening_id for row in rows])}
        return [_waiting(row, records[row.screening_id]) for row in rows]

    def count_waiting(self) -> dict[Tier, int]:
        """How many wait, by tier."""
        rows = self._connection.execute(select(DeskRow.tier_rank, func.count()).group_by(DeskRow.tier_rank))
        return {Tier(rank): number for rank, number in rows}

    def _fold(self, subject_id: int, screening_id: int, screened: Screened) -> None:
        self._leave_desk(subject_id)
        if screened.tier >= Tier.QUEUE or screened.outcome is Outcome.INCOMPLETE:
            self._connection.execute(
                insert(self._connection, DeskRow).values(
                    subject_id=subject_id,
                    screening_id=screening_id,
                    tier_rank=int(screened.tier),
                    score=screened.score,
                )
            )

    def _leave_desk(self, subject_id: int) -> None:
        self._connection.execute(delete(DeskRow).where(DeskRow.subject_id == subject_id))

    # --- decisions -----------------------------------------------------------------------------------------------

    def decide(self, decision: Decision) -> None:
        """Append a decision; its subject leaves the desk."""
        subject_id = self._ensure_subject(decision.subject)
        self._connection.execute(
            insert(self._connection, DecisionRow).values(
                subject_id=subject_id,
                actor=decision.actor,
                action=decision.action,
                reason=decision.reason,
                at=decision.at,
            )
        )
        self._leave_desk(subject_id)

    def decisions(self, subject: Subject) -> list[Decision]:
        """All decisions on a subject, newest first."""
        query = self._decisions().filter_by(**_columns(subject))
        return [_decision(row) for row in self._connection.execute(query)]

    def latest_decision(self, subject: Subject) -> Decision | None:
        """The newest decision on a subject."""
        row = self._connection.execute(self._decisions().filter_by(**_columns(subject)).limit(1)).one_or_none()
        return None if row is None else _decision(row)

    def recent_decisions(self, *, limit: int) -> list[Decision]:
        """The newest decisions on anything."""
        return [_decision(row) for row in self._connection.execute(self._decisions().limit(limit))]

    @staticmethod
    def _decisions() -> Select[*tuple[Any, ...]]:
        return (
            select(*_SUBJECT, DecisionRow.actor, DecisionRow.action, DecisionRow.reason, DecisionRow.at)
            .select_from(SubjectRow)
            .join(DecisionRow, DecisionRow.subject_id == SubjectRow.id)
            .order_by(DecisionRow.id.desc())
        )

    # --- rows and values -----------------------------------------------------------------------------------------

    def _add_findings(self, screening_id: int, findings: Sequence[Finding]) -> None:
        if findings:
            self._connection.execute(
                insert(self._connection, FindingRow),
                [
                    {
                        "screening_id": screening_id,
                        "check": finding.check,
                        "version": int(finding.version),
                        "message": finding.message,
                        "classification": finding.classification,
                        "confidence": finding.confidence,
                        "member": finding.member,
                        "line": finding.line,
                        "context": finding.context,
                        "chain": list(finding.chain),
                        "excerpt": finding.excerpt,
                    }
                    for finding in findings
                ],
            )

    def _add_verdicts(self, screening_id: int, subject_id: int, screened: Screened, at: datetime) -> None:
        if screened.verdicts:
            self._connection.execute(
                insert(self._connection, VerdictRow),
                [
                    {
                        "subject_id": subject_id,
                        "screening_id": screening_id,
                        "check": verdict.check,
                        "check_version": int(verdict.version),
                        "engine_version": screened.engine_version,
                        "classification": verdict.classification,
                        "confidence": verdict.confidence,
                        "tier": verdict.tier.word,
                        "message": verdict.message,
                        "created_at": at,
                    }
                    for verdict in screened.verdicts
                ],
            )

    def _records(self, subject: Subject, *, limit: int) -> list[ScreeningRecord]:
        subject_id = self.subject_id(subject)
        ids = self._connection.execute(
            select(ScreeningRow.id)
            .where(ScreeningRow.subject_id == subject_id)
            .order_by(ScreeningRow.id.desc())
            .limit(limit)
        ).scalars()
        return self._load(list(ids))

    def _load(self, ids: list[int]) -> list[ScreeningRecord]:
        """Screenings by id, newest first, with their findings and verdicts."""
        findings: dict[int, list[Finding]] = defaultdict(list)
        verdicts: dict[int, list[Any]] = defaultdict(list)
        records = []
        for piece in pieces(ids):
            for row in self._connection.execute(
                select(FindingRow.__table__).where(FindingRow.screening_id.in_(piece)).order_by(FindingRow.id)
            ):
                findings[row.screening_id].append(_finding(row))
            for row in self._connection.execute(
                select(VerdictRow.__table__).where(VerdictRow.screening_id.in_(piece)).order_by(VerdictRow.id)
            ):
                verdicts[row.screening_id].append(row)
            rows = self._connection.execute(
                select(*_SUBJECT[1:], ScreeningRow.__table__)
                .join(ScreeningRow, ScreeningRow.subject_id == SubjectRow.id)
                .where(ScreeningRow.id.in_(piece))
            )
            records += [_record(row, findings[row.id], verdicts[row.id]) for row in rows]
        return sorted(records, key=lambda record: -record.id)


def _columns(subject: Subject) -> dict[str, str]:
    return {
        "source": subject.source,
        "kind": subject.kind.value,
        "name": subject.name,
        "version": subject.version or "",
        "filename": subject.filename or "",
        "sha256": subject.sha256 or "",
    }


def _subject(row: AnyRow) -> Subject:
    return Subject(
        source=row.source,
        kind=Kind(row.kind),
        name=row.name,
        version=row.version or None,
        filename=row.filename or None,
        sha256=row.sha256 or None,
    )


def _finding(row: AnyRow) -> Finding:
    return Finding(
        check=row.check,
        version=str(row.version),
        message=row.message,
        classification=Classification(row.classification),
        confidence=Confidence(row.confidence),
        context=Context(row.context),
        member=row.member,
        line=row.line,
        chain=tuple(row.chain),
        excerpt=row.excerpt or "",
    )


def _record(row: AnyRow, findings: list[Finding], verdicts: list[Any]) -> ScreeningRecord:
    subject = _subject(row)
    return ScreeningRecord(
        id=row.id,
        subject_id=row.subject_id,
        trigger=row.trigger,
        attempt=row.attempt,
        started_at=row.started_at,
        finished_at=row.finished_at,
        screened=Screened(
            subject=subject,
            outcome=Outcome(row.outcome),
            tier=Tier.from_word(row.tier),
            score=row.score,
            findings=tuple(findings),
            verdicts=tuple(
                Verdict(
                    subject=subject,
                    check=verdict.check,
                    version=str(verdict.check_version),
                    classification=Classification(verdict.classification),
                    confidence=Confidence(verdict.confidence),
                    tier=Tier.from_word(verdict.tier),
                    message=verdict.message,
                )
                for verdict in verdicts
            ),
            not_examined=tuple(NotExamined(member=member, reason=reason) for member, reason in row.not_examined),
            incomplete_reason=row.incomplete_reason,
            seconds=row.seconds,
            engine_version=row.engine_version,
            checks=tuple((name, version) for name, version in row.checks),
        ),
    )


def _waiting(row: AnyRow, record: ScreeningRecord) -> Waiting:
    screened = record.screened
    weightiest = max(screened.verdicts, key=lambda verdict: verdict.tier, default=None)
    message = screened.incomplete_reason or ("" if weightiest is None else weightiest.message)
    return Waiting(
        subject_id=row.id,
        subject=screened.subject,
        screening_id=record.id,
        outcome=screened.outcome,
        tier=screened.tier,
        score=screened.score,
        finished_at=record.finished_at,
        message=message,
        checks=tuple(verdict.check for verdict in screened.verdicts),
    )


def _decision(row: AnyRow) -> Decision:
    return Decision(
        subject=_subject(row), actor=row.actor, action=Action(row.action), reason=row.reason, at=row.at
    )
