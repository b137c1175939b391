"""Summaries of files in SQL, compressed: implements `gate.ports.SummaryStore`."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import Connection, func, select

from gatehouse.core.errors import InternalError
from gatehouse.gate.ports.screening import Action
from gatehouse.gate.ports.summaries import Cleared
from gatehouse.malware.difference import ReleaseSummary
from gatehouse.malware.difference_json import summary_from_value, summary_to_value
from gatehouse.malware.model import Kind, Outcome, Subject, Tier
from gatehouse.malware.strict_json import Malformed, dumped, loaded
from gatehouse.storage.sql.models import DecisionRow, FileSummaryRow, ScreeningRow, SubjectRow
from gatehouse.storage.sql.statements import insert, pieces

#: Of one summary before it is compressed; `malware.difference` keeps each far below.
_MAX_BYTES = 16 * 1024**2
_GOOD = frozenset({Action.LET_THROUGH.value, Action.RESTORE.value})
_LOW = frozenset(tier.word for tier in Tier if tier < Tier.QUEUE)


class SqlSummaries:
    """Summaries of files, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def keep(self, subject: Subject, summary: ReleaseSummary, *, at: datetime) -> None:
        """Keep the summary of a file, in the place of an older one."""
        subject_id = next(iter(self._ids([subject])), None)
        if subject_id is None:
            raise InternalError(f"The file {subject.filename!r} has a summary and no screening.")
        data = zlib.compress(dumped(summary_to_value(summary), limit=_MAX_BYTES))
        row = {"summary": data, "screened_at": at}
        self._connection.execute(
            insert(self._connection, FileSummaryRow)
            .values(subject_id=subject_id, **row)
            .on_conflict_do_update(index_elements=["subject_id"], set_=row)
        )

    def of(self, subjects: Collection[Subject]) -> list[ReleaseSummary]:
        """The summaries of those of these files that have one."""
        return list(self._summaries(self._ids(subjects)).values())

    def cleared(self, subjects: Collection[Subject]) -> list[Cleared]:
        """Those of these files that have a summary and nothing against them."""
        ids = self._ids(subjects)
        decisions = self._decisions(ids)
        clean = self._ended_low([subject_id for subject_id in ids if subject_id not in decisions])
        good = {known for known, action in decisions.items() if action in _GOOD} | clean
        return [
            Cleared(subject=ids[subject_id], judged=subject_id in decisions)
            for subject_id in self._summed_up(good)
        ]

    def _ids(self, subjects: Collection[Subject]) -> dict[int, Subject]:
        wanted = {(each.source, each.name, each.filename, each.sha256): each for each in subjects}
        found: dict[int, Subject] = {}
        for piece in pieces([each.filename or "" for each in wanted.values()]):
            rows = self._connection.execute(
                select(SubjectRow.id, SubjectRow.source, SubjectRow.name, SubjectRow.filename, SubjectRow.sha256)
                .where(SubjectRow.kind == Kind.FILE, SubjectRow.filename.in_(piece))
                .order_by(SubjectRow.id)
            )
            for row in rows:
                subject = wanted.get((row.source, row.name, row.filename, row.sha256))
                if subject is not None:
                    found[row.id] = subject
        return found

    def _decisions(self, ids: Iterable[int]) -> dict[int, str]:
        """What a person last decided, by subject."""
        found: dict[int, str] = {}
        for piece in pieces(list(ids)):
            newest = (
                select(func.max(DecisionRow.id))
                .where(DecisionRow.subject_id.in_(piece))
                .group_by(DecisionRow.subject_id)
            )
            rows = self._connection.execute(
                select(DecisionRow.subject_id, DecisionRow.action).where(DecisionRow.id.in_(newest))
            )
            found |= {row.subject_id: row.action for row in rows}
        return found

    def _ended_low(self, ids: Collection[int]) -> set[int]:
        """Subjects whose newest screening came to its end below the queue."""
        found: set[int] = set()
        for piece in pieces(ids):
            newest = (
                select(func.max(ScreeningRow.id))
                .where(ScreeningRow.subject_id.in_(piece), ScreeningRow.shadow.is_(False))
                .group_by(ScreeningRow.subject_id)
            )
            rows = self._connection.execute(
                select(ScreeningRow.subject_id).where(
                    ScreeningRow.id.in_(newest),
                    ScreeningRow.tier.in_(_LOW),
                    ScreeningRow.outcome != Outcome.INCOMPLETE,
                )
            )
            found |= set(rows.scalars())
        return found

    def _summed_up(self, ids: Iterable[int]) -> list[int]:
        """Those that have a summary, by number."""
        found: list[int] = []
        for piece in pieces(sorted(ids)):
            known = select(FileSummaryRow.subject_id).where(FileSummaryRow.subject_id.in_(piece))
            found += self._connection.execute(known).scalars()
        return sorted(found)

    def _summaries(self, ids: Iterable[int]) -> dict[int, ReleaseSummary]:
        found: dict[int, ReleaseSummary] = {}
        for piece in pieces(list(ids)):
            rows = self._connection.execute(
                select(FileSummaryRow.subject_id, FileSummaryRow.summary).where(
                    FileSummaryRow.subject_id.in_(piece)
                )
            )
            for row in rows:
                summary = _read(row.summary)
                if summary is not None:
                    found[row.subject_id] = summary
        return found


def _read(data: bytes) -> ReleaseSummary | None:
    """A stored summary; None for one of a form that this version does not know, which is as good as none."""
    try:
        return summary_from_value(loaded(zlib.decompress(data), limit=_MAX_BYTES))
    except Malformed:
        return None
