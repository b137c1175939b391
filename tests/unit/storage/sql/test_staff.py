"""Staff, sessions and the audit log, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gatehouse.core.errors import Conflict, InternalError
from gatehouse.gate.ports import AuditEntry, StaffMember, StaffSession
from gatehouse.storage.sql.database import SqlDatabase, SqlTransaction

NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)


def add(tx: SqlTransaction, name: str = "alice") -> StaffMember:
    return tx.staff.add(name=name, password_hash="hash", totp_sealed=b"\x00sealed\xff", at=NOW)


def session(member: StaffMember, digest: str = "a", *, at: datetime = NOW) -> StaffSession:
    return StaffSession(
        token_sha256=digest, staff_id=member.id, created_at=at, seen_at=at, expires_at=at + 12 * HOUR
    )


def test_a_member_is_kept_as_given(database: SqlDatabase) -> None:
    with database.write() as tx:
        member = add(tx)
    assert member == StaffMember(
        id=member.id,
        name="alice",
        password_hash="hash",
        totp_sealed=b"\x00sealed\xff",
        totp_last_step=0,
        failures=0,
        locked_until=None,
        disabled_at=None,
        created_at=NOW,
    )
    with database.read() as tx:
        assert tx.staff.find("alice") == tx.staff.get(member.id) == member
        assert tx.staff.find("Alice") is None
        assert tx.staff.get(member.id + 1) is None


def test_a_name_is_given_once(database: SqlDatabase) -> None:
    with database.write() as tx:
        first = add(tx)
    with pytest.raises(Conflict), database.write() as tx:
        _add_all(tx, "bob", "alice")
    with database.read() as tx:
        assert tx.staff.all() == [first], "the refused transaction left nothing"


def test_members_are_listed_by_name(database: SqlDatabase) -> None:
    with database.write() as tx:
        for name in ("zoe", "alice", "mia"):
            add(tx, name)
    with database.read() as tx:
        assert [member.name for member in tx.staff.all()] == ["alice", "mia", "zoe"]


def test_failures_count_up_and_a_success_clears_them(database: SqlDatabase) -> None:
    with database.write() as tx:
        member = add(tx)
        tx.staff.note_failure(member.id, locked_until=None)
        tx.staff.note_failure(member.id, locked_until=NOW + HOUR)
        tx.staff.note_failure(member.id, locked_until=None)
        locked = tx.staff.find("alice", lock=True)
        tx.staff.note_success(member.id, totp_step=7)
        after = tx.staff.find("alice")
    assert locked is not None
    assert (locked.failures, locked.locked_until) == (3, NOW + HOUR)
    assert after is not None
    assert (after.failures, after.locked_until, after.totp_last_step) == (0, None, 7)


def test_credentials_change_one_by_one(database: SqlDatabase) -> None:
    with database.write() as tx:
        member = add(tx)
        tx.staff.note_success(member.id, totp_step=7)
        tx.staff.note_failure(member.id, locked_until=NOW)
        tx.staff.set_credentials(member.id, password_hash="new")
        with_password = tx.staff.get(member.id)
        tx.staff.set_credentials(member.id, totp_sealed=b"new")
        with_totp = tx.staff.get(member.id)
    assert with_password is not None
    assert (with_password.password_hash, with_password.totp_sealed) == ("new", b"\x00sealed\xff")
    assert (with_password.failures, with_password.locked_until, with_password.totp_last_step) == (0, None, 7)
    assert with_totp is not None
    assert (with_totp.password_hash, with_totp.totp_sealed, with_totp.totp_last_step) == ("new", b"new", 0)


def test_changing_nobody_is_an_error(database: SqlDatabase) -> None:
    with pytest.raises(InternalError), database.write() as tx:
        tx.staff.note_failure(99, locked_until=None)


def test_disabling_keeps_the_first_time(database: SqlDatabase) -> None:
    with database.write() as tx:
        member = add(tx)
        tx.staff.disable(member.id, at=NOW)
        tx.staff.disable(member.id, at=NOW + HOUR)
        found = tx.staff.get(member.id)
    assert found is not None
    assert found.disabled_at == NOW


def test_a_session_is_found_used_and_ended(database: SqlDatabase) -> None:
    with database.write() as tx:
        member = add(tx)
        tx.staff.add_session(session(member, "a"))
        assert tx.staff.find_session("a") == session(member, "a")
        tx.staff.touch_session("a", at=NOW + HOUR)
        tx.staff.touch_session("a", at=NOW)
        used = tx.staff.find_session("a")
        tx.staff.end_session("a")
        tx.staff.end_session("a")
        assert tx.staff.find_session("a") is None
    assert used is not None
    assert used.seen_at == NOW + HOUR


def test_all_sessions_of_one_member_end_and_no_others(database: SqlDatabase) -> None:
    with database.write() as tx:
        alice, bob = add(tx, "alice"), add(tx, "bob")
        for member, token in ((alice, "a"), (alice, "b"), (bob, "c")):
            tx.staff.add_session(session(member, token))
        tx.staff.end_sessions_of(alice.id)
        assert [bool(tx.staff.find_session(token)) for token in "abc"] == [False, False, True]


def test_a_new_session_clears_away_those_that_had_ended(database: SqlDatabase) -> None:
    with database.write() as tx:
        member = add(tx)
        tx.staff.add_session(session(member, "old", at=NOW - 12 * HOUR))
        tx.staff.add_session(session(member, "running", at=NOW - 11 * HOUR))
        tx.staff.add_session(session(member, "new"))
        assert tx.staff.find_session("old") is None
        assert tx.staff.find_session("running") is not None


def test_a_session_has_an_owner_that_exists(database: SqlDatabase) -> None:
    with database.write() as tx:
        member = add(tx)
    with pytest.raises(InternalError), database.write() as tx:
        tx.staff.add_session(replace(session(member), staff_id=member.id + 1))


def test_the_audit_log_reads_newest_first_in_pages(database: SqlDatabase) -> None:
    entries = [
        AuditEntry(at=NOW, actor=f"actor-{number}", action="log-in", detail={"b": [1], "a": None}, remote=None)
        for number in range(5)
    ]
    hostile = AuditEntry(at=NOW, actor="a\x00b", action="log-in", remote="127.0.0.1")
    with database.write() as tx:
        for entry in entries:
            tx.audit.append(entry)
        tx.audit.append(hostile)
    with database.read() as tx:
        assert tx.audit.recent(limit=2, offset=1) == [entries[4], entries[3]]
        (newest,) = tx.audit.recent(limit=1)
        assert tx.audit.recent(limit=5, offset=6) == []
    assert "\x00" not in newest.actor
    assert newest.detail == {}


def _add_all(tx: SqlTransaction, *names: str) -> None:
    for name in names:
        add(tx, name)
