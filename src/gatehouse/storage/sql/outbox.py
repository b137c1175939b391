"""The outbox in SQL: implements `gate.ports.Outbox`.

- Delivery is at least once: a message whose claim ended before it was done is claimed again. The number of its
  attempts tells one claim from another, so that a worker that comes late can learn that it lost it (`holds`).
- Lanes take turns (start-time fair queueing): a message's turn is one after its lane's last, and at least one
  after the first that waits in the topic. A lane that brings a thousand at once has a thousand turns before it;
  another that brings one stands near the front. As no message is ever given the first turn that waits, that
  turn's messages are finite, and all turns come.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVarTuple

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, func, or_, select, update

from gatehouse.gate.ports import DeadLetter, Message
from gatehouse.storage.sql.models import OutboxRow
from gatehouse.storage.sql.statements import insert, pieces

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
Ts = TypeVarTuple("Ts")

_ERROR_LENGTH = 4_000
_COLUMNS = (OutboxRow.id, OutboxRow.topic, OutboxRow.payload, OutboxRow.created_at, OutboxRow.attempts)


class SqlOutbox:
    """Work decided on, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, topic: str, payload: Mapping[str, Any], *, at: datetime, lane: str = "") -> None:
        """Add a message, due at once."""
        self._connection.execute(
            insert(self._connection, OutboxRow).values(
                topic=topic,
                payload=dict(payload),
                created_at=at,
                available_at=at,
                attempts=0,
                lane=lane,
                turn=self._next_turn(topic, lane),
            )
        )

    def claim(self, topics: Collection[str], *, limit: int, now: datetime, lease: timedelta) -> list[Message]:
        """Take the messages that are due and that nobody works on, lane by lane, those first that came first."""
        # What another worker is claiming now is passed over, not waited for.
        query = _in_order(select(*_COLUMNS), topics, now).limit(limit).with_for_update(skip_locked=True)
        rows = self._connection.execute(query).all()
        for piece in pieces([row.id for row in rows]):
            self._connection.execute(
                update(OutboxRow)
                .where(OutboxRow.id.in_(piece))
                .values(leased_until=now + lease, attempts=OutboxRow.attempts + 1)
            )
        return [_message(row, attempts=row.attempts + 1) for row in rows]

    def claim_one(self, message_id: int, *, now: datetime, lease: timedelta) -> Message | None:
        """Take this message; None if it is done or dead, not due, or another works on it."""
        row = self._connection.execute(
            update(OutboxRow)
            .where(OutboxRow.id == message_id, *_due(now))
            .values(leased_until=now + lease, attempts=OutboxRow.attempts + 1)
            .returning(*_COLUMNS)
        ).one_or_none()
        return None if row is None else _message(row, attempts=row.attempts)

    def due(self, topics: Collection[str], *, limit: int, now: datetime) -> list[int]:
        """The messages that `claim` would take, without taking them."""
        query = _in_order(select(OutboxRow.id), topics, now).limit(limit)
        return list(self._connection.execute(query).scalars())

    def holds(self, message: Message) -> bool:
        """Whether the claim that gave this message is still the last one; nobody takes it before the commit."""
        found = self._connection.execute(
            select(OutboxRow.id).where(OutboxRow.id == message.id, *_claimed_as(message)).with_for_update()
        ).one_or_none()
        return found is not None

    def release(self, message: Message) -> None:
        """Give a claim back before anything came of it."""
        self._connection.execute(
            update(OutboxRow)
            .where(OutboxRow.id == message.id, *_claimed_as(message))
            .values(leased_until=None, attempts=OutboxRow.attempts - 1)
        )

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
        row = self._connection.execute(
            update(OutboxRow)
            .where(OutboxRow.id == message_id, OutboxRow.dead_at.is_(None))
            .values(
                leased_until=None,
                dead_at=dead_at,
                available_at=retry_at or OutboxRow.available_at,
                last_error=error[:_ERROR_LENGTH],
            )
            .returning(OutboxRow.topic, OutboxRow.lane)
        ).one_or_none()
        if row is not None and retry_at is not None:
            self._to_the_end_of_its_lane(message_id, row.topic, row.lane)

    def count(self) -> tuple[int, int]:
        """How many wait or are worked on, and how many are dead letters."""
        row = self._connection.execute(
            select(func.count(), func.count(OutboxRow.dead_at)).select_from(OutboxRow)
        ).one()
        return row[0] - row[1], row[1]

    def count_waiting(self) -> dict[str, int]:
        """How many wait or are worked on, by topic."""
        rows = self._connection.execute(
            select(OutboxRow.topic, func.count().label("waiting"))
            .where(OutboxRow.dead_at.is_(None))
            .group_by(OutboxRow.topic)
        )
        return {row.topic: row.waiting for row in sorted(rows, key=lambda row: str(row.topic))}

    def dead(self, *, limit: int, offset: int = 0) -> list[DeadLetter]:
        """Dead letters, the oldest message first."""
        rows = self._connection.execute(
            _dead_letters().order_by(OutboxRow.id).limit(limit).offset(offset),
        )
        return [_dead_letter(row) for row in rows]

    def dead_letter(self, message_id: int) -> DeadLetter | None:
        """The dead letter of that number, if there is one."""
        row = self._connection.execute(_dead_letters().where(OutboxRow.id == message_id)).one_or_none()
        return None if row is None else _dead_letter(row)

    def revive(self, message_id: int, *, at: datetime) -> bool:
        """Make a dead letter a message again, with all its attempts before it; False if there is none."""
        row = self._connection.execute(
            update(OutboxRow)
            .where(OutboxRow.id == message_id, OutboxRow.dead_at.is_not(None))
            .values(dead_at=None, leased_until=None, available_at=at, attempts=0)
            .returning(OutboxRow.topic, OutboxRow.lane)
        ).one_or_none()
        if row is not None:
            self._to_the_end_of_its_lane(message_id, row.topic, row.lane)
        return row is not None

    def drop(self, message_id: int) -> bool:
        """Delete a dead letter for good; False if there is none."""
        done = self._connection.execute(
            delete(OutboxRow).where(OutboxRow.id == message_id, OutboxRow.dead_at.is_not(None))
        )
        return done.rowcount > 0

    def _to_the_end_of_its_lane(self, message_id: int, topic: str, lane: str) -> None:
        """What is tried again must not go before what came since, each time."""
        if lane:
            turn = self._next_turn(topic, lane, besides=message_id)
            self._connection.execute(update(OutboxRow).where(OutboxRow.id == message_id).values(turn=turn))

    def _next_turn(self, topic: str, lane: str, *, besides: int = 0) -> int:
        if not lane:
            return 0
        waits = (OutboxRow.topic == topic, OutboxRow.dead_at.is_(None), OutboxRow.id != besides)
        first = select(func.min(OutboxRow.turn)).where(*waits).scalar_subquery()
        last = select(func.max(OutboxRow.turn)).where(*waits, OutboxRow.lane == lane).scalar_subquery()
        row = self._connection.execute(select(first, last)).one()
        return max(row[0] or 0, row[1] or 0) + 1


