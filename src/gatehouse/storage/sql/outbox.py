"""The outbox in SQL: implements `gate.ports.Outbox`.

Delivery is at least once: a message whose claim ended before it was done is claimed again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, or_, select, update

from gatehouse.gate.ports import Message
from gatehouse.storage.sql.models import OutboxRow
from gatehouse.storage.sql.statements import insert, pieces

_ERROR_LENGTH = 4_000


class SqlOutbox:
    """Work decided on, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, topic: str, payload: Mapping[str, Any], *, at: datetime) -> None:
        """Add a message, due at once."""
        self._connection.execute(
            insert(self._connection, OutboxRow).values(
                topic=topic, payload=dict(payload), created_at=at, available_at=at, attempts=0
            )
        )

    def claim(self, topics: Collection[str], *, limit: int, now: datetime, lease: timedelta) -> list[Message]:
        """Take the messages that are due and that nobody works on, those first that have been due the longest."""
        rows = self._connection.execute(
            select(OutboxRow.id, OutboxRow.topic, OutboxRow.payload, OutboxRow.created_at, OutboxRow.attempts)
            .where(
                OutboxRow.topic.in_(sorted(topics)),
                OutboxRow.dead_at.is_(None),
                OutboxRow.available_at <= now,
                or_(OutboxRow.leased_until.is_(None), OutboxRow.leased_until <= now),
            )
            # Not by number: what failed and is tried again would then go before all that came since, each time.
            .order_by(OutboxRow.available_at, OutboxRow.id)
            .limit(limit)
            # What another worker is claiming now is passed over, not waited for.
            .with_for_update(skip_locked=True)
        ).all()
        for piece in pieces([row.id for row in rows]):
            self._connection.execute(
                update(OutboxRow)
                .where(OutboxRow.id.in_(piece))
                .values(leased_until=now + lease, attempts=OutboxRow.attempts + 1)
            )
        return [
            Message(
                id=row.id,
                topic=row.topic,
                payload=row.payload,
                created_at=row.created_at,
                attempts=row.attempts + 1,
            )
            for row in rows
        ]

    def unclaim(self) -> None:
        """Let go of every claim."""
        self._connection.execute(
            update(OutboxRow).where(OutboxRow.leased_until.is_not(None)).values(leased_until=None)
        )

    def done(self, ids: Collection[int]) -> None:
        """These are finished."""
        for piece in pieces(sorted(set(ids))):
            self._connection.execute(delete(OutboxRow).where(OutboxRow.id.in_(piece)))

    def fail(self, message_id: int, error: str, *, retry_at: datetime | None) -> None:
        """It failed: try again at `retry_at`; None: it stays as a dead letter with its error."""
        # A dead letter dies when its claim would have ended: the port gives no time, and storage reads no clock.
        dead_at = None if retry_at else func.coalesce(OutboxRow.leased_until, OutboxRow.available_at)
        self._connection.execute(
            update(OutboxRow)
            .where(OutboxRow.id == message_id, OutboxRow.dead_at.is_(None))
            .values(
                leased_until=None,
                dead_at=dead_at,
                available_at=retry_at or OutboxRow.available_at,
                last_error=error[:_ERROR_LENGTH],
            )
        )

    def count(self) -> tuple[int, int]:
        """How many wait or are worked on, and how many are dead letters."""
        row = self._connection.execute(
            select(func.count(), func.count(OutboxRow.dead_at)).select_from(OutboxRow)
        ).one()
        return row[0] - row[1], row[1]
