"""The people who review and administer, their sessions, and the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class StaffMember:
    """Somebody who may log in. `totp_sealed` is the TOTP secret, encrypted with a key outside the database."""

    id: int
    name: str
    password_hash: str
    totp_sealed: bytes
    totp_last_step: int
    failures: int
    locked_until: datetime | None
    disabled_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class StaffSession:
    """A session, known by the SHA-256 of its token: whoever reads the database cannot take it over."""

    token_sha256: str
    staff_id: int
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


class StaffStore(Protocol):
    """Staff and sessions."""

    def add(self, *, name: str, password_hash: str, totp_sealed: bytes, at: datetime) -> StaffMember:
        """A new member.

        Raises:
            Conflict: the name is taken.
        """
        ...

    def find(self, name: str, *, lock: bool = False) -> StaffMember | None:
        """A member by name; with `lock`, nobody else changes them until this transaction ends."""
        ...

    def get(self, staff_id: int) -> StaffMember | None:
        """A member by id."""
        ...

    def all(self) -> list[StaffMember]:
        """Everybody, by name."""
        ...

    def set_credentials(
        self, staff_id: int, *, password_hash: str | None = None, totp_sealed: bytes | None = None
    ) -> None:
        """Give new ones; what is None stays. Failures and the lock are cleared."""
        ...

    def note_failure(self, staff_id: int, *, locked_until: datetime | None) -> None:
        """Count a failed log-in; with `locked_until`, refuse all until then."""
        ...

    def note_success(self, staff_id: int, *, totp_step: int) -> None:
        """A log-in succeeded: clear failures; this and earlier TOTP steps are spent."""
        ...

    def disable(self, staff_id: int, *, at: datetime) -> None:
        """They may no longer log in."""
        ...

    def add_session(self, session: StaffSession) -> None:
        """Begin a session."""
        ...

    def find_session(self, token_sha256: str) -> StaffSession | None:
        """A session, ended by time or not."""
        ...

    def touch_session(self, token_sha256: str, *, at: datetime) -> None:
        """Note that it was used."""
        ...

    def end_session(self, token_sha256: str) -> None:
        """End one session."""
        ...

    def end_sessions_of(self, staff_id: int) -> None:
        """End all sessions of a member."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditEntry:
    """Something that was done or tried in the administration."""

    at: datetime
    actor: str
    action: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    remote: str | None = None


class AuditLog(Protocol):
    """The append-only log of the administration."""

    def append(self, entry: AuditEntry) -> None:
        """Append an entry."""
        ...

    def recent(self, *, limit: int, offset: int = 0) -> list[AuditEntry]:
        """The newest entries first."""
        ...
