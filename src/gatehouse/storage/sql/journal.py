"""The journal in SQL: implements `gate.ports.Journal`.

Pending means `publication_id IS NULL` and nothing else. A cursor ("all above the last number taken") would lose
entries on PostgreSQL, where a number is drawn at the insert and becomes visible at the commit, in any order.
Changes of one path stay in order nevertheless: whoever changes a path holds its project's lock until the commit.
What was refused has a row in a table of its own, so that the journal itself never changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select, update
from sqlalchemy import insert as plain_insert

from gatehouse.core.errors import InternalError
from gatehouse.gate.ports import Covering, JournalEntry, RefusedChange
from gatehouse.storage.sql.models import JournalRow, RefusedChangeRow
from gatehouse.storage.sql.publications import get_publication
from gatehouse.storage.sql.statements import insert, pieces
from gatehouse.storage.sql.types import is_sha256
from gatehouse.tuf.model import BinRef, Family, Target, TargetChange


class SqlJournal:
    """The append-only list of target changes, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def append(self, changes: Sequence[tuple[BinRef, TargetChange]], *, at: datetime) -> None:
        """Append changes, in this order."""
        if not changes:
            return
        self._connection.execute(
            plain_insert(JournalRow),
            [
                {
                    "at": at,
                    "path": change.path,
                    "family": int(ref.family),
                    "bin": ref.index,
                    "sha256": change.target.sha256 if change.target else None,
                    "length": change.target.length if change.target else None,
                    "cause": change.cause,
                }
                for ref, change in changes
            ],
        )

    def pending(self, *, limit: int) -> list[JournalEntry]:
        """The oldest entries that no publication has taken."""
        query = _entries().where(_pending()).limit(limit)
        return [_entry(row) for row in self._connection.execute(query)]

    def count_pending(self) -> int:
        """How many entries no publication has taken."""
        query = select(func.count()).select_from(JournalRow).where(_pending())
        return self._connection.scalar(query) or 0

    def refuse(self, reasons: Mapping[int, str], *, at: datetime) -> None:
        """Set entries aside for good."""
        if reasons:
            self._connection.execute(
                insert(self._connection, RefusedChangeRow).on_conflict_do_nothing(index_elements=["journal_id"]),
                [{"journal_id": number, "reason": reasons[number], "at": at} for number in sorted(reasons)],
            )

    def refused(self, *, limit: int) -> list[RefusedChange]:
        """The newest entries that were set aside."""
        query = (
            _columns()
            .add_columns(RefusedChangeRow.reason, RefusedChangeRow.at.label("refused_at"))
            .join(RefusedChangeRow, RefusedChangeRow.journal_id == JournalRow.id)
            .order_by(RefusedChangeRow.journal_id.desc())
            .limit(limit)
        )
        return [
            RefusedChange(entry=_entry(row), reason=row.reason, at=row.refused_at)
            for row in self._connection.execute(query)
        ]

    def count_refused(self) -> int:
        """How many entries were set aside."""
        return self._connection.scalar(select(func.count()).select_from(RefusedChangeRow)) or 0

    def covering(self, path: str) -> Covering | None:
        """How far the newest change of a path has come."""
        query = (
            _columns()
            .add_columns(JournalRow.publication_id, RefusedChangeRow.reason)
            .outerjoin(RefusedChangeRow, RefusedChangeRow.journal_id == JournalRow.id)
            .where(JournalRow.path == path)
            .order_by(JournalRow.id.desc())
            .limit(1)
        )
        row = self._connection.execute(query).one_or_none()
        if row is None:
            return None
        publication = None
        if row.publication_id is not None:
            publication = get_publication(self._connection, row.publication_id)
        return Covering(entry=_entry(row), publication=publication, refused=row.reason)

    def assign(self, ids: Collection[int], publication_id: int) -> None:
        """Say which publication took these entries.

        Raises:
            InternalError: one of them does not exist or was taken before.
        """
        wanted = set(ids)
        taken = 0
        for piece in pieces(sorted(wanted)):
            taken += self._connection.execute(
                update(JournalRow)
                .where(JournalRow.id.in_(piece), JournalRow.publication_id.is_(None))
                .values(publication_id=publication_id)
            ).rowcount
        if taken != len(wanted):
            raise InternalError(
                f"Publication {publication_id} wants {len(wanted)} journal entries and {taken} are to be had."
            )

    def taken_by(self, publication_id: int) -> list[JournalEntry]:
        """The entries that a publication took, in order."""
        query = _entries().where(JournalRow.publication_id == publication_id)
        return [_entry(row) for row in self._connection.execute(query)]

    def ever_held(self, path: str, sha256: str) -> bool:
        """Whether this content was ever journalled for this path."""
        if not is_sha256(sha256):
            return False
        query = select(JournalRow.id).where(JournalRow.path == path, JournalRow.sha256 == sha256).limit(1)
        return self._connection.scalar(query) is not None


def _pending() -> ColumnElement[bool]:
    refused = select(RefusedChangeRow.journal_id).where(RefusedChangeRow.journal_id == JournalRow.id)
    return JournalRow.publication_id.is_(None) & ~refused.exists()


def _entries() -> Select[*tuple[Any, ...]]:
    return _columns().order_by(JournalRow.id)


def _columns() -> Select[*tuple[Any, ...]]:
    return select(
        JournalRow.id,
        JournalRow.at,
        JournalRow.path,
        JournalRow.family,
        JournalRow.bin,
        JournalRow.sha256,
        JournalRow.length,
        JournalRow.cause,
    )


def _entry(row: Row[*tuple[Any, ...]]) -> JournalEntry:
    target = None if row.sha256 is None else Target(path=row.path, sha256=row.sha256, length=row.length)
    return JournalEntry(
        id=row.id,
        at=row.at,
        bin=BinRef(family=Family(row.family), index=row.bin),
        change=TargetChange(path=row.path, target=target, cause=row.cause),
    )
