"""Staff, their sessions, and the audit log, which is append-only by trigger.

No secret lies here that would let its reader in: passwords are hashed, TOTP secrets are sealed with a key outside
the database, and of a session's token only the SHA-256 is kept.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from gatehouse.storage.sql.models.base import NEVER_REUSED, Base, JsonObject, RowId


class StaffRow(Base):
    """Somebody who may log in. Disabled, never deleted: the audit log and decisions speak of them."""

    __tablename__ = "staff"
    __table_args__ = (CheckConstraint("failures >= 0", name="failures"), NEVER_REUSED)

    id: Mapped[RowId]
    name: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    totp_sealed: Mapped[bytes]
    totp_last_step: Mapped[int]
    failures: Mapped[int]
    locked_until: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class StaffSessionRow(Base):
    """A session of a member, by the SHA-256 of its token in hexadecimal."""

    __tablename__ = "staff_sessions"
    __table_args__ = (Index(None, "staff_id"), Index(None, "expires_at"))

    token_sha256: Mapped[str] = mapped_column(primary_key=True)
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"))
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class AuditRow(Base):
    """Something that was done or tried in the administration. It names people by value."""

    __tablename__ = "audit_log"
    __table_args__ = (NEVER_REUSED,)

    id: Mapped[RowId]
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    detail: Mapped[JsonObject]
    remote: Mapped[str | None]
