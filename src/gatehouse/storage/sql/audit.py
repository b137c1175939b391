"""The audit log in SQL: implements `gate.ports.AuditLog`. A trigger refuses every change and removal."""

from __future__ import annotations

from sqlalchemy import Connection, select

from gatehouse.gate.ports import AuditEntry
from gatehouse.storage.sql.models import AuditRow
from gatehouse.storage.sql.statements import insert


class SqlAudit:
    """What was done or tried in the administration, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def append(self, entry: AuditEntry) -> None:
        """Append an entry."""
        self._connection.execute(
            insert(self._connection, AuditRow).values(
                at=entry.at,
                actor=entry.actor,
                action=entry.action,
                detail=dict(entry.detail),
                remote=entry.remote,
            )
        )

    def recent(self, *, limit: int, offset: int = 0) -> list[AuditEntry]:
        """The newest entries first, in the order in which they were written."""
        query = (
            select(AuditRow.at, AuditRow.actor, AuditRow.action, AuditRow.detail, AuditRow.remote)
            .order_by(AuditRow.id.desc())
            .limit(limit)
            .offset(offset)
        )
        return [
            AuditEntry(at=row.at, actor=row.actor, action=row.action, detail=row.detail, remote=row.remote)
            for row in self._connection.execute(query)
        ]
