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

from gatehouse.core.errors import InternalError, NotFound
from gatehouse.gate.ports.screening import TIMETABLE, Action, Decision, ScreeningRecord, Waiting
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
        self,
        screened: Screened,
        *,
        trigger: str,
        attempt: int,
        started_at: datetime,
        finished_at: datetime,
        shadow: bool = False,
        partial: bool = False,
        run_id: int | None = None,
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
                shadow=shadow,
                run_id=run_id,
                costs=[list(cost) for cost in screened.costs] or None,
                contributions=[list(each) for each in screened.contributions] or None,
            )
            .returning(ScreeningRow.id)
        ).scalar_one()
        self._add_findings(screening_id, screened.findings)
        self._add_verdicts(screening_id, subject_id, screened, finished_at)
        if not shadow:
            self._fold(subject_id, screening_id, screened, trigger=trigger, partial=partial)
        return screening_id

    def get(self, screening_id: int) -> ScreeningRecord:
        """A screening by its number.

        Raises:
            NotFound: there is none.
        """
        for record in self._load([screening_id]):
            return record
        raise NotFound(f"There is no screening with the number {screening_id}.")

    def after(self, screening_id: int, *, limit: int) -> list[ScreeningRecord]:
        """Screenings with higher numbers, the lowest first; those in the shadow too, and marked so."""
        ids = self._connection.execute(
            select(ScreeningRow.id).where(ScreeningRow.id > screening_id).order_by(ScreeningRow.id).limit(limit)
        ).scalars()
        return self._load(list(ids))[::-1]

    def last_before(self, moment: datetime) -> int:
        """The number below the first screening that ended at that moment or after; without one, the last."""
        first = select(func.min(ScreeningRow.id)).where(ScreeningRow.finished_at >= moment)
        found: int | None = self._connection.execute(first).scalar_one()
        if found is not None:
            return found - 1
        last: int | None = self._connection.execute(select(func.max(ScreeningRow.id))).scalar_one()
        return last or 0

    def latest(self, subject: Subject) -> ScreeningRecord | None:
        """The newest screening of a subject, those in the shadow aside."""
        records = self._records(subject, limit=1)
        return records[0] if records else None

    def screenings(self, subject: Subject, *, limit: int) -> list[ScreeningRecord]:
        """The newest screenings of a subject, newest first, those in the shadow aside."""
        return self._records(subject, limit=limit)

    def count_screenings(self, subject: Subject) -> int:
        """How often a subject was screened, those in the shadow aside."""
        query = select(func.count()).where(
            ScreeningRow.subject_id == self.subject_id(subject), ScreeningRow.shadow.is_(False)
        )
        return self._connection.execute(query).scalar_one()

    def known_findings(self, subject: Subject, check: str, *, shadow: bool) -> list[Finding]:
        """What a scheduled check has found of a subject so far, in any version of it."""
        newest = (
            select(FindingRow.screening_id)
            .join(ScreeningRow, ScreeningRow.id == FindingRow.screening_id)
            .where(
                ScreeningRow.subject_id == self.subject_id(subject),
                ScreeningRow.trigger == TIMETABLE,
                ScreeningRow.shadow.is_(shadow),
                FindingRow.check == check,
            )
            .order_by(ScreeningRow.id.desc())
            .limit(1)
        )
        screening_id = self._connection.execute(newest).scalar_one_or_none()
        if screening_id is None:
            return []
        rows = self._connection.execute(
            select(FindingRow.__table__)
            .where(FindingRow.screening_id == screening_id, FindingRow.check == check)
            .order_by(FindingRow.id)
        )
        return [read_finding(row) for row in rows]

    # --- subjects ------------------------------------------------------------------------------------------------

    def subject(self, subject_id: int) -> Subject | None:
        """A subject by its id."""
        row = self._connection.execute(select(*_SUBJECT).where(SubjectRow.id == subject_id)).one_or_none()
        return None if row is None else read_subject(row)

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

    def _fold(
        self, subject_id: int, screening_id: int, screened: Screened, *, trigger: str, partial: bool
    ) -> None:
        if self._stays(subject_id, screened, trigger=trigger, partial=partial):
            return
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

    def _stays(self, subject_id: int, screened: Screened, *, trigger: str, partial: bool) -> bool:
        """Whether what waits of this subject waits on.

        Some of the checks say nothing against what the others found: neither a part of them against all, nor all
        that read uploads against one that reads the index.
        """
        row = self._connection.execute(
            select(DeskRow.tier_rank, DeskRow.score, ScreeningRow.trigger)
            .join(ScreeningRow, ScreeningRow.id == DeskRow.screening_id)
            .where(DeskRow.subject_id == subject_id)
        ).one_or_none()
        if row is None:
            return False
        old, new = (row.tier_rank, row.score), (int(screened.tier), screened.score)
        return (partial and new < old) or (row.trigger == TIMETABLE != trigger and new <= old)

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

    def judged(self, action: Action, *, after: int, limit: int) -> list[tuple[int, list[Decision]]]:
        """Subjects on which that action was ever taken, by id, with all decisions on each, the oldest first."""
        ids = list(
            self._connection.execute(
                select(DecisionRow.subject_id)
                .where(DecisionRow.action == action, DecisionRow.subject_id > after)
                .group_by(DecisionRow.subject_id)
                .order_by(DecisionRow.subject_id)
                .limit(limit)
            ).scalars()
        )
        found: dict[int, list[Decision]] = {subject_id: [] for subject_id in ids}
        for piece in pieces(ids):
            for row in self._connection.execute(self._decisions().where(SubjectRow.id.in_(piece))):
                found[row.id].insert(0, _decision(row))
        return list(found.items())

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
                        "content": finding.content,
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
            .where(ScreeningRow.subject_id == subject_id, ScreeningRow.shadow.is_(False))
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
                findings[row.screening_id].append(read_finding(row))
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


def read_subject(row: AnyRow) -> Subject:
    """The subject in a row that has its columns."""
    return Subject(
        source=row.source,
        kind=Kind(row.kind),
        name=row.name,
        version=row.version or None,
        filename=row.filename or None,
        sha256=row.sha256 or None,
    )


def read_finding(row: AnyRow) -> Finding:
    """The finding in a row that has its columns."""
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
        content=row.content,
    )


def _record(row: AnyRow, findings: list[Finding], verdicts: list[Any]) -> ScreeningRecord:
    subject = read_subject(row)
    return ScreeningRecord(
        id=row.id,
        subject_id=row.subject_id,
        trigger=row.trigger,
        attempt=row.attempt,
        started_at=row.started_at,
        finished_at=row.finished_at,
        shadow=row.shadow,
        run_id=row.run_id,
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
            costs=tuple((name, seconds) for name, seconds in row.costs or ()),
            contributions=tuple((feature, weight) for feature, weight in row.contributions or ()),
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
        subject=read_subject(row), actor=row.actor, action=Action(row.action), reason=row.reason, at=row.at
    )
