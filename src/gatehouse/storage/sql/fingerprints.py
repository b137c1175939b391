"""Fingerprints of files in SQL: implements `gate.ports.FingerprintStore`."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Select, func, select

from gatehouse.core.errors import InternalError
from gatehouse.gate.ports.fingerprints import NearCopies
from gatehouse.gate.ports.screening import Action
from gatehouse.malware.model import Subject
from gatehouse.storage.sql.models import DecisionRow, FingerprintRow, SubjectRow
from gatehouse.storage.sql.screening import read_subject
from gatehouse.storage.sql.statements import insert


class SqlFingerprints:
    """Fingerprints of files, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def keep(self, subject: Subject, fingerprint: Sequence[int]) -> None:
        """Keep the fingerprint of a file whose screening is recorded, beside the keys that it has."""
        subject_id = self._id(subject)
        if subject_id is None:
            raise InternalError(f"The file {subject.filename!r} has a fingerprint and no screening.")
        for key in sorted(set(fingerprint)):
            self._connection.execute(
                insert(self._connection, FingerprintRow)
                .values(key=key, subject_id=subject_id)
                .on_conflict_do_nothing(index_elements=["key", "subject_id"])
            )

    def near_copies(self, subject: Subject, fingerprint: Sequence[int] | None = None) -> NearCopies:
        """The near-copies of a file, by this fingerprint; without one, by what is kept of it."""
        others = self._others(subject, fingerprint).subquery()
        newest = (
            select(func.max(DecisionRow.id))
            .where(DecisionRow.subject_id.in_(select(others.c.subject_id)))
            .group_by(DecisionRow.subject_id)
        )
        removed = select(func.count()).where(DecisionRow.id.in_(newest), DecisionRow.action == Action.REMOVE.value)
        return NearCopies(
            files=self._connection.execute(select(func.count()).select_from(others)).scalar_one(),
            removed=self._connection.execute(removed).scalar_one(),
        )

    def list_near_copies(self, subject: Subject, *, limit: int, offset: int = 0) -> list[Subject]:
        """The near-copies of a file, by what is kept of it: those that were seen last come first."""
        rows = self._connection.execute(
            select(SubjectRow.__table__)
            .where(SubjectRow.id.in_(self._others(subject)))
            .order_by(SubjectRow.id.desc())
            .limit(limit)
            .offset(offset)
        )
        return [read_subject(row) for row in rows]

    def _others(self, subject: Subject, fingerprint: Sequence[int] | None = None) -> Select[int]:
        """The numbers of the files that share a key."""
        subject_id = self._id(subject)
        keys = set(fingerprint or ())
        if fingerprint is None:
            kept = select(FingerprintRow.key).where(FingerprintRow.subject_id == subject_id)
            keys = set(self._connection.execute(kept).scalars())
        return (
            select(FingerprintRow.subject_id)
            .where(FingerprintRow.key.in_(keys), FingerprintRow.subject_id != (subject_id or 0))
            .distinct()
        )

    def _id(self, subject: Subject) -> int | None:
        found: int | None = self._connection.execute(
            select(SubjectRow.id).where(
                SubjectRow.source == subject.source,
                SubjectRow.kind == subject.kind,
                SubjectRow.name == subject.name,
                SubjectRow.filename == subject.filename,
                SubjectRow.sha256 == subject.sha256,
            )
        ).scalar_one_or_none()
        return found
