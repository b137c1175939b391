"""Staff and sessions in SQL: implements `gate.ports.StaffStore`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, select, update

from gatehouse.core.errors import Conflict, InternalError
from gatehouse.gate.ports import StaffMember, StaffSession
from gatehouse.storage.sql.models import StaffRow, StaffSessionRow
from gatehouse.storage.sql.statements import insert


class SqlStaff:
    """Who may log in, and who is, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, *, name: str, password_hash: str, totp_sealed: bytes, at: datetime) -> StaffMember:
        """A new member.

        Raises:
            Conflict: the name is taken, by a disabled member too.
        """
        added = self._connection.scalar(
            insert(self._connection, StaffRow)
            .values(
                name=name,
                password_hash=password_hash,
                totp_sealed=totp_sealed,
                totp_last_step=0,
                failures=0,
                created_at=at,
            )
            .on_conflict_do_nothing(index_elements=["name"])
            .returning(StaffRow.id)
        )
        if added is None:
            raise Conflict(f"There is a user {name!r} already.")
        member = self.get(added)
        if member is None:
            raise InternalError(f"The user {name!r} was not kept.")
        return member

    def find(self, name: str, *, lock: bool = False) -> StaffMember | None:
        """A member by name; with `lock`, nobody else changes them until this transaction ends."""
        query = _members().where(StaffRow.name == name)
        # On SQLite, a writing transaction is the only one there is, and FOR UPDATE is left out.
        row = self._connection.execute(query.with_for_update() if lock else query).one_or_none()
        return None if row is None else _member(row)

    def get(self, staff_id: int) -> StaffMember | None:
        """A member by id."""
        row = self._connection.execute(_members().where(StaffRow.id == staff_id)).one_or_none()
        return None if row is None else _member(row)

    def all(self) -> list[StaffMember]:
        """Everybody, by name."""
        return [_member(row) for row in self._connection.execute(_members().order_by(StaffRow.name))]

    def set_credentials(
        self, staff_id: int, *, password_hash: str | None = None, totp_sealed: bytes | None = None
    ) -> None:
        """Give new ones; what is None stays. Failures and the lock are cleared; a new secret has no spent step."""
        values: dict[str, Any] = {"failures": 0, "locked_until": None}
        if password_hash is not None:
            values["password_hash"] = password_hash
        if totp_sealed is not None:
            values |= {"totp_sealed": totp_sealed, "totp_last_step": 0}
        self._change(staff_id, values)

    def note_failure(self, staff_id: int, *, locked_until: datetime | None) -> None:
        """Count a failed log-in; with `locked_until`, refuse all until then."""
        values: dict[str, Any] = {"failures": StaffRow.failures + 1}
        if locked_until is not None:
            values["locked_until"] = locked_until
        self._change(staff_id, values)

    def note_success(self, staff_id: int, *, totp_step: int) -> None:
        """A log-in succeeded: clear failures; this and earlier TOTP steps are spent."""
        self._change(staff_id, {"failures": 0, "locked_until": None, "totp_last_step": totp_step})

    def disable(self, staff_id: int, *, at: datetime) -> None:
        """They may no longer log in. The first time stands."""
        self._connection.execute(
            update(StaffRow).where(StaffRow.id == staff_id, StaffRow.disabled_at.is_(None)).values(disabled_at=at)
        )

    def add_session(self, session: StaffSession) -> None:
        """Begin a session, and forget those that had ended by then."""
        self._connection.execute(delete(StaffSessionRow).where(StaffSessionRow.expires_at <= session.created_at))
        self._connection.execute(
            insert(self._connection, StaffSessionRow).values(
                token_sha256=session.token_sha256,
                staff_id=session.staff_id,
                created_at=session.created_at,
                seen_at=session.seen_at,
                expires_at=session.expires_at,
            )
        )

    def find_session(self, token_sha256: str) -> StaffSession | None:
        """A session, ended by time or not."""
        row = self._connection.execute(
            select(
                StaffSessionRow.token_sha256,
                StaffSessionRow.staff_id,
                StaffSessionRow.created_at,
                StaffSessionRow.seen_at,
                StaffSessionRow.expires_at,
            ).where(StaffSessionRow.token_sha256 == token_sha256)
        ).one_or_none()
        if row is None:
            return None
        return StaffSession(
            token_sha256=row.token_sha256,
            staff_id=row.staff_id,
            created_at=row.created_at,
            seen_at=row.seen_at,
            expires_at=row.expires_at,
        )

    def touch_session(self, token_sha256: str, *, at: datetime) -> None:
        """Note that it was used; the latest use stands."""
        self._connection.execute(
            update(StaffSessionRow)
            .where(StaffSessionRow.token_sha256 == token_sha256, StaffSessionRow.seen_at < at)
            .values(seen_at=at)
        )

    def end_session(self, token_sha256: str) -> None:
        """End one session."""
        self._connection.execute(delete(StaffSessionRow).where(StaffSessionRow.token_sha256 == token_sha256))

    def end_sessions_of(self, staff_id: int) -> None:
        """End all sessions of a member."""
        self._connection.execute(delete(StaffSessionRow).where(StaffSessionRow.staff_id == staff_id))

    def _change(self, staff_id: int, values: dict[str, Any]) -> None:
        changed = self._connection.execute(update(StaffRow).where(StaffRow.id == staff_id).values(values))
        if changed.rowcount != 1:
            raise InternalError(f"There is no member of staff with the number {staff_id}.")


def _members() -> Select[*tuple[Any, ...]]:
    return select(
        StaffRow.id,
        StaffRow.name,
        StaffRow.password_hash,
        StaffRow.totp_sealed,
        StaffRow.totp_last_step,
        StaffRow.failures,
        StaffRow.locked_until,
        StaffRow.disabled_at,
        StaffRow.created_at,
    )


def _member(row: Row[*tuple[Any, ...]]) -> StaffMember:
    return StaffMember(
        id=row.id,
        name=row.name,
        password_hash=row.password_hash,
        totp_sealed=row.totp_sealed,
        totp_last_step=row.totp_last_step,
        failures=row.failures,
        locked_until=row.locked_until,
        disabled_at=row.disabled_at,
        created_at=row.created_at,
    )
