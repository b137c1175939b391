"""Leases with fencing epochs, and the outbox."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from gatehouse.storage.sql.models.base import NEVER_REUSED, Base, JsonObject, RowId


class LeaseRow(Base):
    """A lease. The row stays when the lease is free, because its epoch must never repeat."""

    __tablename__ = "leases"
    __table_args__ = (CheckConstraint("(holder IS NULL) = (expires_at IS NULL)", name="free"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str | None]
    epoch: Mapped[int]
    expires_at: Mapped[datetime | None]


class OutboxRow(Base):
    """A message. It is deleted when it is done and kept as a dead letter when it failed for good.

    `turn` orders what waits in a topic, so that its lanes take turns; without a lane it is 0.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        Index(
            "ix_outbox_waiting",
            "topic",
            "turn",
            "available_at",
            "id",
            sqlite_where=text("dead_at IS NULL"),
            postgresql_where=text("dead_at IS NULL"),
        ),
        Index(
            "ix_outbox_lanes",
            "topic",
            "lane",
            "turn",
            sqlite_where=text("dead_at IS NULL"),
            postgresql_where=text("dead_at IS NULL"),
        ),
        NEVER_REUSED,
    )

    id: Mapped[RowId]
    topic: Mapped[str]
    payload: Mapped[JsonObject]
    created_at: Mapped[datetime]
    available_at: Mapped[datetime]
    leased_until: Mapped[datetime | None]
    attempts: Mapped[int]
    dead_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    lane: Mapped[str] = mapped_column(server_default="")
    turn: Mapped[int] = mapped_column(server_default=text("0"))
