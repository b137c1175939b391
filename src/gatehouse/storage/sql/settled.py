"""What people let through, in SQL: implements `gate.ports.SettledFindings`."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from gatehouse.gate.ports.screening import Action
from gatehouse.malware.model import Kind, Subject
from gatehouse.malware.settled import settled_key
from gatehouse.storage.sql.models import DecisionRow, FindingRow, ScreeningRow, SubjectRow
from gatehouse.storage.sql.screening import read_finding

#: Files whose judgements are looked at, those judged last first. A release that has more has had its turn.
_FILES = 100


class SqlSettledFindings:
    """What people let through, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, release: Subject) -> frozenset[str]:
        """The keys of all findings that a person had before their eyes when they let a release's file through."""
        newest = (
            select(func.max(DecisionRow.id).label("id"))
            .join(SubjectRow, SubjectRow.id == DecisionRow.subject_id)
            .where(
                SubjectRow.source == release.source,
                SubjectRow.kind == Kind.FILE,
                SubjectRow.name == release.name,
                SubjectRow.version == release.version,
            )
            .group_by(DecisionRow.subject_id)
            .subquery()
        )
        judged = (
            select(DecisionRow.subject_id, DecisionRow.at)
            .join(newest, newest.c.id == DecisionRow.id)
            .where(DecisionRow.action == Action.LET_THROUGH)
            .order_by(DecisionRow.id.desc())
            .limit(_FILES)
            .subquery()
        )
        # What was found afterwards, by a later check say, that person did not see.
        seen = (
            select(func.max(ScreeningRow.id))
            .join(judged, judged.c.subject_id == ScreeningRow.subject_id)
            .where(ScreeningRow.finished_at <= judged.c.at, ScreeningRow.shadow.is_(False))
            .group_by(ScreeningRow.subject_id)
        )
        rows = self._connection.execute(
            select(FindingRow.__table__).where(FindingRow.screening_id.in_(seen), FindingRow.content.is_not(None))
        )
        keys = (settled_key(read_finding(row)) for row in rows)
        return frozenset(key for key in keys if key is not None)