def _due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        OutboxRow.dead_at.is_(None),
        OutboxRow.available_at <= now,
        or_(OutboxRow.leased_until.is_(None), OutboxRow.leased_until <= now),
    )


def _in_order(query: Select[*Ts], topics: Collection[str], now: datetime) -> Select[*Ts]:
    # Within a turn not by number: what failed and is tried again would then go before all that came since.
    order = (OutboxRow.turn, OutboxRow.available_at, OutboxRow.id)
    return query.where(OutboxRow.topic.in_(sorted(topics)), *_due(now)).order_by(*order)


def _claimed_as(message: Message) -> tuple[ColumnElement[bool], ...]:
    return (
        OutboxRow.attempts == message.attempts,
        OutboxRow.leased_until.is_not(None),
        OutboxRow.dead_at.is_(None),
    )


def _message(row: AnyRow, *, attempts: int) -> Message:
    return Message(id=row.id, topic=row.topic, payload=row.payload, created_at=row.created_at, attempts=attempts)


def _dead_letters() -> Select[*tuple[Any, ...]]:
    return select(*_COLUMNS, OutboxRow.dead_at, OutboxRow.last_error).where(OutboxRow.dead_at.is_not(None))


def _dead_letter(row: AnyRow) -> DeadLetter:
    return DeadLetter(
        message=_message(row, attempts=row.attempts), dead_at=row.dead_at, error=row.last_error or ""
    )
