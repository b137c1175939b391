"""The life of checks in SQL: implements `gate.ports.CheckStore`. Steps are appended; triggers refuse the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, Select, and_, func, select

from gatehouse.core.errors import Conflict
from gatehouse.gate.ports.checks import Costs, CostShare, TimetableRun
from gatehouse.gate.ports.screening import Action
from gatehouse.malware.index_view import ProjectHistory
from gatehouse.malware.ledger import Alarm, Truth
from gatehouse.malware.lifecycle import Standing, State, StateChange
from gatehouse.malware.model import Outcome, Tier
from gatehouse.storage.sql.histories import histories_since
from gatehouse.storage.sql.models import (
    CheckChangeRow,
    CheckTimetableRow,
    DecisionRow,
    FileRow,
    ProjectRow,
    ScreeningRow,
    SourceRow,
    SubjectRow,
    VerdictRow,
)
from gatehouse.storage.sql.statements import insert, pieces

AnyRow: TypeAlias = Row[*tuple[Any, ...]]

#: What a decision says of the alarm that it settles.
TRUTHS: Mapping[Action, Truth] = MappingProxyType(
    {
        Action.REMOVE: Truth.TRUE,
        Action.LET_THROUGH: Truth.FALSE,
        Action.RESTORE: Truth.FALSE,
        Action.HOLD: Truth.UNSURE,
    }
)
_ALARMING = tuple(tier.word for tier in Tier if tier >= Tier.QUEUE)


class SqlChecks:
    """Steps, alarms and timetables, in one transaction."""

    def __init__(self, connection: Connection, *, source: str) -> None:
        self._connection = connection
        self._source = source

    def changes(self, check: str | None = None) -> list[StateChange]:
        """All steps (of one check), the oldest first."""
        query = _changes().order_by(CheckChangeRow.id)
        if check is not None:
            query = query.where(CheckChangeRow.check == check)
        return [_change(row) for row in self._connection.execute(query)]

    def latest_changes(self) -> dict[tuple[str, str], StateChange]:
        """The newest step of each version of each check, by name and version."""
        newest = select(func.max(CheckChangeRow.id)).group_by(CheckChangeRow.check, CheckChangeRow.version)
        rows = self._connection.execute(_changes().where(CheckChangeRow.id.in_(newest)))
        return {(row.check, str(row.version)): _change(row) for row in rows}

    def append(self, change: StateChange) -> None:
        """Append a step.

        Raises:
            Conflict: somebody else has taken the step of that number.
        """
        taken = self._connection.execute(
            insert(self._connection, CheckChangeRow)
            .values(
                check=change.check,
                version=int(change.version),
                number=change.number,
                state=change.standing.state,
                tier=change.standing.tier.word,
                actor=change.actor,
                at=change.at,
                reason=change.reason,
                run_id=change.run,
            )
            .on_conflict_do_nothing(index_elements=["check", "version", "number"])
            .returning(CheckChangeRow.id)
        ).scalar_one_or_none()
        if taken is None:
            raise Conflict(f"Somebody else has just changed the check {change.check}: look again, then decide.")

    # --- alarms --------------------------------------------------------------------------------------------------

    def alarms(self, check: str, version: str, *, shadow: bool, since: datetime | None, limit: int) -> list[Alarm]:
        """The newest alarms of one version of a check, newest first, each subject once, with their worth."""
        query = (
            select(VerdictRow.subject_id, VerdictRow.tier, VerdictRow.created_at, ScreeningRow.run_id)
            .join(ScreeningRow, ScreeningRow.id == VerdictRow.screening_id)
            .where(
                VerdictRow.check == check,
                VerdictRow.check_version == int(version),
                VerdictRow.tier.in_(_ALARMING),
                ScreeningRow.shadow.is_(shadow),
            )
            .order_by(VerdictRow.id.desc())
            .limit(limit)
        )
        if since is not None:
            query = query.where(VerdictRow.created_at >= since)
        # A subject that alarms in each screening is one alarm, as old as the first and as high as the highest.
        by_subject: dict[int, list[AnyRow]] = defaultdict(list)
        for row in self._connection.execute(query):
            by_subject[row.subject_id].append(row)
        settled = self._settled(by_subject)
        shared = self._shared(by_subject, check)
        senders = self._senders(by_subject)
        return [
            Alarm(
                subject=subject,
                tier=max(Tier.from_word(row.tier) for row in rows),
                at=min(row.created_at for row in rows),
                truth=settled[subject][0] if subject in settled else Truth.OPEN,
                settled_at=settled[subject][1] if subject in settled else None,
                alone=subject not in shared,
                swept=all(row.run_id is not None for row in rows),
                sender=senders.get(subject, ""),
            )
            for subject, rows in by_subject.items()
        ]

    def _settled(self, subjects: Iterable[int]) -> dict[int, tuple[Truth, datetime]]:
        found: dict[int, tuple[Truth, datetime]] = {}
        for piece in pieces(sorted(subjects)):
            rows = self._connection.execute(
                select(DecisionRow.subject_id, DecisionRow.action, DecisionRow.at)
                .where(DecisionRow.subject_id.in_(piece))
                .order_by(DecisionRow.id)
            )
            # In the order in which they were taken, so that the last one stands.
            found |= {row.subject_id: (TRUTHS[Action(row.action)], row.at) for row in rows}
        return found

    def _senders(self, subjects: Iterable[int]) -> dict[int, str]:
        """Who uploaded a file, or one of the files of a release's or project's project."""
        found: dict[int, str] = {}
        for piece in pieces(sorted(subjects)):
            rows = self._connection.execute(
                select(SubjectRow.id, func.min(FileRow.uploader).label("uploader"))
                .join(SourceRow, SourceRow.name == SubjectRow.source)
                .join(ProjectRow, and_(ProjectRow.source_id == SourceRow.id, ProjectRow.name == SubjectRow.name))
                .join(FileRow, FileRow.project_id == ProjectRow.id)
                .where(SubjectRow.id.in_(piece), SubjectRow.filename.in_(["", FileRow.filename]))
                .group_by(SubjectRow.id)
            )
            found |= {row.id: row.uploader for row in rows}
        return found

    def _shared(self, subjects: Iterable[int], check: str) -> set[int]:
        """The subjects that another check, which alerts people, brought to the queue as well."""
        shared: set[int] = set()
        for piece in pieces(sorted(subjects)):
            shared |= set(
                self._connection.execute(
                    select(VerdictRow.subject_id)
                    .join(ScreeningRow, ScreeningRow.id == VerdictRow.screening_id)
                    .where(
                        VerdictRow.subject_id.in_(piece),
                        VerdictRow.check != check,
                        VerdictRow.tier.in_(_ALARMING),
                        ScreeningRow.shadow.is_(False),
                    )
                ).scalars()
            )
        return shared

    def costs(self, *, limit: int) -> Costs:
        """What checks cost in the newest screenings, at most so many."""
        rows = self._connection.execute(
            select(ScreeningRow.costs)
            .where(ScreeningRow.costs.is_not(None))
            .order_by(ScreeningRow.id.desc())
            .limit(limit)
        ).scalars()
        spent: dict[str, list[float]] = defaultdict(list)
        for costs in rows:
            for check, seconds in costs or ():
                spent[check].append(seconds)
        total = sum(map(sum, spent.values()))
        return Costs(
            shares={
                check: CostShare(
                    screenings=len(seconds), seconds=sum(seconds), share=sum(seconds) / total if total else 0.0
                )
                for check, seconds in sorted(spent.items())
            }
        )

    # --- timetables ----------------------------------------------------------------------------------------------

    def add_timetable(self, run: TimetableRun) -> None:
        """A scheduled check ran."""
        self._connection.execute(
            insert(self._connection, CheckTimetableRow).values(
                check=run.check,
                version=int(run.version),
                started_at=run.started_at,
                finished_at=run.finished_at,
                outcome=run.outcome,
                reason=run.reason,
                found=run.found,
                fresh=run.fresh,
            )
        )

    def last_timetable(self, check: str, version: str) -> TimetableRun | None:
        """The newest run of one version of a scheduled check."""
        row = self._connection.execute(
            select(CheckTimetableRow.__table__)
            .where(CheckTimetableRow.check == check, CheckTimetableRow.version == int(version))
            .order_by(CheckTimetableRow.id.desc())
            .limit(1)
        ).one_or_none()
        if row is None:
            return None
        return TimetableRun(
            check=row.check,
            version=str(row.version),
            started_at=row.started_at,
            finished_at=row.finished_at,
            outcome=Outcome(row.outcome),
            reason=row.reason,
            found=row.found,
            fresh=row.fresh,
        )

    def histories(self, *, since: datetime) -> list[ProjectHistory]:
        """The projects to which somebody came, or which somebody left, or that had a release, since then."""
        return histories_since(self._connection, self._source, since)


def _changes() -> Select[*tuple[Any, ...]]:
    return select(CheckChangeRow.__table__)


def _change(row: AnyRow) -> StateChange:
    return StateChange(
        check=row.check,
        version=str(row.version),
        number=row.number,
        standing=Standing(state=State(row.state), tier=Tier.from_word(row.tier)),
        actor=row.actor,
        at=row.at,
        reason=row.reason,
        run=row.run_id,
    )
